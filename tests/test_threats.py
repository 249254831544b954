"""The table of threats says what the tests say: no threat without a test or a reason, no mark without a threat."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("threats", ROOT / "tools" / "threats.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
