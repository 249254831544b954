"""Tables of `country_a/`: handles given out, and the context of each access token. Patients are sealed, handles hashed."""

from __future__ import annotations

from sqlalchemy import Column, Integer, LargeBinary, String, Table

from isthmus.storage.schema.metadata import STATE

BORDER_HANDLES = Table(
    "border_handles",
    STATE,
    Column("digest", LargeBinary(32), primary_key=True),  # SHA-256 of the handle
    Column("peer", String(256), nullable=False),
    Column("sub", String(256), nullable=False),
    Column("patient", LargeBinary, nullable=False),  # sealed
    Column("expires_at", Integer, nullable=False, index=True),  # seconds since 1970
)

BORDER_DECISIONS = Table(
    "border_decisions",
    STATE,
    Column("did", LargeBinary(32), primary_key=True),  # SHA-256 of the decision id
    Column("context", LargeBinary, nullable=False),  # sealed: who, for whom, why
    Column("expires_at", Integer, nullable=False, index=True),
)
