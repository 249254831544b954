"""Sessions: who sits at the screen, under the digest of what the cookie holds."""

from __future__ import annotations

from sqlalchemy import Column, Integer, LargeBinary, String, Table

from isthmus.storage.schema.metadata import STATE

signin_session = Table(
    "signin_session",
    STATE,
    Column("id", String(64), primary_key=True),  # SHA-256 of the cookie's token, hex
    Column("professional", LargeBinary, nullable=False),  # JSON
    Column("csrf_secret", LargeBinary(32), nullable=False),
    Column("started", Integer, nullable=False),  # seconds since 1970
    Column("used", Integer, nullable=False),
)
