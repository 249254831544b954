"""What is kept beside the trail for proofs: roots of subtrees, checkpoints of ours and of others, what others say they logged, and the
parts of a record that are too long for it.

Source: trust.md §4.3 to §4.5.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table, Text

from isthmus.storage.schema.metadata import STATE, UtcDateTime

audit_node = Table(  # the roots of full subtrees of 256 leaves, of 256 of those, and so on: made again from the leaves when missing
    "audit_node",
    STATE,
    Column("level", Integer, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("root", LargeBinary(32), nullable=False),
)

audit_checkpoint = Table(  # those of ours that another country has seen
    "audit_checkpoint",
    STATE,
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),  # the newest cosignature
)

audit_witnessed = Table(  # the newest of each other log that we have seen; what follows must continue it
    "audit_witnessed",
    STATE,
    Column("origin", String(255), primary_key=True),
    Column("size", Integer, nullable=False),
    Column("note", Text, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)

audit_foreign = Table(  # those of others under which a proof stands that we keep
    "audit_foreign",
    STATE,
    Column("origin", String(255), primary_key=True),
    Column("size", Integer, primary_key=True),
    Column("note", Text, nullable=False),
)

audit_offence = Table(  # signed by a log, and at odds with what it signed before: proof against it
    "audit_offence",
    STATE,
    Column("digest", String(64), primary_key=True),
    Column("origin", String(255), nullable=False),
    Column("what", String(64), nullable=False),
    Column("note", Text, nullable=False),
    Column("against", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("audit_offence_origin", "origin"),
)

audit_claim = Table(  # the other side's leaf for an exchange, as it says; and the proof when it was fetched
    "audit_claim",
    STATE,
    Column("number", Integer, primary_key=True, autoincrement=False),  # of our record
    Column("origin", String(255), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("leaf", LargeBinary(32), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("state", String(8), nullable=False),  # open, late, proven, wrong
    Column("size", Integer, nullable=True),
    Column("proof", LargeBinary, nullable=True),
    Index("audit_claim_state", "state", "origin"),
)

audit_part = Table(  # what a record names by its digest: statements, lists of what was sent. Sealed like the record
    "audit_part",
    STATE,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String(32), primary_key=True),
    Column("key_id", String(16), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

audit_list = Table(  # each trust list that was followed: public, and needed to judge a signature later
    "audit_list",
    STATE,
    Column("digest", String(43), primary_key=True),
    Column("token", Text, nullable=False),
    Column("since", UtcDateTime, nullable=False),
)
