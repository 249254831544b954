"""The definitions of R4 as tables: which members an element has, of which types, how often, and what must hold there.

Source: R4 (definitions reduced by tools/definitions.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

import orjson

PARTS: Final = ("BackboneElement", "Element")
"""Types of elements whose members stand where the element does."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an element as JSON names it. `max` None: any number. `choice` is the name before the type, in `value[x]`."""

    name: str
    path: str
    types: tuple[str, ...]
    min: int = 0
    max: int | None = 1
    targets: tuple[str, ...] = ()
    codes: str = ""
    invariants: tuple[str, ...] = ()
    same: str = ""
    choice: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """What an element is made of. `required` has the names, or names before a type, of which one must be there."""

    path: str
    kind: str  # resource | type | part
    base: str
    invariants: tuple[str, ...]
    members: Mapping[str, Member]
    required: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule of R4 in FHIRPath."""

    key: str
    severity: str
    human: str
    expression: str


@cache
def _tables() -> dict[str, Any]:
    source = resources.files("isthmus.conformance.r4").joinpath("definitions.json")
    tables: dict[str, Any] = orjson.loads(source.read_bytes())
    return tables


def ready() -> None:
    """Read the tables now, for who can open no file later."""
    _tables()


@cache
def primitives() -> Mapping[str, str]:
    """The primitive types, each with the regular expression of its values."""
    return MappingProxyType(_tables()["primitives"])


@cache
def codes_of(value_set: str) -> frozenset[str] | None:
    """Every code of a required value set, or None where R4 lists them elsewhere (media types, currencies, units)."""
    listed = _tables()["codes"].get(value_set)
    return None if listed is None else frozenset(listed)


@cache
def invariant(key: str) -> Invariant | None:
    """An invariant by its key."""
    row = _tables()["invariants"].get(key)
    return None if row is None else Invariant(key, row["severity"], row["human"], row["expression"])


@cache
def shape(path: str) -> Shape | None:
    """The shape of a type, or of the element at this path of one; None for what R4 does not know."""
    row = _tables()["shapes"].get(path)
    if row is None:
        return None
    base = shape(row.get("base", ""))
    members = dict(base.members) if base else {}
    own = {one.name: one for name, told in row["members"].items() for one in _expanded(path, name, told)}
    members |= own
    required = (*(base.required if base else ()), *dict.fromkeys(m.choice or m.name for m in own.values() if m.min))
    return Shape(
        path=path,
        kind=row["kind"],
        base=row.get("base", ""),
        invariants=tuple(row.get("invariants", ())),
        members=MappingProxyType(members),
        required=required,
    )


def is_resource(name: str) -> bool:
    """Whether R4 has a resource of this type that can be instantiated."""
    found = shape(name)
    return found is not None and found.kind == "resource" and name not in ("Resource", "DomainResource")


def within(member: Member) -> str:
    """Where the members of this member's value are defined: a path or the name of its type."""
    if member.same:
        return member.same
    return member.path if member.types[:1] and member.types[0] in PARTS else "".join(member.types[:1])


def _expanded(path: str, name: str, told: Mapping[str, Any]) -> Iterator[Member]:
    """The member, or each form of it where several types are to choose from."""
    types = tuple(told.get("types", ()))
    common: dict[str, Any] = {
        "min": told.get("min", 0),
        "max": told.get("max", 1),
        "targets": tuple(told.get("targets", ())),
        "codes": told.get("codes", ""),
        "invariants": tuple(told.get("invariants", ())),
        "same": told.get("same", ""),
    }
    if not name.endswith("[x]"):
        yield Member(name, f"{path}.{name}", types, **common)
        return
    stem = name.removesuffix("[x]")
    for one in types:
        yield Member(f"{stem}{one[0].upper()}{one[1:]}", f"{path}.{stem}", (one,), choice=stem, **common)
