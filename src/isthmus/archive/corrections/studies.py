"""Studies put right: moved to whom they are of, deleted, restored.

A file is never changed. Moved to a patient whom it does not name, it is held as `corrected` and offered to nobody until it is issued
anew: the country that asks would rightly refuse it. Deleted, its row stays as a tombstone, so that the same UID does not come back
unseen; its bytes stay until they are erased.

Decision 0012. Source: interfaces.md §11.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from isthmus.archive import index, register
from isthmus.archive.corrections.people import names_of
from isthmus.archive.corrections.trace import Done
from isthmus.archive.formed import rows as formed
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.header import Header, read_header
from isthmus.errors import ImagesNotFound, PatientNotFound, SettingsProblem
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.pieces import FileRange
from isthmus.storage.ranges import RangeSource
from isthmus.storage.schema.archive import documents, instances, rejections, studies
from isthmus.storage.schema.archive import formed as formed_reports

OFFERED, HELD, REJECTED, NOTE, DELETED, UNASSIGNED = "served", "corrected", "rejected", "note", "deleted", "unassigned"
LIVING = (OFFERED, HELD, REJECTED, NOTE, UNASSIGNED)


@dataclass(frozen=True, slots=True)
class What:
    """A study, a series of it, or one instance."""

    study: str | None = None
    series: str | None = None
    instance: str | None = None

    @property
    def named(self) -> dict[str, str]:
        parts = {"study": self.study, "series": self.series, "instance": self.instance}
        return {name: uid for name, uid in parts.items() if uid}

    def rows(self, connection: Connection, states: Sequence[str]) -> list[Row[Any]]:
        i = instances.c
        columns = {"study": i.study_instance_uid, "series": i.series_instance_uid, "instance": i.sop_instance_uid}
        wanted = [columns[name] == uid for name, uid in self.named.items()]
        if not wanted:
            raise SettingsProblem("say which: --study, --series or --instance", reason="usage")
        return list(connection.execute(select(instances).where(*wanted, i.state.in_(states)).order_by(i.id)))


def header_of(row: Row[Any], blobs: Path) -> Header | None:
    """What the stored file says; None when it cannot be read any more."""
    if not row.container:
        return None
    try:
        return read_header(RangeSource(FileRange(str(blobs / row.container), row.offset, row.size)))
    except (DicomFault, OSError):
        return None


def fitting(connection: Connection, what: What, to: PatientIdentifier, blobs: Path) -> dict[int, bool]:
    """Of each instance, whether its file names the patient it is to be of, or nobody, and contradicts nothing known.

    Raises PatientNotFound. Reads files: to be asked before the transaction that moves.
    """
    known = register.patient_row(connection, to)
    if known is None:
        raise PatientNotFound("the patient it is moved to is not in the register: import-patients first")
    names = {*names_of(connection, known[0]), None}
    found: dict[int, bool] = {}
    for row in what.rows(connection, LIVING):
        header = header_of(row, blobs) if row.said_patient in names else None
        found[row.id] = header is not None and not register.contradicts(known[1], register.said_traits(header))
    return found


def move(connection: Connection, what: What, to: PatientIdentifier, fits: Mapping[int, bool]) -> Done:
    """Move to the right patient. A part of a study can only leave it: a study is of one patient.

    Raises ImagesNotFound, PatientNotFound; SettingsProblem for what lies behind us, or is to be assigned.
    """
    rows = what.rows(connection, LIVING)
    known = register.patient_row(connection, to)
    if known is None:
        raise PatientNotFound("the patient it is moved to is not in the register: import-patients first")
    if not rows:
        raise ImagesNotFound("nothing of this is kept; see archive list")
    if any(row.state == UNASSIGNED for row in rows):
        raise SettingsProblem("some of it is unassigned: use archive assign", reason="usage")
    done, whole = Done(), what.series is None and what.instance is None
    for uid in dict.fromkeys(row.study_instance_uid for row in rows):
        of = select(studies.c.patient_id).where(studies.c.study_instance_uid == uid)
        owner = connection.execute(of).scalar()
        mine = [row for row in rows if row.study_instance_uid == uid and (not whole or row.patient_id == owner)]
        moving = [row for row in mine if (row.patient_id, whole) != (known[0], whole) or row.state == HELD]
        for row in moving:
            done.held += _give(connection, row, known[0], offered=whole and fits.get(row.id, False))
        if not moving:
            continue
        done.instances += len(moving)
        done.studies.add(uid)
        if whole:
            connection.execute(update(studies).where(studies.c.study_instance_uid == uid).values(patient_id=known[0]))
        index.withdraw(connection, uid)
        _leave(connection, uid)
        done.told += _reports_about(connection, uid, known[0])
    done.tell_held("file")
    return done


def _give(connection: Connection, row: Row[Any], patient: int, *, offered: bool) -> int:
    """One instance to its patient; 1 when it is held."""
    state = row.state
    if state in (OFFERED, HELD):
        state = OFFERED if offered else HELD
    connection.execute(update(instances).where(instances.c.id == row.id).values(patient_id=patient, state=state))
    if state == NOTE:
        same = rejections.c.note == row.sop_instance_uid
        connection.execute(update(rejections).where(same).values(patient_id=patient))
    return int(state == HELD)


def _reports_about(connection: Connection, study: str, patient: int) -> list[str]:
    """Reports that name a study and stand with somebody else: to be looked at too, each where it can be put right."""
    d, f = documents.c, formed_reports.c
    about = d.kind.startswith("report"), d.state == "served", d.facts.contains(f'"{study}"', autoescape=True)
    columns = select(d.number, d.source, d.foreign_id, f.study_instance_uid).outerjoin(
        formed_reports, f.document == d.number
    )
    rows = connection.execute(columns.where(*about, d.patient_id != patient).order_by(d.number))
    return [_stays(row) for row in rows if row.source or row.study_instance_uid != study]


def _stays(row: Any) -> str:
    """How a report that stays is put right: where it lies, with the study that it is an instance of, or by itself."""
    which, how = f"Report {row.number}", "move it too"
    if row.source:
        which, how = f"{which}, which lies in {row.source.rpartition('/')[2]},", "correct it there"
    elif row.foreign_id:
        which, how = f"{which}, an instance of study {row.study_instance_uid},", "move that study too"
    return f"{which} names this study and stays with the other patient; {how} if it is wrong."


def delete_(connection: Connection, what: What) -> Done:
    """Offer it no more; tombstones stay. What is deleted already stays so. Raises ImagesNotFound."""
    rows = what.rows(connection, LIVING)
    if not rows and not what.rows(connection, (DELETED,)):
        raise ImagesNotFound("nothing of this is kept; see archive list")
    done = Done(instances=len(rows))
    for row in rows:
        same = instances.c.id == row.id
        connection.execute(update(instances).where(same).values(state=DELETED, reason=row.state, detail=row.reason))
    for uid in dict.fromkeys(row.study_instance_uid for row in rows):
        done.studies.add(uid)
        index.withdraw(connection, uid)
        _leave(connection, uid)
    done.told = ["What was deleted is refused when it is brought again, until it is restored."]
    return done


def _leave(connection: Connection, study: str) -> None:
    """A study of which nothing is left is nobody's."""
    i, s = instances.c, studies.c
    owner = select(s.patient_id).where(s.study_instance_uid == study).scalar_subquery()
    left = select(i.id).where(i.study_instance_uid == study, i.patient_id == owner, i.state.in_(LIVING)).limit(1)
    if connection.execute(left).first() is None:
        connection.execute(update(studies).where(s.study_instance_uid == study).values(patient_id=None))


