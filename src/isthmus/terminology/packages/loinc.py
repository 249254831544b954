"""A LOINC release: its table, and its linguistic variants; the whole zip, or one of the files.

Source: requirements.md §5.1.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import Final

from isthmus.model.codes import LOINC
from isthmus.storage.members import Member, Unreadable
from isthmus.terminology.packages.release import (
    LOINC_KIND,
    ROWS_MAX,
    Found,
    Readable,
    Release,
    language_of,
    lines,
    named,
)

CORE: Final = re.compile(r"Loinc(TableCore)?\.csv")
VARIANT: Final = re.compile(r"([a-z]{2})[A-Z]{2}\d+LinguisticVariant\.csv")
_VERSION = re.compile(r"(?<!\d)(\d\.\d{2})(?!\d)")
_NAMES: Final = {
    "core": ("LONG_COMMON_NAME", "SHORTNAME"),
    "variant": ("LinguisticVariantDisplayName", "LONG_COMMON_NAME"),
}


def is_loinc(names: Iterable[str]) -> bool:
    return any(CORE.fullmatch(_file(name)) or VARIANT.fullmatch(_file(name)) for name in names)


def read_loinc(members: Iterable[Member], release: Release, file: str) -> Found:
    """The long common names, and the display names of each linguistic variant. Raises Unreadable."""
    release.kind, release.name = LOINC_KIND, "LOINC"
    stated = _VERSION.search(file)
    release.version = stated[1] if stated else ""
    cores = 0
    for member in members:
        name = _file(member.name)
        variant = VARIANT.fullmatch(name)
        if member.stream is None or (variant is None and CORE.fullmatch(name) is None):
            continue
        if variant is None:
            cores += 1
            if cores > 1:  # Loinc.csv and LoincTableCore.csv name the same
                release.skip("the same table in another form")
                continue
            yield from _names(member.stream, member.name, "en", "core", release, stated=bool(stated))
        elif language := language_of(variant[1]):
            if not cores and len(file) == len(member.name):
                release.name = f"LOINC {language}"  # a variant alone
            yield from _names(member.stream, member.name, language, "variant", release, stated=bool(stated))
        else:
            release.skip("other languages")


def _names(stream: Readable, where: str, language: str, form: str, release: Release, *, stated: bool) -> Found:
    rows = _rows(stream, where)
    header = next(rows, [])
    columns = [header.index(name) for name in _NAMES[form] if name in header]
    if "LOINC_NUM" not in header or not columns:
        raise Unreadable("bad-table", f"{where}, line 1: LOINC_NUM and {' or '.join(_NAMES[form])} are needed")
    code = header.index("LOINC_NUM")
    changed = header.index("VersionLastChanged") if "VersionLastChanged" in header else None
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise Unreadable("bad-table", f"{where}, row {number}: {len(row)} columns instead of {len(header)}")
        if number > ROWS_MAX:
            raise Unreadable("too-large", f"{where}: more than {ROWS_MAX} rows")
        if changed is not None and not stated and _VERSION.fullmatch(row[changed]):
            release.version = max(release.version, row[changed])
        words = next((row[column] for column in columns if row[column].strip()), "")
        if (found := named(LOINC, row[code], language, words)) is not None:
            yield found


def _rows(stream: Readable, where: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader((f"{line}\n" for line in lines(stream, where)), strict=True)
    except csv.Error as error:
        raise Unreadable("bad-table", f"{where}: {error}") from error


def _file(name: str) -> str:
    return name.rpartition("/")[2]
