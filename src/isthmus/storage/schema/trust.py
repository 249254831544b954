"""What the trust room keeps: the accepted list, since when its entries are known, what was seen once, how often was asked."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, Text

from isthmus.storage.schema.metadata import STATE

trust_list = Table(
    "trust_list",
    STATE,
    Column("id", Integer, primary_key=True),  # always 1
    Column("seq", Integer, nullable=False),
    Column("digest", String(43), nullable=False),
    Column("token", Text, nullable=False),
    Column("accepted", Integer, nullable=False),  # all times here: seconds since 1970
)

trust_entry = Table(
    "trust_entry",
    STATE,
    Column("name", String(512), primary_key=True),
    Column("since", Integer, nullable=False),
)

trust_seen = Table(
    "trust_seen",
    STATE,
    Column("issuer", String(256), primary_key=True),
    Column("typ", String(64), primary_key=True),
    Column("jti", String(128), primary_key=True),
    Column("until", Integer, nullable=False),
    Index("trust_seen_until", "until"),
)

trust_mark = Table(
    "trust_mark",
    STATE,
    Column("id", Integer, primary_key=True),  # always 1
    Column("low_water", Integer, nullable=False),
)

trust_search = Table(
    "trust_search",
    STATE,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("subject", String(512), nullable=False),
    Column("at", Integer, nullable=False),
    Index("trust_search_subject", "subject", "at"),
    Index("trust_search_at", "at"),
)

trust_failure = Table(
    "trust_failure",
    STATE,
    Column("subject", String(512), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last", Integer, nullable=False),
)

trust_patient = Table(
    "trust_patient",
    STATE,
    Column("peer", String(256), primary_key=True),
    Column("day", Integer, primary_key=True),  # since 1970
    Column("patient", String(64), primary_key=True),  # keyed digest
)

trust_treating = Table(
    "trust_treating",
    STATE,
    Column("patient", String(64), primary_key=True),  # keyed digests, both
    Column("day", Integer, primary_key=True),  # since 1970
    Column("professional", String(64), primary_key=True),
)