def restore(connection: Connection, what: What) -> Done:
    """Take a deletion or a rejection back. What was erased is only let in again.

    Raises ImagesNotFound; SettingsProblem when the study is another patient's by now.
    """
    rows = what.rows(connection, (DELETED, REJECTED))
    if not rows:
        raise ImagesNotFound("nothing of this was deleted or rejected; see archive held")
    done = Done(instances=len(rows))
    for row in rows:
        same = instances.c.id == row.id
        lifted = rejections.c.sop_instance_uid == row.sop_instance_uid
        connection.execute(update(rejections).where(lifted).values(lifted=True))
        if row.state == DELETED and not row.container:
            connection.execute(delete(instances).where(same))
            done.told = ["Erased files are not there any more; they are accepted when they are brought again."]
            continue
        state = row.reason if row.state == DELETED else OFFERED
        state = OFFERED if state == REJECTED else state
        reason = row.detail if row.state == DELETED else None
        if state in (OFFERED, NOTE):
            _own(connection, row)
            done.studies.add(row.study_instance_uid)
        connection.execute(update(instances).where(same).values(state=state, reason=reason, detail=None))
    for uid in done.studies:
        index.raise_generation(connection, uid, None)
    return done


def _own(connection: Connection, row: Row[Any]) -> None:
    """The study is this patient's again, unless it has become somebody else's."""
    same = studies.c.study_instance_uid == row.study_instance_uid
    owner = connection.execute(select(studies.c.patient_id).where(same)).scalar()
    if owner not in (None, row.patient_id):
        raise SettingsProblem("the study is another patient's by now; move it first", reason="usage")
    connection.execute(update(studies).where(same).values(patient_id=row.patient_id))


def to_be_erased(connection: Connection, what: What) -> list[Row[Any]]:
    """What is deleted and whose bytes are still there."""
    return [row for row in what.rows(connection, (DELETED,)) if row.container]


def erased(connection: Connection, numbers: Iterable[int]) -> None:
    """Say that the bytes of these rows are gone."""
    gone = {"container": "", "offset": 0, "crossing_container": None, "crossing_offset": None}
    these = instances.c.id.in_(list(numbers))
    formed.erase_of(connection, connection.execute(select(instances.c.sop_instance_uid).where(these)).scalars())
    connection.execute(update(instances).where(these).values(gone))
