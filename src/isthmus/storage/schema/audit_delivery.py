"""What was sent to another country, or came from one, and whether both sides have signed for it. What it was lies in the record's parts.

Source: trust.md §2.6 (M9), §4.5.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table

from isthmus.storage.schema.metadata import STATE, UtcDateTime

audit_delivery = Table(
    "audit_delivery",
    STATE,
    Column("number", Integer, primary_key=True, autoincrement=False),  # of the record that closed the exchange
    Column("opened", Integer, nullable=False),  # of the record that opened it
    Column("side", String(1), nullable=False),  # A sent, B received
    Column("exchange_id", String(64), nullable=False),
    Column("peer", String(2), nullable=False),
    Column("study", String(64), nullable=False),  # keyed hash
    Column("whole", Integer, nullable=False),  # 1: the transfer came to its end
    Column("since", UtcDateTime, nullable=False),
    Column("state", String(8), nullable=False),  # owed, late, settled, disputed
    Column("receipt", Integer, nullable=True),  # number of the record that opened the receipt's exchange
    Column("digest", String(64), nullable=True),  # of the receipt's list
    Index("audit_delivery_state", "side", "state", "since"),
    Index("audit_delivery_exchange", "exchange_id"),
    Index("audit_delivery_study", "study"),
)
