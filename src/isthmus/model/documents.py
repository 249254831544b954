"""Documents: what a search across the border lists. A report, or the manifest of a study.

Source: ITI-67; MADO.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from isthmus.model.codes import Code
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import Organisation


class DocumentKind(StrEnum):
    """What a document is, decided by category, type, format and media type together. Source: wire.md §1.4.3."""

    REPORT_FHIR = "report-fhir"
    REPORT_PDF = "report-pdf"
    REPORT_CDA = "report-cda"
    MANIFEST_FHIR = "manifest-fhir"
    MANIFEST_KOS = "manifest-kos"

    @property
    def is_manifest(self) -> bool:
        return self in (DocumentKind.MANIFEST_FHIR, DocumentKind.MANIFEST_KOS)


WITHDRAWN: Final = "withdrawn"  # given to nobody; only what directives say of it still counts


@dataclass(frozen=True, slots=True)
class Document:
    """One entry of a list.

    Inside Country A `id` is the row number as text and `patient` the national identifier; `country_a/handles.py` turns both into what crosses
    (pairwise id, handle). Inside Country B `id` is the border's id.
    """

    id: str
    kind: DocumentKind
    patient: PatientIdentifier | None
    unique_id: Identifier  # masterIdentifier: (urn:dicom:uid, urn:oid:…) or (urn:ietf:rfc:3986, urn:uuid:…)
    title: str
    indexed: str  # DocumentReference.date, FHIR instant
    created: str  # attachment.creation, FHIR dateTime
    media_type: str
    study_instance_uids: tuple[str, ...] = ()
    accession_numbers: tuple[Identifier, ...] = ()
    status: str = "current"  # or superseded; inside Country A also WITHDRAWN
    language: str | None = None
    authors: tuple[str, ...] = ()  # as shown
    custodian: Organisation | None = None
    modalities: tuple[str, ...] = ()  # DCM codes
    regions: tuple[Code, ...] = ()
    period_start: str | None = None  # of the examination, FHIR dateTime
    size_bytes: int | None = None
    series_count: int | None = None  # manifests
    instance_count: int | None = None
    study_bytes: int | None = None
    report_status: str | None = None  # reports: DiagnosticReport.status
    report_version: str | None = None
    replaces: str | None = None  # id of the earlier version
    twin: str | None = None  # id of the same manifest in its other form
    updated: str | None = None  # when the entry last changed, FHIR instant: made, or replaced by a later one
    url: str | None = None  # where it is read; compared, never followed
    description: str | None = None
    sensitivity: tuple[str, ...] = ()  # labels, inside Country A
    refers_to: tuple[
        str, ...
    ] = ()  # inside Country A: other studies that a study's own reports and key images refer to
    inline: bytes | None = field(default=None, repr=False)  # a PDF that came in the entry itself
    unmapped: int = 0  # inside Country A: codes of its own in it that nobody could map
    mapped_by: str = ""  # inside Country A: the table by which the others were
    profile: str | None = None  # of a report that was made of what was issued otherwise, as the packs name it
    issued: str | None = (
        None  # inside Country A: media type in which it can be had as issued, beside what was made of it
    )
    order_numbers: tuple[Identifier, ...] = ()  # of whoever placed the order, where the entry carries them


@dataclass(frozen=True, slots=True)
class DocumentContent:
    """A document as it crosses: its bytes as they were made once, and what names them."""

    document: Document
    media_type: str
    body: bytes = field(repr=False)
    etag: str | None = None
