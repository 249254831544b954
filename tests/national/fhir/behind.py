"""A country whose register and reports lie in a FHIR repository, and whose images are in the embedded archive."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests.archive.conftest import ISSUER, NOW, settings_in

from isthmus.model.documents import WITHDRAWN, Document, DocumentContent
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.model.pieces import StoredInstance
from isthmus.model.queries import DocumentQuery, ImagesQuery, PatientQuery
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.header import Header
from isthmus.national.opening import open_sources
from isthmus.sources import Source, Sources
from isthmus.storage.database import open_index
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import write_report

T = TypeVar("T")
SYSTEM = f"urn:oid:{ISSUER}"
LOINC = "http://loinc.org"
PDF = b"%PDF-1.7\n%%EOF\n"
STUDY_UID = "2.25.10"


def person(value: str, family: str, given: str) -> Patient:
    return Patient(PatientIdentifier(SYSTEM, value), (HumanName(family, (given,)),), "1970-01-01", "female")


MINE, STRANGER = person("123", "Müller", "Eva"), person("124", "Other", "Ada")


def patient_node(id_: str, patient: Patient, **members: Any) -> dict[str, Any]:
    identifier = {"system": patient.identifier.system, "value": patient.identifier.value}
    return {
        "resourceType": "Patient",
        "id": id_,
        "identifier": [identifier],
        "name": [{"family": n.family, "given": list(n.given)} for n in patient.names],
        "gender": patient.gender,
        "birthDate": patient.birth_date,
        **members,
    }


def report(patient: Patient = MINE, title: str = "CT report", number: int = 1, **header: Any) -> bytes:
    """A report as document Bundle."""
    identifier = Identifier("urn:ietf:rfc:3986", f"urn:uuid:5f0c1e10-0000-4000-8000-{number:012}")
    said = {"title": title, "date": "2026-03-01T09:00:00+02:00", "language": "en", **header}
    return write_report(ImagingReport(Header(identifier, patient, **said)), load_pack())


def cda(patient: Patient = MINE, version: int = 1) -> bytes:
    who = f'<id root="{patient.identifier.system.removeprefix("urn:oid:")}" extension="{patient.identifier.value}"/>'
    name = f"<name><given>{patient.name.given[0]}</given><family>{patient.name.family}</family></name>"
    return (
        f'<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="2.999.9.{version}"/><title>CT</title><recordTarget>'
        f'<patientRole>{who}<patient>{name}<birthTime value="19700101"/></patient></patientRole></recordTarget>'
        "</ClinicalDocument>"
    ).encode()


def entry(id_: str, *forms: tuple[str, str | bytes], patient: str = "p1", **members: Any) -> dict[str, Any]:
    """A DocumentReference; each form is a media type and a URL, or bytes."""
    attachments = [
        {"contentType": media_type, **({"url": at} if isinstance(at, str) else {"data": base64.b64encode(at).decode()})}
        for media_type, at in forms
    ]
    return {
        "resourceType": "DocumentReference",
        "id": id_,
        "status": "current",
        "type": {"coding": [{"system": LOINC, "code": "18748-4"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "date": "2026-03-02T09:00:00+02:00",
        "content": [{"attachment": one} for one in attachments],
        **members,
    }


def studies(*uids: str) -> dict[str, Any]:
    """The context of an entry that is about studies."""
    return {"related": [{"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}} for uid in uids]}


class Holds(Protocol):
    """A repository that can be filled."""

    @property
    def url(self) -> str: ...
    def put(self, node: dict[str, Any]) -> str: ...
    def put_binary(self, id_: str, media_type: str, body: bytes) -> str: ...
    def delete(self, kind: str, id_: str) -> None: ...


class Behind:
    """Everything, with one loop for all questions, as in a node."""

    def __init__(self, folder: Path, repository: Holds, **source: Any) -> None:
        self.repository = repository
        settings = settings_in(folder)
        fhir = Source(kind="fhir", name="hospital", url=repository.url, **{"page_size": 50, **source})
        sources = Sources(patients=(fhir,), reports=(fhir,), images=settings.sources.images)
        self.settings = replace(settings, sources=sources)
        self.index = open_index(self.settings)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.connector = open_sources(self.settings, self.index, lambda: NOW)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def find(self, query: PatientQuery | None = None) -> Sequence[Patient]:
        return self.run(self.connector.find_patients(query or PatientQuery((MINE.identifier,))))

    def listed(self, patient: Patient = MINE) -> list[Document]:
        """What may be offered; earlier versions that are gone stand in the list for directives alone."""
        return [document for document in self.known(patient) if document.status != WITHDRAWN]

    def known(self, patient: Patient = MINE) -> list[Document]:
        return list(self.run(self.connector.find_documents(DocumentQuery(patient=patient.identifier))))

    def get(self, id_: str, patient: Patient = MINE) -> DocumentContent:
        return self.run(self.connector.get_document(patient.identifier, id_))

    def issued(self, id_: str, patient: Patient = MINE) -> DocumentContent:
        return self.run(self.connector.get_issued(patient.identifier, id_))

    def again(self) -> None:
        """The node is started anew."""
        self.run(self.connector.close())
        self.connector = open_sources(self.settings, self.index, lambda: NOW)

    def close(self) -> None:
        self.run(self.connector.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        self.index.close()


class OneLoop:
    """The four verbs for whoever asks each in a loop of its own."""

    def __init__(self, behind: Behind) -> None:
        self._behind = behind

    @property
    def zone(self) -> tzinfo:
        return self._behind.connector.zone

    async def _ask(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._behind.loop))

    async def find_patients(self, query: PatientQuery) -> Sequence[Patient]:
        return await self._ask(self._behind.connector.find_patients(query))

    async def find_documents(self, query: DocumentQuery) -> Sequence[Document]:
        return await self._ask(self._behind.connector.find_documents(query))

    async def get_document(self, patient: PatientIdentifier, id: str) -> DocumentContent:
        return await self._ask(self._behind.connector.get_document(patient, id))

    async def get_images(self, patient: PatientIdentifier, query: ImagesQuery) -> Sequence[StoredInstance]:
        return await self._ask(self._behind.connector.get_images(patient, query))
