"""The trail's tables. Triggers refuse to change what was written; the proof (`audit/verify.py`) does not rely on them.

Source: trust.md §4.2, §4.3.
"""

from __future__ import annotations

from sqlalchemy import DDL, Column, Index, Integer, LargeBinary, String, Table, event

from isthmus.storage.schema.metadata import STATE, UtcDateTime

audit_trail = Table(
    "audit_trail",
    STATE,
    Column("number", Integer, primary_key=True, autoincrement=False),  # the tree's size before this record
    Column("leaf", LargeBinary(32), nullable=False),
    Column(
        "sealed", LargeBinary, nullable=False
    ),  # salt and canonical record, under the month's key; empty once erased
    Column("key_id", String(16), nullable=False),
    Column("kind", String(8), nullable=False),  # intent, outcome, event
    Column("closes", Integer, nullable=True),  # number of the intent
    Column("exchange_id", String(64), nullable=False),
    Column("patient_tag", String(64), nullable=True),  # keyed hash
    Column("writer", String(32), nullable=False),
    Index("audit_trail_closes", "closes", unique=True),
    Index("audit_trail_writer", "writer", "kind"),
    Index("audit_trail_patient", "patient_tag"),
)

audit_head = Table(  # one row: where the tree ends
    "audit_head",
    STATE,
    Column("id", Integer, primary_key=True),
    Column("size", Integer, nullable=False),
    Column("edge", LargeBinary, nullable=False),  # the roots of the full subtrees, largest first
    Column("root", LargeBinary(32), nullable=False),
    Column("mac", LargeBinary(32), nullable=False),
)

audit_key = Table(  # random keys, one a month, wrapped by the master key
    "audit_key",
    STATE,
    Column("key_id", String(16), primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
)

audit_writer = Table(  # who writes now; its lock file lies in writers/
    "audit_writer",
    STATE,
    Column("id", String(32), primary_key=True),
    Column("pid", Integer, nullable=False),
    Column("started", UtcDateTime, nullable=False),
    Column("renewed", UtcDateTime, nullable=False),
)


def no(verb: str) -> str:
    """The trigger that refuses this verb. Retention alone lifts it, and puts it back in the same transaction."""
    return (
        f"CREATE TRIGGER audit_trail_no_{verb.lower()} BEFORE {verb} ON audit_trail "
        "BEGIN SELECT RAISE(ABORT, 'the trail is only added to'); END"
    )


for _verb in ("UPDATE", "DELETE"):
    event.listen(
        audit_trail,
        "after_create",
        DDL(no(_verb)).execute_if(dialect="sqlite"),  # type: ignore[no-untyped-call]  # SQLAlchemy leaves DDL untyped
    )
