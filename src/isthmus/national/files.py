"""The embedded archive and register as a national connector.

Source: interfaces.md §7.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo

from sqlalchemy import Connection

from isthmus.archive import index as rows
from isthmus.archive import prepared, queries, register
from isthmus.archive.containers import read_slice
from isthmus.archive.formed import rows as forms
from isthmus.archive.formed.forms import Forms
from isthmus.archive.metadata import Metadata, read_metadata
from isthmus.config import Settings
from isthmus.errors import DocumentNotFound, ImagesNotFound, NationalInfrastructureUnavailable
from isthmus.model.documents import Document, DocumentContent
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import Patient
from isthmus.model.pieces import StoredInstance
from isthmus.model.queries import DocumentQuery, ImagesQuery, PatientQuery
from isthmus.sandbox import Sandbox
from isthmus.storage.database import Database
from isthmus.wire.packs.pack import Pack, load_pack


class Files:
    """What the archive holds, by the four verbs. Manifests are made where they are missing."""

    def __init__(
        self, settings: Settings, index: Database, clock: Callable[[], datetime], pack: Pack | None = None
    ) -> None:
        self._blobs = settings.path(settings.blobs)
        self._index = index
        self._pack = (pack or load_pack()).name
        self._makers = {self._pack: prepared.Manifests(settings, index, clock, pack or load_pack())}
        self._made_with = settings, index, clock
        self._sandbox = Sandbox()  # no child before a report is to be made
        self._forms = Forms(settings, index, clock, pack or load_pack(), self._sandbox)
        self._metadata = Metadata(settings, index)
        sources = (*settings.sources.images, *settings.sources.reports, *settings.sources.patients)
        images = settings.sources.images
        here = next((at for at, source in enumerate(images) if source.kind == "files"), len(images))
        self._before = frozenset(source.name for source in images[:here])
        self._zone: tzinfo = next((source.zone for source in sources if source.time_zone), UTC)

    @property
    def zone(self) -> tzinfo:
        return self._zone

    async def find_patients(self, query: PatientQuery) -> Sequence[Patient]:
        return await self._index.read(lambda connection: register.find(connection, query))

    async def find_documents(self, query: DocumentQuery) -> Sequence[Document]:
        patient = query.patient
        if patient is None:
            return ()
        pack = query.pack or self._pack
        if pack not in self._makers:
            self._makers[pack] = prepared.Manifests(*self._made_with, load_pack(pack))
        makes = self._makers[pack]
        if await self._index.read(lambda connection: self._unclaimed(connection, patient)):
            await self._index.write(lambda connection: self._claim(connection, patient))
        missing = await self._index.read(lambda connection: _missing(connection, patient, makes))
        if missing:
            await asyncio.to_thread(makes.make, missing)
        whose = await self._index.read(lambda connection: self._unformed(connection, patient))
        if whose is not None:
            await asyncio.to_thread(self._forms.make, whose)
        return await self._index.read(lambda connection: _documents(connection, patient, pack))

    async def get_document(self, patient: PatientIdentifier, id: str) -> DocumentContent:
        content = await self._index.read(lambda connection: self._content(connection, patient, id))
        if content is None:
            raise DocumentNotFound("this patient has no such document")
        return content

    async def get_issued(self, patient: PatientIdentifier, id: str) -> DocumentContent:
        content = await self._index.read(lambda connection: self._content(connection, patient, id, issued=True))
        if content is None:
            raise DocumentNotFound("this patient has no such document")
        return content

    async def get_images(self, patient: PatientIdentifier, query: ImagesQuery) -> Sequence[StoredInstance]:
        found = await self._index.read(lambda c: queries.find_stored(c, self._blobs, patient, query))
        if not found:
            raise ImagesNotFound("this patient has no such images")
        return found

    async def get_metadata(self, patient: PatientIdentifier, query: ImagesQuery) -> bytes:
        def kept(connection: Connection) -> tuple[bool, bytes | None]:
            return queries.holds(connection, patient, query), read_metadata(connection, query)

        there, body = await self._index.read(kept)
        if there and body is None:
            await asyncio.to_thread(self._metadata.make, [query.study_instance_uid])
            there, body = await self._index.read(kept)
        if not there:
            raise ImagesNotFound("this patient has no such images")
        if body is None:
            raise NationalInfrastructureUnavailable("the study changes faster than it can be described")
        return body

    async def former_identifiers(self, patient: PatientIdentifier) -> Sequence[PatientIdentifier] | None:
        def known(connection: Connection) -> Sequence[PatientIdentifier] | None:
            if register.is_merged(connection, patient):
                return None
            row = register.anchor_row(connection, patient)
            return () if row is None else register.former_of(connection, row)

        return await self._index.read(known)

    async def close(self) -> None:
        """Let the children go."""
        await asyncio.to_thread(self._sandbox.close)

    async def corrections_of(self, study_instance_uid: str) -> int:
        return await self._index.read(lambda connection: queries.corrections_of(connection, study_instance_uid))

    def _unclaimed(self, connection: Connection, patient: PatientIdentifier) -> tuple[int, list[str]] | None:
        known = register.patient_row(connection, patient)
        uids = rows.unclaimed(connection, known[0], self._before) if known is not None else []
        return (known[0], uids) if known is not None and uids else None

    def _claim(self, connection: Connection, patient: PatientIdentifier) -> None:
        if (found := self._unclaimed(connection, patient)) is not None:
            rows.claim(connection, found[1], found[0])

    def _unformed(self, connection: Connection, patient: PatientIdentifier) -> int | None:
        known = register.patient_row(connection, patient)
        return known[0] if known is not None and self._forms.missing(connection, known[0]) else None

    def _content(
        self, connection: Connection, patient: PatientIdentifier, id: str, *, issued: bool = False
    ) -> DocumentContent | None:
        row = queries.find_document(connection, patient, id)
        if row is None:
            return None
        formed = None if issued else forms.read_formed(connection, row.number)
        if formed is not None:
            (document,) = forms.as_formed(connection, row.patient_id, [queries.document_of(row)])
            return DocumentContent(document, document.media_type, formed, etag=hashlib.sha256(formed).hexdigest())
        if row.foreign_id is not None:  # an instance: it is had among the images
            return None
        body = prepared.read_prepared(connection, row.number)
        if body is None:
            try:
                body = read_slice(self._blobs, row.container, row.offset, row.size)
            except OSError as error:
                raise NationalInfrastructureUnavailable("a document's bytes cannot be read") from error
        if hashlib.sha256(body).hexdigest() != row.sha256:
            raise NationalInfrastructureUnavailable("a document's bytes are not those that were kept")
        return DocumentContent(queries.document_of(row), row.media_type, body, etag=row.sha256)


def _missing(connection: Connection, patient: PatientIdentifier, makes: prepared.Manifests) -> list[str]:
    known = register.patient_row(connection, patient)
    return [] if known is None else makes.missing(connection, known[0])


def _documents(connection: Connection, patient: PatientIdentifier, pack: str) -> list[Document]:
    known = register.patient_row(connection, patient)
    if known is None:
        return []
    return forms.as_formed(connection, known[0], queries.documents_of(connection, known[0], pack))
