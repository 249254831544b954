"""Search parameters as definitions: what each finds in a resource, and whether that is among what is asked.

One table of definitions is read from, matched with and declared; nothing else knows the names. A value is (system, code); text,
dates and references stand without system.

Source: R4 search; field-faults F06, F07, F15; wire.md §1.4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Generic, Literal, TypeVar

from isthmus.errors import MalformedRequest
from isthmus.fhir import bundles, search
from isthmus.fhir.search import Token
from isthmus.model.identifiers import PatientIdentifier, checked_id
from isthmus.model.intervals import DateFilter, Interval, read_interval
from isthmus.model.queries import Demand

Kind = Literal["token", "date", "string", "reference"]
R = TypeVar("R")  # what is searched
C = TypeVar("C")  # what its definitions need beside: a pack
PATIENT_PARAMETERS = ("patient", "patient.identifier", "patient:Patient.identifier")
CURSOR = "_cursor"
CONTROLS = ("_count", "_sort", "_summary", CURSOR)


def _as_is(value: Token, context: object) -> Token:
    return value


@dataclass(frozen=True)
class Parameter(Generic[R, C]):
    """One definition. `form` brings what is asked and what is held to one form; it may refuse what no resource holds."""

    kind: Kind
    values: Callable[[R, C], Iterable[Token]]
    form: Callable[[Token, C], Token] = _as_is

    def read(self, name: str, value: str, zone: tzinfo, context: C) -> Demand:
        """Read one occurrence: its values are alternatives. Raises MalformedRequest."""
        parts = search.alternatives(value, name)
        if self.kind == "date":
            return Demand(name, dates=tuple(DateFilter.read(search.unescape(part), zone, name) for part in parts))
        plain = self.kind != "token"
        tokens = [(None, search.unescape(part)) if plain else search.read_token(part) for part in parts]
        return Demand(name, tokens=tuple(self.form(token, context) for token in tokens))

    def holds(self, demand: Demand, resource: R, zone: tzinfo, context: C) -> bool:
        """Whether one of the values asked is among those held."""
        held = [self.form(value, context) for value in self.values(resource, context)]
        if self.kind == "date":
            intervals = [interval for _, text in held if (interval := interval_of(text, zone)) is not None]
            return any(one.holds(interval.start, interval.end) for one in demand.dates for interval in intervals)
        compare = _begins if self.kind == "string" else fits
        return any(compare(asked, one) for asked in demand.tokens for one in held)


def fits(asked: Token, held: Token) -> bool:
    """`code` under any system, `|code` under none, `system|` every code of it. Source: R4 search, token."""
    return asked[0] in (None, held[0] or "") and asked[1] in (held[1], "")


def _begins(asked: Token, held: Token) -> bool:
    """A word of it begins so. Both sides are folded already. Source: R4 search, string."""
    return f" {asked[1]}" in f" {held[1]}"


def interval_of(text: str | None, zone: tzinfo) -> Interval | None:
    """What a date held covers; None for none. A period of which the start is known lasts as long as that is precise.

    Deviates: R4 takes a period without end to last for ever. Decision 0007.
    """
    try:
        return read_interval(text or "", zone)
    except MalformedRequest:
        return None


@dataclass(slots=True)
class Asked:
    """A search about one patient, as it came."""

    handle: str | None
    identifier: PatientIdentifier | None
    demands: tuple[Demand, ...]
    count: int
    cursor: str | None
    order: tuple[tuple[str, bool], ...]
    counted: bool
    asked: tuple[tuple[str, str], ...]  # for the self link: without patient and cursor


def read_search(
    pairs: Iterable[tuple[str, str]],
    definitions: Mapping[str, Parameter[R, C]],
    context: C,
    zone: tzinfo,
    *,
    base: str | None,
    count: int,
    count_max: int,
    orders: Iterable[str],
    patient: Iterable[str] = PATIENT_PARAMETERS,
) -> Asked:
    """Read a search. Values of one occurrence are alternatives; a repeated parameter asks in addition.

    Unknown parameters and modifiers are refused by name. `base` is our own address: with it, a patient may also be named
    by full URL. Raises MalformedRequest, UnsupportedRequest.
    """
    known = {*definitions, *patient, *CONTROLS}
    found = Asked(None, None, (), count, None, (), False, ())
    seen: set[str] = set()
    for name, value in pairs:
        search.plain_name(name, known)
        if not value:
            raise MalformedRequest(f"{name} without a value", reason="value", path=name)
        if name in patient:
            _read_patient(found, name, value, base)
            continue
        if name in CONTROLS:
            if name in seen:
                raise MalformedRequest(f"{name} is given twice", reason="value", path=name)
            _read_control(found, name, value, count_max, frozenset(orders))
        else:
            found.demands += (definitions[name].read(name, value, zone, context),)
        seen.add(name)
        found.asked += ((name, value),) if name != CURSOR else ()
    if found.handle is None and found.identifier is None:
        raise MalformedRequest("a search is about one patient", reason="required", path="patient")
    return found


def _read_control(found: Asked, name: str, value: str, count_max: int, orders: frozenset[str]) -> None:
    if name == CURSOR:
        found.cursor = value
    elif name == "_count":
        if not value.isascii() or not value.isdecimal() or len(value) > 9 or int(value) < 1:
            raise MalformedRequest("_count is a number from 1", reason="value", path=name)
        found.count = min(int(value), count_max)
    elif name == "_summary":
        if value != "count":
            raise MalformedRequest("_summary is count", reason="value", path=name)
        found.counted = True
    else:
        order = tuple((part.removeprefix("-"), part.startswith("-")) for part in value.split(","))
        if {by for by, _ in order} - orders:
            raise MalformedRequest(f"_sort is by {', '.join(sorted(orders))}", reason="value", path=name)
        found.order = order


def _read_patient(found: Asked, name: str, value: str, base: str | None) -> None:
    if len(search.split(value, ",")) > 1:
        raise MalformedRequest("a search is about one patient", reason="value", path=name)
    if name.endswith("identifier"):
        system, code = search.read_token(value)
        identifier = PatientIdentifier(system or "", code)
        if found.identifier not in (None, identifier):
            raise MalformedRequest("a search is about one patient", reason="value", path=name)
        found.identifier = identifier
        return
    handle = _read_handle(search.unescape(value), base)
    if found.handle not in (None, handle):
        raise MalformedRequest("a search is about one patient", reason="value", path=name)
    found.handle = handle


def _read_handle(value: str, base: str | None) -> str:
    if "://" in value:
        place = bundles.below(base, value) if base is not None else None
        if place is None or place[1]:
            raise MalformedRequest("a patient of another address", reason="value", path="patient")
        value = place[0]
    return checked_id(value.removeprefix("Patient/"), "patient")


def write_demand(demand: Demand) -> tuple[str, str]:
    """One occurrence of a parameter, its values escaped."""
    written: Iterator[str] = (search.write_token(system, code) for system, code in demand.tokens)
    return demand.name, ",".join((*written, *(search.write_date(wanted) for wanted in demand.dates)))
