"""Where the originals come from, as `data/provenance.toml` says; the portal's About names what this gives.

Source: CC-BY-3.0 §4b and CC-BY-4.0 §3a (who made it, under which licence, that it was changed).
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DATA = Path(__file__).parent / "data"
ORIGINALS = DATA / "dicom"


@dataclass(frozen=True, slots=True)
class Original:
    """A file as it was found."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Origin:
    """A group of originals with one licence."""

    folder: str
    title: str
    licence: str
    licence_text: Path
    attribution: str
    origin: str
    files: tuple[Original, ...]

    @property
    def credit(self) -> str:
        """The line for the portal's About."""
        return f"{self.title}. {self.attribution}. Re-labelled for this demonstration."


@cache
def origins() -> dict[str, Origin]:
    """All groups by folder, in the order of the file."""
    with (DATA / "provenance.toml").open("rb") as file:
        rows = tomllib.load(file)["source"]
    return {
        row["folder"]: Origin(
            row["folder"],
            row["title"],
            row["licence"],
            DATA / row["licence_text"],
            row["attribution"],
            row["origin"],
            tuple(Original(ORIGINALS / f["path"], f["sha256"]) for f in row["file"]),
        )
        for row in rows
    }
