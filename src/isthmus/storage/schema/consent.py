"""Tables of `consent/`: what patients said, and the signed head of each patient's set. Nothing in them is clear."""

from __future__ import annotations

from sqlalchemy import Column, Integer, LargeBinary, String, Table

from isthmus.storage.schema.metadata import STATE

CONSENT_DIRECTIVES = Table(
    "consent_directives",
    STATE,
    Column("id", String(64), primary_key=True),
    Column("patient_tag", LargeBinary(32), nullable=False, index=True),  # keyed hash
    Column("sealed", LargeBinary, nullable=False),  # the FHIR Consent, as signed
    Column("signature", String, nullable=False),  # detached JWS of the consent service
)

CONSENT_HEADS = Table(
    "consent_heads",
    STATE,
    Column("patient_tag", LargeBinary(32), primary_key=True),
    Column("number", Integer, nullable=False),  # of changes so far
    Column("digest", String(64), nullable=False),  # of the whole set
    Column("signature", String, nullable=False),
)
