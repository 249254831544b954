"""What rejection notes did, onto the trail: whichever door they came in by, and whether or not a trail was at hand then.

The index knows which notes are not recorded yet; a node looks every few seconds, a correction at its start. A record may come twice
after a crash, never not at all.

Source: trust.md §4.1.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from isthmus.archive import register
from isthmus.archive.corrections.notes import TITLES
from isthmus.audit.events import Intent, Outcome
from isthmus.audit.trail import Trail
from isthmus.model.identifiers import PatientIdentifier
from isthmus.storage.database import Database
from isthmus.storage.schema.archive import rejections

EVERY_S = 5.0


def record(database: Database, trail: Trail, ncp_id: str) -> int:
    """Record every note that is not on the trail; gives how many. Raises AuditUnavailable."""
    waiting = database.read_now(_waiting)
    for row, patient in waiting:
        intent = Intent(
            side="A",
            transaction="correction",
            exchange_id=secrets.token_hex(16),
            peer=ncp_id,
            person=f"rejection note {row.note}",
            purpose="reject",
            patient=patient,
            details={"reason": TITLES.get(row.code, row.code), "note": row.note},
        )
        trail.record_now(intent, Outcome(outcome="complete", instances=row.named))
        of = rejections.c.note == row.note
        database.write_now(lambda c, of=of: c.execute(update(rejections).where(of).values(recorded=True)) and None)  # type: ignore[misc]  # bound at once
    return len(waiting)


def _waiting(connection: Connection) -> list[tuple[Row[Any], PatientIdentifier]]:
    r = rejections.c
    counted = select(r.note, r.code, r.patient_id, func.count().label("named")).where(~r.recorded)
    rows = connection.execute(counted.group_by(r.note, r.code, r.patient_id)).all()
    return [(row, register.patient_of(connection, row.patient_id).identifier) for row in rows]


async def keep_up(database: Database, trail: Trail, ncp_id: str) -> None:
    """One look, and a pause. Runs beside the listeners."""
    await asyncio.to_thread(record, database, trail, ncp_id)
    await asyncio.sleep(EVERY_S)
