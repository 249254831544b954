"""Makes the European report document of what was issued otherwise: CDA, PDF, and instances of a study that are reports.

It is made once, in a child process, and kept; anew when the register knows the patient otherwise, for a report must name whom it is about.
Of what nothing can be made, CDA and PDF are offered as they were issued, and an instance stays an instance.

Decision 0016. Source: architecture.md §5.6; wire.md §1.5 (a PDF of a report), W9.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, select

from isthmus.archive import index, register
from isthmus.archive.containers import read_slice
from isthmus.archive.formed import rows
from isthmus.archive.formed.maker import Made, Maker
from isthmus.archive.studies import custodian
from isthmus.config import Settings
from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.fhir.elements import MEDIA_TYPE
from isthmus.model.confidentiality import highest
from isthmus.model.documents import WITHDRAWN, DocumentKind
from isthmus.model.identifiers import Identifier, plain_uid
from isthmus.model.people import Organisation, Patient
from isthmus.originals.beside import Beside
from isthmus.sandbox import MIB, Sandbox
from isthmus.sources import Source
from isthmus.storage.database import Database
from isthmus.storage.schema.archive import documents
from isthmus.wire.packs.pack import Pack

INSTANCE_MAX: Final = 64 * MIB


class Forms:
    """Makes what is missing. `sandbox` belongs to whoever brings it."""

    def __init__(
        self, settings: Settings, database: Database, clock: Callable[[], datetime], pack: Pack, sandbox: Sandbox
    ) -> None:
        self._blobs: Path = settings.path(settings.blobs)
        self._database, self._clock = database, clock
        sources = (*settings.sources.reports, *settings.sources.images)
        self._sources = {source.name: source for source in reversed(sources)}
        self._first = next((one for one in sources if one.kind == "files"), Source())
        self._maker = Maker(settings, self._sources.values(), pack, sandbox)

    def missing(self, connection: Connection, patient: int) -> bool:
        """Whether anything is to be made before the reports of a patient are listed."""
        made_for = self._maker.made_for(register.patient_of(connection, patient))
        return bool(rows.unlooked(connection, patient, made_for) or rows.unformed(connection, patient, made_for))

    def make(self, patient: int) -> None:
        """Make what is missing for a patient. Raises NationalInfrastructureUnavailable when a stored file cannot be read."""
        whom = self._database.read_now(lambda c: register.patient_of(c, patient))
        for uid in self._database.read_now(lambda c: rows.unlooked(c, patient, self._maker.made_for(whom))):
            self._look(uid)
        for number in self._database.read_now(lambda c: rows.unformed(c, patient, self._maker.made_for(whom))):
            self._form(number, whom)

    def patients_of(self, study_instance_uids: Iterable[str]) -> list[int]:
        """Whose studies these are."""
        return self._database.read_now(lambda c: rows.patients_of(c, study_instance_uids))

    def _look(self, uid: str) -> None:
        """See which instances of a study are reports: what is new is made, what is gone is withdrawn."""
        generation, found = self._database.read_now(
            lambda c: (rows.generation_of(c, uid), rows.report_instances(c, uid))
        )
        for instance in found:
            whom, settled = self._database.read_now(lambda c: self._settled(c, instance))  # noqa: B023  # at once
            if settled:
                continue
            source = self._source(instance.source)
            made = self._maker.make(self._bytes(instance), self._beside(whom, source), source, self._now())
            self._database.write_now(lambda c: self._born(c, instance, made, whom))  # noqa: B023  # at once

        def seen(connection: Connection) -> None:
            rows.stand(connection, uid, [one.sop_instance_uid for one in found])
            rows.tie(connection, uid)
            if rows.generation_of(connection, uid) == generation:
                rows.note_look(connection, uid, generation)

        self._database.write_now(seen)

    def _settled(self, connection: Connection, instance: Row[Any]) -> tuple[Patient, bool]:
        whom, held = (
            register.patient_of(connection, instance.patient_id),
            rows.born_of(connection, instance.sop_instance_uid),
        )
        return whom, rows.is_settled(connection, held, instance, self._maker.made_for(whom))

    def _born(self, connection: Connection, instance: Row[Any], made: Made, whom: Patient) -> None:
        """A report that is an instance: a document of its own, for as long as the instance is served."""
        held = rows.born_of(connection, instance.sop_instance_uid)
        made_for = self._maker.made_for(whom)
        if rows.is_settled(connection, held, instance, made_for):  # somebody else was quicker
            return
        now, said = self._now(), made.said
        columns: dict[str, Any] = {
            "kind": DocumentKind.REPORT_FHIR.value,
            "state": "served" if made.body else WITHDRAWN,
            "foreign_id": instance.sop_instance_uid,
            "patient_id": instance.patient_id,
            "unique_system": "urn:dicom:uid",
            "unique_value": f"urn:oid:{instance.sop_instance_uid}",
            "status": "current",
            "indexed": now,
            "media_type": MEDIA_TYPE,
            "size": instance.size,
            "sha256": instance.sha256,
        }
        columns |= {"title": said.title if said else "", "created": (said.created if said else "") or now}
        columns |= {"language": said.language if said else None, "facts": "{}"}
        if said is not None:
            columns["facts"] = index.document_facts(
                said, said.status, said.version, through=instance.source, replaced=_uid(said.replaces)
            )
        if held is not None and _is_same(held, instance):  # nothing could be made of it, and the register has changed
            number = index.change_document(connection, held.number, columns)
        else:
            if held is not None:
                rows.give_up(connection, held.number)
            number = index.insert_document(connection, columns)
        rows.keep(connection, number, made, made_for, instance.study_instance_uid)

    def _form(self, number: int, whom: Patient) -> None:
        """Make the document of one report, and keep it if it is still the same report of the same patient."""
        row = self._database.read_now(lambda c: _row(c, number))
        instance = self._database.read_now(lambda c: rows.instance_of(c, row)) if row.foreign_id else None
        if row.foreign_id and instance is None:
            return
        facts = orjson.loads(row.facts)
        source = self._source(facts.get("through", ""))
        beside = self._beside(whom, source, None if row.foreign_id else row, facts)
        made = self._maker.make(self._bytes(instance if instance is not None else row), beside, source, self._now())
        study = instance.study_instance_uid if instance is not None else None

        def kept(connection: Connection) -> None:
            now = _row(connection, number)
            if (now.patient_id, now.sha256) == (row.patient_id, row.sha256):
                rows.keep(connection, number, made, self._maker.made_for(whom), study)

        self._database.write_now(kept)

    def _beside(
        self, whom: Patient, source: Source, row: Row[Any] | None = None, facts: dict[str, Any] | None = None
    ) -> Beside:
        """What the archive knows of a report beside what it says; of a PDF that is all there is."""
        keeper = custodian(None, source)
        if row is None or row.kind == DocumentKind.REPORT_CDA.value:
            return Beside(whom, accession_issuer=source.accession_issuer or None, custodian=keeper)
        told = facts or {}
        told_keeper = told.get("custodian")
        return Beside(
            whom,
            studies=tuple(told.get("study_instance_uids", ())),
            accession_numbers=tuple(Identifier(*pair) for pair in told.get("accession_numbers", ())),
            identifier=Identifier(row.unique_system or None, row.unique_value),
            title=row.title,
            created=row.created if row.created != row.indexed else None,  # nobody said when
            language=row.language,
            custodian=Organisation(*told_keeper) if told_keeper else keeper,
            confidentiality=highest(told.get("sensitivity", ())),
        )

    def _bytes(self, place: Row[Any]) -> bytes:
        """The bytes as issued, as they were kept. Raises NationalInfrastructureUnavailable."""
        if place.size > INSTANCE_MAX:
            return b""
        try:
            data = read_slice(self._blobs, place.container, place.offset, place.size)
        except OSError as error:
            raise NationalInfrastructureUnavailable("a stored report cannot be read") from error
        if hashlib.sha256(data).hexdigest() != place.sha256:
            raise NationalInfrastructureUnavailable("a report's bytes are not those that were kept")
        return data

    def _now(self) -> str:
        return self._clock().astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    def _source(self, name: str) -> Source:
        return self._sources.get(name, self._first)


def _row(connection: Connection, number: int) -> Row[Any]:
    return connection.execute(select(documents).where(documents.c.number == number)).one()


def _uid(replaced: Identifier | None) -> str | None:
    """The SOP Instance UID of what a report of an instance replaces."""
    return plain_uid(replaced.value) if replaced is not None and replaced.system == "urn:dicom:uid" else None


def _is_same(held: Row[Any], instance: Row[Any]) -> bool:
    """Whether a report is of these very bytes, for this patient."""
    return bool((held.sha256, held.patient_id) == (instance.sha256, instance.patient_id))
