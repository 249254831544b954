"""The one door of the archive for images: accepted, unchanged, refused or quarantined, each with a reason of a fixed list.

A file is scanned while it is copied, in pieces, and taken back when it is refused. What is decided against the index is decided when
a group is committed, in the order of arrival, so that two processes at once come to one result. A verdict is given only when bytes
and row are durable: what was not told is brought again by the next import, and nothing that was told is lost.

Source: interfaces.md §11; performance.md §3; field-faults F04, F05, F11, F12, F49.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from sqlalchemy import Connection, delete

from isthmus.archive import index, queries, register
from isthmus.archive.containers import PIECE_BYTES, Container, Slice, Written
from isthmus.archive.corrections import notes
from isthmus.archive.corrections.notes import Note
from isthmus.archive.verdicts import ACCEPTED, OVER_A_BOUND, QUARANTINED, REFUSED, UNCHANGED, Unreadable, Verdict, held
from isthmus.config import Settings
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.header import Header, read_header
from isthmus.dicom.recode import to_explicit_le
from isthmus.dicom.scan import Scanner
from isthmus.dicom.syntaxes import crosses_unchanged
from isthmus.errors import NationalInfrastructureUnavailable, SettingsProblem
from isthmus.model.identifiers import PatientIdentifier
from isthmus.sources import Source
from isthmus.storage.database import Database
from isthmus.storage.schema.archive import instances

GROUP_FILES = 100
GROUP_BYTES = 64 << 20


class Stream(Protocol):
    """Anything that gives bytes forward; what cannot be read raises Unreadable."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """An instance whose bytes are in a container and about which nothing is decided yet."""

    path: str
    header: Header | None
    original: Slice
    crossing: Slice | None = None
    fault: DicomFault | None = None
    assign: PatientIdentifier | None = None
    foreign: bool = False  # by a sender that speaks for its source's issuer alone
    note: Note | None = None  # what it rejects, when it is a rejection note


@dataclass(frozen=True, slots=True)
class Said:
    """Whom an arrival is about, once asked: a row of the register, or a reason why not."""

    patient: int | None = None
    reason: str | None = None
    warnings: tuple[str, ...] = ()


class Intake:
    """Takes instances in, in groups. `dicom` and `flush` give the verdicts that have become final.

    With `foreign` it takes from a sender outside: a file that names another issuer of patients than the source has is quarantined.
    """

    def __init__(
        self,
        settings: Settings,
        index_database: Database,
        clock: Callable[[], datetime],
        source: Source | None = None,
        *,
        foreign: bool = False,
    ) -> None:
        self._foreign = foreign
        self.blobs = settings.path(settings.blobs)
        self.database = index_database
        self.clock = clock
        self.container = Container(self.blobs)
        self.touched: set[str] = set()  # studies whose offer changed
        kept = (one for one in settings.sources.images if one.kind == "files")
        self._source = source or next(kept, None)
        self._waiting: list[Arrival] = []

    @property
    def source(self) -> Source:
        """What the operator says of the images that come in here. Raises SettingsProblem."""
        if self._source is None:
            raise SettingsProblem(
                'this node keeps no images (sources.images of kind = "files"); nothing can be imported into it'
            )
        return self._source

    def dicom(
        self, stream: Stream, path: str, assign: PatientIdentifier | None = None, study: str | None = None
    ) -> list[Verdict]:
        """Take one file in; `assign` is the patient of files that name none, `study` the only one it may belong to."""
        arrival = self._receive(stream, path, assign, study)
        if isinstance(arrival, Verdict):
            return [arrival]
        self._waiting.append(arrival)
        size = sum(waiting.original.size for waiting in self._waiting)
        return self.flush() if len(self._waiting) >= GROUP_FILES or size >= GROUP_BYTES else []

    def flush(self) -> list[Verdict]:
        """Make everything that waits durable and decided."""
        if not self._waiting:
            return []
        self.container.flush()
        touched: set[str] = set()

        def decided(connection: Connection) -> list[Verdict]:
            touched.clear()
            return [_decide(connection, arrival, self.source, touched) for arrival in self._waiting]

        verdicts = self.database.write_now(decided)
        self._give_back()
        self._waiting.clear()
        self.touched |= touched
        return verdicts

    def _give_back(self) -> None:
        """Take back what came last and is named by no row: who sends again and again what is held already fills no disk."""
        last: list[Slice] = []
        for arrival in reversed(self._waiting):
            place = arrival.original
            named = partial(queries.is_named, sha256=place.sha256, container=place.container, offset=place.offset)
            if self.database.read_now(named):
                break
            last += [one for one in (arrival.crossing, arrival.original) if one is not None]
        self.container.give_back(last)

    def close(self) -> list[Verdict]:
        verdicts = self.flush()
        self.container.close()
        return verdicts

    def _receive(
        self, stream: Stream, path: str, assign: PatientIdentifier | None, study: str | None
    ) -> Arrival | Verdict:
        """Copy and scan one file; what is wrong with the file itself, or known already, needs not wait."""
        _ = self.source  # without one nothing is begun
        try:
            self.container.begin()
            header, fault = self._copy(stream)
            original = self.container.end()
            if fault is not None and fault.reason not in OVER_A_BOUND:
                self.container.take_back()
                return held(REFUSED, path, fault.reason if original.size else "empty", fault.detail)
            if header is None:
                return Arrival(path, _header_despite(Written(self.container, original)), original, fault=fault)
            if study not in (None, header.study_instance_uid):
                self.container.take_back()
                return held(REFUSED, path, "other-study", **_uids(header))
            if (known := self._known(header, original, path, assign)) is not None:
                self.container.take_back()
                return known
            note = self._note(header, original)
            return self._recode(Arrival(path, header, original, assign=assign, foreign=self._foreign, note=note))
        except Unreadable as error:
            self.container.take_back()
            return held(REFUSED, path, error.reason, error.detail)
        except OSError as error:
            raise NationalInfrastructureUnavailable(
                f"the archive's folder cannot be written: {error.strerror}"
            ) from error
        except BaseException:
            self.container.take_back()
            raise

    def _copy(self, stream: Stream) -> tuple[Header | None, DicomFault | None]:
        """Copy a stream into the container under the scanner's eyes. Over a bound, all of it is kept, unscanned."""
        scanner = Scanner()
        fault: DicomFault | None = None
        while piece := stream.read(PIECE_BYTES):
            self.container.add(piece)
            try:
                if fault is None:
                    scanner.feed(piece)
            except DicomFault as error:
                fault = error
                if fault.reason not in OVER_A_BOUND:
                    return None, fault
        try:
            return (scanner.close().header, None) if fault is None else (None, fault)
        except DicomFault as error:
            return None, error

    def _note(self, header: Header, original: Slice) -> Note | None:
        """What a rejection note rejects. It is read here, where its bytes are at hand; whether it may, is decided later."""
        if not notes.is_note(header) or original.size > notes.NOTE_MAX_BYTES:
            return None
        return notes.read_note(header, self.container.read_at(original.offset, original.size))

    def _recode(self, arrival: Arrival) -> Arrival | Verdict:
        """Make the form that crosses, beside the original, where the original may not cross.

        Source: wire.md §1.8.
        """
        header = arrival.header
        if header is None or crosses_unchanged(header.transfer_syntax_uid):
            return arrival
        try:
            pieces = to_explicit_le(Written(self.container, arrival.original))
            crossing = self.container.append(pieces, stay=True)
        except DicomFault as fault:
            self.container.take_back(arrival.original.offset)
            return held(REFUSED, arrival.path, fault.reason, fault.detail, **_uids(header))
        return replace(arrival, crossing=crossing)

    def _known(self, header: Header, original: Slice, path: str, assign: PatientIdentifier | None) -> Verdict | None:
        """An instance that is kept already, unless it is to be assigned now."""
        row = self.database.read_now(lambda connection: queries.find_instance(connection, header.sop_instance_uid))
        if row is None or (row.state == "unassigned" and assign is not None) or row.state == "corrected":
            return None
        return _again(row, header, original, path)


