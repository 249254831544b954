"""A report that is a PDF: what is known of it beside its bytes, and the bytes themselves. Nothing in a PDF is read.

It comes alone, or inside a DICOM instance, which then says whose it is and which study it belongs to.

Source: PS3.3 §A.45.1, §C.24.2 (Encapsulated Document); data set A.8; wire.md §2.1 (REP-20).
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final
from uuid import NAMESPACE_OID, uuid5

from isthmus.dicom import tags
from isthmus.dicom.content import Item
from isthmus.errors import MalformedRequest
from isthmus.model.identifiers import Identifier
from isthmus.model.imaging import Study
from isthmus.model.people import HumanName, Organisation, Patient
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.examination import Examination
from isthmus.model.report.header import Header
from isthmus.model.report.order import Order
from isthmus.model.report.presented_form import PresentedForm
from isthmus.originals.beside import Beside, numbered
from isthmus.originals.coded import Coding
from isthmus.originals.instances import PDF, patient_of
from isthmus.originals.recognise import is_pdf
from isthmus.originals.sr.header import SrHeader

TITLE: Final = "Imaging report"


HOLDS: Final = {
    "A.1.1.1": "PatientName, or the register",
    "A.1.1.2": "PatientName, or the register",
    "A.1.1.3": "PatientBirthDate, or the register",
    "A.1.1.4": "PatientID, or the register",
    "A.1.1.5": "PatientSex, or the register",
    "A.1.5.4": "ContentDate, or what is known beside it",
    "A.1.8.0": "SOPInstanceUID, or made of its bytes",
    "A.1.8.3": "ContentDate, or what is known beside it",
    "A.1.8.4": "DocumentTitle",
    "A.1.8.6": "InstitutionName, or what is known beside it",
    "A.1.8.7": "ConfidentialityCode, or what is known beside it",
    "A.1.8.8": "what is known beside it",
    "A.1.8.10": "StudyInstanceUID, or the study it was tied to",
    "A.1.8.11": "AccessionNumber, or what is known beside it",
    "A.2.1": "ReferencedRequestSequence",
    "A.5.1.1": "the study's series",
    "A.5.1.2": "StudyDate, StudyTime",
    "A.5.1.6.1": "the study's regions",
    "A.8.1": "the document itself",
}  # fmt: skip
"""Where a PDF, or the instance around it, holds each element."""


def report_of_pdf(body: bytes, known: Beside) -> ImagingReport:
    """A bare PDF as a report. Raises MalformedRequest when nobody says whose it is."""
    patient = known.patient or (Patient(known.number, (HumanName(""),), "", "unknown") if known.number else None)
    if patient is None:
        raise MalformedRequest("a PDF does not say whose it is")
    header = Header(
        identifier=known.identifier or _named(patient, body),
        patient=patient,
        title=known.title or TITLE,
        date=known.created or "",
        status=known.status or "unknown",
        language=known.language,
        custodian=known.custodian,
        confidentiality=known.confidentiality,
    )
    studies = tuple(_study(uid, patient, known) for uid in known.studies)
    return _report(header, Order(known.accession_numbers), studies, body, known)


def report_of_encapsulated(root: Item, body: bytes, known: Beside) -> ImagingReport:
    """A PDF that is an instance of a study. Raises MalformedRequest when it holds none."""
    if not is_pdf(body):
        raise MalformedRequest("an encapsulated PDF that holds none", path="EncapsulatedDocument")
    head = SrHeader(root, Coding({}))
    patient = patient_of(root, known)
    institution = root.text(tags.INSTITUTION_NAME)
    header = Header(
        identifier=known.identifier or head.identifier,
        patient=patient,
        title=root.text(tags.DOCUMENT_TITLE) or known.title or head.title,
        date=head.date or known.created or "",
        status=known.status or "unknown",
        language=known.language,
        custodian=Organisation(institution) if institution else known.custodian,
        confidentiality=head.confidentiality,
    )
    study = Study(
        head.study,
        patient,
        (),
        started=head.performed or known.started,
        description=root.text(tags.STUDY_DESCRIPTION) or known.description,
        other_modalities=known.modalities,
    )
    said = head.accession_numbers()
    return _report(header, Order(numbered(said, known), head.placer_order_numbers()), (study,), body, known)


def _named(patient: Patient, body: bytes) -> Identifier:
    """An identifier that follows from whose it is and what it says: the same document has the same one."""
    number = patient.identifier
    derived = uuid5(NAMESPACE_OID, f"{number.system}|{number.value}/{sha256(body).hexdigest()}")
    return Identifier("urn:ietf:rfc:3986", derived.urn)


def _study(uid: str, patient: Patient, known: Beside) -> Study:
    alone = len(known.studies) == 1
    return Study(
        uid,
        patient,
        (),
        started=known.started if alone else None,
        description=known.description if alone else None,
        other_modalities=known.modalities if alone else (),
    )


def _report(header: Header, order: Order, studies: tuple[Study, ...], body: bytes, known: Beside) -> ImagingReport:
    started = next((study.started for study in studies if study.started), None)
    form = PresentedForm(PDF, body, header.language, header.title, header.date or None)
    return ImagingReport(header, order, Examination(studies, performed=started), presented_forms=(form,))
