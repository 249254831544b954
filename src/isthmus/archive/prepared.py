"""Manifests, made once for a study's content and kept ready: the first who makes one wins, and everyone reads what was kept.

Each is made in both forms at once, FHIR and DICOM, from one model and under one UID. It is good for one generation of its study. When
the content changed, the next one is a new document that replaces the old; when it did not, the same one stays. When only our border has
moved, the same document names the new address.

Source: interfaces.md §10; performance.md §3; MADO.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from isthmus.archive import index, queries
from isthmus.archive.studies import Described, describe
from isthmus.config import Settings
from isthmus.dicom.uids import derived_uid
from isthmus.errors import MalformedRequest
from isthmus.model.documents import DocumentContent, DocumentKind
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.imaging import Manifest
from isthmus.model.people import Organisation
from isthmus.sources import Source
from isthmus.storage.database import Database
from isthmus.storage.schema.archive import documents, instances, prepared, studies
from isthmus.terminology.designations import codes_of
from isthmus.terminology.mapping import NO_CODES, NationalCodes
from isthmus.wire.kos import with_accession_number, write_kos
from isthmus.wire.manifests import manifest_uid, write_manifest
from isthmus.wire.packs.pack import Pack

FHIR, KOS = DocumentKind.MANIFEST_FHIR, DocumentKind.MANIFEST_KOS
MEDIA_TYPES = {FHIR: "application/fhir+json", KOS: "application/dicom"}
EDITION = 4  # of what is written: one higher, and everything kept is written anew
ATTEMPTS = 5

Bodies = Mapping[DocumentKind, bytes]


class Manifests:
    """Makes the manifests that are missing."""

    def __init__(self, settings: Settings, database: Database, clock: Callable[[], datetime], pack: Pack) -> None:
        self.settings, self.database, self.clock, self.pack = settings, database, clock, pack
        self._sources = {source.name: source for source in reversed(settings.sources.images)}
        self._first = settings.sources.images[0] if settings.sources.images else Source()
        border = settings.border
        self.address = f"{border.public.rstrip('/')}/dicom-web" if border else None
        self._codes = codes_of(settings, settings.sources.images)
        digests = "".join(f" {codes.fingerprint[:12]}" for codes in self._codes.values() if codes.fingerprint)
        self.made_for = f"{pack.name}/{EDITION} {self.address or ''}{digests}"

    def codes_of(self, source: Source) -> NationalCodes:
        """The table of national codes of a source."""
        return self._codes.get(source.name, NO_CODES)

    def missing(self, connection: Connection, patient: int) -> list[str]:
        """The studies of a patient whose manifest is not there, or not that of the present generation."""
        fitting = and_(
            prepared.c.study_instance_uid == studies.c.study_instance_uid,
            prepared.c.pack == self.made_for,
            prepared.c.kind == FHIR.value,  # always there; DICOM cannot say everything
            prepared.c.generation == studies.c.generation,
        )
        statement = (
            select(studies.c.study_instance_uid)
            .outerjoin(prepared, fitting)
            .where(studies.c.patient_id == patient, studies.c.source == "", prepared.c.document.is_(None))
        )
        return list(connection.execute(statement.order_by(studies.c.study_instance_uid)).scalars())

    def make(self, study_instance_uids: Iterable[str]) -> int:
        """Make the manifests of these studies; gives how many are new. A study that changes meanwhile is described again."""
        return sum(self._make(uid) for uid in study_instance_uids)

    def made(self, connection: Connection, study_instance_uid: str) -> bool:
        """Whether the manifest of a study behind us is there, for what its source last told."""
        fitting = select(prepared.c.document).where(
            prepared.c.study_instance_uid == study_instance_uid,
            prepared.c.pack == self.made_for,
            prepared.c.kind == FHIR.value,
            prepared.c.generation == _generation(connection, study_instance_uid),
        )
        return connection.execute(fitting).first() is not None

    def make_told(self, described: Described, source: Source, content: str) -> bool:
        """Make the manifest of a study that lies behind us, from what its source tells; `content` is its fingerprint.

        False when the source has told something else meanwhile.
        """
        uid = described.study.study_instance_uid
        generation = self.database.read_now(lambda c: _generation(c, uid, content))
        if not generation:
            return False
        return self._write(described, source, generation, content) is not None

    def _make(self, study_instance_uid: str) -> bool:
        for _ in range(ATTEMPTS):
            generation, source, described = self.database.read_now(lambda c: self._described(c, study_instance_uid))
            if described is None:
                return False
            kept = self._write(described, source, generation)
            if kept is not None:
                return kept
        return False  # it changes faster than it can be described; whoever needs it tries again

    def _write(self, described: Described, source: Source, generation: int, told: str = "") -> bool | None:
        """Make and keep both forms, and the codes that nobody could map. None: the study has changed since it was read."""
        manifest = self._manifest(described, source, told)
        bodies = self._bodies(manifest)

        def kept(connection: Connection) -> bool | None:
            new = self._keep(connection, manifest, bodies, generation, source.name if told else "")
            if new is not None:
                index.note_unmapped(connection, manifest.study.study_instance_uid, source.name, described.unmapped)
            return new

        return self.database.write_now(kept)

    def _described(self, connection: Connection, uid: str) -> tuple[int, Source, Described | None]:
        generation = _generation(connection, uid)
        i = instances.c
        through = select(i.source).where(i.study_instance_uid == uid, i.state == "served").order_by(i.id).limit(1)
        source = self._sources.get(connection.execute(through).scalar() or "", self._first)
        return generation, source, describe(connection, uid, source, self.codes_of(source))

    def _manifest(self, described: Described, source: Source, told: str = "") -> Manifest:
        study = described.study
        manifest = Manifest(
            uid=manifest_uid(study, self.pack, told + self.codes_of(source).fingerprint + described.correction),
            study=study,
            created=self.clock().astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            location_uid=source.location_uid or derived_uid("isthmus:location", self.settings.ncp_id),
            source=study.custodian or Organisation(source.institution or self.settings.ncp_id),
            endpoint_address=self.address,
            warnings=described.warnings,
            unmapped=len(described.unmapped),
            mapped_by=self.codes_of(source).told,
        )
        return with_accession_number(manifest)

    def _bodies(self, manifest: Manifest) -> Bodies:
        """The manifest in both forms; in FHIR alone when DICOM has no room for a number, which is never cut."""
        fhir = {FHIR: write_manifest(manifest, self.pack)}
        try:
            return fhir | {KOS: write_kos(manifest, self.pack)}
        except MalformedRequest:
            return fhir

    def _keep(
        self, connection: Connection, manifest: Manifest, bodies: Bodies, generation: int, source: str
    ) -> bool | None:
        """Insert the forms of a manifest that are not there already. None: the study has changed since it was read."""
        if _generation(connection, manifest.study.study_instance_uid) != generation:
            return None
        new = [self._keep_form(connection, manifest, kind, body, generation, source) for kind, body in bodies.items()]
        return any(new)

    def _keep_form(
        self, connection: Connection, manifest: Manifest, kind: DocumentKind, body: bytes, generation: int, source: str
    ) -> bool:
        uid = manifest.study.study_instance_uid
        same = and_(prepared.c.study_instance_uid == uid, prepared.c.kind == kind.value, prepared.c.uid == manifest.uid)
        held = connection.execute(select(prepared.c.document, prepared.c.pack).where(same)).first()
        number = self._document(connection, manifest, kind, body, source) if held is None else int(held.document)
        row: dict[str, Any] = {"pack": self.made_for, "generation": generation}
        if held is None:
            row |= {"document": number, "study_instance_uid": uid, "kind": kind.value, "uid": manifest.uid}
            connection.execute(insert(prepared).values(**row, body=zlib.compress(body)))
        else:
            moved = held.pack != self.made_for
            content = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "facts": _facts(manifest)}
            row |= {"body": zlib.compress(body)} if moved else {}
            connection.execute(update(prepared).where(prepared.c.document == number).values(**row))
            connection.execute(
                update(documents)
                .where(documents.c.number == number)
                .values(status="current", **(content if moved else {}))
            )
        index.supersede(connection, kind.value, self._family(uid), number)
        return held is None

    def _family(self, uid: str) -> str:
        return f"{self.pack.name}/{uid}"

    def _document(
        self, connection: Connection, manifest: Manifest, kind: DocumentKind, body: bytes, source: str
    ) -> int:
        study, family = manifest.study, self._family(manifest.study.study_instance_uid)
        before = select(documents.c.number).where(documents.c.kind == kind.value, documents.c.family == family)
        patient = select(studies.c.patient_id).where(studies.c.study_instance_uid == study.study_instance_uid)
        columns: dict[str, Any] = {
            "kind": kind.value,
            "source": source,
            "state": "served",
            "patient_id": connection.execute(patient).scalar(),
            "unique_system": "urn:dicom:uid",
            "unique_value": f"urn:oid:{manifest.uid}",
            "family": family,
            "title": study.description or "Imaging study",
            "status": "current",
            "replaces": connection.execute(before.order_by(documents.c.number.desc()).limit(1)).scalar(),
            "created": manifest.created,
            "indexed": manifest.created,
            "language": "en",
            "facts": _facts(manifest),
            "media_type": MEDIA_TYPES[kind],
            "size": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        return index.insert_document(connection, columns)


def _generation(connection: Connection, uid: str, content: str | None = None) -> int:
    """The present generation of a study; 0 where there is none, or its source tells something else than `content` now."""
    wanted = [] if content is None else [studies.c.content == content]
    statement = select(studies.c.generation).where(studies.c.study_instance_uid == uid, *wanted)
    return int(connection.execute(statement).scalar() or 0)


def _facts(manifest: Manifest) -> str:
    study, custodian = manifest.study, manifest.study.custodian
    return index.facts(
        {
            "study_instance_uids": [study.study_instance_uid],
            "accession_numbers": [[number.system, number.value] for number in study.accession_numbers],
            "order_numbers": [[number.system, number.value] for number in study.placer_order_numbers],
            "authors": [manifest.source.name],
            "custodian": [custodian.name, custodian.identifier, custodian.system] if custodian else None,
            "modalities": list(study.modalities),
            "regions": [[region.system, region.code, region.display] for region in study.regions],
            "period_start": study.started,
            "description": study.description,
            "series_count": len(study.series),
            "instance_count": study.instance_count,
            "study_bytes": study.size_bytes,
            "unmapped": manifest.unmapped,
            "mapped_by": manifest.mapped_by,
        }
    )


def read_prepared(connection: Connection, number: int) -> bytes | None:
    """The bytes of a manifest, as they were made."""
    body = connection.execute(select(prepared.c.body).where(prepared.c.document == number)).scalar()
    return None if body is None else zlib.decompress(body)


def read_told(connection: Connection, source: str, patient: PatientIdentifier, id: str) -> DocumentContent | None:
    """The manifest of a study behind us, of this source and this patient alone."""
    row = queries.find_document(connection, patient, id, source)
    body = read_prepared(connection, row.number) if row is not None else None
    if row is None or body is None:
        return None
    return DocumentContent(queries.document_of(row), row.media_type, body, etag=row.sha256)
