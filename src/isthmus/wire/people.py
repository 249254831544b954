"""People: a patient as resource, and back. Shared by the search, the manifest and the report.

Source: patient-eu-core; PatientMinimalMyHealthEu.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from isthmus.errors import CountryMisanswered, MalformedRequest
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.codes import Code
from isthmus.model.identifiers import UNIDENTIFIED, PatientIdentifier
from isthmus.model.people import Address, Contact, HumanName, Organisation, Patient, Telecom
from isthmus.wire.described import read_codings, write_codings
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
    return el.without_nothing(
        {
            "extension": language,
            "family": name.family,
            "given": list(name.given),
            "prefix": list(name.prefix),
            "suffix": list(name.suffix),
        }
    )


def read_names(node: Node) -> tuple[HumanName, ...]:
    """Read every name, in its order; one that is text alone is kept as family name."""
    names = []
    for name in el.children(node, "name"):
        family = el.text(name, "family") or el.text(name, "text")
        if family is not None or el.texts(name, "given"):
            language = el.extensions(name, _LANGUAGE)
            spoken = el.text(language[0], "valueCode") if language else None
            before, after = el.texts(name, "prefix"), el.texts(name, "suffix")
            names.append(HumanName(family or "", el.texts(name, "given"), spoken, before, after))
    return tuple(names)


def read_patient_resource(node: Node, asked: Sequence[PatientIdentifier] = (), *, complete: bool = True) -> Patient:
    """Read a patient. Of several identifiers the one that was asked for stands, an old one only alone. Raises CountryMisanswered.

    Identifier, name and birth date must be there; with `complete` false the identifier alone.
    """
    identifiers, former = _identifiers(node, absent=not complete)
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


def _identifiers(node: Node, *, absent: bool) -> tuple[list[PatientIdentifier], list[PatientIdentifier]]:
    """Those that are valid, and those that were. A document may say of its only one that it is old."""
    valid: list[PatientIdentifier] = []
    former: list[PatientIdentifier] = []
    for identifier in el.children(node, "identifier"):
        system, value = el.text(identifier, "system"), el.text(identifier, "value")
        if value is None and absent and el.extensions(identifier, UNIDENTIFIED.system):
            valid.append(UNIDENTIFIED)
        if system is not None and value is not None:
            try:
                known = former if el.text(identifier, "use") == FORMER else valid
                known.append(PatientIdentifier(system, value))
            except MalformedRequest:
                continue
    return (valid, former) if valid else (former, [])


def write_reported_patient(patient: Patient, pack: Pack, sex: Code | None = None) -> Node:
    """Write the patient of a report, with all that a report tells; what must be there and is not says so. Source: REP-21; data set A.1.1."""
    absent = {"extension": [{"url": pack.extensions["absent"], "valueCode": "unknown"}]}
    node = write_patient_resource(patient, pack)
    node["identifier"] += [{"system": one.system, "value": one.value} for one in patient.others]
    node["name"] = [one for one in node["name"] if one] or [absent]
    if not patient.birth_date:
        node |= {"birthDate": None, "_birthDate": absent}
    if sex is not None:
        value = {"url": "value", "valueCodeableConcept": el.concept(*write_codings(sex))}
        node["extension"] = [{"url": pack.extensions["sex_for_clinical_use"], "extension": [value]}]
    return el.without_nothing(
        node
        | {
            "telecom": write_telecoms(patient.telecoms),
            "address": write_addresses(patient.addresses),
            "contact": [_write_contact(contact) for contact in patient.contacts],
        }
    )


def read_sex_for_clinical_use(node: Node, pack: Pack) -> Code | None:
    """What physiology the reading of images reckons with, where it is told."""
    for extension in el.extensions(node, pack.extensions["sex_for_clinical_use"]):
        for inner in el.extensions(extension, "value"):
            return read_codings(el.codings(inner, "valueCodeableConcept"))
    return None


def _write_contact(contact: Contact) -> Node:
    code = contact.relationship
    return el.without_nothing(
        {
            "relationship": [el.concept(*write_codings(code))] if code else None,
            "name": write_name(contact.name),
            "telecom": write_telecoms(contact.telecoms),
            "address": next(iter(write_addresses(contact.addresses)), None),
        }
    )


def read_reported_patient(node: Node) -> Patient:
    """Read the patient of a report with all that it tells. Raises CountryMisanswered when it does not name them."""
    patient = read_patient_resource(node, complete=False)
    valid, _ = _identifiers(node, absent=True)
    return replace(
        patient,
        handle=None,
        others=tuple(one for one in dict.fromkeys(valid) if one not in (patient.identifier, UNIDENTIFIED)),
        addresses=read_addresses(node),
        telecoms=read_telecoms(node),
        contacts=tuple(contact for one in el.children(node, "contact") if (contact := _read_contact(one)) is not None),
    )


def _read_contact(node: Node) -> Contact | None:
    names = read_names(node) or (HumanName(""),)
    addresses, telecoms = read_addresses(node), read_telecoms(node)
    if names == (HumanName(""),) and not addresses and not telecoms:
        return None
    return Contact(names[0], read_codings(el.codings(node, "relationship")), addresses, telecoms)


def write_organisation(organisation: Organisation) -> Node:
    identifier = el.without_nothing({"system": organisation.system, "value": organisation.identifier})
    return el.without_nothing(
        {
            "resourceType": "Organization",
            "identifier": [identifier] if organisation.identifier else None,
            "name": organisation.name,
            "telecom": write_telecoms(organisation.telecoms),
            "address": write_addresses(organisation.addresses),
        }
    )


def read_organisation(node: Node) -> Organisation:
    """Read an organisation; how it is reached also where only its contact tells."""
    identifier, contact = el.child(node, "identifier"), el.child(node, "contact")
    return Organisation(
        el.text(node, "name") or "",
        el.text(identifier, "value"),
        el.text(identifier, "system"),
        read_addresses(node) or read_addresses(contact),
        read_telecoms(node) or read_telecoms(contact),
    )


def write_addresses(addresses: Iterable[Address]) -> list[Node]:
    return [
        el.without_nothing(
            {
                "use": address.use,
                "text": address.words,
                "line": list(address.lines),
                "city": address.city,
                "state": address.state,
                "postalCode": address.postal_code,
                "country": address.country,
            }
        )
        for address in addresses
    ]


def read_addresses(node: Node) -> tuple[Address, ...]:
    """Read every address that says where."""
    read = (
        Address(
            lines=el.texts(one, "line"),
            city=el.text(one, "city"),
            postal_code=el.text(one, "postalCode"),
            state=el.text(one, "state"),
            country=el.text(one, "country"),
            words=el.text(one, "text"),
            use=el.text(one, "use"),
        )
        for one in el.children(node, "address")
    )
    return tuple(address for address in read if replace(address, use=None) != Address())


def write_telecoms(telecoms: Iterable[Telecom]) -> list[Node]:
    return [el.without_nothing({"system": t.system, "value": t.value, "use": t.use}) for t in telecoms]


def read_telecoms(node: Node) -> tuple[Telecom, ...]:
    return tuple(
        Telecom(value, el.text(one, "system"), el.text(one, "use"))
        for one in el.children(node, "telecom")
        if (value := el.text(one, "value")) is not None
    )
