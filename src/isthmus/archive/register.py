"""The register of patients: rows in and out, who fits a search, and what contradicts what is known.

An identifier is exact and never folded; names are compared after the one folding. No part of a name ever matches.

Source: field-faults F04–F06; interfaces.md §10, §11.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import orjson
from sqlalchemy import Connection, Row, insert, select, update

from isthmus.dicom.header import Header
from isthmus.dicom.names import fold
from isthmus.model.identifiers import PatientIdentifier, is_uid
from isthmus.model.people import HumanName, Patient
from isthmus.model.queries import PatientQuery
from isthmus.sources import Source
from isthmus.storage.schema.archive import patients

GENDERS = {"M": "male", "F": "female", "O": "other"}
REGISTERED, UNCHANGED, CHANGED, MERGED = "registered", "unchanged", "changed", "merged"
MERGES_MAX = 100  # of one person, one after another


@dataclass(frozen=True, slots=True)
class Traits:
    """What a file or a document says of the person it is about, beside the identifier."""

    names: tuple[HumanName, ...]
    birth_date: str
    gender: str

    def __repr__(self) -> str:
        return "Traits(…)"

    @property
    def suffice(self) -> bool:
        """Whether a person can be registered from them alone."""
        return bool(self.names and self.names[0].family and self.birth_date)


def system_of(issuer: str) -> str:
    """An issuer as it stands in a file, as a system: OIDs as URNs, anything else as written."""
    return f"urn:oid:{issuer}" if is_uid(issuer) else issuer


def said_patient(header: Header, source: Source, unlabelled: str | None = None) -> PatientIdentifier | None:
    """Whom a file names: its issuer and number; an unlabelled number is the source's own, or `unlabelled`'s.

    None without a number, or with one too long to be any: shortened, two people could become one.
    """
    said = source.issuer(header.issuer_universal_id, header.issuer_of_patient_id)
    issuer = system_of(said or unlabelled or source.patient_issuer)
    if header.patient_id is None or len(header.patient_id) > 128 or len(issuer) > 256:
        return None
    return PatientIdentifier(issuer, header.patient_id)


def said_traits(header: Header) -> Traits:
    names = tuple(
        HumanName(name.family, tuple(part for part in (name.given, name.middle) if part), language(name.group))
        for name in header.patient_names
    )
    return Traits(names, header.birth_date or "", GENDERS.get(header.sex or "", "unknown"))


def language(group: str) -> str | None:
    """Of the script a name is written in, when it is not Latin."""
    return None if group == "alphabetic" else "und"


def contradicts(known: Patient, said: Traits) -> bool:
    """Another person: birth date and name are both said, and both differ. One alone can be explained.

    Source: interfaces.md §11; trust.md §2.9.
    """
    dates = bool(known.birth_date and said.birth_date) and known.birth_date != said.birth_date
    mine, theirs = [_words(n) for n in known.names if n.family], [_words(n) for n in said.names if n.family]
    names = bool(mine and theirs) and not any(a[0] == b[0] or a[1] == b[1] for a in mine for b in theirs)
    return dates and names


def differs(known: Patient, said: Traits) -> bool:
    """Something is said otherwise, though not enough to be another person: worth a warning."""
    mine, theirs = {_words(n) for n in known.names if n.family}, {_words(n) for n in said.names if n.family}
    other_date = bool(known.birth_date and said.birth_date) and known.birth_date != said.birth_date
    return other_date or bool(mine and theirs and not mine & theirs)


def _words(name: HumanName) -> tuple[str, frozenset[str]]:
    """The family name folded, and all words of the name in no order."""
    return fold(name.family), frozenset(fold(" ".join((name.family, *name.given))).split())


def patient_row(connection: Connection, identifier: PatientIdentifier) -> tuple[int, Patient] | None:
    """The registered patient of an identifier, with the row's number. One that was merged away names nobody any more."""
    row = connection.execute(_named(identifier).where(~patients.c.anchor, patients.c.merged_into.is_(None))).first()
    return None if row is None else (row.id, _person(connection, row))


def person_row(connection: Connection, identifier: PatientIdentifier) -> tuple[int, Patient] | None:
    """Who is meant by what a file says: also under a number that was merged into another since. Not for the border.

    Decision 0012.
    """
    row = connection.execute(_named(identifier).where(~patients.c.anchor)).first()
    for _ in range(MERGES_MAX):
        if row is None or row.merged_into is None:
            break
        row = connection.execute(select(patients).where(patients.c.id == row.merged_into)).first()
    return None if row is None else (row.id, _person(connection, row))


