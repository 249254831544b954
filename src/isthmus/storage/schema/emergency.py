"""Tables of `consent/emergency.py`: each emergency that was declared, with the notice and the review it owes; and where patients
want to be told. Nothing in them is clear but times."""

from __future__ import annotations

from sqlalchemy import Column, Integer, LargeBinary, String, Table, Text

from isthmus.storage.schema.metadata import STATE

EMERGENCIES = Table(
    "emergencies",
    STATE,
    Column("id", String(32), primary_key=True),
    Column("session", LargeBinary(32), nullable=False, unique=True),  # keyed hash: who, for whom, declared when
    Column("professional", LargeBinary(32), nullable=False, index=True),  # keyed hash
    Column("sealed", LargeBinary, nullable=False),  # who, where, for whom, why
    Column("began", Integer, nullable=False),  # all times here: seconds since 1970
    Column("ends", Integer, nullable=False),
    Column("ended", Integer),  # when its end was recorded
    Column("notice", String(12), nullable=False),  # due, sent, unreachable; none where it is not ours to give
    Column("notice_at", Integer, nullable=False),  # the next attempt, or when it was sent
    Column("attempts", Integer, nullable=False),
    Column("review_due", Integer, nullable=False),
    Column("reviewed", Integer),
    Column("finding", String(12)),  # justified, misuse
    Column("overdue_told", Integer),
)

NOTICE_ADDRESSES = Table(
    "notice_addresses",
    STATE,
    Column("patient_tag", LargeBinary(32), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("kept", Text, nullable=False),  # by whom: the patient, or an operator
)
