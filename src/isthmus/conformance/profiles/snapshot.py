"""The effective elements of a profile: its snapshot where the package has one, else what it and its bases say, one over the other.

What R4 itself asks is not repeated: below the last profile the chain ends at R4, whose structure is judged by itself.
Source: R4 profiling; R4 ElementDefinition.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from isthmus.conformance.profiles.packages import Definition, Packages, shown
from isthmus.conformance.r4 import definitions
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node

CORE_URL: Final = "http://hl7.org/fhir/StructureDefinition/"
MAX_CHAIN: Final = 32
MAX_STEPS: Final = 32
_KEPT: Final = ("constraint",)


class Unusable(Exception):
    """A profile cannot be applied; the words say why."""


@dataclass(frozen=True, slots=True)
class Element:
    """What a profile says of one element, what stands in it, and its slices."""

    name: str
    said: Node = field(default_factory=dict)
    parts: dict[str, Element] = field(default_factory=dict)
    slices: dict[str, Element] = field(default_factory=dict)

    @property
    def types(self) -> list[Node]:
        return el.children(self.said, "type")

    @property
    def least(self) -> int:
        return el.number(self.said, "min") or 0

    @property
    def most(self) -> int | None:
        """None: any number, or as many as R4 allows."""
        told = el.text(self.said, "max")
        return int(told) if told is not None and told.isdecimal() and len(told) < 10 else None

    def at(self, path: str) -> Element | None:
        """The element at a path from this one, which is the first step."""
        first, *steps = path.split(".")
        found: Element | None = self if first == self.name else None
        for step in steps:
            found = found.parts.get(step) if found is not None else None
        return found

    def value(self, word: str) -> object:
        """The value of fixed[x] or pattern[x]; None where there is none."""
        return next((v for n, v in self.said.items() if n.startswith(word) and n[len(word) :][:1].isupper()), None)


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile ready to be applied. `notes` says what of it cannot be."""

    url: str
    type: str
    source: str
    root: Element
    contexts: tuple[Node, ...] = ()
    notes: tuple[str, ...] = ()


def effective(definition: Definition, packages: Packages) -> Profile:
    """The effective elements of a profile. Raises Unusable."""
    node = definition.node()
    kind = el.text(node, "type") or ""
    if definitions.shape(kind) is None:
        raise Unusable("it is about no type of R4")
    notes: list[str] = []
    root = Element(kind)
    for layer in _layers(definition, packages, notes):
        for said in layer:
            _lay(root, said, notes)
    contexts = tuple(el.children(node, "context"))
    if el.texts(node, "contextInvariant"):
        notes.append("the condition on where the extension stands (contextInvariant)")
    return Profile(definition.url, kind, definition.package, root, contexts, tuple(dict.fromkeys(notes)))


def _layers(definition: Definition, packages: Packages, notes: list[str]) -> list[list[Node]]:
    """The elements to lay over each other, the lowest first."""
    layers: list[list[Node]] = []
    seen: set[str] = set()
    at: Definition | None = definition
    while at is not None:
        if at.url in seen:
            raise Unusable("its base definitions run in a circle")
        if len(seen) == MAX_CHAIN:
            raise Unusable(f"more than {MAX_CHAIN} base definitions")
        seen.add(at.url)
        node = at.node()
        whole = el.children(el.child(node, "snapshot"), "element")
        layers.append(whole or el.children(el.child(node, "differential"), "element"))
        base = el.text(node, "baseDefinition") or ""
        if (
            whole
            or node.get("derivation") == "specialization"
            or base.partition("|")[0] == CORE_URL + str(node.get("type"))
        ):
            break
        at = packages.find("StructureDefinition", base)
        if at is None:
            notes.append(f"what its base {shown(base)} says, which is in no package given")
    return layers[::-1]


def _lay(root: Element, said: Node, notes: list[str]) -> None:
    """Put what one ElementDefinition says at its place. Constraints add up; else the later word counts."""
    path, name = el.text(said, "path") or "", el.text(said, "sliceName")
    id_ = el.text(said, "id") or path
    steps = id_.split(".")
    if name and ":" not in steps[-1]:
        notes.append("a slice whose element has no id")
        return
    if len(steps) > MAX_STEPS or steps[0] != root.name:
        if steps[0].partition(":")[0] != root.name:
            notes.append("an element of another type")
        return
    at = root
    for step in steps[1:]:
        word, _, slice_name = step.partition(":")
        at = at.parts.setdefault(word, Element(word))
        if slice_name:
            at = at.slices.setdefault(slice_name, Element(word))
    before = {one: el.children(at.said, one) for one in _KEPT}
    at.said.update(said)
    for one, told in before.items():
        keys = {each.get("key") for each in el.children(said, one)}
        both = [*(each for each in told if each.get("key") not in keys), *el.children(said, one)]
        if both:
            at.said[one] = both
