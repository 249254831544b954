"""Mutants of what crosses the border, for a while; the long form is in `proof/test_border_documents.py`."""

from __future__ import annotations

import pytest
from tests.conformance.fuzzing import FORMS, run


@pytest.mark.slow
@pytest.mark.threat("T63")
@pytest.mark.parametrize("form", FORMS)
def test_whatever_comes_is_judged_for_twenty_seconds(form: str) -> None:
    tried = run(form, 2, 20.0)

    assert tried.count > tried.read > 100
