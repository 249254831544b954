"""A SNOMED CT release in RF2: of every language the preferred synonym of each concept, by its language reference sets.

Two passes: which descriptions are preferred, eight bytes each; then the descriptions. Of English that of Great Britain counts where it is there.

Source: requirements.md §5.9 (8).
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np

from isthmus.model.codes import SNOMED
from isthmus.storage.members import Member, Unreadable
from isthmus.terminology.packages.release import (
    ROWS_MAX,
    SNOMED_KIND,
    Found,
    Readable,
    Release,
    language_of,
    lines,
    named,
)

DESCRIPTIONS: Final = re.compile(r"sct2_Description_(Snapshot|Full|Delta)[A-Za-z0-9-]*_([A-Za-z]{2,3}\d*)_(\d{8})\.txt")
LANGUAGE_REFSET: Final = re.compile(
    r"der2_cRefset_Language(Snapshot|Full|Delta)[A-Za-z0-9-]*_([A-Za-z]{2,3}\d*)_(\d{8})\.txt"
)
_SYNONYM, _PREFERRED = "900000000000013009", "900000000000548007"
_GREAT_BRITAIN, _UNITED_STATES = "900000000000508004", "900000000000509007"
_DESCRIPTION_COLUMNS = (
    "id", "effectiveTime", "active", "moduleId", "conceptId", "languageCode", "typeId", "term", "caseSignificanceId",
)  # fmt: skip
_REFSET_COLUMNS = ("id", "effectiveTime", "active", "moduleId", "refsetId", "referencedComponentId", "acceptabilityId")

Members = Callable[[], Iterable[Member]]


def is_snomed(names: Iterable[str]) -> bool:
    return any(DESCRIPTIONS.fullmatch(_file(name)) for name in names)


def read_snomed(members: Members, release: Release) -> Found:
    """The preferred terms of a release. Raises Unreadable."""
    release.kind = SNOMED_KIND
    preferred = _preferred(members)
    if not preferred:
        raise Unreadable("no-language-refset")
    seen = 0
    for name, stream, match in _snapshots(members, DESCRIPTIONS):
        release.name = f"SNOMED CT {match[2].upper()}"
        release.version = max(release.version, match[3])
        for row in _rows(stream, name, _DESCRIPTION_COLUMNS):
            seen += 1
            if seen > ROWS_MAX:
                raise Unreadable("too-large", f"more than {ROWS_MAX} descriptions")
            if row[2] != "1" or row[6] != _SYNONYM or not _is_in(preferred, _number(row[0], name)):
                continue
            language = language_of(row[5])
            if not language:
                release.skip("other languages")
            elif (found := named(SNOMED, row[4], language, row[7])) is not None:
                yield found
    if not seen:
        raise Unreadable("not-a-snapshot")


def _preferred(members: Members) -> array[int]:
    """The descriptions that some language reference set prefers, in order."""
    british, american, others = array("Q"), array("Q"), array("Q")
    sets = {_GREAT_BRITAIN: british, _UNITED_STATES: american}
    for name, stream, _ in _snapshots(members, LANGUAGE_REFSET):
        for row in _rows(stream, name, _REFSET_COLUMNS):
            if row[2] == "1" and row[6] == _PREFERRED:
                into = sets.get(row[4], others)
                into.append(_number(row[5], name))
                if len(into) > ROWS_MAX:
                    raise Unreadable("too-large", f"more than {ROWS_MAX} preferred terms")
    together = (british or american) + others
    return array("Q", np.sort(np.frombuffer(together, dtype=np.uint64)).tobytes()) if together else together


def _is_in(numbers: array[int], number: int) -> bool:
    at = bisect_left(numbers, number)
    return at < len(numbers) and numbers[at] == number


def _snapshots(members: Members, wanted: re.Pattern[str]) -> Iterator[tuple[str, Readable, re.Match[str]]]:
    for member in members():
        match = wanted.fullmatch(_file(member.name))
        if match is not None and match[1] == "Snapshot" and member.stream is not None:
            yield member.name, member.stream, match


def _rows(stream: Readable, where: str, columns: tuple[str, ...]) -> Iterator[list[str]]:
    for number, line in enumerate(lines(stream, where), 1):
        row = line.split("\t")
        if number == 1 and tuple(row) != columns:
            raise Unreadable("bad-table", f"{where}, line 1: the header is {' '.join(columns)}")
        if len(row) != len(columns):
            raise Unreadable("bad-table", f"{where}, line {number}: {len(row)} columns instead of {len(columns)}")
        if number > 1:
            yield row


def _number(text: str, where: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise Unreadable("bad-table", f"{where}: an identifier that is none of SNOMED CT")
    return int(text)


def _file(name: str) -> str:
    return name.rpartition("/")[2]
