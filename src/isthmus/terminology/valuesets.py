"""Value sets that ship with the product: where each is published, which version, under which licence, and its codes.

Codes of others are used as identifiers, with the English words that tell a person what they are; further words come from what a
country has licensed (`isthmus terminology import`). Each set is one file under `data/valuesets/`.

Source: requirements.md §5.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

from isthmus.model.codes import Code

NAMES: Final = (
    "modalities", "regions", "body-parts", "document-types", "formats", "key-object-titles", "laterality", "roles",
    "report-status", "sections",
)  # fmt: skip
REPORT_STATUS: Final = "http://hl7.org/fhir/diagnostic-report-status"


@dataclass(frozen=True, slots=True)
class Concept:
    """One code of a set, with its English display; `facts` is what the set says of it besides."""

    code: Code
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class ValueSet:
    """A set as it ships. `concepts` is keyed by code; for body parts by the DICOM term, of which a code may have several."""

    name: str
    title: str
    canonical: str
    version: str
    licence: str
    concepts: Mapping[str, Concept]
    more: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))  # tables of this set alone

    def english(self) -> dict[tuple[str, str], str]:
        """The English words of every code, by system and code."""
        return {(c.code.system, c.code.code): c.code.display or c.code.code for c in self.concepts.values()}


@cache
def load_valueset(name: str) -> ValueSet:
    """The set of this name. A file of the package that is not as it should be is a fault of ours, and raised as it comes."""
    text = resources.files("isthmus.terminology").joinpath("data", "valuesets", f"{name}.toml").read_text("utf-8")
    data = tomllib.loads(text)
    rows = data.pop("codes", None) or data.pop("terms")
    concepts = {key: _concept(data["system"], key, row) for key, row in rows.items()}
    known = {key: data.pop(key) for key in ("title", "canonical", "version", "licence", "system")}
    return ValueSet(
        name, known["title"], known["canonical"], known["version"], known["licence"], MappingProxyType(concepts),
        MappingProxyType(data),
    )  # fmt: skip


def _concept(system: str, key: str, row: Any) -> Concept:
    """A row is its words alone, or a table in which the code, where it is not the key, and the system may stand too."""
    facts = {"display": row} if isinstance(row, str) else dict(row)
    code = Code(facts.pop("system", system), facts.pop("code", key), facts.pop("display"))
    return Concept(code, MappingProxyType(facts))


def valuesets() -> tuple[ValueSet, ...]:
    """All that ship."""
    return tuple(load_valueset(name) for name in NAMES)
