"""A country's own tables: what it calls codes (`system,code,language,display`), as a CSV before which a line `# version …` may stand.

Source: requirements.md §5.10.
"""

from __future__ import annotations

import csv
from typing import Final

from isthmus.storage.members import Unreadable
from isthmus.terminology.packages.release import ROWS_MAX, TABLE, Found, Readable, Release, language_of, lines, named

COLUMNS: Final = ("system", "code", "language", "display")


def read_names(stream: Readable, release: Release, file: str) -> Found:
    """The rows of a table. Raises Unreadable with the line: a table in doubt is refused whole."""
    release.kind, release.name = TABLE, file.removesuffix(".csv")
    text = lines(stream, file)
    first, before = next(text, ""), 0
    if first.startswith("#"):
        release.version = first.removeprefix("#").strip().removeprefix("version").strip()
        first, before = next(text, ""), 1
    if tuple(cell.strip() for cell in first.split(",")) != COLUMNS:
        raise Unreadable("bad-table", f"{file}, line {before + 1}: the header is {','.join(COLUMNS)}")
    try:
        for number, row in enumerate(csv.reader(text, strict=True), before + 2):
            if number > ROWS_MAX:
                raise Unreadable("too-large", f"{file}: more than {ROWS_MAX} rows")
            if not any(cell.strip() for cell in row):
                continue
            yield from _row(row, release, f"{file}, line {number}")
    except csv.Error as error:
        raise Unreadable("bad-table", f"{file}: {error}") from error


def _row(row: list[str], release: Release, where: str) -> Found:
    if len(row) != len(COLUMNS):
        raise Unreadable("bad-table", f"{where}: {len(row)} columns instead of {len(COLUMNS)}")
    system, code, tag, display = row
    if ":" not in system or not code.strip() or not display.strip() or not tag.strip():
        raise Unreadable("bad-table", f"{where}: system (a URI), code, language and display are needed")
    language = language_of(tag)
    if not language:
        release.skip("other languages")
    elif (found := named(system, code, language, display)) is not None:
        yield found
