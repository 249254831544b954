"""Sessions: who sits at the screen, under the digest of what the cookie holds; and which logins rest after failures."""

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

signin_rest = Table(
    "signin_rest",
    STATE,
    Column("subject", String(64), primary_key=True),  # keyed digest: a password is sometimes typed as a login
    Column("failures", Integer, nullable=False),
    Column("last", Integer, nullable=False),
)
