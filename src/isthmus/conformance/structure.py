"""Structure of a FHIR R4 resource: members, types, how often, values, required codes, targets of references, invariants.

Every fault has the path to its place, entries of a Bundle by number and type: `Bundle.entry[3].resource.ImagingStudy.series[0].uid`.
A value is described and never quoted. Source: R4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from isthmus.conformance.r4 import definitions
from isthmus.conformance.r4.definitions import Member, Shape
from isthmus.conformance.r4.invariants import Around, Unanswered, holds
from isthmus.conformance.r4.primitives import fault_of, kind_of
from isthmus.conformance.r4.prose import prose_faults
from isthmus.conformance.requirement import Finding, Severity
from isthmus.fhir import elements as el
from isthmus.fhir.bundles import Closed
from isthmus.fhir.elements import Node

MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 3_000_000
MAX_FINDINGS: Final = 500
SOURCE: Final = "R4"
_TYPE: Final = re.compile(r"[A-Z][A-Za-z]{1,63}")
_REFERENCE: Final = re.compile(
    r"(?:https?://[^\s?#]+/)?([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?"
)
_NOT_ASKED: Final = frozenset({"dom-6"})
"""Best practices that no source of the border asks for: a narrative in every resource."""
_IN_A_CONCEPT: Final = re.compile(r"\.coding\[\d+\]$")
"""Where a system that is none is a warning, since the words of the concept may still say it; like a reference outside a Bundle, which may
be answered where it is read."""
_SHOWN_CODES: Final = 12
_ADVICE: Final = {
    "R4-resource": "Name a resource type of R4 in resourceType.",
    "R4-member": "Take the member away, or say it by an extension.",
    "R4-cardinality": "Give as many values as the definition asks for; members that repeat are lists.",
    "R4-type": "Give the kind of value that the definition of this member names.",
    "R4-value": "Write the value as its type wants it; leave out what is not known.",
    "R4-code": "Use a code of the value set, which is binding here.",
    "R4-reference": "Let the reference lead to a resource of the types that are allowed here.",
    "R4-text": "Do as the text of R4 says of this type.",
    "R4-bounds": "Split the resource: no reader takes what has no bounds.",
}


@dataclass(frozen=True, slots=True)
class _At:
    """Where the walk stands: path, the resource around, the outermost one (but the Bundle), how deep."""

    path: str
    resource: Node
    outermost: Node
    closed: Closed | None
    depth: int

    def find(self, reference: Node) -> Node | None:
        """The resource that a reference leads to, when it is here."""
        target = el.text(reference, "reference") or ""
        if target.startswith("#"):
            return next(
                (one for one in el.children(self.outermost, "contained") if f"#{one.get('id')}" == target), None
            )
        return self.closed.find(reference, self.outermost) if self.closed is not None else None

    def below(self, name: str) -> _At:
        return _At(f"{self.path}.{name}", self.resource, self.outermost, self.closed, self.depth + 1)


class _Bounds(Exception):
    """The resource is larger or deeper than is read."""


def structure_faults(node: Node, path: str | None = None) -> list[Finding]:
    """Everything in a resource that R4 does not allow, and what it advises; at most MAX_FINDINGS, and then one that says so."""
    found: list[Finding] = []
    walk = _Walk()
    try:
        for finding in walk.resource(node, path, None):
            found.append(finding)
            if len(found) == MAX_FINDINGS:
                found.append(
                    _fault("R4-bounds", path or "", f"more than {MAX_FINDINGS} faults: the rest is not listed")
                )
                break
    except _Bounds as bound:
        found.append(_fault("R4-bounds", str(node.get("resourceType"))[:64], str(bound)))
    return found


def _fault(rule: str, path: str, words: str, severity: Severity = Severity.ERROR) -> Finding:
    return Finding(rule, severity, words, path, SOURCE, _ADVICE.get(rule, "Make the resource fulfil this rule of R4."))


class _Walk:
    """One walk through a resource and what stands in it."""

    def __init__(self) -> None:
        self.elements = 0

    def resource(self, node: Node, path: str | None, around: _At | None) -> Iterator[Finding]:
        """A resource: the outermost (`path` None names it by its type), an entry of a Bundle, or a contained one."""
        kind = node.get("resourceType")
        if not isinstance(kind, str) or not _TYPE.fullmatch(kind) or not definitions.is_resource(kind):
            yield _fault("R4-resource", path or "resourceType", "no resource type of R4")
            return
        shape = definitions.shape(kind)
        assert shape is not None
        contained = around is not None and around.resource.get("resourceType") != "Bundle"
        at = _At(
            path=kind if path is None else f"{path}.{kind}",
            resource=node,
            outermost=around.outermost if around is not None and contained else node,
            closed=Closed(node) if kind == "Bundle" else around.closed if around else None,
            depth=around.depth + 1 if around else 0,
        )
        yield from self.members(node, shape, at)
        yield from self.rules(node, shape.invariants, kind, at)

    def members(self, node: Node, shape: Shape, at: _At) -> Iterator[Finding]:
        """Each member of an element, and those that lack."""
        if at.depth > MAX_DEPTH:
            raise _Bounds(f"nested more than {MAX_DEPTH} levels deep")
        chosen: dict[str, str] = {}
        for name in node:
            if name == "resourceType" and shape.kind == "resource":
                continue
            member = shape.members.get(name.removeprefix("_"))
            if member is None or (name.startswith("_") and not _primitive(member)):
                yield _fault("R4-member", f"{at.path}.{_printed(name)}", "a member that R4 does not have here")
                continue
            if name.startswith("_") and member.name in node:
                continue  # seen with its value
            if member.choice and chosen.setdefault(member.choice, member.name) != member.name:
                yield _fault("R4-cardinality", at.below(name).path, f"a second {member.choice}[x] where one is chosen")
            yield from self.member(node, member, at)
        present = {n.removeprefix("_") for n in node}
        present |= {m.choice for n in present if (m := shape.members.get(n)) is not None}
        for name in shape.required:
            if name not in present:
                yield _fault("R4-cardinality", f"{at.path}.{name}", f"{name} is missing")

    def member(self, node: Node, member: Member, at: _At) -> Iterator[Finding]:
        """The values of one member, with what stands beside primitive ones."""
        value, beside = node.get(member.name), node.get(f"_{member.name}")
        here = at.below(member.name)
        if member.max == 1:
            if isinstance(value, list) or isinstance(beside, list):
                yield _fault("R4-cardinality", here.path, "a list where one value belongs")
                return
            yield from self.value(value, beside, member, here)
            return
        if (member.name in node and not isinstance(value, list)) or (
            beside is not None and not isinstance(beside, list)
        ):
            yield _fault("R4-cardinality", here.path, "one value where a list belongs")
            return
        values, sides = value or [], beside or []
        if not values and not sides:
            yield _fault("R4-cardinality", here.path, "an empty list, which FHIR does not have")
        for number in range(max(len(values), len(sides))):
            one = values[number] if number < len(values) else None
            side = sides[number] if number < len(sides) else None
            yield from self.value(one, side, member, at.below(f"{member.name}[{number}]"))

    def value(self, value: Any, beside: Any, member: Member, at: _At) -> Iterator[Finding]:
        """One value: primitive, a resource, or an element with members."""
        self.elements += 1
        if self.elements > MAX_ELEMENTS:
            raise _Bounds(f"more than {MAX_ELEMENTS} elements")
        if _primitive(member):
            yield from self.primitive(value, beside, member, at)
            return
        if not isinstance(value, dict):
            yield _fault("R4-type", at.path, f"{kind_of(value)} where an object belongs")
            return
        inside = definitions.within(member)
        shape = definitions.shape(inside)
        if shape is None or shape.kind == "resource":
            if at.depth > MAX_DEPTH:
                raise _Bounds(f"nested more than {MAX_DEPTH} levels deep")
            yield from self.resource(value, at.path, at)
            return
        if not any(name != "id" for name in value):
            yield _fault("R4-value", at.path, "an empty element, which FHIR does not have (ele-1)")
        yield from self.members(value, shape, at)
        yield from self.rules(value, (*member.invariants, *shape.invariants), inside, at)
        yield from _bound(value, member, at)
        if inside == "Reference":
            yield from _reference(value, member, at)

    def primitive(self, value: Any, beside: Any, member: Member, at: _At) -> Iterator[Finding]:
        if beside is not None:
            shape = definitions.shape("Element")
            if not isinstance(beside, dict) or shape is None:
                yield _fault("R4-type", at.path, f"{kind_of(beside)} where an object beside a value belongs")
            else:
                yield from self.members(beside, shape, at)
        if value is None:
            if beside is None:
                yield _fault("R4-value", at.path, "null where a value belongs")
            return
        kind = member.types[0]
        words = fault_of(kind, value)
        if words is not None:
            yield _fault("R4-type" if not isinstance(value, str) or "belongs" in words else "R4-value", at.path, words)
        elif member.codes and isinstance(value, str):
            listed = definitions.codes_of(member.codes)
            if listed is not None and value not in listed:
                yield _fault("R4-code", at.path, _not_of(listed))

    def rules(self, node: Node, keys: tuple[str, ...], path: str, at: _At) -> Iterator[Finding]:
        """The invariants of an element."""
        for below, words in prose_faults(path, node, at.path):
            doubt = _IN_A_CONCEPT.search(at.path) if path == "Coding" else at.closed is None and below == "reference"
            yield _fault("R4-text", f"{at.path}.{below}", words, Severity.WARNING if doubt else Severity.ERROR)
        around = Around(at.resource, at.outermost, at.find)
        for key in dict.fromkeys(keys):
            row = definitions.invariant(key)
            if row is None or key in _NOT_ASKED:
                continue
            try:
                held = holds(key, row.expression, node, path, around)
            except Unanswered:
                yield _fault(
                    key, at.path, f"{key} could not be tried: the element is not well formed", Severity.WARNING
                )
                continue
            if not held:
                yield _fault(key, at.path, row.human, Severity(row.severity))


def _primitive(member: Member) -> bool:
    return not member.same and member.types[0] in definitions.primitives()


def _bound(value: Node, member: Member, at: _At) -> Iterator[Finding]:
    """A concept or coding whose value set is binding has one of its codes."""
    listed = definitions.codes_of(member.codes) if member.codes else None
    if listed is None:
        return
    codings = el.children(value, "coding") if member.types[0] == "CodeableConcept" else [value]
    if codings and not any(one.get("code") in listed for one in codings if isinstance(one.get("code"), str)):
        yield _fault("R4-code", at.path, _not_of(listed))


def _not_of(listed: frozenset[str]) -> str:
    shown = ", ".join(sorted(listed)[:_SHOWN_CODES])
    return f"a code that is none of: {shown}{' …' if len(listed) > _SHOWN_CODES else ''}"


def _reference(value: Node, member: Member, at: _At) -> Iterator[Finding]:
    """A reference leads to a type that is allowed; in a Bundle, one by urn:uuid: or urn:oid: leads to an entry."""
    target = el.text(value, "reference")
    if target is None:
        return
    held = at.find(value)
    if held is None and at.closed is not None and target.startswith(("urn:uuid:", "urn:oid:")):
        yield _fault("R4-reference", f"{at.path}.reference", "a reference that no entry of the Bundle answers")
    named = _REFERENCE.fullmatch(target)
    kind = held.get("resourceType") if held is not None else named[1] if named else el.text(value, "type")
    if isinstance(kind, str) and definitions.is_resource(kind) and member.targets and kind not in member.targets:
        words = f"a reference to {kind}, where {', '.join(member.targets)} {'is' if len(member.targets) == 1 else 'are'} allowed"
        yield _fault("R4-reference", f"{at.path}.reference", words)


def _printed(name: str) -> str:
    """The name of a member that R4 does not know: shortened, since anything may stand there."""
    return name if re.fullmatch(r"_?[a-z][A-Za-z0-9]{0,63}", name) else "…"
