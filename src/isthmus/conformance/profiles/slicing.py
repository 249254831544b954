"""Which slice of a sliced element a value belongs to, by discriminators: value, pattern, type, exists.

A discriminator that is not understood (profile, position), or has nothing to compare with, is Unclear; then nothing is said of the slices.
Source: R4 profiling (discriminators); R4 ElementDefinition.slicing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from isthmus.conformance.profiles.places import Place, Unclear, along, steps
from isthmus.conformance.profiles.snapshot import Element
from isthmus.conformance.profiles.valuesets import Codes, ValueSets, equal, fits
from isthmus.fhir import elements as el

_ABSTRACT: Final = ("Resource", "DomainResource", "Element")
MAX_LEVELS: Final = 8
_EXTENSIONS: Final = ("extension", "modifierExtension")


@dataclass(frozen=True, slots=True)
class Slicing:
    """How an element is sliced."""

    discriminators: tuple[tuple[str, str], ...]
    rules: str
    ordered: bool


def slicing_of(element: Element) -> Slicing:
    """What an element says of its slices, or what is understood where it says nothing. Raises Unclear."""
    told = el.child(element.said, "slicing")
    by = tuple((str(one.get("type")), str(one.get("path"))) for one in el.children(told, "discriminator"))
    if not by:
        if element.name in _EXTENSIONS:
            by = (("value", "url"),)
        elif element.name.endswith("[x]"):
            by = (("type", "$this"),)
        else:
            raise Unclear("no discriminator")
    return Slicing(by, el.text(told, "rules") or "open", told.get("ordered") is True)


def belongs(place: Place, element: Element, slicing: Slicing, sets: ValueSets) -> bool:
    """Whether a value belongs to a slice. Raises Unclear."""
    return all(
        _DISCRIMINATORS.get(kind, _unclear)(place, element, steps(path), sets) for kind, path in slicing.discriminators
    )


def bindings(element: Element) -> list[str]:
    """The value sets that are binding for an element."""
    told = el.child(element.said, "binding")
    found = [el.text(told, "valueSet")] if told.get("strength") == "required" else []
    most = el.extensions(told, "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet")
    found += [el.text(one, "valueCanonical") for one in most]
    return [one for one in found if one]


def coded(place: Place, codes: Codes) -> bool | None:
    """Whether a value has a code of a value set; None where it cannot be told."""
    if place.type == "CodeableConcept":
        told = [(el.text(one, "system"), el.text(one, "code")) for one in el.children(place.node, "coding")]
    elif isinstance(place.value, dict):  # Coding, Quantity
        told = [(el.text(place.node, "system"), el.text(place.node, "code"))]
    else:
        told = [(None, place.value if isinstance(place.value, str) else None)]
    said = [codes.has(system, code) for system, code in told if code is not None]
    return True if True in said else None if None in said else False


def _unclear(place: Place, element: Element, way: Sequence[str], sets: ValueSets) -> bool:
    raise Unclear("discriminator")


def _by_value(place: Place, element: Element, way: Sequence[str], sets: ValueSets) -> bool:
    """For everything that the slice says at the end of the way, some value there is as it says."""
    reached = along(place, way)
    wanted = list(_wanted(element, way, sets))
    if not wanted:
        raise Unclear("nothing to compare with")
    return all(any(one(each) for each in reached) for one in wanted)


def _wanted(element: Element, way: Sequence[str], sets: ValueSets) -> Iterator[Callable[[Place], bool]]:
    """What a slice says of the values at the end of a way: there, in a pattern on the way, or in slices that must be there."""
    if not way:
        if _tells(element, 0):
            yield lambda place: _as_said(place, element, sets)
        return
    profile = extension_of(element)
    if way[0] == "url" and profile is not None:
        yield lambda place: bool(place.value == profile)
        return
    for word, matches in (("fixed", equal), ("pattern", fits)):
        if inner := _inside(element.value(word), way):
            yield from (partial(_matching, matches, one) for one in inner)
            return
    at = _part(element, way[0])
    for one in (at, *_required(at)) if at is not None else ():
        yield from _wanted(one, way[1:], sets)


def _matching(matches: Callable[[object, object], bool], wanted: object, place: Place) -> bool:
    return matches(wanted, place.value)


def _required(element: Element) -> list[Element]:
    """The slices of an element that must be there."""
    return [one for one in element.slices.values() if one.least > 0]


def extension_of(element: Element) -> str | None:
    """The address of the extension that an element of type Extension stands for, by its profile."""
    if element.name not in _EXTENSIONS:
        return None
    profiles = [one.partition("|")[0] for told in element.types for one in el.texts(told, "profile")]
    return profiles[0] if profiles else None


def _inside(value: Any, way: Sequence[str]) -> list[Any]:
    at = [value]
    for step in way:
        found = [one[step] for one in at if isinstance(one, dict) and step in one]
        at = [each for one in found for each in (one if isinstance(one, list) else [one])]
    return at


def _part(element: Element, step: str) -> Element | None:
    """The element of a slice that one step leads to."""
    if step.startswith("extension("):
        url = step[len("extension('") : -2]
        held = element.parts.get("extension")
        return next((one for one in held.slices.values() if extension_of(one) == url), None) if held else None
    if step.startswith(("resolve(", "ofType(")):
        return element
    return element.parts.get(step) or element.parts.get(f"{step}[x]")


def _tells(element: Element, depth: int) -> bool:
    """Whether an element has anything that a value can be held against."""
    own = element.value("fixed") is not None or element.value("pattern") is not None or bool(bindings(element))
    return own or (depth < MAX_LEVELS and any(_tells(one, depth + 1) for one in _below(element)))


def _below(element: Element) -> Iterator[Element]:
    """What stands in an element: its parts, and those of their slices that must be there."""
    for part in element.parts.values():
        yield part
        yield from _required(part)


def _as_said(place: Place, element: Element, sets: ValueSets, depth: int = 0) -> bool:
    """Whether a value has what is fixed, patterned or bound, in the element and in what stands in it."""
    fixed, pattern = element.value("fixed"), element.value("pattern")
    if (fixed is not None and not equal(fixed, place.value)) or (
        pattern is not None and not fits(pattern, place.value)
    ):
        return False
    if fixed is None and pattern is None:
        for one in bindings(element):
            said = coded(place, sets.codes(one))
            if said is None:
                raise Unclear("value set")
            if not said:
                return False
    inner = [one for one in _below(element) if depth < MAX_LEVELS and _tells(one, depth + 1)]
    return all(any(_as_said(each, one, sets, depth + 1) for each in place.parts(one.name)) for one in inner)


def _by_existence(place: Place, element: Element, way: Sequence[str], sets: ValueSets) -> bool:
    at: Element | None = element
    for step in way:
        at = _part(at, step) if at is not None else None
    if at is None or (at.most != 0 and at.least == 0):
        raise Unclear("nothing to compare with")
    return bool(along(place, way)) == (at.most != 0)


def _by_type(place: Place, element: Element, way: Sequence[str], sets: ValueSets) -> bool:
    at: Element | None = element
    leads = bool(way) and way[-1] == "resolve()"
    for step in way:
        at = _part(at, step) if at is not None else None
    if at is None or not at.types:
        raise Unclear("nothing to compare with")
    if leads:
        wanted = {one.rpartition("/")[2] for told in at.types for one in el.texts(told, "targetProfile")}
        found = {one.led_type() for one in along(place, way[:-1])}
        if None in found or not wanted or not all(one[:1].isupper() and one.isalpha() for one in wanted):
            raise Unclear("type of a reference")
        return bool(found) and found <= wanted
    wanted = {str(one.get("code")) for one in at.types}
    reached = along(place, way)
    return bool(reached) and all(of_type(one, wanted) for one in reached)


def of_type(place: Place, wanted: set[str]) -> bool:
    """Whether a value is of one of these types."""
    said = {one.rpartition("/")[2] for one in wanted}
    return not said.isdisjoint((place.type, *_ABSTRACT)) or any("fhirpath" in one for one in wanted)


_DISCRIMINATORS: Final = {"value": _by_value, "pattern": _by_value, "type": _by_type, "exists": _by_existence}
