"""One national connector made of several sources, joined by kind: registers of patients, sources of reports, sources of images.

Every source of a kind is asked; one that does not answer fails the question, for a shorter list would fool. Of two that hold the same
study, or the same document, the first in the settings counts.

Source: interfaces.md §7; field-faults F38.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any, Protocol, runtime_checkable

from isthmus.errors import DocumentNotFound, ImagesNotFound, UnsupportedRequest
from isthmus.model.documents import WITHDRAWN, Document, DocumentContent
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import Patient
from isthmus.model.pieces import StoredInstance
from isthmus.model.queries import DocumentQuery, ImagesQuery, PatientQuery
from isthmus.national.connector import DescribesImages, GivesIssued, KnowsCorrections, KnowsIdentifiers


@runtime_checkable
class FindsPatients(Protocol):
    """A register, by the first verb of NationalConnector."""

    async def find_patients(self, query: PatientQuery) -> Sequence[Patient]: ...


@runtime_checkable
class GivesDocuments(Protocol):
    """A source of reports, by two verbs of NationalConnector. A document's id is its row number in the index, as text."""

    async def find_documents(self, query: DocumentQuery) -> Sequence[Document]: ...

    async def get_document(self, patient: PatientIdentifier, id: str) -> DocumentContent: ...


@runtime_checkable
class GivesImages(GivesDocuments, Protocol):
    """A source of images: it has the manifests of its studies as documents."""

    async def get_images(self, patient: PatientIdentifier, query: ImagesQuery) -> Sequence[StoredInstance]: ...


@dataclass(frozen=True)
class Sources:
    """The country's sources as one national connector."""

    patients: Sequence[FindsPatients]
    reports: Sequence[GivesDocuments]
    images: Sequence[GivesImages]
    zone: tzinfo

    async def find_patients(self, query: PatientQuery) -> Sequence[Patient]:
        """Everyone who fits, in any register. Two registers that tell the same person differently give two: nobody is then taken."""
        found = await asyncio.gather(*(source.find_patients(query) for source in self.patients))
        return tuple(dict.fromkeys(patient for some in found for patient in some))

    async def find_documents(self, query: DocumentQuery) -> Sequence[Document]:
        asked = list(dict.fromkeys((*self.images, *self.reports)))
        found = await asyncio.gather(*(source.find_documents(query) for source in asked))
        holds: dict[Any, GivesDocuments] = {}

        def counts(document: Document, source: GivesDocuments) -> bool:
            if not document.kind.is_manifest:
                same = document.kind, document.unique_id
                gone = document.status == WITHDRAWN
                return source in self.reports and (gone or holds.setdefault(same, source) is source)
            if document.status == WITHDRAWN or source not in self.images:
                return source in self.images
            return holds.setdefault(document.study_instance_uids, source) is source

        every = ((document, source) for source, some in zip(asked, found, strict=True) for document in some)
        listed = {document.id: document for document, source in every if counts(document, source)}
        return described(sorted(listed.values(), key=lambda document: int(document.id)))

    async def get_document(self, patient: PatientIdentifier, id: str) -> DocumentContent:
        for source in dict.fromkeys((*self.images, *self.reports)):
            try:
                return await source.get_document(patient, id)
            except DocumentNotFound:
                continue
        raise DocumentNotFound("this patient has no such document")

    async def get_issued(self, patient: PatientIdentifier, id: str) -> DocumentContent:
        for source in dict.fromkeys((*self.images, *self.reports)):
            if isinstance(source, GivesIssued):
                try:
                    return await source.get_issued(patient, id)
                except DocumentNotFound:
                    continue
        raise DocumentNotFound("this patient has no such document")

    async def get_images(self, patient: PatientIdentifier, query: ImagesQuery) -> Sequence[StoredInstance]:
        for source in self.images:
            try:
                return await source.get_images(patient, query)
            except ImagesNotFound:
                continue
        raise ImagesNotFound("this patient has no such images")

    async def get_metadata(self, patient: PatientIdentifier, query: ImagesQuery) -> bytes:
        """What a source has ready of its images. Raises UnsupportedRequest where it has nothing ready: they are read from the images."""
        for source in self.images:
            try:
                if isinstance(source, DescribesImages):
                    return await source.get_metadata(patient, query)
                await source.get_images(patient, query)
            except ImagesNotFound:
                continue
            raise UnsupportedRequest("no metadata are ready of these images", reason="no-route")
        raise ImagesNotFound("this patient has no such images")

    async def former_identifiers(self, patient: PatientIdentifier) -> Sequence[PatientIdentifier] | None:
        """What any register or archive here knows of merges; None as soon as one says that this identifier was merged away."""
        found: list[PatientIdentifier] = []
        for source in dict.fromkeys((*self.patients, *self.images, *self.reports)):
            if isinstance(source, KnowsCorrections):
                former = await source.former_identifiers(patient)
                if former is None:
                    return None
                found += former
        return tuple(dict.fromkeys(found))

    async def other_identifiers(self, patient: PatientIdentifier) -> Sequence[PatientIdentifier]:
        every = dict.fromkeys((*self.patients, *self.images, *self.reports))
        knowing = [source for source in every if isinstance(source, KnowsIdentifiers)]
        found = await asyncio.gather(*(source.other_identifiers(patient) for source in knowing))
        return tuple(dict.fromkeys(other for some in found for other in some))

    async def corrections_of(self, study_instance_uid: str) -> int:
        knowing = [source for source in self.images if isinstance(source, KnowsCorrections)]
        return sum([await source.corrections_of(study_instance_uid) for source in knowing])

    async def close(self) -> None:
        """Let the connections of every source go."""
        every = dict.fromkeys((*self.patients, *self.reports, *self.images))
        closing = [close() for source in every if (close := getattr(source, "close", None)) is not None]
        await asyncio.gather(*closing, return_exceptions=True)


def described(found: Sequence[Document]) -> list[Document]:
    """Reports that do not tell about their examination, as the manifests of their studies do. Source: DRC-05, DRC-15."""
    studies = {d.study_instance_uids[0]: d for d in found if d.kind.is_manifest and d.status == "current"}
    return [
        d
        if d.kind.is_manifest
        else _as_its_studies(d, [studies[uid] for uid in d.study_instance_uids if uid in studies])
        for d in found
    ]


def _as_its_studies(report: Document, studies: list[Document]) -> Document:
    return replace(
        report,
        accession_numbers=report.accession_numbers
        or tuple(dict.fromkeys(n for s in studies for n in s.accession_numbers)),
        custodian=report.custodian or next((s.custodian for s in studies if s.custodian), None),
        modalities=report.modalities or tuple(sorted({m for s in studies for m in s.modalities})),
        regions=report.regions or tuple(dict.fromkeys(r for s in studies for r in s.regions)),
        period_start=report.period_start or next((s.period_start for s in studies if s.period_start), None),
    )