def _header_despite(written: Written) -> Header | None:
    """The header of a file that went over a bound, if it can be read."""
    try:
        return read_header(written)
    except DicomFault:
        return None


def _again(row: Any, header: Header, original: Slice, path: str) -> Verdict:
    """The same SOP Instance UID once more: the same instance, or a conflict that the first one wins; what was taken away stays so."""
    if row.state in ("deleted", "rejected"):
        return held(REFUSED, path, row.state, **_uids(header))
    same = (row.study_instance_uid, row.series_instance_uid, row.sha256)
    if same == (header.study_instance_uid, header.series_instance_uid, original.sha256):
        return _told(UNCHANGED, path, header, row.state)
    return held(REFUSED, path, "other-bytes", **_uids(header))


def _told(outcome: str, path: str, header: Header, state: str, warnings: tuple[str, ...] = ()) -> Verdict:
    return Verdict(outcome, path, state=state, warnings=warnings, **_uids(header))


def _uids(header: Header | None) -> dict[str, Any]:
    """What a verdict names the instance by, where it could be read."""
    names = ("sop_instance_uid", "study_instance_uid", "sop_class_uid")
    return {name: getattr(header, name) for name in names} if header is not None else {}


def _decide(connection: Connection, arrival: Arrival, source: Source, touched: set[str]) -> Verdict:
    """Decide about one arrival against the index, and write what follows."""
    header = arrival.header
    if arrival.fault is not None or header is None:
        fault = arrival.fault or DicomFault("bad-structure")
        return _quarantine(connection, arrival, source, fault.reason, fault.detail)
    row = queries.find_instance(connection, header.sop_instance_uid)
    if row is not None:
        verdict = _again(row, header, arrival.original, arrival.path)
        anew = verdict.reason == "other-bytes" and _issued_anew(connection, row, header, source)
        if not anew and (verdict.outcome != UNCHANGED or row.state != "unassigned" or arrival.assign is None):
            return verdict
    said = _whose(connection, arrival, header, source)
    if said.reason == "unknown-patient":
        return held(REFUSED, arrival.path, said.reason, **_uids(header))
    if said.reason is not None:
        return _quarantine(connection, arrival, source, said.reason)
    refusal, state, reason = _standing(connection, arrival, header, said)
    if refusal is not None:
        return _quarantine(connection, arrival, source, refusal)
    if row is not None and row.state == "corrected":  # what named somebody else makes room
        index.put_aside(connection, row.id, "reissued")
        row = None
    if row is not None and said.patient is not None:
        index.assign_instance(connection, row.id, said.patient, state, reason)
    else:
        connection.execute(
            delete(instances).where(instances.c.id.in_(queries.quarantined(connection, arrival.original.sha256)))
        )
        columns = {"state": state, "patient_id": said.patient, "reason": reason}
        _insert(connection, arrival, header, source, columns)
    if said.patient is not None:
        index.raise_generation(connection, header.study_instance_uid, said.patient)
        touched.add(header.study_instance_uid)
        if arrival.note is not None:
            touched |= notes.take_effect(connection, header.sop_instance_uid, arrival.note, said.patient)
    return _told(ACCEPTED, arrival.path, header, state, header.warnings + said.warnings)


