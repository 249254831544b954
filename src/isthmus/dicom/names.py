"""Person names: their groups and components, and the one folding under which names are searched.

Source: PS3.5 §6.2.1 (PN); R4 search, string.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

GROUPS: Final = ("alphabetic", "ideographic", "phonetic")


@dataclass(frozen=True, slots=True)
class PersonName:
    """One spelling of a person's name; `group` says in which writing."""

    group: str
    family: str = ""
    given: str = ""
    middle: str = ""
    prefix: str = ""
    suffix: str = ""

    def __repr__(self) -> str:  # never in a log
        return f"PersonName({self.group}, …)"


def read_person_name(text: str) -> tuple[PersonName, ...]:
    """Read a PN value: groups at `=`, then components at `^`; a group without letters is not there.

    An empty first group does not make the name empty. Components beyond five go to the last one.
    """
    names = []
    for group, spelling in zip(GROUPS, text.split("=", 2), strict=False):
        parts = [part.strip() for part in spelling.strip(" \0").split("^", 4)]
        if any(parts):
            names.append(PersonName(group, *parts))
    return tuple(names)


# Letters that NFKD leaves whole though people type them without their stroke; capitals fall away by casefold.
_LETTERS: Final = {
    "ł": "l",
    "ø": "o",
    "æ": "ae",
    "œ": "oe",
    "đ": "d",
    "ð": "d",
    "þ": "th",
    "ħ": "h",
    "ı": "i",
    "ŧ": "t",
}
_APOSTROPHES: Final = "\u2018\u2019\u201a\u201b\u02bb\u02bc\u02bd\u02b9\u02c8\u00b4\u0060\u2032\uff07\u055a\u05f3"
_HYPHENS: Final = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00ad\ufe63\uff0d\u058a\u05be"
_ONE_FORM: Final = str.maketrans(_LETTERS | dict.fromkeys(_APOSTROPHES, "'") | dict.fromkeys(_HYPHENS, "-"))


def fold(text: str) -> str:
    """Fold a name for search, on both sides alike: never for identifiers.

    Apostrophes and hyphens become one form, NFKD, marks are removed, case is folded (ß → ss), ł ø æ and their kind are
    replaced by table, runs of blanks become one blank.
    """
    folded = unicodedata.normalize("NFKD", text.translate(_ONE_FORM)).casefold()
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(sign))
    return " ".join(bare.translate(_ONE_FORM).split())
