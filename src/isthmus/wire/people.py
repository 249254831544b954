"""People: a patient as resource, and back. Shared by the search, the manifest and the report.

Source: patient-eu-core; PatientMinimalMyHealthEu.
"""

from __future__ import annotations

from collections.abc import Sequence

from isthmus.errors import CountryMisanswered, MalformedRequest
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.identifiers import UNIDENTIFIED, PatientIdentifier
from isthmus.model.people import HumanName, Organisation, Patient
from isthmus.wire.packs.pack import Pack

_LANGUAGE = "http://hl7.org/fhir/StructureDefinition/language"
GENDERS = ("male", "female", "other", "unknown")
FORMER = "old"  # IdentifierUse
FORMER_MAX = 20


def write_patient_resource(patient: Patient, pack: Pack) -> Node:
    """Write identifier, names, gender, birth date: what is asked for and nothing else.

    Identifiers that were merged into it stand with it as old ones: what was issued under them names them still.
    """
    return {
        "resourceType": "Patient",
        "meta": {"profile": [pack.profiles["patient"]]},
        "identifier": [
            _identifier(patient.identifier, pack),
            *({"use": FORMER, "system": one.system, "value": one.value} for one in patient.former),
        ],
        "name": [write_name(name) for name in patient.names],
        "gender": patient.gender,
        "birthDate": patient.birth_date,
    }


def _identifier(identifier: PatientIdentifier, pack: Pack) -> Node:
    """A number with its issuer; of a patient that a document gives none, that it is not known. Source: REP-21."""
    if identifier == UNIDENTIFIED:
        return {"extension": [{"url": pack.extensions["absent"], "valueCode": "unknown"}]}
    return {"system": identifier.system, "value": identifier.value}


def write_name(name: HumanName) -> Node:
    language = [{"url": _LANGUAGE, "valueCode": name.language}] if name.language else None
    return el.without_nothing({"extension": language, "family": name.family, "given": list(name.given)})


def read_names(node: Node) -> tuple[HumanName, ...]:
    """Read every name, in its order; one that is text alone is kept as family name."""
    names = []
    for name in el.children(node, "name"):
        family = el.text(name, "family") or el.text(name, "text")
        if family is not None or el.texts(name, "given"):
            language = el.extensions(name, _LANGUAGE)
            names.append(
                HumanName(
                    family or "", el.texts(name, "given"), el.text(language[0], "valueCode") if language else None
                )
            )
    return tuple(names)


def read_patient_resource(node: Node, asked: Sequence[PatientIdentifier] = (), *, complete: bool = True) -> Patient:
    """Read a patient. Of several identifiers the one that was asked for stands, an old one only alone. Raises CountryMisanswered.

    Identifier, name and birth date must be there; with `complete` false the identifier alone.
    """
    identifiers: list[PatientIdentifier] = []
    former: list[PatientIdentifier] = []
    for identifier in el.children(node, "identifier"):
        system, value = el.text(identifier, "system"), el.text(identifier, "value")
        if value is None and not complete and el.extensions(identifier, UNIDENTIFIED.system):
            identifiers.append(UNIDENTIFIED)
        if system is not None and value is not None:
            try:
                known = former if el.text(identifier, "use") == FORMER else identifiers
                known.append(PatientIdentifier(system, value))
            except MalformedRequest:
                continue
    if not identifiers:  # a document may say of its only one that it is old
        identifiers, former = former, []
    names = read_names(node)
    birth_date = el.text(node, "birthDate")
    if not identifiers or (complete and (not names or birth_date is None)):
        raise CountryMisanswered("a person without identifier, name or birth date", path="Patient")
    gender = el.text(node, "gender") or "unknown"
    return Patient(
        identifier=next((i for i in identifiers if i in asked), identifiers[0]),
        names=names or (HumanName(""),),
        birth_date=birth_date or "",
        gender=gender if gender in GENDERS else "unknown",
        handle=el.text(node, "id"),
        former=tuple(former[:FORMER_MAX]),
    )


def write_organisation(organisation: Organisation) -> Node:
    identifier = el.without_nothing({"system": organisation.system, "value": organisation.identifier})
    return el.without_nothing(
        {
            "resourceType": "Organization",
            "identifier": [identifier] if organisation.identifier else None,
            "name": organisation.name,
        }
    )


def read_organisation(node: Node) -> Organisation:
    identifier = el.child(node, "identifier")
    return Organisation(el.text(node, "name") or "", el.text(identifier, "value"), el.text(identifier, "system"))