def _issued_anew(connection: Connection, row: Any, header: Header, source: Source) -> bool:
    """Whether a file that an operator moved to its patient comes again, and now says so itself."""
    named = register.said_patient(header, source)
    if row.state != "corrected" or named is None:
        return False
    known = register.person_row(connection, named)
    return known is not None and known[0] == row.patient_id


def _standing(
    connection: Connection, arrival: Arrival, header: Header, said: Said
) -> tuple[str | None, str, str | None]:
    """Why it is held after all; else as what it is kept, and the code of a rejection. Source: PS3.16 CID 7011."""
    if notes.is_note(header):
        if arrival.note is None:
            return "unreadable-note", "", None
        if said.patient is None:
            return None, "unassigned", None
        stranger = notes.names_a_stranger(connection, arrival.note, said.patient)
        return ("strangers-note" if stranger else None), "note", arrival.note.code
    if said.patient is None:
        return None, "unassigned", None
    code = notes.rejected_as(connection, header.sop_instance_uid, said.patient)
    return None, "rejected" if code else "served", code


def _whose(connection: Connection, arrival: Arrival, header: Header, source: Source) -> Said:
    """Whom an instance is about; a new patient is registered with the traits in the file."""
    said, traits = register.said_patient(header, source), register.said_traits(header)
    if said is not None and arrival.assign not in (None, said):
        return Said(reason="contradicts-assignment")
    if arrival.foreign and said is not None and said.system != source.patient_system:
        return Said(reason="other-issuer")
    identifier = said or arrival.assign
    if identifier is None:
        return Said()
    known = register.person_row(connection, identifier)
    if known is None and said is None and not traits.suffice:
        return Said(reason="unknown-patient")
    if known is not None and register.contradicts(known[1], traits):
        return Said(reason="contradicts-register")
    number = known[0] if known else None
    owner = queries.study_patient(connection, header.study_instance_uid)
    if owner not in (None, number or register.anchor_row(connection, identifier)):  # a PACS may have named them first
        return Said(reason="contradicts-study")
    odd = known is not None and register.differs(known[1], traits)
    warnings = ("name or birth date is not quite what the register says",) if odd else ()
    return Said(number or register.register(connection, identifier, traits), warnings=warnings)


def _quarantine(connection: Connection, arrival: Arrival, source: Source, reason: str, detail: str = "") -> Verdict:
    """Keep what came, offered to nobody, for the operator to look at; once, however often it comes."""
    if not queries.quarantined(connection, arrival.original.sha256):
        columns = {"state": "quarantined", "reason": reason, "detail": detail or None}
        _insert(connection, arrival, arrival.header, source, columns)
    return held(QUARANTINED, arrival.path, reason, detail, **_uids(arrival.header))


_NO_HEADER: Mapping[str, Any] = dict.fromkeys(
    ("sop_instance_uid", "series_instance_uid", "study_instance_uid", "sop_class_uid", "transfer_syntax_uid"), ""
) | {"study_facts": "{}", "series_facts": "{}"}


def _insert(
    connection: Connection, arrival: Arrival, header: Header | None, source: Source, columns: Mapping[str, Any]
) -> None:
    said = register.said_patient(header, source) if header else None
    described = index.header_columns(header) if header else _NO_HEADER
    named = {"said_patient": f"{said.system}|{said.value}" if said else None, "source": source.name}
    place = _place(arrival.original, arrival.crossing)
    index.insert_instance(connection, {**described, **place, **named, **columns})


def _place(original: Slice, crossing: Slice | None) -> dict[str, Any]:
    """Where an instance lies, and the form of it that crosses when that is another one."""
    places = {"": original, "crossing_": crossing}
    parts = ("container", "offset", "size", "sha256")
    return {f"{prefix}{part}": getattr(slice_, part) for prefix, slice_ in places.items() if slice_ for part in parts}
