"""One of something is not many."""

from __future__ import annotations

import pytest

from isthmus.model.amounts import amount


@pytest.mark.parametrize(("number", "said"), [(0, "0 documents"), (1, "1 document"), (2, "2 documents")])
def test_one_document_is_not_documents(number: int, said: str) -> None:
    assert amount(number, "document") == said


def test_a_noun_may_have_its_own_plural() -> None:
    assert [amount(n, "study", "studies") for n in (1, 2)] == ["1 study", "2 studies"]
    assert [amount(n, "series", "series") for n in (1, 2)] == ["1 series", "2 series"]
