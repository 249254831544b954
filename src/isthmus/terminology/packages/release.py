"""A release as it is read: what it is, the rows that come out of it, and the fixed list of why one is refused.

Source: requirements.md §5.8, §5.9 (8), §5.10.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from isthmus.storage.members import Unreadable
from isthmus.terminology.display import LANGUAGES
from isthmus.terminology.rows import Row

TABLE, VALUE_SETS, LOINC_KIND, SNOMED_KIND = "table", "value-sets", "loinc", "snomed"
RANKS: Final = {TABLE: 0, VALUE_SETS: 1, LOINC_KIND: 2, SNOMED_KIND: 3}
LICENCES: Final = {
    TABLE: "the country's own",
    VALUE_SETS: "that of the package",
    LOINC_KIND: "LOINC licence, https://loinc.org/license",
    SNOMED_KIND: "SNOMED CT: by the licence of the member country or affiliate",
}
LINE_MAX_BYTES: Final = 1 << 20
ROWS_MAX: Final = 20_000_000
SYSTEM_MAX, CODE_MAX, DISPLAY_MAX = 300, 300, 4000

REASONS: Final[dict[str, str]] = {
    "unreadable": "The file cannot be read.",
    "bad-archive": "The archive, or a member of it, cannot be read: damaged, encrypted or packed in an unknown way.",
    "bomb": "A member, or the archive, inflates far beyond what it is packed to, or takes too long to.",
    "overlap": "A member has bytes that are those of another member too.",
    "path-outside": "A member's path leads out of the archive.",
    "link": "A member is a link or a device, not a file.",
    "nested-archive": "Archives inside archives are not opened.",
    "too-many-members": "The archive has more than 100 000 members.",
    "too-large": "A document or a line is larger than is read, or there are more rows.",
    "not-utf-8": "The text is not UTF-8.",
    "bad-table": "The table is not as its header says.",
    "bad-resource": "A resource is not as FHIR R4 says.",
    "bad-map": "A ConceptMap would say other or more than the code does, or is not as FHIR R4 says.",
    "not-a-snapshot": "Of a SNOMED CT release the snapshot is read: give the zip that has one.",
    "no-language-refset": "The SNOMED CT release has no language reference set: which of its terms are preferred is not known.",
    "nothing": "No words and no maps in the languages of the Union are in it.",
    "unknown-form": "This is neither a value-set package, a LOINC or SNOMED CT release, nor a table of codes.",
}

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")
_TAG = re.compile(r"([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Named:
    """What a release calls a code in a language. Checked and cleaned by `named`."""

    system: str
    code: str
    language: str
    display: str


@dataclass(slots=True)
class Release:
    """What is known of a release; name and version may become known while it is read."""

    kind: str
    name: str = ""
    version: str = ""
    skipped: dict[str, int] = field(default_factory=dict)  # what of it was left out, and how often

    def skip(self, what: str) -> None:
        self.skipped[what] = self.skipped.get(what, 0) + 1


class Readable(Protocol):
    """All that is asked of what a release is read from."""

    def read(self, size: int, /) -> bytes: ...


Found = Iterator[Named | Row]


def language_of(tag: str | None) -> str:
    """The language of a tag, of the 24; "" for another or for what is no tag."""
    match = _TAG.fullmatch((tag or "").strip())
    code = match[1].lower() if match else ""
    return code if code in LANGUAGES else ""


def named(system: str, code: str, language: str, display: str) -> Named | None:
    """A designation; None for one without words. Signs that turn the reading round, or that nobody sees, are taken out.

    Raises Unreadable (bad-table) for what is longer than any code or term.
    """
    system, code, words = system.strip(), code.strip(), " ".join(_UNSEEN.sub(" ", display).split())
    if len(system) > SYSTEM_MAX or len(code) > CODE_MAX or len(words) > DISPLAY_MAX:
        raise Unreadable("bad-table", "a system, code or display is longer than any is")
    return Named(system, code, language, words) if system and code and words else None


def lines(stream: Readable, where: str) -> Iterator[str]:
    """The lines of a text, as it comes. Raises Unreadable with the line's number."""
    number, rest = 0, b""
    while piece := stream.read(1 << 20):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            number += 1
            yield _text(line, where, number)
        if len(rest) > LINE_MAX_BYTES:
            raise Unreadable("too-large", f"{where}, line {number + 1}: longer than 1 MiB")
    if rest:
        yield _text(rest, where, number + 1)


def _text(line: bytes, where: str, number: int) -> str:
    if len(line) > LINE_MAX_BYTES:
        raise Unreadable("too-large", f"{where}, line {number}: longer than 1 MiB")
    try:
        text = line.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable("not-utf-8", f"{where}, line {number}") from error
    return text.removeprefix("\ufeff") if number == 1 else text
