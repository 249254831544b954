"""Words for codes in the reader's language, the original kept beside them.

Of each code it is known how it is shown: translated, in English only, as the original only, or missing. The terms of the professional's
world come with the product in the 24 languages of the Union; further words from what the country has imported. Free text is no
code: it is never translated, it says its language.

Source: requirements.md §5.10, §2.6; architecture.md §5.4.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

from isthmus.dicom.names import fold
from isthmus.model.codes import Code
from isthmus.terminology.valuesets import load_valueset, valuesets

LANGUAGES: Final = (
    "bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "ga", "hr", "hu", "it", "lt", "lv", "mt", "nl", "pl", "pt", "ro",
    "sk", "sl", "sv",
)  # fmt: skip
ENGLISH: Final = "en"
GROUPS: Final = {
    "region": "regions",
    "status": "report-status",
    "section": "sections",
    "laterality": "laterality",
    "title": "key-object-titles",
    "document": "document-types",
    "role": "roles",
}
"""Group of a language's file: the value set whose codes it names. Modalities are named by their family."""

Designation = tuple[str, str, str]  # system, code, language


class State(StrEnum):
    """How a coded element can be shown. Source: requirements.md §5.10."""

    TRANSLATED = "translated"  # in the reader's language
    ENGLISH = "english"  # known in English alone
    ORIGINAL = "original"  # known to nobody: as it came
    MISSING = "missing"  # nothing came


@dataclass(frozen=True, slots=True)
class Term:
    """A coded element as it is shown: the words, the language they are in ("" when nobody says it), and the original beside them.

    `original` is empty where it says the same. `draft` when the words came with the product and no one has reviewed them yet.
    """

    words: str
    language: str
    state: State
    code: Code | None = None
    original: str = ""
    draft: bool = False


MISSING: Final = Term("", "", State.MISSING)


class Words:
    """The words of one reader's language. `loaded` are further ones of the codes asked for, as `designations.py` finds them."""

    def __init__(self, language: str, loaded: Mapping[Designation, str] = MappingProxyType({})) -> None:
        self.language = language if language in LANGUAGES else ENGLISH
        self._loaded = loaded

    def term(self, code: Code | None) -> Term:
        """How a code is shown. Never an error, and never nothing for a code that came."""
        if code is None or not (code.code or code.display):
            return MISSING
        said = _said(code)
        for language in dict.fromkeys((self.language, ENGLISH)):
            words, draft = self._known(code, language)
            if words:
                state = State.TRANSLATED if language == self.language else State.ENGLISH
                return Term(words, language, state, code, said if fold(said) != fold(words) else "", draft)
        own = code.display or code.code
        return Term(own, "", State.ORIGINAL, code, said if fold(said) != fold(own) else "")

    def _known(self, code: Code, language: str) -> tuple[str, bool]:
        """The words of the product, then those that were imported."""
        key = (code.system, code.code)
        shipped = _shipped(language)
        if key in shipped.words:
            return shipped.words[key], not shipped.reviewed
        if language == ENGLISH and key in _english():
            return _english()[key], False
        return self._loaded.get((*key, language), ""), False


@dataclass(frozen=True, slots=True)
class Shipped:
    """One language's file. `reviewed` says by whom and when; empty: a draft made by a machine."""

    words: Mapping[tuple[str, str], str]
    reviewed: str


def is_draft(language: str) -> bool:
    """Whether nobody has reviewed the words of a language yet."""
    return not _shipped(language).reviewed


@cache
def _shipped(language: str) -> Shipped:
    data = read_language(language)
    modalities = load_valueset("modalities").concepts.values()
    words = {(c.code.system, c.code.code): data["modality"][c.facts["family"]] for c in modalities}
    for group, name in GROUPS.items():
        concepts = load_valueset(name).concepts
        for key, concept in concepts.items():
            found = data[group].get(concept.facts.get("same", key))
            if found:
                words[concept.code.system, concept.code.code] = found
    return Shipped(MappingProxyType(words), data["reviewed"])


def read_language(language: str) -> dict[str, Any]:
    """The file of a language, as it is written."""
    file = resources.files("isthmus.terminology").joinpath("data", "languages", f"{language}.toml")
    return tomllib.loads(file.read_text("utf-8"))


@cache
def _english() -> Mapping[tuple[str, str], str]:
    return MappingProxyType({key: words for one in valuesets() for key, words in one.english().items()})


def _said(code: Code) -> str:
    """The words of whoever wrote it: of home where it was mapped."""
    first = code.original or code
    return first.display or (first.code if code.original or code.is_original else "")
