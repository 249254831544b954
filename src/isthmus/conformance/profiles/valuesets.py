"""Value sets of packages and of R4, as far as they can be expanded: codes that are listed, and whole code systems that are here.

What a filter selects, or a system that is nowhere complete, stays open: a code from there is neither in nor out.
Source: R4 ValueSet; R4 CodeSystem.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from isthmus.conformance.profiles.packages import Packages
from isthmus.conformance.r4 import definitions
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node

MAX_NESTED: Final = 16
MAX_CODES: Final = 500_000
ANY: Final = ""
"""Of a system that is not told: R4's own lists have codes alone."""


@dataclass(frozen=True, slots=True)
class Codes:
    """Pairs of system and code, the systems of which it is not known, and whether nothing is known at all."""

    listed: frozenset[tuple[str, str]] = frozenset()
    open: frozenset[str] = frozenset()
    unknown: bool = False

    def has(self, system: str | None, code: str) -> bool | None:
        """Whether a code is one of these; None where it cannot be told. A code without system is compared by itself."""
        pairs = {(ANY, code), (system, code)}
        if not pairs.isdisjoint(self.listed) or (system is None and any(code == one for _, one in self.listed)):
            return True
        return None if self.unknown or (self.open if system is None else system in self.open) else False

    @property
    def complete(self) -> bool:
        return not self.unknown and not self.open


UNKNOWN: Final = Codes(unknown=True)


class ValueSets:
    """The value sets that some packages, and R4, have; each expanded once."""

    def __init__(self, packages: Packages) -> None:
        self._packages = packages
        self._held: dict[str, Codes] = {}

    def codes(self, canonical: str, nested: int = 0) -> Codes:
        """The codes of a value set."""
        if canonical not in self._held:
            if nested > MAX_NESTED:
                return UNKNOWN
            self._held[canonical] = UNKNOWN  # while it is expanded: one that includes itself adds nothing
            self._held[canonical] = self._expanded(canonical, nested)
        return self._held[canonical]

    def _expanded(self, canonical: str, nested: int) -> Codes:
        found = self._packages.find("ValueSet", canonical)
        if found is None:
            listed = definitions.codes_of(canonical.partition("|")[0])
            return UNKNOWN if listed is None else Codes(frozenset((ANY, code) for code in listed))
        node = found.node()
        compose = el.child(node, "compose")
        told = _union([self._included(one, nested) for one in el.children(compose, "include")]) if compose else UNKNOWN
        for one in el.children(compose, "exclude"):
            without = self._included(one, nested)
            told = _without(told, without) if without.complete else UNKNOWN
        return told if told.complete else _ready(node) or told

    def _included(self, include: Node, nested: int) -> Codes:
        """What one include (or exclude) selects: its codes, and of those only what its value sets all have."""
        parts = [self.codes(one, nested + 1) for one in el.texts(include, "valueSet")]
        system = el.text(include, "system")
        if system is not None:
            parts.append(self._of_system(include, system))
        if not parts:
            return UNKNOWN
        first, *others = parts
        for other in others:
            if not first.complete or not other.complete:
                return UNKNOWN
            first = Codes(frozenset(one for one in first.listed if other.has(one[0] or None, one[1])))
        return first

    def _of_system(self, include: Node, system: str) -> Codes:
        if el.children(include, "filter"):
            return Codes(open=frozenset({system}))
        chosen = el.children(include, "concept")
        if chosen:
            return Codes(frozenset((system, str(one.get("code"))) for one in chosen))
        found = self._packages.find("CodeSystem", system)
        node = found.node() if found is not None else {}
        if node.get("content") != "complete":
            return Codes(open=frozenset({system}))
        return Codes(frozenset((system, code) for code in _concepts(node, "concept")))


def _without(codes: Codes, out: Codes) -> Codes:
    kept = frozenset(one for one in codes.listed if not out.has(one[0] or None, one[1]))
    return Codes(kept, codes.open, codes.unknown)


def _union(parts: list[Codes]) -> Codes:
    return Codes(
        frozenset().union(*(one.listed for one in parts)),
        frozenset().union(*(one.open for one in parts)),
        any(one.unknown for one in parts),
    )


def _concepts(node: Node, name: str) -> Iterator[str]:
    """Every code of a tree of concepts."""
    waiting = el.children(node, name)
    count = 0
    while waiting and count < MAX_CODES:
        one = waiting.pop()
        count += 1
        yield str(one.get("code"))
        waiting += el.children(one, name)


def _ready(node: Node) -> Codes | None:
    """The expansion that a value set brings along, when it is whole."""
    told = el.child(node, "expansion")
    waiting = el.children(told, "contains")
    partial = told.get("offset") or any(
        one.get("name") in ("limitedExpansion", "count", "offset", "filter") for one in el.children(told, "parameter")
    )
    if not waiting or partial:
        return None
    listed: set[tuple[str, str]] = set()
    while waiting and len(listed) < MAX_CODES:
        one = waiting.pop()
        if one.get("abstract") is not True and isinstance(one.get("code"), str):
            listed.add((el.text(one, "system") or ANY, one["code"]))
        waiting += el.children(one, "contains")
    total = el.number(told, "total")
    return Codes(frozenset(listed)) if not waiting and (total is None or total <= len(listed)) else None


def fits(pattern: object, value: object) -> bool:
    """Whether a value has everything that a pattern has. Source: R4 ElementDefinition.pattern[x]."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            name in value and fits(one, value[name]) for name, one in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(fits(one, each) for each in value) for one in pattern)
    return equal(pattern, value)


def equal(fixed: object, value: object) -> bool:
    """Whether a value is exactly what is fixed: true is not 1."""
    return isinstance(fixed, bool) == isinstance(value, bool) and fixed == value
