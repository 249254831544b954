"""By what a record is found without opening all of them: keyed hashes, made away from the writing of records.

Source: trust.md §6.3.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, Table

from isthmus.storage.schema.metadata import STATE

audit_index = Table(
    "audit_index",
    STATE,
    Column("tag", LargeBinary(12), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Index("audit_index_number", "number"),
)

audit_indexed = Table(  # one row: how far
    "audit_indexed",
    STATE,
    Column("id", Integer, primary_key=True),
    Column("size", Integer, nullable=False),
)
