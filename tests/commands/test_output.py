"""What a command says to people."""

from __future__ import annotations

import pytest

from isthmus.commands.output import show, table

UID = "2.25.290000489894746199700414960317961507751"


@pytest.mark.parametrize("columns", ["40", None])
def test_what_the_next_command_needs_is_never_cut(
    columns: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    rows = table("study", "state", "patient")
    rows.add_row(UID, "unassigned", "a patient of whom much is to be said here")

    show(rows)

    said = capsys.readouterr().out
    assert "…" not in said
    assert (UID in said) == (columns is None)  # a terminal folds it, a file has it in one piece
    folded = "".join(line[2 : line.find("  ", 3)] for line in said.splitlines() if any(c.isdigit() for c in line))
    assert UID in folded
