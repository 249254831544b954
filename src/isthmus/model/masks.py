"""Search masks: which fields a country asks for to find one of its patients. Published in the trust list."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MaskIdentifier:
    """One kind of identifier a country issues: its authority, its form, its label by language."""

    system: str
    pattern: str
    label: dict[str, str]


@dataclass(frozen=True, slots=True)
class SearchMask:
    """Identifiers and traits. Traits are `required`, `optional` or absent; names: family, given, birthdate, gender."""

    identifiers: tuple[MaskIdentifier, ...]
    traits: dict[str, str] = field(default_factory=dict)

    def required(self, trait: str) -> bool:
        return self.traits.get(trait) == "required"
