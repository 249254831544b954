"""The report as a CDA document: a header, and the text by sections; nothing in it is coded but what a section is.

Written from our own source text, by the standard alone. It stands for what a country has that made CDA until now.

Source: HL7 CDA R2 §4.2, §4.3; PS3.20 §8.2, §9 (order, study, sections).
"""

from __future__ import annotations

from datetime import datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from report_source import identifier_of, organisation_of
from study_facts import Facts

from isthmus.demo.reports import DemoReport
from isthmus.model.people import HumanName, Organisation
from isthmus.wire.packs.pack import load_pack

V3 = "urn:hl7-org:v3"
LOINC, GENDER, CONFIDENTIAL = "2.16.840.1.113883.6.1", "2.16.840.1.113883.5.1", "2.16.840.1.113883.5.25"
GENDERS = {"male": "M", "female": "F"}
Sections = list[tuple[str, str, list[str]]]


def write_cda(report: DemoReport, studies: list[Facts], sections: Sections) -> bytes:
    """The document, indented, in UTF-8."""
    ElementTree.register_namespace("", V3)
    source, keeper = report.source, organisation_of(report)
    root = Element(f"{{{V3}}}ClinicalDocument", classCode="DOCCLIN", moodCode="EVN")
    _add(root, "typeId", root="2.16.840.1.113883.1.3", extension="POCD_HD000040")
    _add(root, "id", root=(identifier_of(report).value or "").removeprefix("urn:uuid:").upper())
    _add(root, "code", code=source["type"], codeSystem=LOINC, codeSystemName="LOINC")
    _add(root, "title", source["title"])
    _add(root, "effectiveTime", value=_time(source["authored"]))
    _add(root, "confidentialityCode", code="N", codeSystem=CONFIDENTIAL)
    _add(root, "languageCode", code=source["language"])
    _add(root, "setId", root=(identifier_of(report).value or "").removeprefix("urn:uuid:").upper())
    _add(root, "versionNumber", value=str(report.version))
    _record_target(root, report)
    _author(root, report, keeper)
    custodian = _add(_add(root, "custodian"), "assignedCustodian")
    _organisation(custodian, "representedCustodianOrganization", keeper)
    _legal_authenticator(root, report)
    for facts in studies:
        order = _add(_add(root, "inFulfillmentOf"), "order")
        _add(order, "id", root=report.country.accession_issuer, extension=facts.accession)
        _add(order, "id", root=report.country.placer_issuer, extension=source["order"]["placer"])
    for facts in studies:
        event = _add(_add(root, "documentationOf"), "serviceEvent", classCode="ACT", moodCode="EVN")
        _add(event, "id", root=facts.study.study_instance_uid)
        _add(_add(event, "effectiveTime"), "low", value=_time(facts.started))
    _body(root, sections)
    ElementTree.indent(root, "  ")
    return ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"


def _add(parent: Element, name: str, text: str | None = None, **attributes: str) -> Element:
    child = SubElement(parent, f"{{{V3}}}{name}", attributes)
    child.text = text
    return child


def _time(moment: str) -> str:
    return datetime.fromisoformat(moment).strftime("%Y%m%d%H%M%S%z")


def _name(parent: Element, tag: str, name: HumanName) -> None:
    element = _add(parent, tag)
    for given in name.given:
        _add(element, "given", given)
    _add(element, "family", name.family)


def _record_target(root: Element, report: DemoReport) -> None:
    patient = report.patient
    role = _add(_add(root, "recordTarget", typeCode="RCT"), "patientRole", classCode="PAT")
    system = patient.identifier.system.removeprefix("urn:oid:")
    _add(role, "id", root=system, extension=patient.identifier.value)
    person = _add(role, "patient")
    for name in patient.names:
        _name(person, "name", name)
    _add(person, "administrativeGenderCode", code=GENDERS[patient.gender], codeSystem=GENDER)
    _add(person, "birthTime", value=patient.birth_date.replace("-", ""))


def _author(root: Element, report: DemoReport, organisation: Organisation) -> None:
    author = _add(root, "author")
    _add(author, "time", value=_time(report.source["authored"]))
    _organisation(_assigned(author, "assignedAuthor", report), "representedOrganization", organisation)


def _legal_authenticator(root: Element, report: DemoReport) -> None:
    signer = _add(root, "legalAuthenticator")
    _add(signer, "time", value=_time(report.source["authored"]))
    _add(signer, "signatureCode", code="S")
    _assigned(signer, "assignedEntity", report)


def _assigned(parent: Element, tag: str, report: DemoReport) -> Element:
    written = report.source["author"]
    assigned = _add(parent, tag)
    _add(assigned, "id", root=report.country.professional_issuer, extension=written["id"])
    _name(_add(assigned, "assignedPerson"), "name", HumanName(written["family"], (written["given"],)))
    return assigned


def _organisation(parent: Element, tag: str, organisation: Organisation) -> None:
    element = _add(parent, tag)
    _add(
        element,
        "id",
        root=(organisation.system or "").removeprefix("urn:oid:"),
        extension=organisation.identifier or "",
    )
    _add(element, "name", organisation.name)


def _body(root: Element, sections: Sections) -> None:
    """Sections of text. The study and the order are in the header, and told as text all the same."""
    codes = load_pack().sections
    body = _add(_add(root, "component"), "structuredBody")
    for key, heading, paragraphs in sections:
        section = _add(_add(body, "component"), "section")
        _add(section, "code", code=codes[key], codeSystem=LOINC, codeSystemName="LOINC")
        _add(section, "title", heading)
        text = _add(section, "text")
        for paragraph in paragraphs:
            _add(text, "paragraph", paragraph)
