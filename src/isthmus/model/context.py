"""Context of a visit: for what purpose, where, and how the patient was recognised."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Purpose(StrEnum):
    """Purpose of use. Source: v3-ActReason."""

    TREAT = "TREAT"
    ETREAT = "ETREAT"
    BTG = "BTG"
    PATRQT = "PATRQT"


@dataclass(frozen=True, slots=True)
class PointOfCare:
    """Where the patient is treated."""

    id: str
    name: str
    country: str


@dataclass(frozen=True, slots=True)
class TreatmentRelationship:
    """What the professional confirms before anything is asked about a patient.

    Source: trust.md §2.5 (TRC).
    """

    purpose: Purpose
    method: str  # id-document, ehic, eudiw-pid, access-code, unable
    document_country: str
    verified_at: datetime
    notice_version: str
    notice_language: str
    notice_given: bool
    encounter: str  # opaque
    confirmed_at: datetime
    point_of_care: PointOfCare
