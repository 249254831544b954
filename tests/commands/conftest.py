"""Practice settings to run commands with."""

from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.commands.root import run


@pytest.fixture
def asking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The settings of a country that asks, with its keys and accounts, in a folder of its own."""
    nobody = "1"  # the ports from here on: a country running on this machine must not answer for this one
    assert run(["pki", "init", "--out", str(tmp_path / "practice"), "--port-base", nobody]) == 0
    capsys.readouterr()
    return tmp_path / "practice" / "bb" / "isthmus.toml"
