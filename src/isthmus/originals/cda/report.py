"""A CDA document as an imaging report: all of its header, its sections by chapter, and what it was issued as inside.

Level 1 (a PDF or a picture in a header) and level 3 (sections with entries) alike. What is not told is left out, never supplied.

Source: CDA R2; PS3.20; OrCD; data set A.1 to A.8.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from xml.etree.ElementTree import Element

from isthmus.dicom.names import fold
from isthmus.errors import MalformedRequest
from isthmus.model.codes import LOINC, Code
from isthmus.model.confidentiality import NORMAL
from isthmus.model.imaging import Study
from isthmus.model.people import Patient
from isthmus.model.report.comparison import Comparison
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.dose import Dose
from isthmus.model.report.examination import Examination, Procedure
from isthmus.model.report.header import Header
from isthmus.model.report.order import Order
from isthmus.model.report.presented_form import PresentedForm
from isthmus.model.report.statements import Statement
from isthmus.originals.beside import Beside
from isthmus.originals.cda import people
from isthmus.originals.cda.elements import at, code_of, period
from isthmus.originals.cda.entries import Body
from isthmus.originals.cda.header import CdaDocument, confidentiality_of, form_of, header_of, related
from isthmus.originals.cda.tree import read_tree
from isthmus.originals.chapters import Chapters, chapters_of
from isthmus.originals.instances import XML
from isthmus.originals.recognise import CDA_ROOT

HOLDS: Final = {
    "A.1.1.1": "recordTarget/patient/name/family",
    "A.1.1.2": "recordTarget/patient/name/given",
    "A.1.1.3": "recordTarget/patient/birthTime",
    "A.1.1.4": "recordTarget/patientRole/id",
    "A.1.1.5": "recordTarget/patient/administrativeGenderCode",
    "A.1.2.1": "recordTarget/patientRole/addr",
    "A.1.2.2": "recordTarget/patientRole/telecom",
    "A.1.3.1.1": "participant[HLD]/associatedEntity/scopingOrganization/id",
    "A.1.3.1.2": "participant[HLD]/…/scopingOrganization/name",
    "A.1.3.1.3": "participant[HLD]/associatedEntity/id",
    "A.1.4.1": "informationRecipient/intendedRecipient/id",
    "A.1.4.2": "informationRecipient/…/name",
    "A.1.4.3": "informationRecipient/…/receivedOrganization",
    "A.1.4.4": "informationRecipient/…/addr",
    "A.1.4.5": "informationRecipient/…/addr/country",
    "A.1.4.6": "informationRecipient/…/telecom",
    "A.1.5.1": "author/assignedAuthor/id",
    "A.1.5.2": "author/assignedAuthor/assignedPerson/name, assignedAuthoringDevice",
    "A.1.5.3": "author/assignedAuthor/representedOrganization",
    "A.1.5.4": "effectiveTime",
    "A.1.6.1": "legalAuthenticator/assignedEntity/id",
    "A.1.6.2": "legalAuthenticator/assignedEntity/assignedPerson/name",
    "A.1.6.3": "legalAuthenticator/…/representedOrganization",
    "A.1.6.4": "legalAuthenticator/time",
    "A.1.7.1": "authenticator/assignedEntity/id",
    "A.1.7.2": "authenticator/…/name",
    "A.1.7.3": "authenticator/…/representedOrganization",
    "A.1.7.4": "authenticator/time",
    "A.1.8.0": "id, setId",
    "A.1.8.1": "code",
    "A.1.8.2": "legalAuthenticator is there",
    "A.1.8.3": "effectiveTime",
    "A.1.8.4": "title",
    "A.1.8.5": "serviceEvent/code, procedure",
    "A.1.8.6": "custodian",
    "A.1.8.7": "confidentialityCode",
    "A.1.8.8": "languageCode",
    "A.1.8.9": "versionNumber",
    "A.1.8.10": "object catalogue, serviceEvent/id",
    "A.1.8.11": "order/accessionNumber",
    "A.2.1": "inFulfillmentOf/order/id",
    "A.2.3": "participant[REF]/associatedEntity/id",
    "A.2.4": "participant[REF]/…/name",
    "A.2.6": "participant[REF]/…/telecom, addr",
    "A.2.7": "participant[REF]/…/scopingOrganization",
    "A.3.1": "sections of reason",
    "A.3.2": "section history",
    "A.3.3": "sections of reason",
    "A.5.1.1": "object catalogue",
    "A.5.1.2": "serviceEvent/effectiveTime",
    "A.5.1.3": "section procedure",
    "A.5.1.4": "serviceEvent/code, procedure/code",
    "A.5.1.5": "the same, in words",
    "A.5.1.6.1": "observation/targetSiteCode",
    "A.5.1.6.2": "targetSiteCode/qualifier",
    "A.5.1.8.1": "serviceEvent/performer/assignedEntity/id",
    "A.5.1.8.2": "serviceEvent/performer/…/name",
    "A.5.1.8.3": "serviceEvent/performer/…/representedOrganization",
    "A.5.2.2": "substanceAdministration/…/code",
    "A.5.2.7": "substanceAdministration/effectiveTime",
    "A.5.4.1": "observation/effectiveTime",
    "A.5.4.2": "section findings",
    "A.5.4.3.1": "observation/code",
    "A.5.4.3.2": "observation/code, in words",
    "A.5.4.3.3": "observation/methodCode",
    "A.5.4.3.4": "observation/value",
    "A.5.5.1": "section impression",
    "A.5.5.2.1": "observation/value",
    "A.5.6.1": "section recommendation",
    "A.5 dose": "section dose",
    "A.6.3": "referenced object",
    "A.6.9": "words beside the referenced object",
    "A.6.10": "referenced object",
    "A.7.1": "section comparison",
    "A.8.1": "the document itself; nonXMLBody",
}  # fmt: skip
"""Where a CDA document holds each element. Source: CDA R2; PS3.20."""


def report_of_cda(data: bytes, known: Beside) -> ImagingReport:
    """Read a CDA document. Raises MalformedRequest, also when it is about somebody else than is known, and TooLarge."""
    root = read_tree(data)
    if root.tag != CDA_ROOT:
        raise MalformedRequest("no CDA document")
    cda = header_of(root)
    patient = _patient(root, cda, known)
    found = chapters_of(Body(root).outline(cda.index.title))
    studies = tuple(dict.fromkeys((*cda.index.study_instance_uids, *known.studies)))
    return ImagingReport(
        header=_header(root, cda, patient, known),
        order=_order(root, cda, found, known),
        examination=_examination(root, cda, patient, studies, found, known),
        doses=(Dose("\n".join(found.dose), next(iter(studies), None)),) if found.dose else (),
        key_images=tuple(found.key_images),
        comparison=Comparison("\n".join(found.comparison)) if found.comparison else None,
        presented_forms=_forms(root, data, cda),
        sections=tuple(found.sections),
    )


def _patient(root: Element, cda: CdaDocument, known: Beside) -> Patient:
    """Whom the document is about, by the number under which they are known here. Raises MalformedRequest for somebody else."""
    if known.number is not None and known.number not in cda.patients:
        raise MalformedRequest("the document names another patient", path="recordTarget")
    if known.patient is None:
        return people.patient_of(root, cda, known.number)
    said = people.patient_of(root, cda, known.patient.identifier)
    theirs = {known.patient.identifier, *known.patient.former, *known.patient.others}
    if theirs.intersection(cda.patients) or not _differs(said, known.patient):
        others = tuple(one for one in said.others if one not in known.patient.former)
        return replace(said, others=others, former=known.patient.former)
    raise MalformedRequest("the document names another patient", path="recordTarget")


def _differs(said: Patient, known: Patient) -> bool:
    """Whether name or birth date is another one, or neither can be compared."""
    names = [{fold(name.family) for name in one.names if name.family} for one in (said, known)]
    births = [one.birth_date for one in (said, known)]
    same_name, same_birth = bool(names[0] & names[1]), births[0] == births[1] != ""
    return not (same_name and (same_birth or "" in births))


def _header(root: Element, cda: CdaDocument, patient: Patient, known: Beside) -> Header:
    index, coded = cda.index, code_of(at(root, "code"))
    shared = known.identifier or index.unique_id
    confidentiality = confidentiality_of(root)
    return Header(
        identifier=shared,
        patient=patient,
        title=index.title,
        date=index.created or known.created or "",
        type=coded if coded is not None and coded.system == LOINC else None,
        status=index.status or known.status or "unknown",
        language=index.language or known.language,
        version=index.version,
        authors=people.authors(root),
        organisation=people.author_organisation(root),
        attester=people.attester(root),
        custodian=index.custodian or known.custodian,
        document_identifier=cda.unique_id if cda.unique_id != shared else None,
        devices=people.devices(root),
        validators=people.validators(root),
        recipients=people.recipients(root),
        insurances=people.insurances(root),
        confidentiality=None if confidentiality == NORMAL else confidentiality,
        replaces=index.replaces,
        appends=related(root, "APND"),
    )


def _order(root: Element, cda: CdaDocument, found: Chapters, known: Beside) -> Order:
    """The order; of its numbers those are accession numbers that are called so, or that come from who issues them."""
    order, ours = at(root, "inFulfillmentOf", "order"), f"urn:oid:{known.accession_issuer}"
    labelled = cda.index.accession_numbers
    accessions = labelled or tuple(one for one in cda.order_numbers if one.system == ours)
    code = code_of(at(order, "code"))
    return Order(
        accession_numbers=accessions or known.accession_numbers,
        placer_order_numbers=tuple(one for one in cda.order_numbers if one not in accessions),
        requested="\n".join(found.requested) or (code.display if code else None),
        requested_code=code,
        requester=people.requester(root),
        reasons=tuple(dict.fromkeys(found.reasons)),
        history=tuple(found.history),
        medications=tuple(found.taken),
        priority=_PRIORITIES.get(at(order, "priorityCode").get("code") or ""),
    )


_PRIORITIES = {"R": "routine", "UR": "urgent", "A": "asap", "EM": "stat", "S": "stat"}


def _examination(
    root: Element, cda: CdaDocument, patient: Patient, studies: tuple[str, ...], found: Chapters, known: Beside
) -> Examination:
    event, index = at(root, "documentationOf", "serviceEvent"), cda.index
    start, end = period(at(event, "effectiveTime"))
    one = len(studies) == 1
    code = code_of(at(event, "code"))
    named = tuple(found.procedures) or ((_statement(code),) if code else ())
    technique = "\n".join(found.technique) or None
    doers = people.performers(event)
    procedures = [
        Procedure(name, technique if number == 0 else None, start, end, performers=doers)
        for number, name in enumerate(named or ((None,) if technique or doers else ()))
    ]
    return Examination(
        studies=tuple(
            Study(
                uid,
                patient,
                (),
                started=(start or known.started) if one else None,
                description=known.description if one else None,
                accession_numbers=index.accession_numbers if one else (),
                other_modalities=index.modalities or known.modalities if one else (),
            )
            for uid in studies
        ),
        procedures=tuple(procedures),
        performed=start or known.started,
        performed_until=end,
        medications=tuple(found.medications),
        findings=tuple(found.findings),
        impressions=tuple(found.impressions),
        recommendations=tuple(found.recommendations),
        communication="\n".join(found.communication) or None,
    )


def _statement(code: Code) -> Statement:
    return Statement(code.display or code.code, code)


def _forms(root: Element, data: bytes, cda: CdaDocument) -> tuple[PresentedForm, ...]:
    """The whole of it as it was issued; of level 1 first what it holds."""
    language, title, created = cda.index.language, cda.index.title, cda.index.created or None
    inside = form_of(root)
    forms = [PresentedForm(inside[0], inside[1], language, title, created)] if inside else []
    return (*forms, PresentedForm(XML, data, language, title, created))
