"""Header: Composition and DiagnosticReport, who and which; both tell it, and tell the same.

Source: CompositionEuImaging, DiagnosticReportEuImaging; REP-03 to REP-06, REP-13, REP-14.
"""

from __future__ import annotations

from dataclasses import replace

from isthmus.errors import CountryMisanswered
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.model.codes import Code
from isthmus.model.identifiers import Identifier
from isthmus.model.people import Organisation, Patient
from isthmus.model.report.header import Attester, Header, Person
from isthmus.wire.described import first_code
from isthmus.wire.people import read_organisation, read_patient_resource
from isthmus.wire.report.binding import Binder, Opened

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
        ],
        "subject": binder.ref("patient"),
    }


def write_identifier(identifier: Identifier) -> Node:
    return el.without_nothing({"system": identifier.system, "value": identifier.value})


def write_type(header: Header) -> Node:
    code = header.type or _GENERAL
    return concept(coding(code.system, code.code, code.display))


def write_composition(binder: Binder, sections: list[Node]) -> Node:
    """The Composition around its sections."""
    header, extensions = binder.report.header, binder.pack.extensions
    linked = [{"url": extensions["diagnostic_report"], "valueReference": binder.ref("diagnostic-report")}]
    if header.version:
        linked.append({"url": extensions["composition_version"], "valueString": header.version})
    authors = [binder.person(person) for person in header.authors]
    if header.organisation:
        authors.append(binder.organisation(header.organisation))
    attester, performed = header.attester, binder.report.examination.performed
    return el.without_nothing(
        {"resourceType": "Composition"}
        | common(binder)
        | {
            "extension": linked,
            "identifier": write_identifier(header.identifier),
            "status": _COMPOSITION_STATUS.get(header.status, "preliminary"),
            "type": write_type(header),
            "date": header.date,
            "author": authors,
            "title": header.title,
            "attester": [
                el.without_nothing({"mode": "legal", "time": attester.time, "party": binder.person(attester.person)})
            ]
            if attester
            else None,
            "custodian": binder.organisation(header.custodian) if header.custodian else None,
            "event": [{"period": {"start": performed}}] if performed else None,
            "section": sections,
        }
    )


def read_header(opened: Opened) -> Header:
    """Read from the Composition; from the DiagnosticReport what it alone tells. Raises CountryMisanswered."""
    composition, diagnostic = opened.composition, opened.diagnostic
    first = composition or diagnostic
    code = el.child(composition, "type") or el.child(diagnostic, "code")
    version = el.extensions(composition, opened.pack.extensions["composition_version"])
    identifier, own = _identifier(opened), _own_identifier(opened)
    return Header(
        identifier=identifier,
        patient=_patient(opened),
        title=el.text(composition, "title") or el.text(code, "text") or "Imaging report",
        date=el.text(composition, "date") or el.text(diagnostic, "issued") or el.text(opened.bundle, "timestamp") or "",
        type=first_code(el.children(code, "coding")),
        status=el.text(diagnostic, "status") or el.text(composition, "status") or "unknown",
        language=el.text(composition, "language")
        or el.text(diagnostic, "language")
        or el.text(opened.bundle, "language"),
        version=el.text(version[0], "valueString") if version else None,
        authors=_authors(opened),
        organisation=_organisation(opened, first),
        attester=_attester(opened),
        custodian=read_organisation(found) if (found := opened.find(composition, "custodian")) else None,
        document_identifier=own if own != identifier else None,
    )


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
    return replace(read_patient_resource(node, complete=False), handle=None)


def _authors(opened: Opened) -> tuple[Person, ...]:
    named = list(opened.closed.follow(opened.composition, "author"))
    if not opened.composition:
        named = list(opened.closed.follow(opened.diagnostic, "resultsInterpreter"))
    return tuple(dict.fromkeys(person for node in named if (person := opened.person(node)) is not None))


def _organisation(opened: Opened, first: Node) -> Organisation | None:
    for node in opened.closed.follow(first, "author" if opened.composition else "performer"):
        if node.get("resourceType") == "Organization":
            return read_organisation(node)
    return None


def _attester(opened: Opened) -> Attester | None:
    composition = opened.composition
    for attester in el.children(composition, "attester"):
        party = opened.closed.find(el.child(attester, "party"), composition)
        person = opened.person(party) if attester.get("mode") == "legal" else None
        if person is not None:
            return Attester(person, el.text(attester, "time"))
    return None
