"""Mutants of FHIR documents and answers, and of key object selections, for a long time; each run with seeds of its own (`make proof`)."""

from __future__ import annotations

import os
import time

import pytest
from tests.conformance.fuzzing import FORMS, run

SECONDS = float(os.environ.get("ISTHMUS_FUZZ_SECONDS", "300"))


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 2 + 60)
@pytest.mark.parametrize("form", FORMS)
def test_whatever_comes_is_judged_for_long(form: str) -> None:
    tried = run(form, int(time.time()), SECONDS)

    print(f"{form} for {SECONDS:g} s: {tried}")
