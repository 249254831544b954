"""Erases what the trail holds of people once its term is over; every leaf stays, and with it every proof.

The month's key goes first, in the transaction of the note that says so: from then on nothing opens what it closed, in copies either
(month keys are never in a backup: decision 0027). Then what it closed is taken out of the rows, piece by piece.

Source: trust.md §4.3; GDPR Art. 17(3); T105.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from isthmus import telemetry
from isthmus.audit.events import Note
from isthmus.audit.forward import forwarded_to
from isthmus.audit.notes import latest_note
from isthmus.audit.trail import Trail
from isthmus.audit.verify import RETENTION, months_between
from isthmus.sections import Audit
from isthmus.storage.database import Database
from isthmus.storage.schema.audit import audit_key, audit_trail, no
from isthmus.storage.schema.audit_log import audit_part
from isthmus.storage.sealed import MasterKey

ROWS_AT_ONCE = 1000
LOOK_EVERY_S = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Retained:
    """What was erased: the months, and how many records of theirs. `waiting` months are over, and not erased yet because a repository
    still has to be given some of them."""

    months: tuple[str, ...]
    records: int
    waiting: tuple[str, ...] = ()


class Retention:
    """Keeps the trail's term: `keep_months` whole months after a record's own."""

    def __init__(
        self, db: Database, trail: Trail, master: MasterKey, settings: Audit, clock: Callable[[], datetime]
    ) -> None:
        self._db, self._trail, self._master, self._clock = db, trail, master, clock
        self._keep, self._repositories = settings.keep_months, tuple(one.name for one in settings.forward)

    async def run(self) -> None:
        """Look again and again, while a node runs."""
        while True:
            await asyncio.to_thread(self.retain_now)
            await asyncio.sleep(LOOK_EVERY_S)

    def retain_now(self) -> Retained:
        """Erase what is over, and what an earlier run left. Raises AuditUnavailable."""
        noted = latest_note(self._db, self._master, RETENTION)
        over = [month for month in self._db.read_now(self._over) if noted is None or month > noted["through"]]
        held = self._db.read_now(lambda connection: [month for month in over if self._is_held(connection, month)])
        months = tuple(month for month in over if month < min(held, default="9999"))
        if months:
            note = Note(
                kind=RETENTION,
                side="A",
                exchange_id=RETENTION,
                details={"through": months[-1], "keep_months": str(self._keep)},
            )
            self._trail.note_now(note, also=lambda connection: _without_keys(connection, months[-1]))
        records = self._empty_all()
        if months or records:
            self._db.settle_now()
            telemetry.retained(months[-1] if months else "", records)
        return Retained(months, records, tuple(month for month in over if month not in months))

    def _over(self, connection: Connection) -> list[str]:
        """Months whose term is over, the oldest first: those with a key, and the oldest that still holds something (a backup that was
        put back has records whose key was destroyed meanwhile)."""
        now = f"{self._clock():%Y-%m}"
        full = select(audit_trail.c.key_id).where(audit_trail.c.sealed != b"").order_by(audit_trail.c.number).limit(1)
        months = {*connection.execute(select(audit_key.c.key_id)).scalars(), *connection.execute(full).scalars()}
        return [month for month in sorted(months) if months_between(month, now) > self._keep]

    def _is_held(self, connection: Connection, month: str) -> bool:
        """Whether some of it has not reached a repository yet."""
        due = forwarded_to(connection, self._repositories)
        if due is None:
            return False
        last = connection.execute(select(func.max(audit_trail.c.number)).where(audit_trail.c.key_id == month)).scalar()
        return last is not None and last >= due

    def _empty_all(self) -> int:
        """Take out what the newest note says is erased; gives how many records that were."""
        note, count = latest_note(self._db, self._master, RETENTION), 0
        if note is not None:
            while emptied := self._db.write_now(lambda connection: _empty(connection, note["through"])):
                count += emptied
        return count


def _without_keys(connection: Connection, through: str) -> None:
    connection.execute(delete(audit_key).where(audit_key.c.key_id <= through))


def _empty(connection: Connection, through: str) -> int:
    """Some of the rows up to a month that still hold what nothing opens any more."""
    full = (audit_trail.c.key_id <= through, audit_trail.c.sealed != b"")
    numbers = connection.execute(
        select(audit_trail.c.number).where(*full).order_by(audit_trail.c.number).limit(ROWS_AT_ONCE)
    ).scalars().all()  # fmt: skip
    connection.execute(delete(audit_part).where(audit_part.c.key_id <= through))
    if not numbers:
        return 0
    connection.exec_driver_sql("DROP TRIGGER IF EXISTS audit_trail_no_update")
    these = audit_trail.c.number.between(numbers[0], numbers[-1])
    connection.execute(audit_trail.update().where(these, *full).values(sealed=b"", patient_tag=None))
    connection.exec_driver_sql(no("UPDATE"))
    return len(numbers)