def former_of(connection: Connection, number: int) -> tuple[PatientIdentifier, ...]:
    """The identifiers that were merged into a person, at whatever remove."""
    found: list[PatientIdentifier] = []
    waiting = [number]
    while waiting and len(found) < MERGES_MAX:
        into = patients.c.merged_into == waiting.pop(0)
        for row in connection.execute(select(patients).where(into).order_by(patients.c.id)):
            found.append(PatientIdentifier(row.system, row.value))
            waiting.append(row.id)
    return tuple(found)


def is_merged(connection: Connection, identifier: PatientIdentifier) -> bool:
    """Whether an identifier was merged into another."""
    return connection.execute(_named(identifier).where(patients.c.merged_into.is_not(None))).first() is not None


def _named(identifier: PatientIdentifier) -> Any:
    return select(patients).where(patients.c.system == identifier.system, patients.c.value == identifier.value)


def anchor(connection: Connection, identifier: PatientIdentifier) -> int:
    """The row to which what lies behind us is tied. Of a person who is not registered here it finds nobody and says nothing."""
    row = anchor_row(connection, identifier)
    if row is not None:
        return row
    number = connection.execute(
        insert(patients).values(
            system=identifier.system, value=identifier.value, names="[]", birth_date="", gender="unknown", anchor=True
        )
    ).inserted_primary_key
    return int(number[0]) if number else 0


def anchor_row(connection: Connection, identifier: PatientIdentifier) -> int | None:
    """The row of a person, registered or only anchored."""
    row = connection.execute(_named(identifier)).first()
    return None if row is None else int(row.id)


def patient_of(connection: Connection, number: int) -> Patient:
    return _person(connection, connection.execute(select(patients).where(patients.c.id == number)).one())


def register(connection: Connection, identifier: PatientIdentifier, traits: Traits) -> int:
    """Add a patient who is not there yet; gives the row's number."""
    values = {"system": identifier.system, "value": identifier.value} | _columns(traits)
    held = connection.execute(_named(identifier)).first()
    if held is not None:  # an anchor: now the person is known
        connection.execute(update(patients).where(patients.c.id == held.id).values(anchor=False, **_columns(traits)))
        return int(held.id)
    number = connection.execute(insert(patients).values(values)).inserted_primary_key
    return int(number[0]) if number else 0


def put(connection: Connection, identifier: PatientIdentifier, traits: Traits) -> str:
    """Register a patient, or bring the row to what the register says now. A changed row keeps its identifier.

    One that was merged into another is left as it is.
    """
    if is_merged(connection, identifier):
        return MERGED
    held = patient_row(connection, identifier)
    if held is None:
        register(connection, identifier, traits)
        return REGISTERED
    number, patient = held
    if (patient.names, patient.birth_date, patient.gender) == (traits.names, traits.birth_date, traits.gender):
        return UNCHANGED
    connection.execute(update(patients).where(patients.c.id == number).values(_columns(traits)))
    return CHANGED


def find(connection: Connection, query: PatientQuery) -> list[Patient]:
    """Everyone who fits; all identifiers must name the same row. Without identifier, family and birth date are needed."""
    statement = select(patients).where(~patients.c.anchor, patients.c.merged_into.is_(None))
    if query.identifiers:
        first = query.identifiers[0]
        statement = statement.where(patients.c.system == first.system, patients.c.value == first.value)
        if any(other != first for other in query.identifiers):
            return []  # the register keeps one identifier a person
    elif query.family and query.birth_date:
        statement = statement.where(patients.c.birth_date == query.birth_date)
    else:
        return []
    found = [_person(connection, row) for row in connection.execute(statement.order_by(patients.c.id)).all()]
    return [patient for patient in found if fits(patient, query)]


def fits(patient: Patient, query: PatientQuery) -> bool:
    """Whether a person has the traits asked for. Identifiers are not looked at."""
    if query.birth_date and query.birth_date != patient.birth_date:
        return False
    if query.gender and query.gender != patient.gender:
        return False
    if not query.family and not query.given:
        return True
    return any(_name_fits(name, query) for name in patient.names)


def _name_fits(name: HumanName, query: PatientQuery) -> bool:
    if query.family and fold(query.family) != fold(name.family):
        return False
    asked, held = [fold(given) for given in query.given], [fold(given) for given in name.given]
    return set(asked) <= set(held) or " ".join(asked) == " ".join(held)


def _columns(traits: Traits) -> dict[str, str]:
    names = [[name.family, list(name.given), name.language] for name in traits.names]
    return {"names": orjson.dumps(names).decode(), "birth_date": traits.birth_date, "gender": traits.gender}


def _person(connection: Connection, row: Row[Any]) -> Patient:
    return replace(_patient(row), former=former_of(connection, row.id))


def _patient(row: Row[Any]) -> Patient:
    names = tuple(HumanName(family, tuple(given), language) for family, given, language in orjson.loads(row.names))
    return Patient(PatientIdentifier(row.system, row.value), names or (HumanName(""),), row.birth_date, row.gender)
