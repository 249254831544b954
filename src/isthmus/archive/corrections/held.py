"""What is held and waits for an operator: unassigned, quarantined, to be issued anew, rejected, deleted.

To release is to ask again, not to overrule: what the one door refused is judged once more, as the register is now.

Decision 0012. Source: interfaces.md §11.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, select

from isthmus.archive import index, queries, register
from isthmus.archive.containers import read_slice
from isthmus.archive.corrections import notes
from isthmus.archive.corrections.studies import UNASSIGNED, What, header_of
from isthmus.archive.corrections.trace import Done
from isthmus.archive.verdicts import OVER_A_BOUND
from isthmus.errors import ImagesNotFound, PatientNotFound, SettingsProblem
from isthmus.model.identifiers import PatientIdentifier
from isthmus.storage.schema.archive import documents, instances

WAITING: Final = (UNASSIGNED, "quarantined", "corrected", "rejected", "note", "deleted")
QUARANTINED: Final = "quarantined"


def list_held(connection: Connection, after: int, limit: int) -> list[Row[Any]]:
    """A page of the instances that are kept and not offered, in the order they came."""
    i = instances.c
    wanted = select(instances).where(i.state.in_(WAITING), i.id > after)
    return list(connection.execute(wanted.order_by(i.id).limit(limit)))


def list_documents(
    connection: Connection, study: str | None, *, patient: int | None = None, held: bool = False
) -> list[Row[Any]]:
    """Reports that are kept, with whose they are; `held` are those that are not offered."""
    d = documents.c
    wanted = select(documents).where(d.kind.startswith("report"), d.source == "", d.foreign_id.is_(None))
    if study is not None:
        wanted = wanted.where(d.facts.contains(f'"{study}"', autoescape=True))
    if patient is not None:
        wanted = wanted.where(d.patient_id == patient)
    if held:
        wanted = wanted.where(d.state != "served")
    return list(connection.execute(wanted.order_by(d.number)))


def assign(connection: Connection, what: What, to: PatientIdentifier, blobs: Path) -> Done:
    """Give what names nobody to a registered patient, and offer it.

    Raises ImagesNotFound, PatientNotFound; SettingsProblem when the file or its study says somebody else.
    """
    known, rows = register.patient_row(connection, to), what.rows(connection, (UNASSIGNED,))
    if known is None:
        raise PatientNotFound("the patient is not in the register: import-patients first")
    if not rows:
        raise ImagesNotFound("nothing of this is unassigned; see archive held")
    done = Done(instances=len(rows))
    for row in rows:
        header = header_of(row, blobs)
        if header is None:
            raise SettingsProblem("a stored file cannot be read any more", reason="usage")
        if register.contradicts(known[1], register.said_traits(header)):
            raise SettingsProblem("a file says another name and birth date than the register", reason="usage")
        if queries.study_patient(connection, row.study_instance_uid) not in (None, known[0]):
            raise SettingsProblem("the rest of the study is another patient's", reason="usage")
        if notes.is_note(header):
            note = notes.read_note(header, read_slice(blobs, row.container, row.offset, row.size))
            if note is None or notes.names_a_stranger(connection, note, known[0]):
                raise SettingsProblem("a rejection note that names another patient's images", reason="usage")
            index.assign_instance(connection, row.id, known[0], "note", note.code)
            done.studies |= notes.take_effect(connection, row.sop_instance_uid, note, known[0])
        else:
            code = notes.rejected_as(connection, row.sop_instance_uid, known[0])
            index.assign_instance(connection, row.id, known[0], "rejected" if code else "served", code)
        index.raise_generation(connection, row.study_instance_uid, known[0])
        done.studies.add(row.study_instance_uid)
    return done


def quarantined(connection: Connection, number: int) -> Row[Any]:
    """A quarantined instance by its number in `archive held`. Raises ImagesNotFound."""
    i = instances.c
    row = connection.execute(select(instances).where(i.id == number)).first()
    if row is None:
        raise ImagesNotFound("nothing is in quarantine under this number; see archive held")
    if row.state != QUARANTINED:
        raise ImagesNotFound(f"this one is {row.state}, not in quarantine; see archive held")
    return row


def releasable(row: Row[Any]) -> None:
    """Raises SettingsProblem for what no judgement can let in."""
    if row.reason in OVER_A_BOUND or row.reason == "reissued":
        raise SettingsProblem("this is never offered: discard it, and bring what is sound", reason="usage")


def drop(connection: Connection, number: int) -> None:
    """The row of what was discarded, or let in under another, goes. Its bytes are erased first."""
    i = instances.c
    connection.execute(delete(instances).where(i.id == number, i.state == QUARANTINED))
