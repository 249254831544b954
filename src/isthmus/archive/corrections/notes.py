"""Rejection notes: key object selections that say which instances must not be used, and why by their title.

The note is kept and offered to nobody; what it names is left out, whichever of the two comes first. Of another patient's instances it
says nothing.

Decision 0012. Source: PS3.16 CID 7011.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or

from isthmus.archive import index
from isthmus.dicom import tags
from isthmus.dicom.content import Item
from isthmus.dicom.header import KEY_OBJECT_SELECTION, Header
from isthmus.errors import RequestProblem
from isthmus.model.identifiers import is_uid, plain_uid
from isthmus.storage.schema.archive import instances, rejections
from isthmus.wire.kos_reading import read_document

TITLES: Final = {
    "113001": "rejected for quality reasons",
    "113037": "rejected for patient safety reasons",
    "113038": "incorrect modality worklist entry",
    "113039": "data retention policy expired",
}
NOTE_MAX_BYTES: Final = 32 << 20
REFERENCES_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Note:
    """What a note rejects, and under which title."""

    code: str
    sop_instance_uids: frozenset[str]


def is_note(header: Header) -> bool:
    """Whether the title says that something is rejected."""
    title = header.document_title
    return header.sop_class_uid == KEY_OBJECT_SELECTION and title is not None and title.code in TITLES


def read_note(header: Header, data: bytes) -> Note | None:
    """What a note names, in its evidence and in its content; None when it cannot be read as one."""
    title = header.document_title
    if title is None or len(data) > NOTE_MAX_BYTES:
        return None
    try:
        root = read_document(data)[1]
    except RequestProblem:
        return None
    named = frozenset(_references(root)) - {header.sop_instance_uid}
    return Note(title.code, named) if 0 < len(named) <= REFERENCES_MAX else None


def _references(root: Item) -> Iterator[str]:
    for study in root.items(tags.EVIDENCE_SEQUENCE):
        for series in study.items(tags.REFERENCED_SERIES_SEQUENCE):
            yield from _of(series)
    for item in root.tree():
        yield from _of(item)


def _of(item: Item) -> Iterator[str]:
    for reference in item.items(tags.REFERENCED_SOP_SEQUENCE):
        uid = plain_uid(reference.text(tags.REFERENCED_SOP_INSTANCE_UID))
        if is_uid(uid):
            yield uid


def names_a_stranger(connection: Connection, note: Note, patient: int) -> bool:
    """Whether something it names is here, and another patient's."""
    i, named = instances.c, sorted(note.sop_instance_uids)
    for start in range(0, len(named), 500):
        some = i.sop_instance_uid.in_(named[start : start + 500])
        other = select(i.id).where(some, i.patient_id.is_not(None), i.patient_id != patient)
        if connection.execute(other.where(i.state != "quarantined").limit(1)).first() is not None:
            return True
    return False


def take_effect(connection: Connection, uid: str, note: Note, patient: int) -> set[str]:
    """Leave out what a note names, now and when it comes; gives the studies that changed by it."""
    i = instances.c
    touched: set[str] = set()
    for named in sorted(note.sop_instance_uids):
        row = {"note": uid, "sop_instance_uid": named, "patient_id": patient, "code": note.code}
        connection.execute(insert_or(rejections).values(row).on_conflict_do_nothing())
        of = (i.sop_instance_uid == named) & (i.patient_id == patient) & (i.state == "served")
        found = connection.execute(select(i.id, i.study_instance_uid).where(of)).first()
        if found is not None:
            left_out = {"state": "rejected", "reason": note.code}
            connection.execute(update(instances).where(i.id == found.id).values(left_out))
            touched.add(found.study_instance_uid)
    for study in touched:
        index.withdraw(connection, study)
    return touched


def rejected_as(connection: Connection, sop_instance_uid: str, patient: int) -> str | None:
    """The title of the note that rejects an instance of this patient, unless an operator lifted it."""
    r = rejections.c
    of = r.sop_instance_uid == sop_instance_uid, r.patient_id == patient, ~r.lifted
    return connection.execute(select(r.code).where(*of).limit(1)).scalar()
