"""Header: Composition and DiagnosticReport, who and which; both tell it, and tell the same.

Source: CompositionEuImaging, DiagnosticReportEuImaging; REP-03 to REP-06, REP-13, REP-14.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from isthmus.errors import CountryMisanswered
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.fhir.labels import labels_of
from isthmus.model.codes import Code
from isthmus.model.confidentiality import highest
from isthmus.model.identifiers import Identifier
from isthmus.model.people import Organisation, Patient
from isthmus.model.report.header import Attester, Header, Insurance, Person, Validator
from isthmus.wire.described import read_code, read_codings
from isthmus.wire.packs.pack import Pack
from isthmus.wire.people import read_organisation, read_reported_patient
from isthmus.wire.report.binding import (
    Binder,
    Opened,
    absent,
    read_identifier,
    write_code,
    write_identifier,
    write_statement,
)

HOLDS: Final = {
    "A.1.1.1": "Patient.name.family",
    "A.1.1.2": "Patient.name.given",
    "A.1.1.3": "Patient.birthDate",
    "A.1.1.4": "Patient.identifier",
    "A.1.1.5": "Patient.gender",
    "A.1.2.1": "Patient.address, Patient.contact.address",
    "A.1.2.2": "Patient.telecom, Patient.contact.telecom",
    "A.1.3.1.1": "Coverage.payor → Organization.identifier",
    "A.1.3.1.2": "Coverage.payor → Organization.name",
    "A.1.3.1.3": "Coverage.identifier, Coverage.subscriberId",
    "A.1.4.1": "Composition.extension[informationRecipient] → Practitioner.identifier",
    "A.1.4.2": "… → Practitioner.name",
    "A.1.4.3": "… → Organization, or PractitionerRole.organization",
    "A.1.4.4": "… → Practitioner.address, Organization.address",
    "A.1.4.5": "… → address.country",
    "A.1.4.6": "… → Practitioner.telecom, Organization.telecom",
    "A.1.5.1": "Composition.author → Practitioner.identifier, Device.identifier",
    "A.1.5.2": "Composition.author → Practitioner.name, Device.deviceName",
    "A.1.5.3": "Composition.author → PractitionerRole.organization, Organization; DiagnosticReport.performer",
    "A.1.5.4": "Composition.date",
    "A.1.6.1": "Composition.attester[legal].party → Practitioner.identifier",
    "A.1.6.2": "Composition.attester[legal].party → Practitioner.name",
    "A.1.6.3": "Composition.attester[legal].party → PractitionerRole.organization",
    "A.1.6.4": "Composition.attester[legal].time",
    "A.1.7.1": "Composition.attester[professional].party → Practitioner.identifier",
    "A.1.7.2": "Composition.attester[professional].party → Practitioner.name, or extension[deviceAttester] → Device",
    "A.1.7.3": "Composition.attester[professional].party → PractitionerRole.organization",
    "A.1.7.4": "Composition.attester[professional].time",
    "A.1.8.0": "Composition.identifier, DiagnosticReport.identifier, Bundle.identifier",
    "A.1.8.1": "Composition.type, DiagnosticReport.code",
    "A.1.8.2": "DiagnosticReport.status, Composition.status",
    "A.1.8.3": "DiagnosticReport.issued",
    "A.1.8.4": "Composition.title",
    "A.1.8.5": "Composition.event.code, Procedure.code",
    "A.1.8.6": "Composition.custodian",
    "A.1.8.7": "Composition.confidentiality, Bundle.meta.security",
    "A.1.8.8": "Composition.language, DiagnosticReport.language",
    "A.1.8.9": "Composition.extension[version], DiagnosticReport.extension[artifact-version]",
    "A.1.8.10": "ImagingStudy.identifier; DiagnosticReport.imagingStudy",
    "A.1.8.11": "ServiceRequest.identifier[ACSN]; basedOn.identifier",
}  # fmt: skip
"""Where a report in FHIR holds each element of this chapter."""


_GENERAL = Code("http://loinc.org", "18748-4", "Diagnostic imaging study")
_COMPOSITION_STATUS = {"amended": "amended", "corrected": "amended", "appended": "amended", "final": "final"}


def common(binder: Binder) -> Node:
    """Members that Composition and DiagnosticReport share. Source: REP-04, REP-06."""
    header, pack = binder.report.header, binder.pack
    return {
        "language": header.language,
        "category": [
            concept(coding(pack.systems["loinc"], pack.codes["composition_report"])),
            concept(coding(pack.systems["category"], pack.codes["category"])),
            *([write_code(header.service)] if header.service else []),
        ],
        "subject": binder.ref("patient"),
    }


def write_type(header: Header) -> Node:
    return write_code(header.type or _GENERAL)


def write_composition(binder: Binder, sections: list[Node]) -> Node:
    """The Composition around its sections."""
    header, done, extensions = binder.report.header, binder.report.examination, binder.pack.extensions
    linked = [{"url": extensions["diagnostic_report"], "valueReference": binder.ref("diagnostic-report")}]
    if header.version:
        linked.append({"url": extensions["composition_version"], "valueString": header.version})
    linked += [{"url": extensions["information_recipient"], "valueReference": one} for one in _recipients(binder)]
    authors = [binder.person(person) for person in header.authors]
    authors += [binder.device(device) for device in header.devices]
    if header.organisation:
        authors.append(binder.organisation(header.organisation))
    codes = [write_statement(one.name) for one in done.procedures if one.name and one.name.code]
    event = el.without_nothing({"code": codes, "period": period(done.performed, done.performed_until)})
    return el.without_nothing(
        {"resourceType": "Composition"}
        | common(binder)
        | {
            "extension": linked,
            "identifier": write_identifier(header.identifier),
            "status": _COMPOSITION_STATUS.get(header.status, "preliminary"),
            "type": write_type(header),
            "date": header.date,
            "_date": None if header.date else absent(binder),
            "author": authors or [absent(binder)],
            "title": header.title,
            "confidentiality": header.confidentiality,
            "attester": _attesters(binder),
            "custodian": binder.organisation(header.custodian) if header.custodian else None,
            "relatesTo": [
                {"code": code, "targetIdentifier": write_identifier(one)}
                for code, one in (("replaces", header.replaces), ("appends", header.appends))
                if one is not None
            ],
            "event": [event] if event else None,
            "section": sections,
        }
    )


def period(start: str | None, end: str | None) -> Node | None:
    return el.without_nothing({"start": start, "end": end}) or None


def security(header: Header, pack: Pack) -> list[Node]:
    """The confidentiality as a label of the whole document. Source: data set A.1.8."""
    return [coding(pack.systems["confidentiality"], header.confidentiality)] if header.confidentiality else []


def _confidentiality(opened: Opened) -> str | None:
    """The highest that is said of the document, or of anything in it."""
    return highest(label for node in (opened.bundle, *opened.closed.resources) for label in labels_of(node))


def _recipients(binder: Binder) -> list[Node]:
    return [
        binder.person(one) if isinstance(one, Person) else binder.organisation(one)
        for one in binder.report.header.recipients
    ]


def _attesters(binder: Binder) -> list[Node]:
    """Who answers for the report and who checked it; when must be there, and is not always told. Source: REP-21."""
    header, url = binder.report.header, binder.pack.extensions["device_attester"]
    told: list[tuple[str, str | None, Node]] = []
    if header.attester:
        told.append(("legal", header.attester.time, binder.person(header.attester.person)))
    for one in header.validators:
        party = binder.person(one.person) if one.person else {}
        if one.device:
            party = party | {"extension": [{"url": url, "valueReference": binder.device(one.device)}]}
        told.append(("professional", one.time, party))
    return [
        el.without_nothing({"mode": mode, "time": time, "_time": None if time else absent(binder), "party": party})
        for mode, time, party in told
    ]


def read_header(opened: Opened) -> Header:
    """Read from the Composition; from the DiagnosticReport what it alone tells. Raises CountryMisanswered."""
    composition, diagnostic = opened.composition, opened.diagnostic
    first = composition or diagnostic
    code = el.child(composition, "type") or el.child(diagnostic, "code")
    told = [
        text
        for node, name in ((composition, "composition_version"), (diagnostic, "version"))
        for extension in el.extensions(node, opened.pack.extensions[name])
        if (text := el.text(extension, "valueString")) is not None
    ]
    identifier, own = _identifier(opened), _own_identifier(opened)
    return Header(
        identifier=identifier,
        patient=_patient(opened),
        title=el.text(composition, "title") or el.text(code, "text") or "Imaging report",
        date=el.text(composition, "date") or el.text(diagnostic, "issued") or el.text(opened.bundle, "timestamp") or "",
        type=read_codings(el.codings({"type": code}, "type")),
        status=el.text(diagnostic, "status") or el.text(composition, "status") or "unknown",
        language=el.text(composition, "language")
        or el.text(diagnostic, "language")
        or el.text(opened.bundle, "language"),
        version=next(iter(told), None),
        authors=_authors(opened),
        organisation=_organisation(opened, first),
        attester=_attester(opened),
        custodian=read_organisation(found) if (found := opened.find(composition, "custodian")) else None,
        document_identifier=own if own != identifier else None,
        issued=_issued(opened),
        devices=tuple(
            device for node in opened.closed.follow(composition, "author") if (device := opened.device(node))
        ),
        validators=tuple(_validators(opened)),
        recipients=tuple(dict.fromkeys(_read_recipients(opened))),
        insurances=tuple(_insurances(opened)),
        confidentiality=_confidentiality(opened),
        service=next(
            (
                c
                for c in map(read_code, el.codings(first, "category"))
                if c and c.system == opened.pack.systems["v2_0074"]
            ),
            None,
        ),
        replaces=_related(composition, "replaces"),
        appends=_related(composition, "appends"),
    )


def _issued(opened: Opened) -> str | None:
    """When it was issued, where that is another time than that of its writing."""
    issued, date = el.text(opened.diagnostic, "issued"), el.text(opened.composition, "date")
    return issued if date is not None and issued != date else None


def _validators(opened: Opened) -> Iterator[Validator]:
    composition, url = opened.composition, opened.pack.extensions["device_attester"]
    for attester in el.children(composition, "attester"):
        party = el.child(attester, "party")
        person = opened.person(opened.closed.find(party, composition))
        told = el.extensions(party, url)
        device = opened.device(opened.closed.find(el.child(told[0], "valueReference"), composition)) if told else None
        if attester.get("mode") == "professional" and (person is not None or device is not None):
            yield Validator(person, el.text(attester, "time"), device)


def _read_recipients(opened: Opened) -> Iterator[Person | Organisation]:
    for source in (opened.composition, opened.diagnostic):
        for node in opened.linked(source, "information_recipient"):
            found = opened.person(node) or opened.organisation(node)
            if found is not None:
                yield found


def _insurances(opened: Opened) -> Iterator[Insurance]:
    for node in opened.closed.of_type("Coverage"):
        held = read_identifier(el.child(node, "identifier"))
        number = held.value if held else el.text(node, "subscriberId")
        insurer = opened.organisation(opened.find(node, "payor"))
        if insurer is not None or number is not None:
            yield Insurance(insurer, held or (Identifier(None, number) if number else None))


def _related(composition: Node, code: str) -> Identifier | None:
    told = (
        read_identifier(el.child(one, "targetIdentifier"))
        for one in el.children(composition, "relatesTo")
        if one.get("code") == code
    )
    return next((one for one in told if one is not None), None)


def _identifier(opened: Opened) -> Identifier:
    for node in (opened.composition, opened.diagnostic, opened.bundle):
        value = el.text(node, "identifier", "value")
        if value is not None:
            return Identifier(el.text(node, "identifier", "system"), value)
    raise CountryMisanswered("a report without identifier", path="Bundle.identifier")


def _own_identifier(opened: Opened) -> Identifier | None:
    value = el.text(opened.bundle, "identifier", "value")
    return Identifier(el.text(opened.bundle, "identifier", "system"), value) if value is not None else None


def _patient(opened: Opened) -> Patient:
    node = opened.find(opened.composition, "subject") or opened.find(opened.diagnostic, "subject")
    if node is None or node.get("resourceType") != "Patient":
        raise CountryMisanswered("a report without its patient", path="Composition.subject")
    return read_reported_patient(node)


def _authors(opened: Opened) -> tuple[Person, ...]:
    named = list(opened.closed.follow(opened.composition, "author"))
    if not opened.composition:
        named = list(opened.closed.follow(opened.diagnostic, "resultsInterpreter"))
    return tuple(dict.fromkeys(person for node in named if (person := opened.person(node)) is not None))


def _organisation(opened: Opened, first: Node) -> Organisation | None:
    for node in opened.closed.follow(first, "author" if opened.composition else "performer"):
        if (organisation := opened.organisation(node)) is not None:
            return organisation
    return None


def _attester(opened: Opened) -> Attester | None:
    composition = opened.composition
    for attester in el.children(composition, "attester"):
        party = opened.closed.find(el.child(attester, "party"), composition)
        person = opened.person(party) if attester.get("mode") == "legal" else None
        if person is not None:
            return Attester(person, el.text(attester, "time"))
    return None
