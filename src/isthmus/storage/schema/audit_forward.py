"""How far the trail was forwarded to each national repository, and what one of them did not take.

Source: trust.md §4.1, §4.6.
"""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table

from isthmus.storage.schema.metadata import STATE, UtcDateTime

audit_position = Table(
    "audit_position",
    STATE,
    Column("repository", String(64), primary_key=True),
    Column("number", Integer, nullable=False),  # the first record of the trail that was not dealt with
    Column("moved", UtcDateTime, nullable=False),
)

audit_aside = Table(  # given again later, out of turn
    "audit_aside",
    STATE,
    Column("repository", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),  # of the outcome, or of the note
    Column("status", Integer, nullable=False),
    Column("since", UtcDateTime, nullable=False),
)
