"""A PACS behind Country A as a source of images: what the connectors to one share, whatever they speak.

What it holds is asked at every request, so that a correction there acts at once; manifests are made from what it tells, without a pixel,
and kept while it tells the same. Bytes are passed on as they arrive.

Source: interfaces.md §7, §10; trust.md T52, T100; field-faults F38, F47.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime, tzinfo
from functools import partial
from hashlib import sha256
from time import monotonic
from typing import Protocol

from sqlalchemy import Connection

from isthmus.archive import index, prepared, queries, register
from isthmus.archive.metadata import packed
from isthmus.archive.studies import Told, describe_rows
from isthmus.config import Settings
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.header import Header, read_header
from isthmus.dicom.uids import is_uid
from isthmus.dicom.windows import BytesSource
from isthmus.errors import (
    ContentMismatch,
    DocumentNotFound,
    ImagesNotFound,
    ImagesPreparing,
    NationalInfrastructureUnavailable,
    UnsupportedRequest,
)
from isthmus.model.documents import Document, DocumentContent
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.pieces import Arriving, StoredInstance
from isthmus.model.queries import DocumentQuery, ImagesQuery
from isthmus.national.metadata import TellsMetadata, described
from isthmus.national.told import Held, mine
from isthmus.sources import Source
from isthmus.storage.database import Database
from isthmus.transport.line import begun, replayed
from isthmus.wire.packs.pack import Pack, load_pack

LOG = logging.getLogger("isthmus.national")
REMEMBERED = 64  # studies whose instances are not asked for again while the PACS tells the same
UNCOUNTED_S = 30.0  # how long a list of instances is good for that the PACS does not count
HEAD_BYTES, HEAD_MAX_BYTES = 64 << 10, 16 << 20  # of an instance, read before any of it is passed on
UNKNOWN_BYTES = 1 << 40  # a size nobody told
PREPARING_S = 60  # when to come back, where the PACS does not say


class Pacs(Protocol):
    """How a PACS is asked. What does not answer raises NationalInfrastructureUnavailable; a shorter answer is never passed off as whole."""

    async def find_studies(self, patient: PatientIdentifier, study_instance_uid: str | None = None) -> Sequence[Held]:
        """What it holds of a patient, or of one study: down to the series. It may give too much; that is filtered again."""

    async def list_instances(self, held: Held) -> Sequence[Told]:
        """Every instance of a study, by series number, instance number, UIDs. Raises when it lists fewer than it counts."""

    async def make_ready(self, held: Held) -> float:
        """Have a near-line study fetched to where it can be read; gives after how many seconds to come back."""

    def fetch(self, held: Held, told: Told, listed: Sequence[Told]) -> AsyncIterator[bytes | memoryview]:
        """One instance as a Part 10 file, as it is stored, while it arrives. Left early, the PACS is told.

        `listed` is the whole study, for who asks for a series at once.

        Raises ImagesNotFound, ImagesPreparing before the first byte; ContentMismatch when it breaks off.
        """

    async def close(self) -> None:
        """Let connections go."""


class PacsImages:
    """The half of a national connector that a PACS fills: manifests and images of a patient, and of no other."""

    def __init__(
        self, settings: Settings, index_database: Database, source: Source, pacs: Pacs, clock: Callable[[], datetime]
    ) -> None:
        self.source, self.pacs = source, pacs
        self._index = index_database
        pack = load_pack()
        self._default = pack.name
        self._made_with = settings, index_database, clock
        self._makers = {pack.name: prepared.Manifests(*self._made_with, pack)}  # now: a table of codes may be wrong
        self._instances: OrderedDict[tuple[str, str], tuple[Sequence[Told], float]] = OrderedDict()
        names = [one.name for one in settings.sources.images]
        before = names[: names.index(source.name)] if source.name in names else names
        keeps = [""] if any(one.kind == "files" for one in settings.sources.images) else []
        self._before = frozenset((*before, *keeps)) - {source.name}

    @property
    def zone(self) -> tzinfo:
        return self.source.zone

    async def find_documents(self, query: DocumentQuery) -> Sequence[Document]:
        patient = query.patient
        if patient is None:
            return ()
        pack = load_pack(query.pack or self._default)
        told = await self._held(patient)
        await self._give_up(patient, {one.study_instance_uid for one in told})
        held = [one for one in told if await self._noted(one, pack)]
        studies = {one.study_instance_uid for one in held}
        if not studies:
            return ()
        listed = await self._index.read(partial(self._listed, patient=patient, pack=pack.name))
        return [document for document in listed if document.study_instance_uids[0] in studies]

    async def get_document(self, patient: PatientIdentifier, id: str) -> DocumentContent:
        found = await self._index.read(lambda c: prepared.read_told(c, self.source.name, patient, id))
        if found is None or not await self._held(patient, found.document.study_instance_uids[0]):
            raise DocumentNotFound("this patient has no such document")
        return found

    async def get_images(self, patient: PatientIdentifier, query: ImagesQuery) -> Sequence[StoredInstance]:
        held, listed, told = await self._found(patient, query)
        if not held.at_hand:
            raise ImagesPreparing(
                "the study is near-line", retry_after_s=await self.pacs.make_ready(held) or PREPARING_S
            )
        return [self._stored(held, one, listed) for one in told]

    async def get_metadata(self, patient: PatientIdentifier, query: ImagesQuery) -> bytes:
        """As the PACS tells them now, series by series. Raises UnsupportedRequest (no-route) where it has none ready: images tell them."""
        held, _, told = await self._found(patient, query)
        if not isinstance(self.pacs, TellsMetadata):
            raise UnsupportedRequest("no metadata are ready of these images", reason="no-route")
        objects: dict[str, bytes] = {}
        for series in dict.fromkeys(one.series_instance_uid for one in told):
            wanted = [one for one in told if one.series_instance_uid == series]
            body = await self.pacs.find_metadata(held, series, query.sop_instance_uid)
            said = await asyncio.to_thread(described, body, held, wanted, self.source)
            objects |= {one.sop_instance_uid: json for one, json in zip(wanted, said, strict=True)}
        parts = [(b"," if at else b"[") + objects[one.sop_instance_uid] for at, one in enumerate(told)]
        return await asyncio.to_thread(packed, [*parts, b"]"])

    async def close(self) -> None:
        await self.pacs.close()

    async def _found(
        self, patient: PatientIdentifier, query: ImagesQuery
    ) -> tuple[Held, Sequence[Told], Sequence[Told]]:
        """A study of this patient's that is this source's to give, its instances, and those that are asked for. Raises ImagesNotFound."""
        held = next(iter(await self._held(patient, query.study_instance_uid)), None)
        if held is None or await self._index.read(partial(self._is_others, study=held.study_instance_uid)):
            raise ImagesNotFound("this patient has no such images")
        listed = await self._told(held)
        told = [one for one in listed if _wanted(one, query)]
        if not told:
            raise ImagesNotFound("this patient has no such images")
        return held, listed, told

    def _stored(self, held: Held, told: Told, listed: Sequence[Told]) -> StoredInstance:
        return StoredInstance(
            study_instance_uid=held.study_instance_uid,
            series_instance_uid=told.series_instance_uid,
            sop_instance_uid=told.sop_instance_uid,
            transfer_syntax_uid="",
            content=Arriving(partial(self._checked, held, told, listed)),
            size_bytes=None,
            sha256=None,
        )

    async def _checked(self, held: Held, told: Told, listed: Sequence[Told]) -> AsyncGenerator[bytes | memoryview]:
        """An instance as it arrives, once its head has said that it is the one asked for, and whose. Source: trust.md T52."""
        stream = self.pacs.fetch(held, told, listed)
        head, header = b"", None
        try:
            while header is None:
                wanted = max(HEAD_BYTES, 4 * len(head))
                more = await begun(stream, wanted - len(head))
                head += more
                header = _header(head, ended=len(head) < wanted)
            # A file that is silent about its issuer is of whom its row says.
            said = register.said_patient(header, self.source, held.patient.identifier.system)
            named = header.study_instance_uid, header.sop_instance_uid
            if named != (held.study_instance_uid, told.sop_instance_uid) or said != held.patient.identifier:
                LOG.error("%s gave another instance, or one of another patient, than was asked for", self.source.name)
                raise ContentMismatch("a source gave another instance than was asked for")
        except BaseException:
            if (close := getattr(stream, "aclose", None)) is not None:
                await close()
            raise
        async with aclosing(replayed(head, stream)) as whole:
            async for chunk in whole:
                yield chunk

    async def _held(self, patient: PatientIdentifier, study_instance_uid: str | None = None) -> list[Held]:
        """What the PACS holds of this patient now. Rows of anybody else fall out, and are counted; it is not asked for what is no UID."""
        if study_instance_uid is not None and not is_uid(study_instance_uid):
            return []
        told = await self.pacs.find_studies(patient, study_instance_uid)
        held = mine(told, patient)
        if len(held) < len(told):
            LOG.warning("%s answered with %d studies of other patients", self.source.name, len(told) - len(held))
        return [one for one in held if study_instance_uid in (None, one.study_instance_uid)]

    async def _told(self, held: Held) -> Sequence[Told]:
        """The instances of a study, asked for when the PACS tells something else than last time, or would not tell if they had changed."""
        key = held.study_instance_uid, held.content
        known, asked_at = self._instances.get(key, ((), -UNCOUNTED_S))
        if key not in self._instances or not (held.counted or monotonic() - asked_at < UNCOUNTED_S):
            known = await self.pacs.list_instances(held)
            self._instances[key] = known, monotonic()
            while len(self._instances) > REMEMBERED:
                self._instances.popitem(last=False)
        if key in self._instances:
            self._instances.move_to_end(key)
        return known

    async def _content(self, held: Held) -> str:
        """The fingerprint of a study; with its instances where the PACS does not count them."""
        if held.counted:
            return held.content
        instances = sorted(one.sop_instance_uid for one in await self._told(held))
        return sha256("\n".join((held.content, *instances)).encode()).hexdigest()

    async def _give_up(self, patient: PatientIdentifier, told: set[str]) -> None:
        """Let another source have what this one does not tell of any more."""
        name = self.source.name

        def gone(connection: Connection) -> set[str]:
            return index.noted_of(connection, register.anchor_row(connection, patient), name) - told

        if await self._index.read(gone):
            await self._index.write(lambda c: index.give_up(c, gone(c), register.anchor(c, patient), name))

    async def _noted(self, held: Held, pack: Pack) -> bool:
        """Have the manifest of a study made where it is missing. False for a study that another source of ours holds."""
        if pack.name not in self._makers:
            self._makers[pack.name] = prepared.Manifests(*self._made_with, pack)
        maker, content = self._makers[pack.name], await self._content(held)

        def note(connection: Connection) -> tuple[bool, bool]:
            anchor = register.anchor(connection, held.patient.identifier)
            noted = index.note_study(
                connection, held.study_instance_uid, anchor, self.source.name, content, self._before
            )
            return noted, noted and maker.made(connection, held.study_instance_uid)

        for _ in range(prepared.ATTEMPTS):
            known, made = await self._index.read(
                partial(_as_noted, held=held, content=content, source=self.source.name, maker=maker)
            )
            if not known:
                known, made = await self._index.write(note)
            if not known or made:
                return known
            told, codes = await self._told(held), maker.codes_of(self.source)
            described = describe_rows(held.study_instance_uid, held.patient, told, self.source, codes) if told else None
            if described is None:
                return False
            if await asyncio.to_thread(maker.make_told, described, self.source, content):
                return True
        raise NationalInfrastructureUnavailable("the study changes faster than it can be described")

    def _is_others(self, connection: Connection, study: str) -> bool:
        return index.held_elsewhere(connection, study, self.source.name, self._before)

    def _listed(self, connection: Connection, patient: PatientIdentifier, pack: str) -> list[Document]:
        return queries.documents_of(connection, register.anchor_row(connection, patient), pack, self.source.name)


def _header(head: bytes, *, ended: bool) -> Header | None:
    """What the first bytes say of an instance; None when more of them are needed. Raises ContentMismatch for what is none."""
    try:
        return read_header(BytesSource(head, None if ended else UNKNOWN_BYTES))
    except DicomFault as fault:
        if fault.reason == "prefix-too-short" and not ended and len(head) < HEAD_MAX_BYTES:
            return None
        raise ContentMismatch("a source gave what is no instance") from fault


def _as_noted(
    connection: Connection, held: Held, content: str, source: str, maker: prepared.Manifests
) -> tuple[bool, bool]:
    """Whether a study stands in the index as it is told now, and has its manifest: then nothing needs writing."""
    anchor = register.anchor_row(connection, held.patient.identifier)
    if not index.is_noted(connection, held.study_instance_uid, anchor, source, content):
        return False, False
    return True, maker.made(connection, held.study_instance_uid)


def _wanted(told: Told, query: ImagesQuery) -> bool:
    return query.series_instance_uid in (None, told.series_instance_uid) and query.sop_instance_uid in (
        None,
        told.sop_instance_uid,
    )
