"""A DICOM structured report as an imaging report: header, chapters, what it is compared with, and the file itself as it was issued.

Source: PS3.3 §A.35; PS3.16; data set A.1 to A.8.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from isthmus.dicom import tags
from isthmus.dicom.content import Item
from isthmus.model.imaging import Study
from isthmus.model.people import Patient
from isthmus.model.report.comparison import ComparedStudy, Comparison
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.dose import Dose
from isthmus.model.report.examination import Examination, Procedure
from isthmus.model.report.header import Header
from isthmus.model.report.order import Order
from isthmus.model.report.presented_form import PresentedForm
from isthmus.model.report.statements import Statement
from isthmus.originals.beside import Beside, numbered
from isthmus.originals.chapters import Chapters, chapters_of
from isthmus.originals.coded import Coding
from isthmus.originals.instances import patient_of
from isthmus.originals.sr.body import evidence, read_body
from isthmus.originals.sr.header import SrHeader

DICOM = "application/dicom"


HOLDS: Final = {
    "A.1.1.1": "PatientName",
    "A.1.1.2": "PatientName",
    "A.1.1.3": "PatientBirthDate",
    "A.1.1.4": "PatientID, IssuerOfPatientID",
    "A.1.1.5": "PatientSex",
    "A.1.5.2": "AuthorObserverSequence, person observer",
    "A.1.5.3": "InstitutionName, observer's organisation",
    "A.1.5.4": "ContentDate, ContentTime",
    "A.1.6.1": "VerifyingObserverIdentificationCodeSequence",
    "A.1.6.2": "VerifyingObserverName",
    "A.1.6.3": "VerifyingOrganization",
    "A.1.6.4": "VerificationDateTime",
    "A.1.7.1": "VerifyingObserverIdentificationCodeSequence",
    "A.1.7.2": "VerifyingObserverName, but the last",
    "A.1.7.3": "VerifyingOrganization",
    "A.1.7.4": "VerificationDateTime",
    "A.1.8.0": "SOPInstanceUID",
    "A.1.8.1": "ConceptNameCodeSequence",
    "A.1.8.2": "CompletionFlag, VerificationFlag",
    "A.1.8.3": "ContentDate, ContentTime",
    "A.1.8.4": "ConceptNameCodeSequence",
    "A.1.8.5": "procedure reported",
    "A.1.8.6": "CustodialOrganizationSequence",
    "A.1.8.7": "ConfidentialityCode",
    "A.1.8.8": "language of content",
    "A.1.8.10": "StudyInstanceUID, evidence",
    "A.1.8.11": "ReferencedRequestSequence, AccessionNumber",
    "A.2.1": "ReferencedRequestSequence",
    "A.2.4": "RequestingPhysician, ReferringPhysicianName",
    "A.3.1": "ReasonForTheRequestedProcedure, section of reason",
    "A.3.2": "section history",
    "A.3.3": "ReasonForTheRequestedProcedure",
    "A.5.1.1": "the study's series",
    "A.5.1.2": "StudyDate, StudyTime",
    "A.5.1.3": "section procedure",
    "A.5.1.4": "procedure reported",
    "A.5.1.5": "procedure reported",
    "A.5.1.6.1": "finding site",
    "A.5.1.6.2": "laterality",
    "A.5.4.1": "observation date and time",
    "A.5.4.2": "section findings",
    "A.5.4.3.1": "concept name",
    "A.5.4.3.2": "concept name",
    "A.5.4.3.3": "measurement method",
    "A.5.4.3.4": "NUM, CODE, TEXT",
    "A.5.5.1": "section impression",
    "A.5.5.2.1": "CODE in impression",
    "A.5.6.1": "section recommendation",
    "A.5 dose": "exposure text",
    "A.6.1": "IMAGE reference",
    "A.6.3": "IMAGE reference",
    "A.6.9": "words beside the IMAGE",
    "A.6.10": "IMAGE reference",
    "A.7.1": "section comparison, other evidence",
    "A.8.1": "the instance itself",
}  # fmt: skip
"""Where a structured report holds each element. Source: PS3.3 C.17; PS3.16 CID 7001."""


def report_of_sr(root: Item, data: bytes, known: Beside) -> ImagingReport:
    """A structured report, from its values and its bytes. Raises MalformedRequest for a patient number that is none."""
    coding = Coding.of(root)
    head = SrHeader(root, coding)
    patient = patient_of(root, known)
    found = chapters_of(read_body(root, coding, head.is_read))
    studies = tuple(dict.fromkeys((head.study, *known.studies, *_of_the_request(root))))
    return ImagingReport(
        header=_header(head, patient, known),
        order=_order(head, found, known),
        examination=_examination(head, root, patient, studies, found, known),
        doses=tuple([Dose("\n".join(found.dose), head.study)] if found.dose else []),
        key_images=tuple(found.key_images),
        comparison=_comparison(root, studies, found),
        presented_forms=(PresentedForm(DICOM, data, head.language or known.language, head.title),),
        sections=tuple(found.sections),
    )


def _of_the_request(root: Item) -> tuple[str, ...]:
    return tuple(dict.fromkeys(study for study, _, _ in evidence(root, tags.EVIDENCE_SEQUENCE)))


def _header(head: SrHeader, patient: Patient, known: Beside) -> Header:
    return Header(
        identifier=known.identifier or head.identifier,
        patient=patient,
        title=head.title,
        date=head.date or known.created or "",
        type=head.type,
        status=head.status,
        language=head.language or known.language,
        authors=head.authors(),
        organisation=head.organisation,
        attester=head.attester,
        validators=head.validators,
        replaces=head.replaces,
        custodian=head.custodian or known.custodian,
        confidentiality=head.confidentiality,
    )


def _order(head: SrHeader, found: Chapters, known: Beside) -> Order:
    reasons = (*(Statement(text, code) for text, code in head.reasons()), *found.reasons)
    said = [head.requested or "", *found.requested]
    return Order(
        accession_numbers=numbered(head.accession_numbers(), known),
        placer_order_numbers=head.placer_order_numbers(),
        requested="\n".join(filter(None, said)) or None,
        requester=head.requester,
        reasons=tuple(dict.fromkeys(reasons)),
        history=tuple(found.history),
    )


def _examination(
    head: SrHeader, root: Item, patient: Patient, studies: tuple[str, ...], found: Chapters, known: Beside
) -> Examination:
    first = Study(
        head.study,
        patient,
        (),
        started=head.performed or known.started,
        description=root.text(tags.STUDY_DESCRIPTION) or known.description,
        other_modalities=known.modalities,
    )
    technique = "\n".join(found.technique) or None
    named = [Procedure(name=one, performed=head.performed) for one in found.procedures]
    if named and technique:
        named[0] = replace(named[0], technique=technique)
    procedures = named or ([Procedure(technique=technique, performed=head.performed)] if technique else [])
    return Examination(
        studies=(first, *(Study(uid, patient, ()) for uid in studies if uid != head.study)),
        procedures=tuple(procedures),
        performed=head.performed or known.started,
        findings=tuple(found.findings),
        impressions=tuple(found.impressions),
        recommendations=tuple(found.recommendations),
        communication="\n".join(found.communication) or None,
    )


def _comparison(root: Item, studies: tuple[str, ...], found: Chapters) -> Comparison | None:
    """What is said of earlier studies, and those that the document refers to as further evidence."""
    others = dict.fromkeys(study for study, _, _ in evidence(root, tags.OTHER_EVIDENCE_SEQUENCE))
    compared = tuple(ComparedStudy(uid) for uid in others if uid not in studies)
    text = "\n".join(found.comparison) or None
    return Comparison(text, compared) if text or compared else None
