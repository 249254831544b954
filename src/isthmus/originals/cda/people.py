"""Who a CDA document names in its header: the patient, who wrote it, answers for it, checked it, asked for it, and is to have it.

Source: CDA R2 §4.2 (participants); PS3.20 §7.1; data set A.1.1 to A.1.7, A.2.3 to A.2.7.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import Contact, HumanName, Organisation, Patient
from isthmus.model.report.devices import Device
from isthmus.model.report.header import Attester, Insurance, Person, Validator
from isthmus.originals.cda.elements import (
    NOTHING,
    addresses,
    all_of,
    at,
    code_of,
    identifiers,
    moment,
    name_of,
    organisation,
    telecoms,
    words,
)
from isthmus.originals.cda.header import CdaDocument


def patient_of(root: Element, cda: CdaDocument, identifier: PatientIdentifier | None = None) -> Patient:
    """The patient as the document says, under the first of their numbers, or that one of them by which they are known."""
    role, index = at(root, "recordTarget", "patientRole"), cda.index
    first = identifier or cda.patients[0]
    return Patient(
        identifier=first,
        names=index.names or (HumanName(""),),
        birth_date=index.birth_date,
        gender=index.gender,
        others=tuple(one for one in cda.patients if one != first),
        addresses=addresses(role),
        telecoms=telecoms(role),
        contacts=tuple(_contacts(at(role, "patient"))),
    )


def _contacts(person: Element) -> Iterator[Contact]:
    for one in all_of(person, "guardian"):
        name = name_of(at(one, "guardianPerson", "name"))
        if name.family or name.given:
            yield Contact(name, code_of(at(one, "code")), addresses(one), telecoms(one))


def person_of(role: Element, person: str, represented: str = "representedOrganization") -> Person | None:
    """A professional in a role; None where no person is named."""
    name = name_of(at(role, person, "name"))
    if not name.family and not name.given:
        return None
    number = next((one for one in identifiers(role) if one.system != "urn:ietf:rfc:3986"), None)
    return Person(
        name,
        number,
        role=code_of(at(role, "code")),
        organisation=organisation(at(role, represented)),
        addresses=addresses(role),
        telecoms=telecoms(role),
    )


def authors(root: Element) -> tuple[Person, ...]:
    roles = (at(one, "assignedAuthor") for one in all_of(root, "author"))
    return tuple(dict.fromkeys(person for role in roles if (person := person_of(role, "assignedPerson")) is not None))


def devices(root: Element) -> tuple[Device, ...]:
    """Authors that are devices or software."""
    found = []
    for one in all_of(root, "author"):
        device = at(one, "assignedAuthor", "assignedAuthoringDevice")
        if device is not NOTHING:
            model, software = words(at(device, "manufacturerModelName")), words(at(device, "softwareName"))
            number = next(identifiers(at(one, "assignedAuthor")), None)
            found.append(Device(model or software or "?", number, version=software if model else None))
    return tuple(found)


def author_organisation(root: Element) -> Organisation | None:
    roles = (at(one, "assignedAuthor", "representedOrganization") for one in all_of(root, "author"))
    return next(filter(None, map(organisation, roles)), None)


def attester(root: Element) -> Attester | None:
    """Who answers for the document by law."""
    node = at(root, "legalAuthenticator")
    person = person_of(at(node, "assignedEntity"), "assignedPerson")
    return Attester(person, moment(at(node, "time").get("value", "")) or None) if person else None


def validators(root: Element) -> tuple[Validator, ...]:
    found = ((node, person_of(at(node, "assignedEntity"), "assignedPerson")) for node in all_of(root, "authenticator"))
    return tuple(
        Validator(person, moment(at(node, "time").get("value", "")) or None)
        for node, person in found
        if person is not None
    )


def recipients(root: Element) -> tuple[Person | Organisation, ...]:
    found: list[Person | Organisation] = []
    for node in all_of(root, "informationRecipient"):
        role = at(node, "intendedRecipient")
        person = person_of(role, "informationRecipient", "receivedOrganization")
        received = organisation(at(role, "receivedOrganization"))
        found += [one for one in (person or received,) if one is not None]
    return tuple(dict.fromkeys(found))


def requester(root: Element) -> Person | None:
    """Who asked for the examination: the referrer, else who attends. Source: PS3.20 §7.1 (Referrer)."""
    for node in all_of(root, "participant"):
        if node.get("typeCode") == "REF":
            person = person_of(at(node, "associatedEntity"), "associatedPerson", "scopingOrganization")
            if person is not None:
                return person
    return None


def performers(event: Element) -> tuple[Person, ...]:
    roles = (at(one, "assignedEntity") for one in all_of(event, "performer"))
    return tuple(dict.fromkeys(person for role in roles if (person := person_of(role, "assignedPerson")) is not None))


def insurances(root: Element) -> tuple[Insurance, ...]:
    """Who insures the patient: a holder of a policy among the participants. Source: CDA R2 (participant HLD)."""
    found = []
    for node in all_of(root, "participant"):
        entity = at(node, "associatedEntity")
        if node.get("typeCode") == "HLD" and entity.get("classCode") in ("POLHOLD", "UNDWRT", "COVPTY"):
            found.append(Insurance(organisation(at(entity, "scopingOrganization")), next(identifiers(entity), None)))
    return tuple(found)
