"""The elements of a profile, applied to a value: how often, which types, fixed and patterned values, codes, slices, invariants, targets.

Source: R4 profiling; R4 ElementDefinition.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import gt, lt
from typing import Any, Final

from isthmus.conformance.profiles.known import Profiles
from isthmus.conformance.profiles.packages import shown
from isthmus.conformance.profiles.places import Place, Unclear
from isthmus.conformance.profiles.report import Report, fault
from isthmus.conformance.profiles.slicing import Slicing, belongs, bindings, coded, of_type, slicing_of
from isthmus.conformance.profiles.snapshot import CORE_URL, Element, Profile, Unusable
from isthmus.conformance.profiles.valuesets import equal, fits
from isthmus.conformance.r4 import definitions
from isthmus.conformance.r4.invariants import Unanswered, evaluate
from isthmus.conformance.requirement import Finding, Severity
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node

MAX_DEPTH: Final = 64
_OF_R4: Final = ("dom-6", "ele-1", "ext-1")
_KEPT_KEYS: Final = 64


class ElementFaults:
    """Profiles applied to the values of one resource; each to each value once."""

    def __init__(self, profiles: Profiles, report: Report) -> None:
        self.profiles, self.report = profiles, report
        self._done: dict[tuple[int, int, bool], list[Finding]] = {}

    def profile(self, canonical: str, path: str) -> Profile | None:
        """The profile under an address. That it is not here, or of no use, is noted."""
        try:
            found = self.profiles.get(canonical)
        except Unusable as reason:
            self.report.note(f"the profile {shown(canonical)}: {reason}", path, Severity.WARNING)
            return None
        if found is None:
            self.report.note(f"{shown(canonical)}, which is in no package given", path)
            return None
        for note in found.notes:
            self.report.note(f"{note} ({shown(found.url)})", path)
        _, _, version = canonical.partition("|")
        held = self.profiles.packages.find("StructureDefinition", canonical)
        if version and held is not None and held.version != version:
            self.report.note(f"{shown(canonical)} in this very version; another one was applied", path)
        return found

    def apply(self, place: Place, profile: Profile, led: bool = False) -> list[Finding]:
        """What a value does not fulfil of a profile; nothing while it is being asked already."""
        key = (id(place.value), id(profile), led)
        if key in self._done and isinstance(place.value, dict):
            return self._done[key]
        self._done[key] = []
        if place.depth > MAX_DEPTH:
            self.report.note(f"what is nested more than {MAX_DEPTH} levels deep", profile.type, Severity.WARNING)
            return []
        self._done[key] = [*self._inside(place, profile.root, profile), *self._rules(place, profile.root, profile)]
        return self._done[key]

    def _inside(self, place: Place, element: Element, profile: Profile) -> Iterator[Finding]:
        """The parts of an element."""
        for part in element.parts.values():
            values = list(place.parts(part.name))
            path = f"{place.path}.{part.name.removesuffix('[x]')}"
            yield from _often(values, part, path, "", profile)
            if part.slices:
                yield from self._slices(values, part, path, profile)
            for one in values:
                yield from self._value(one, part, profile)
        yield from self._same(place, profile)

    def _value(self, place: Place, element: Element, profile: Profile) -> Iterator[Finding]:
        """One value of an element."""
        self.report.step()
        if element.most == 0:
            return  # told already
        fixed, pattern = element.value("fixed"), element.value("pattern")
        if fixed is not None and not equal(fixed, place.value):
            yield fault("PROFILE-value", place.path, "not the value that is fixed here", profile)
        if pattern is not None and not fits(pattern, place.value):
            yield fault("PROFILE-value", place.path, "not what the pattern asks for here", profile)
        yield from self._limits(place, element, profile)
        yield from self._types(place, element, profile)
        for canonical in bindings(element):
            said = coded(place, self.profiles.sets.codes(canonical)) if place.value is not None else True
            if said is None:
                self.report.note(f"codes of {shown(canonical)}, which cannot be expanded here", place.path)
            elif not said:
                yield fault("PROFILE-code", place.path, f"no code of {shown(canonical)}", profile)
        yield from self._rules(place, element, profile)
        yield from self._inside(place, element, profile)

    def _limits(self, place: Place, element: Element, profile: Profile) -> Iterator[Finding]:
        """How long a text, how small or large a number may be."""
        longest = el.number(element.said, "maxLength")
        if longest is not None and isinstance(place.value, str) and len(place.value) > longest:
            yield fault("PROFILE-value", place.path, f"text of more than {longest} characters", profile)
        for word, beyond in (("minValue", lt), ("maxValue", gt)):
            limit = element.value(word)
            if limit is None:
                continue
            if not isinstance(limit, int | float) or not isinstance(place.value, int | float):
                self.report.note(f"{word} of {place.full}, which is no number ({shown(profile.url)})", place.path)
            elif beyond(place.value, limit):
                yield fault("PROFILE-value", place.path, f"a number beyond {word}", profile)
        if any(el.texts(one, "aggregation") for one in element.types):
            self.report.note(f"aggregation of {place.full} ({shown(profile.url)})", place.path)

    def _same(self, place: Place, profile: Profile) -> Iterator[Finding]:
        """What R4 defines by another element of the same resource is held against what the profile says of that one."""
        shape = definitions.shape(place.type) if "." in place.type else None
        for member in shape.members.values() if shape is not None else ():
            element = profile.root.at(member.same) if member.same and member.name in place.node else None
            for one in place.parts(member.name) if element is not None else ():
                assert element is not None
                yield from self._rules(one, element, profile)
                yield from self._inside(one, element, profile)

    def _slices(self, values: list[Place], element: Element, path: str, profile: Profile) -> Iterator[Finding]:
        """Each value with its slice, and how often each slice is there."""
        try:
            slicing = slicing_of(element)
            if any(kind not in ("value", "pattern", "type", "exists") for kind, _ in slicing.discriminators):
                raise Unclear("discriminator")
        except Unclear:
            self._unsliced(element, path, profile)
            return
        held: dict[str, list[Place]] = {}
        chosen: list[int | None] = []
        clear = True
        for name in element.slices:
            if "/" in name:
                self.report.note(f"the slice within a slice of {path_of(path)} ({shown(profile.url)})", path)
            else:
                held[name] = []
        for value in values:
            found, sure = self._slice_of(value, element, slicing, list(held))
            clear = clear and sure
            chosen.append(list(held).index(found) if found is not None else None)
            if found is not None:
                held[found].append(value)
                yield from self._value(value, element.slices[found], profile)
        if not clear:
            self._unsliced(element, path, profile)
            return
        for name, members in held.items():
            yield from _often(members, element.slices[name], path, f"slice {name}: ", profile)
        yield from _in_order(values, chosen, slicing, profile)

    def _slice_of(self, value: Place, element: Element, slicing: Slicing, names: list[str]) -> tuple[str | None, bool]:
        """The slice a value belongs to, and whether that is sure."""
        sure = True
        for name in names:
            self.report.step()
            try:
                if belongs(value, element.slices[name], slicing, self.profiles.sets):
                    return name, sure
            except Unclear:
                sure = False
        return None, sure

    def _unsliced(self, element: Element, path: str, profile: Profile) -> None:
        kinds = ", ".join(
            dict.fromkeys(
                str(one.get("type"))[:16] for one in el.children(el.child(element.said, "slicing"), "discriminator")
            )
        )
        words = f"the slices of {path_of(path)}, by discriminator {kinds or 'of no kind'} ({shown(profile.url)})"
        self.report.note(words, path)

    def _types(self, place: Place, element: Element, profile: Profile) -> Iterator[Finding]:
        """A choice, or a resource, is of a type that is allowed, and as the profile of that type asks."""
        types = element.types
        if not types:
            return
        is_resource = place.value is place.resource
        if (element.name.endswith("[x]") or is_resource) and not of_type(
            place, {str(one.get("code")) for one in types}
        ):
            yield fault("PROFILE-type", place.path, f"{place.type}, which is not allowed here", profile)
            return
        own = [one for one in types if of_type(place, {str(one.get("code"))}) or len(types) == 1]
        profiled = [el.texts(one, "profile") for one in own]
        if place.type != "Extension" and profiled and all(profiled):  # an extension is judged by its own address
            yield from self._one_of(place, [one for each in profiled for one in each], profile)
        if place.type == "Reference":
            yield from self._target(place, [one for told in own for one in el.texts(told, "targetProfile")], profile)

    def _one_of(self, place: Place, canonicals: list[str], profile: Profile) -> Iterator[Finding]:
        """A value fulfils one of several profiles."""
        asked = [self.profile(one, place.path) for one in canonicals if one != CORE_URL + place.type]
        if len(asked) < len(canonicals) or None in asked:
            return
        told = [self.apply(place, one) for one in asked if one is not None]
        if len(told) == 1:
            yield from told[0]
        elif told and all(_wrong(one) for one in told):
            yield fault("PROFILE-type", place.path, "fulfils none of the profiles that are allowed here", profile)

    def _target(self, place: Place, targets: list[str], profile: Profile) -> Iterator[Finding]:
        """A reference leads to a type, and to what fulfils a profile, that is allowed."""
        kind = place.led_type()
        if not targets or kind is None:
            return
        allowed: list[tuple[str, Profile | None]] = []
        for one in targets:
            name = one.partition("|")[0].removeprefix(CORE_URL)
            if definitions.is_resource(name) or name in ("Resource", "DomainResource"):
                allowed.append((name, None))
            elif (asked := self.profile(one, place.path)) is not None:
                allowed.append((asked.type, asked))
            else:
                return
        fitting = [asked for name, asked in allowed if name in (kind, "Resource", "DomainResource")]
        path = f"{place.path}.reference"
        if not fitting:
            yield fault("PROFILE-reference", path, f"a reference to {kind}, which is not allowed here", profile)
        elif None not in fitting:
            led = place.led()
            if led is None:
                words = f"whether what lies outside fulfils {', '.join(shown(one.url) for one in fitting if one)}"
                self.report.note(words, path)
                return
            told = [_wrong(self.apply(led, one, led=True)) for one in fitting if one is not None]
            if all(told):
                words = f"leads to a resource that is not as asked: {told[0][0].statement}"
                yield fault("PROFILE-reference", path, words, profile)

    def _rules(self, place: Place, element: Element, profile: Profile) -> Iterator[Finding]:
        """The invariants of an element."""
        for row in el.children(element.said, "constraint"):
            key, expression = str(row.get("key"))[:_KEPT_KEYS], el.text(row, "expression")
            if key in _OF_R4 or _is_r4s(row) or place.value is None:
                continue
            if expression is None:
                self.report.note(f"the invariant {key}, which has no expression ({shown(profile.url)})", place.path)
                continue
            try:
                given: list[Any] = evaluate(expression, place.value, place.type, place.around)
            except Unanswered:
                self.report.note(
                    f"the invariant {key}, which could not be evaluated ({shown(profile.url)})", place.path
                )
                continue
            if not given or given == [False]:
                severity = Severity.WARNING if row.get("severity") == "warning" else Severity.ERROR
                yield fault(key, place.path, str(row.get("human") or key)[:500], profile, severity)


def _often(values: list[Place], element: Element, path: str, which: str, profile: Profile) -> Iterator[Finding]:
    """How often an element, or a slice of it, is there."""
    count, most = len(values), element.most
    if count < element.least:
        yield fault("PROFILE-cardinality", path, f"{which}{count} where at least {element.least} must be", profile)
    if most is not None and count > most:
        words = f"{which}{count} where at most {most} may be" if most else f"{which}not allowed here"
        yield fault("PROFILE-cardinality", values[most].path, words, profile)


def _in_order(values: list[Place], chosen: list[int | None], slicing: Slicing, profile: Profile) -> Iterator[Finding]:
    """Closed slices take nothing beside them, open ends only after them, ordered ones stand in their order."""
    last = max((at for at, one in enumerate(chosen) if one is not None), default=-1)
    highest = 0
    for at, (value, one) in enumerate(zip(values, chosen, strict=True)):
        if one is None and (slicing.rules == "closed" or (slicing.rules == "openAtEnd" and at < last)):
            yield fault("PROFILE-slice", value.path, "belongs to no slice, where only slices may stand", profile)
        elif one is not None and slicing.ordered and one < highest:
            yield fault("PROFILE-slice", value.path, "stands after a slice that comes later", profile)
        highest = max(highest, one or 0)


def path_of(path: str) -> str:
    """A path without the numbers of lists: notes are told once."""
    return "".join(piece.partition("]")[2] if number else piece for number, piece in enumerate(path.split("[")))


def _is_r4s(row: Node) -> bool:
    """Whether a rule comes from R4 itself, whose structure is judged anyway."""
    known = definitions.invariant(str(row.get("key")))
    source = (el.text(row, "source") or CORE_URL).partition("|")[0]
    return known is not None and source.startswith(CORE_URL)


def _wrong(found: list[Finding]) -> list[Finding]:
    return [one for one in found if one.severity is Severity.ERROR]
