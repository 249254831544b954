"""Instances that are reports: structured reports, and encapsulated PDF and CDA. What of a DICOM document is read, and whose it is.

Source: PS3.3 §A.35, §A.45, §C.17.2, §C.24.2; field-faults F04.
"""

from __future__ import annotations

from typing import Final

from isthmus.dicom import tags
from isthmus.dicom.content import Item, plan_of, read_content
from isthmus.dicom.encapsulated import document_bytes
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.values import iso_date
from isthmus.dicom.windows import Bounds
from isthmus.errors import MalformedRequest, UnsupportedRequest
from isthmus.model.identifiers import UNIDENTIFIED, PatientIdentifier, is_uid, plain_uid
from isthmus.model.people import HumanName, Patient
from isthmus.originals.beside import Beside
from isthmus.wire import kos_values as values

PDF, XML = "application/pdf", "text/xml"
STRUCTURED: Final = frozenset(f"1.2.840.10008.5.1.4.1.1.88.{last}" for last in (11, 22, 33, 34, 35))
"""Basic Text, Enhanced, Comprehensive, Comprehensive 3D, Extensible SR. Dose, CAD, procedure logs and key objects are no reports: they
are read as text where the study is seen. Decision 0022."""
ENCAPSULATED: Final = {"1.2.840.10008.5.1.4.1.1.104.1": PDF, "1.2.840.10008.5.1.4.1.1.104.2": XML}
"""Encapsulated PDF and CDA; of other encapsulated documents (models) none is a report."""
BOUNDS: Final = Bounds(max_depth=32, max_elements=500_000, max_non_pixel_bytes=64 << 20)
GENDERS: Final = {sex: gender for gender, sex in values.SEXES.items()}
_GLOBAL: Final = ("urn:", "http://", "https://")  # issuers that are the same everywhere; a local name tells nothing
_SEQUENCES: Final = frozenset(
    {
        *(tags.VERIFYING_OBSERVER_SEQUENCE, tags.AUTHOR_OBSERVER_SEQUENCE, tags.OTHER_EVIDENCE_SEQUENCE),
        *(tags.VERIFYING_OBSERVER_IDENTIFICATION_CODE_SEQUENCE, tags.PREDECESSOR_DOCUMENTS_SEQUENCE),
        *(tags.REASON_FOR_REQUESTED_PROCEDURE_CODE_SEQUENCE, tags.CODING_SCHEME_IDENTIFICATION_SEQUENCE),
        *(tags.LANGUAGE_CODE_SEQUENCE, tags.NUMERIC_VALUE_QUALIFIER_SEQUENCE),
    }
)
_PLAN: Final = plan_of(
    frozenset(
        {
            *(tags.COMPLETION_FLAG, tags.VERIFICATION_FLAG, tags.PRELIMINARY_FLAG, tags.VERIFYING_OBSERVER_NAME),
            *(tags.VERIFYING_ORGANIZATION, tags.VERIFICATION_DATE_TIME, tags.CODING_SCHEME_UID, tags.CONTENT_ITEM_NAME),
            *(tags.REFERRING_PHYSICIAN_NAME, tags.REQUESTING_PHYSICIAN, tags.READING_PHYSICIANS, tags.GRAPHIC_TYPE),
            *(tags.REASON_FOR_REQUESTED_PROCEDURE, tags.FILLER_ORDER_NUMBER, tags.CONTENT_ITEM_DATE_TIME),
            *(tags.REFERENCED_CONTENT_ITEM, tags.TEMPORAL_RANGE_TYPE, tags.SERIES_DESCRIPTION, tags.DOCUMENT_TITLE),
            tags.CONFIDENTIALITY_CODE,
            *(tags.ENCAPSULATED_DOCUMENT, tags.ENCAPSULATED_DOCUMENT_TYPE, tags.ENCAPSULATED_DOCUMENT_LENGTH),
        }
    ),
    _SEQUENCES,
)


def is_instance(data: bytes) -> bool:
    """Whether this is a DICOM file."""
    return data[128:132] == b"DICM"


def read_instance(data: bytes) -> Item:
    """The values of an instance that is a report. Raises MalformedRequest, and UnsupportedRequest for one that is none."""
    root = _read(data)
    if not is_structured(root) and sop_class(root) not in ENCAPSULATED:
        raise UnsupportedRequest("a DICOM object, but no report", reason="body-media")
    if not is_uid(root.text(tags.SOP_INSTANCE_UID)) or not is_uid(root.text(tags.STUDY_INSTANCE_UID)):
        raise MalformedRequest("a DICOM report without its UIDs")
    return root


def read_tree(data: bytes) -> Item:
    """The values of an instance that is a tree of content items, of whatever SOP class. Raises MalformedRequest."""
    root = _read(data)
    if root.text(tags.VALUE_TYPE) != "CONTAINER":
        raise MalformedRequest("a DICOM object without a content tree")
    return root


def _read(data: bytes) -> Item:
    try:
        return read_content(data, BOUNDS, _PLAN)[1]
    except DicomFault as fault:
        raise MalformedRequest(f"no DICOM document that can be read ({fault.reason})") from fault


def sop_class(root: Item) -> str:
    return plain_uid(root.text(tags.SOP_CLASS_UID))


def is_structured(root: Item) -> bool:
    return sop_class(root) in STRUCTURED


def encapsulated(root: Item) -> tuple[bytes, str]:
    """The document inside, as it was before it was padded, and its media type."""
    media = ENCAPSULATED[sop_class(root)]
    value, raw = root.values.get(tags.ENCAPSULATED_DOCUMENT), root.values.get(tags.ENCAPSULATED_DOCUMENT_LENGTH)
    length = int.from_bytes(raw, "little") if isinstance(raw, bytes) and len(raw) == 4 else None
    return document_bytes(value if isinstance(value, bytes) else b"", length, media), media


def patient_of(root: Item, known: Beside) -> Patient:
    """The patient: whom the register knows, else as the file says. Without issuer the number is of this study alone.

    Raises MalformedRequest for a number that is none, and for another than the one that is known.
    """
    if known.patient is not None:
        return known.patient
    number = root.text(tags.PATIENT_ID)
    qualifiers = root.first(tags.ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE)
    system = values.read_issuer(qualifiers) or values.system_of(root.text(tags.ISSUER_OF_PATIENT_ID))
    named = system or values.unknown_issuer(root.text(tags.STUDY_INSTANCE_UID))
    said = PatientIdentifier(named, number) if number else UNIDENTIFIED
    if known.number is not None and number and _contradicts(number, system, known.number):
        raise MalformedRequest("the document names another patient", path="PatientID")
    return Patient(
        identifier=known.number or said,
        names=tuple(dict.fromkeys(values.read_persons(root.name(tags.PATIENT_NAME)))) or (HumanName(""),),
        birth_date=iso_date(root.text(tags.PATIENT_BIRTH_DATE)) or "",
        gender=GENDERS.get(root.text(tags.PATIENT_SEX), "unknown"),
    )


def _contradicts(number: str, system: str | None, known: PatientIdentifier) -> bool:
    """Whether a file says another number, or that somebody else issued it."""
    return number != known.value or (system is not None and system.startswith(_GLOBAL) and system != known.system)
