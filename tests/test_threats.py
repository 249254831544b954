"""The table of threats says what the tests say: no threat without a test or a reason, no mark without a threat."""

from __future__ import annotations

from types import ModuleType

import pytest
from tests.tool import tool


@pytest.fixture(scope="module", name="tool")
def the_tool() -> ModuleType:
    return tool("threats")


def test_the_page_is_fresh(tool: ModuleType) -> None:
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(), "run python tools/threats.py"


def test_all_hundred_and_ten_are_there(tool: ModuleType) -> None:
    listed, instead = tool.groups()
    named = [id for group in listed.values() for id in group]

    assert sorted(named) == sorted(f"T{number:02d}" for number in range(1, 111))
    assert set(instead) <= set(named)


def test_every_mark_names_a_threat(tool: ModuleType) -> None:
    listed, _ = tool.groups()

    assert set(tool.marked("threat")) <= {id for group in listed.values() for id in group}


def test_a_threat_without_test_and_reason_is_refused(tool: ModuleType) -> None:
    with pytest.raises(ValueError, match="shown by no test"):
        tool.answer("T01", [], {})
