"""Country B's state: running visits, the tokens they hand out, and the keys of what was spooled for them."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, LargeBinary, String, Table

from isthmus.storage.schema.metadata import STATE

visit_table = Table(
    "visit",
    STATE,
    Column("id", String(32), primary_key=True),
    Column("sub", String(128), nullable=False),
    Column("body", LargeBinary, nullable=False),  # sealed: professional, patient, relationship
    Column("seen", Float, nullable=False),  # seconds since 1970
    Column("expires", Float, nullable=False),
    Index("visit_by_sub", "sub"),
)

spool_table = Table(
    "spool",
    STATE,
    Column("visit", String(32), nullable=False, primary_key=True),
    Column("item", String(64), nullable=False, primary_key=True),  # keyed digest of what it is
    Column("part_of", String(64), nullable=False, server_default=""),  # keyed digest of the study it is of
    Column("file", String(64), nullable=False),  # random name
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("size_bytes", Float, nullable=False),
    Column("kept", Float, nullable=False),
)

spool_note_table = Table(
    "spool_note",
    STATE,
    Column("visit", String(32), nullable=False, primary_key=True),
    Column("item", String(64), nullable=False, primary_key=True),  # keyed digest of what is said, and of what
    Column("text", String(64), nullable=False),
)

visit_token_table = Table(
    "visit_token",
    STATE,
    Column("digest", String(64), primary_key=True),  # of the token, which only its holder has
    Column("visit", String(32), nullable=False),
    Column("session", String(64), nullable=False),
    Column("patient", String(64), nullable=False),  # digest of country and handle
    Column("expires", Float, nullable=False),  # seconds since 1970
)
