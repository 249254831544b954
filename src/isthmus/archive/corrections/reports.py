"""Reports put right: moved with all their versions, retracted, deleted, restored.

A retracted report is gone, like one that never was. The version it replaced does not become the current one by that: it was replaced
because something in it was not right, and nobody has said that it is. It stays superseded; what holds is issued as a new version.

Decision 0012. Source: wire.md §1.4.4 (relations between entries).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, or_, select, update

from isthmus.archive import register
from isthmus.archive.corrections.people import rename
from isthmus.archive.corrections.trace import Done
from isthmus.archive.formed import rows as formed
from isthmus.errors import DocumentNotFound, MalformedRequest, PatientNotFound, SettingsProblem
from isthmus.model.documents import DocumentKind
from isthmus.model.identifiers import PatientIdentifier
from isthmus.originals.cda.child import told_header
from isthmus.sandbox import Sandbox
from isthmus.storage.schema.archive import documents
from isthmus.wire.packs.pack import Pack
from isthmus.wire.report.document import report_index

OFFERED, HELD, RETRACTED, DELETED = "served", "corrected", "retracted", "deleted"

Says = Callable[[Row[Any]], Sequence[PatientIdentifier]]


def named_in(body: bytes, kind: str, pack: Pack, sandbox: Sandbox) -> tuple[PatientIdentifier, ...]:
    """Whom a document names, in its bytes: nobody for a PDF. Raises MalformedRequest for what cannot be read any more."""
    if kind == DocumentKind.REPORT_FHIR.value:
        return (report_index(body, pack).patient,)
    if kind == DocumentKind.REPORT_CDA.value:
        cda = told_header(sandbox.run_now("cda-header", body, error=MalformedRequest))
        return cda.patients if cda is not None else ()
    return ()


def find(connection: Connection, id_: str, states: Sequence[str]) -> Row[Any]:
    """A report by its number in `archive list`, or its own identifier. Raises DocumentNotFound."""
    d = documents.c
    named: ColumnElement[bool] = d.unique_value.in_((id_, f"urn:oid:{id_}", f"urn:uuid:{id_}"))
    if id_.isascii() and id_.isdecimal() and len(id_) < 19:
        named = or_(d.number == int(id_), named)
    # what is an instance is put right as one
    kept = (
        select(documents)
        .where(named, d.kind.startswith("report"), d.source == "", d.foreign_id.is_(None))
        .order_by(d.number.desc())
    )
    rows = connection.execute(kept).all()
    row = next((row for row in rows if row.state in states), None)
    if row is None and rows:
        raise DocumentNotFound(f"the report is {rows[0].state}, and this is not for it; see archive list")
    if row is None:
        raise DocumentNotFound("no such report is kept here; see archive list")
    return row


def family(connection: Connection, row: Row[Any]) -> list[Row[Any]]:
    """All versions of a report."""
    d = documents.c
    if not row.family:
        return [row]
    return list(connection.execute(select(documents).where(d.kind == row.kind, d.family == row.family)))


def fitting(connection: Connection, ids: Sequence[str], to: PatientIdentifier, says: Says) -> dict[int, bool]:
    """Of each version, whether it names the patient it is to be of, or nobody. Raises DocumentNotFound, PatientNotFound."""
    known = register.patient_row(connection, to)
    if known is None:
        raise PatientNotFound("the patient it is moved to is not in the register: import-patients first")
    names = {known[1].identifier, *known[1].former}
    rows = [one for id_ in ids for one in family(connection, find(connection, id_, (OFFERED, HELD)))]
    return {row.number: not (said := says(row)) or bool(names & set(said)) for row in rows}


def move(connection: Connection, ids: Sequence[str], to: PatientIdentifier, fits: Mapping[int, bool]) -> Done:
    """Move reports, each with all its versions. One that names somebody else is held until it is issued anew."""
    known, done = register.patient_row(connection, to), Done()
    if known is None:
        raise PatientNotFound("the patient it is moved to is not in the register: import-patients first")
    for id_ in ids:
        for row in family(connection, find(connection, id_, (OFFERED, HELD))):
            state = row.state
            if state in (OFFERED, HELD):
                state = OFFERED if fits.get(row.number, False) else HELD
            if (row.patient_id, row.state) == (known[0], state):
                continue
            rename(connection, row.number, known[0])
            _set(connection, row, state)
            done.documents += 1
            done.held += state == HELD
    done.tell_held("document")
    return done


def retract(connection: Connection, id_: str) -> Done:
    """Take a report back. Retracted already, it stays so. Raises DocumentNotFound."""
    row = find(connection, id_, (OFFERED, HELD, RETRACTED))
    if row.state == RETRACTED:
        return Done(told=["It is retracted already; nothing changed."])
    _set(connection, row, RETRACTED)
    told = ["The report is gone for every country; the same bytes are refused when they are brought again."]
    if row.replaces is not None:
        told.append("The version it replaced stays superseded: issue what holds as a new version.")
    return Done(documents=1, told=told)


def delete_(connection: Connection, id_: str) -> Done:
    """Offer a report no more. Deleted already, it stays so. Raises DocumentNotFound."""
    row = find(connection, id_, (OFFERED, HELD, RETRACTED, DELETED))
    if row.state != DELETED:
        _set(connection, row, DELETED)
    told = ["What was deleted is refused when it is brought again, until it is restored."]
    return Done(documents=int(row.state != DELETED), told=told)


def restore(connection: Connection, id_: str) -> Done:
    """Take a retraction or a deletion back. With a current version beside it, it comes back as superseded.

    Raises DocumentNotFound; SettingsProblem for what was erased.
    """
    row, d = find(connection, id_, (RETRACTED, DELETED)), documents.c
    if not row.container:
        raise SettingsProblem("its bytes were erased: what holds is issued as a new version", reason="usage")
    of = (d.kind == row.kind) & (d.family == row.family) & (d.number != row.number)
    newer = select(d.number).where(of, d.state == OFFERED, d.status == "current")
    status = "superseded" if row.family and connection.execute(newer).first() else row.status
    connection.execute(update(documents).where(d.number == row.number).values(state=OFFERED, status=status))
    return Done(documents=1)


def erased(connection: Connection, number: int) -> None:
    """Say that the bytes of a report are gone."""
    connection.execute(update(documents).where(documents.c.number == number).values(container="", offset=0))
    formed.erase(connection, number)


def _set(connection: Connection, row: Row[Any], state: str) -> None:
    connection.execute(update(documents).where(documents.c.number == row.number).values(state=state))
