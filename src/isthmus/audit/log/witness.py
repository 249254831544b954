"""Sees where other logs end, and says so: the witness of our peers.

Only what continues what was seen before is cosigned, and it is kept before the answer leaves. What a log signed and what does not fit
is kept as proof against it.

Source: C2SP tlog-witness; trust.md §4.4, T60, T78.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import Connection, func, insert, select, update

from isthmus.audit.merkle import EMPTY_ROOT, continues
from isthmus.storage.database import Database
from isthmus.storage.schema.audit_log import audit_offence, audit_witnessed
from isthmus.wire.notes import LogKey, Note, NoteKey, Submission

OFFENCES_MAX = 100  # of one log: the first ones say enough
SIZE_TYPE = "text/x.tlog.size"

LogOf = Callable[[str], LogKey | None]  # by origin, as the trust list has it now


@dataclass(frozen=True, slots=True)
class Said:
    """What the witness answers. `offence`: that something was signed which does not fit what was signed before."""

    status: int
    body: str = ""
    media_type: str = "text/plain; charset=utf-8"
    offence: str = ""


class Witness:
    """Remembers the newest checkpoint of every other log."""

    def __init__(self, db: Database, key: NoteKey, clock: Callable[[], datetime]) -> None:
        self._db, self._key, self._clock = db, key, clock

    async def add(self, body: bytes, log_of: LogOf) -> Said:
        """Answer a submission: cosignature (200), 400, 403, 404, 409 or 422 as the protocol has them."""
        try:
            submission = Submission.read(body)
            checkpoint = submission.note.checkpoint
        except (ValueError, UnicodeDecodeError):
            return Said(400, "no submission of a checkpoint\n")
        log = log_of(checkpoint.origin)
        if log is None:
            return Said(404, "no log that is known here\n")
        if not log.signed(submission.note):
            return Said(403, "not signed with the key of this log\n")
        if submission.old > checkpoint.size:
            return Said(400, "a log does not shrink\n")
        return await self._db.write(lambda connection: self._judged(connection, submission))

    def _judged(self, connection: Connection, submission: Submission) -> Said:
        note, checkpoint = submission.note, submission.note.checkpoint
        held = seen(connection, checkpoint.origin)
        size, root = (held.checkpoint.size, held.checkpoint.root) if held is not None else (0, EMPTY_ROOT)
        if submission.old != size:
            return Said(409, f"{size}\n", SIZE_TYPE)
        if not continues(size, root, checkpoint.size, checkpoint.root, submission.proof):
            what = "fork" if size == checkpoint.size else "no proof"
            keep_offence(connection, note, what, "" if held is None else held.write(), self._clock())
            return Said(409 if size == checkpoint.size else 422, f"{what}\n", offence=what)
        now = self._clock()
        line = self._key.cosign(note, int(now.timestamp()))
        keep(connection, Note(note.body, note.signatures).with_lines((line,)), now)
        return Said(200, line.write())


def seen(connection: Connection, origin: str) -> Note | None:
    """The newest checkpoint of a log that we have seen and cosigned."""
    query = select(audit_witnessed.c.note).where(audit_witnessed.c.origin == origin)
    text = connection.execute(query).scalar()
    return None if text is None else Note.read(text)


def keep(connection: Connection, note: Note, now: datetime) -> None:
    """Remember what was seen last."""
    checkpoint = note.checkpoint
    values = {"size": checkpoint.size, "note": note.write(), "seen_at": now}
    known = update(audit_witnessed).where(audit_witnessed.c.origin == checkpoint.origin).values(**values)
    if not connection.execute(known).rowcount:
        connection.execute(insert(audit_witnessed).values(origin=checkpoint.origin, **values))


def keep_offence(connection: Connection, note: Note, what: str, against: str, now: datetime) -> bool:
    """Keep a signed note that is at odds with another; whether it is a new one."""
    origin, text = note.checkpoint.origin, note.write()
    digest = sha256(text.encode()).hexdigest()
    of_origin = select(func.count()).select_from(audit_offence).where(audit_offence.c.origin == origin)
    known = connection.execute(select(audit_offence.c.digest).where(audit_offence.c.digest == digest)).first()
    if known is not None or (connection.execute(of_origin).scalar() or 0) >= OFFENCES_MAX:
        return False
    values = {"digest": digest, "origin": origin, "what": what, "note": text, "against": against, "at": now}
    connection.execute(insert(audit_offence).values(**values))
    return True
