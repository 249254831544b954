"""Where a walk through a resource stands: a value with its type and its path, and the way from it to others.

Source: R4 JSON; R4 ElementDefinition (discriminator paths).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from isthmus.conformance.r4 import definitions
from isthmus.conformance.r4.definitions import Member
from isthmus.conformance.r4.invariants import Around
from isthmus.fhir import elements as el
from isthmus.fhir.bundles import Closed
from isthmus.fhir.elements import Node

_STEP: Final = re.compile(
    r"\s*\.?\s*(?:(extension)\('([^']{1,300})'\)|(resolve)\(\)|(ofType)\(([A-Za-z.]{1,64})\)|(\$this)|([a-zA-Z]\w*(?:\[x\])?))"
)
_LITERAL: Final = re.compile(r"(?:https?://[^\s?#]+/)?([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/\S{1,64})?")


class Unclear(Exception):
    """A way that is not understood, or leads to what is not here."""


@dataclass(frozen=True, slots=True)
class Place:
    """One value: `type` is its type or, for a part of a resource, where its definition stands; `full` the path without numbers."""

    value: Any
    type: str
    path: str
    full: str
    resource: Node
    outermost: Node
    closed: Closed | None
    beside: Any = None
    depth: int = 0

    @property
    def node(self) -> Node:
        """The members: for a primitive value, those beside it."""
        told = self.value if isinstance(self.value, dict) else self.beside
        return told if isinstance(told, dict) else {}

    @property
    def around(self) -> Around:
        return Around(self.resource, self.outermost, self.find)

    def find(self, reference: Node) -> Node | None:
        """The resource that a reference leads to, when it is here."""
        target = el.text(reference, "reference") or ""
        if target.startswith("#"):
            held = el.children(self.outermost, "contained")
            return next((one for one in held if f"#{one.get('id')}" == target), None)
        return self.closed.find(reference, self.outermost) if self.closed is not None else None

    def parts(self, name: str) -> Iterator[Place]:
        """The values of an element by its name, in their order; `value[x]` and `value` mean every form of it."""
        node = self.node
        shape = definitions.shape(self.type if node is self.value else "Element")
        if shape is None:
            return
        stem = name.removesuffix("[x]")
        own = shape.members.get(stem)
        for member in [own] if own is not None else [one for one in shape.members.values() if one.choice == stem]:
            if member.name in node or f"_{member.name}" in node:
                yield from self._values(node, member)

    def every(self) -> Iterator[Place]:
        """Every value that stands in this one."""
        node = self.node
        shape = definitions.shape(self.type if node is self.value else "Element")
        names = dict.fromkeys(name.removeprefix("_") for name in node)
        for member in (shape.members.get(name) for name in names) if shape is not None else ():
            if member is not None:
                yield from self._values(node, member)

    def _values(self, node: Node, member: Member) -> Iterator[Place]:
        value, beside = node.get(member.name), node.get(f"_{member.name}")
        many = isinstance(value, list) or isinstance(beside, list)
        values = value if isinstance(value, list) else [value]
        sides = beside if isinstance(beside, list) else [beside]
        for number in range(max(len(values), len(sides))):
            one = values[number] if number < len(values) else None
            side = sides[number] if number < len(sides) else None
            if one is not None or isinstance(side, dict):
                yield self._below(member, one, side, f"[{number}]" if many else "")

    def _below(self, member: Member, value: Any, beside: Any, number: str) -> Place:
        path, full = f"{self.path}.{member.name}{number}", f"{self.full}.{member.choice or member.name}"
        inside, resource, outermost, closed = definitions.within(member), self.resource, self.outermost, self.closed
        kind = value.get("resourceType") if isinstance(value, dict) else None
        if inside == "Resource" and isinstance(kind, str) and definitions.is_resource(kind):
            contained = self.resource.get("resourceType") != "Bundle"
            inside, path, full, resource = kind, f"{path}.{kind}", kind, value
            outermost = outermost if contained else value
            closed = Closed(value) if kind == "Bundle" else closed
        return Place(value, inside, path, full, resource, outermost, closed, beside, self.depth + 1)

    def led(self) -> Place | None:
        """Where a reference leads, when that is here."""
        found = self.find(self.node)
        kind = found.get("resourceType") if found is not None else None
        if found is None or not isinstance(kind, str) or not definitions.is_resource(kind):
            return None
        inside = el.text(self.node, "reference") or ""
        outermost = self.outermost if inside.startswith("#") else found
        return Place(
            found, kind, f"{self.path}.resolve().{kind}", kind, found, outermost, self.closed, None, self.depth + 1
        )

    def led_type(self) -> str | None:
        """The type of what a reference leads to, as far as it is told."""
        found = self.find(self.node)
        named = _LITERAL.fullmatch(el.text(self.node, "reference") or "")
        told = found.get("resourceType") if found is not None else named[1] if named else el.text(self.node, "type")
        return told if isinstance(told, str) and definitions.is_resource(told) else None


def top(node: Node) -> Place:
    """The place of an outermost resource."""
    kind = str(node.get("resourceType"))
    return Place(node, kind, kind, kind, node, node, Closed(node) if kind == "Bundle" else None)


@lru_cache(maxsize=4096)
def steps(path: str) -> tuple[str, ...]:
    """A discriminator's path in steps: `code`, `extension('url')`, `resolve()`, `ofType(T)`. Raises Unclear."""
    found: list[str] = []
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or step.end() == at:
            raise Unclear(path)
        if step[6] is None:
            found.append(step[0].strip().lstrip(".").strip())
        at = step.end()
    return tuple(found)


def along(place: Place, way: Sequence[str]) -> list[Place]:
    """The values at the end of a way. Raises Unclear where a reference leads to what is not here."""
    at = [place]
    for step in way:
        if step.startswith("extension("):
            url = step[len("extension('") : -2]
            at = [part for one in at for part in one.parts("extension") if part.node.get("url") == url]
        elif step == "resolve()":
            led = [one.led() for one in at]
            if None in led:
                raise Unclear(step)
            at = [one for one in led if one is not None]
        elif step.startswith("ofType("):
            at = [one for one in at if one.type == step[len("ofType(") : -1]]
        else:
            at = [part for one in at for part in one.parts(step)]
    return at
