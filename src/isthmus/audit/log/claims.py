"""What the other side says it logged of an exchange, and the proof of it: fetched within minutes, kept for years.

Source: trust.md §4.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, LargeBinary, cast, func, insert, select, update

from isthmus.audit.merkle import HASH_BYTES, root_from
from isthmus.storage.schema.audit_log import audit_claim, audit_foreign
from isthmus.wire.notes import Leaf, Note

LATE = timedelta(minutes=10)
WAITING = ("open", "late")


@dataclass(frozen=True, slots=True)
class Claim:
    """The other side's record for one of ours, by our number."""

    number: int
    leaf: Leaf
    since: datetime


@dataclass(frozen=True, slots=True)
class Proof:
    """That it is under a checkpoint of the other side's."""

    leaf: Leaf
    size: int
    path: tuple[bytes, ...]
    note: Note


def waiting(connection: Connection, origin: str, below: int, limit: int) -> list[Claim]:
    """Claims on a log that can be proven under a checkpoint of so many records, the oldest first."""
    c = audit_claim.c
    query = (
        select(c.number, c.seq, cast(c.leaf, LargeBinary).label("leaf"), c.since)
        .where(c.origin == origin, c.state.in_(WAITING), c.seq < below)
        .order_by(c.number)
        .limit(limit)
    )
    return [Claim(row.number, Leaf(origin, row.seq, row.leaf), row.since) for row in connection.execute(query)]


def holds(claim: Claim, proof: Sequence[bytes], note: Note) -> bool:
    """Whether a proof leads from the claimed leaf to the root of a checkpoint that its log signed."""
    checkpoint = note.checkpoint
    return root_from(claim.leaf.leaf, claim.leaf.seq, checkpoint.size, proof) == checkpoint.root


def proven(connection: Connection, claim: Claim, proof: Sequence[bytes], note: Note) -> None:
    """Keep a proof that holds, and the checkpoint that it leads to."""
    checkpoint = note.checkpoint
    there = (audit_foreign.c.origin == checkpoint.origin) & (audit_foreign.c.size == checkpoint.size)
    if connection.execute(select(audit_foreign.c.size).where(there)).first() is None:
        values = {"origin": checkpoint.origin, "size": checkpoint.size, "note": note.write()}
        connection.execute(insert(audit_foreign).values(**values))
    values = {"state": "proven", "size": checkpoint.size, "proof": b"".join(proof)}
    connection.execute(update(audit_claim).where(audit_claim.c.number == claim.number).values(**values))


def wrong(connection: Connection, claim: Claim) -> None:
    connection.execute(update(audit_claim).where(audit_claim.c.number == claim.number).values(state="wrong"))


def late(connection: Connection, now: datetime) -> dict[str, int]:
    """How many claims on each log are without proof for too long since now; each is told once."""
    c = audit_claim.c
    overdue = (c.state == "open") & (c.since < now - LATE)
    query = select(c.origin, func.count()).where(overdue).group_by(c.origin)
    counted = {row[0]: row[1] for row in connection.execute(query)}
    if counted:
        connection.execute(update(audit_claim).where(overdue).values(state="late"))
    return counted


def proof_of(connection: Connection, number: int) -> Proof | None:
    """The proof that was kept for the other side's record of one of ours."""
    c, f = audit_claim.c, audit_foreign.c
    query = (
        select(
            c.origin,
            c.seq,
            cast(c.leaf, LargeBinary).label("leaf"),
            c.size,
            cast(c.proof, LargeBinary).label("path"),
            f.note,
        )
        .join(audit_foreign, (f.origin == c.origin) & (f.size == c.size))
        .where(c.number == number, c.state == "proven")
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    path = tuple(row.path[i : i + HASH_BYTES] for i in range(0, len(row.path), HASH_BYTES))
    return Proof(Leaf(row.origin, row.seq, row.leaf), row.size, path, Note.read(row.note))
