"""Patients brought into the register: a CSV file, or a FHIR Bundle of Patient. Each row is judged alone.

Source: interfaces.md §2 (import-patients).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from isthmus.archive import register
from isthmus.archive.register import Traits
from isthmus.errors import IsthmusError, MalformedRequest, SettingsProblem
from isthmus.fhir import elements as el
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName
from isthmus.storage.database import Database
from isthmus.wire.people import GENDERS, read_patient_resource

COLUMNS: Final = ("system", "value", "family", "given", "birth_date", "gender")
BATCH: Final = 500
_DATE: Final = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")


@dataclass(frozen=True, slots=True)
class Person:
    """One row: where it stands, and the person or why not."""

    place: str
    identifier: PatientIdentifier | None = None
    traits: Traits | None = None
    problem: str = ""


@dataclass(slots=True)
class Count:
    """What became of the rows."""

    registered: int = 0
    unchanged: int = 0
    refused: list[dict[str, str]] = field(default_factory=list)


def read_people(body: bytes) -> Iterator[Person]:
    """The people of a file. Raises SettingsProblem when it is neither CSV with the header nor a Bundle."""
    if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return _bundle(body)
    return _csv(body)


def _csv(body: bytes) -> Iterator[Person]:
    try:
        rows = csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError:
        raise SettingsProblem("the file is not UTF-8", reason="usage") from None
    if rows.fieldnames is None or not set(COLUMNS) <= set(rows.fieldnames):
        raise SettingsProblem(f"the file needs the header {','.join(COLUMNS)}", reason="usage")
    for row in rows:
        values = {name: (row.get(name) or "").strip() for name in COLUMNS}
        names = (HumanName(values["family"], tuple(values["given"].split())),)
        place = f"line {rows.line_num}"
        try:
            identifier = PatientIdentifier(values["system"], values["value"])
        except MalformedRequest as error:
            yield Person(place, problem=error.message)
        else:
            yield _judged(place, identifier, Traits(names, values["birth_date"], values["gender"] or "unknown"))


def _bundle(body: bytes) -> Iterator[Person]:
    try:
        bundle = el.read_resource(body, "Bundle", MalformedRequest)
    except MalformedRequest as error:
        raise SettingsProblem(f"the file is not a FHIR Bundle: {error.message}", reason="usage") from None
    for number, entry in enumerate(el.children(bundle, "entry")):
        resource, place = el.child(entry, "resource"), f"entry {number}"
        if resource.get("resourceType") != "Patient":
            yield Person(place, problem="not a Patient")
            continue
        try:
            patient = read_patient_resource(resource)
        except IsthmusError as error:
            yield Person(place, problem=error.message)
        else:
            yield _judged(place, patient.identifier, Traits(patient.names, patient.birth_date, patient.gender))


def _judged(place: str, identifier: PatientIdentifier, traits: Traits) -> Person:
    if not traits.suffice:
        return Person(place, problem="family name or birth date is missing")
    if _DATE.fullmatch(traits.birth_date) is None:
        return Person(place, problem="the birth date is not YYYY-MM-DD")
    if traits.gender not in GENDERS:
        return Person(place, problem=f"the gender is none of {', '.join(GENDERS)}")
    return Person(place, identifier, traits)


def bring_people(database: Database, people: Iterator[Person]) -> Count:
    """Register people, some hundred a transaction. The register says who they are now: a later row changes an earlier one."""
    count = Count()
    while batch := list(islice(people, BATCH)):
        results = database.write_now(lambda connection: [_put(connection, person) for person in batch])
        for person, result in zip(batch, results, strict=True):
            if result is None:
                count.refused.append({"row": person.place, "detail": person.problem})
            count.registered += result in (register.REGISTERED, register.CHANGED)
            count.unchanged += result == register.UNCHANGED
            if result == register.MERGED:
                count.refused.append({"row": person.place, "detail": "the identifier was merged into another"})
    return count


def _put(connection: Connection, person: Person) -> str | None:
    if person.identifier is None or person.traits is None:
        return None
    return register.put(connection, person.identifier, person.traits)
