"""Context of a visit: for what purpose, where, and how the patient was recognised."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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


EMERGENCY_REASONS = ("unconscious", "life-threat", "safety-of-others", "other")
EMERGENCY_WORDS_MIN, EMERGENCY_WORDS_MAX = 20, 400
_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters by their category, and nothing to see
EMERGENCY_LIFE = timedelta(minutes=60)
FRESH = timedelta(minutes=5)  # how old a sign-in may be when an emergency is declared


def emergency_words(text: str) -> str:
    """What can be read of a reason in somebody's own words: what no screen shows is taken off before it is measured and kept."""
    seen = "".join(" " if unicodedata.category(c)[0] in "CZ" or c in _BLANKS else c for c in text)
    return " ".join(seen.split())


@dataclass(frozen=True, slots=True)
class Emergency:
    """Why a professional sets the patient's restrictions aside, and when they signed in for it.

    Source: trust.md §2.5 (TRC btg), §3.5.
    """

    reason: str  # one of EMERGENCY_REASONS
    words: str = field(repr=False)  # the patient may read them
    signed_in_at: datetime


BASES = ("guardian", "proxy", "next-of-kin")


@dataclass(frozen=True, slots=True)
class Representative:
    """Who speaks for a patient, and on what ground. Source: trust.md §2.5 (NOK)."""

    identifier: str
    basis: str  # one of BASES
    evidence_sha256: str  # of what was shown
    until: datetime | None = None  # how long the ground holds, where that is known

    def __repr__(self) -> str:
        return f"Representative({self.basis})"


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
    emergency: Emergency | None = None  # with purpose BTG alone
    representative: Representative | None = None
