"""The matrix of requirements says what code and tests say: no sentence without a test or a reason, no mark without a sentence."""

from __future__ import annotations

from types import ModuleType

import pytest
from tests.tool import tool

from isthmus.conformance.requirement import REQUIREMENTS


@pytest.fixture(scope="module", name="tool")
def the_tool() -> ModuleType:
    return tool("requirements")


def test_the_page_is_fresh(tool: ModuleType) -> None:
    assert tool.PAGE.read_text(encoding="utf-8") == tool.matrix(), "run make conformance"


def test_every_sentence_has_a_test_or_a_reason(tool: ModuleType) -> None:
    shown = tool.marked("requirement")

    assert [id for id in REQUIREMENTS if id not in shown and id not in tool.OPEN] == []
    assert set(tool.OPEN) <= set(REQUIREMENTS)


def test_a_sentence_without_either_is_refused(tool: ModuleType) -> None:
    with pytest.raises(ValueError, match="shown by no test"):
        tool.result("CAP-01", [])


def test_every_mark_names_a_sentence(tool: ModuleType) -> None:
    named = {id for id in tool.marked("requirement") if id.partition("-")[0] in tool.GROUPS}

    assert named <= set(REQUIREMENTS)
