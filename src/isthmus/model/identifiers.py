"""Identifiers: what names a patient, a study, an order, a document. Checked when made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from isthmus.errors import MalformedRequest

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_EXCHANGE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
UID_MAX = 64


@dataclass(frozen=True, slots=True)
class PatientIdentifier:
    """A patient's identifier as Country A issues it.

    Equal only when both parts are: the same digits under another authority are another person; leading zeros count.
    """

    system: str  # assigning authority, a URI
    value: str

    def __post_init__(self) -> None:
        if not self.system or not self.value or len(self.value) > 128 or len(self.system) > 256:
            raise MalformedRequest(
                "a patient identifier needs an authority and a value", reason="value", path="identifier"
            )

    def __repr__(self) -> str:  # never in a log
        return f"PatientIdentifier({self.system}|…)"

    @classmethod
    def read(cls, text: str) -> PatientIdentifier:
        """Read `SYSTEM|VALUE`, split at the first bar only. Raises MalformedRequest."""
        system, bar, value = text.partition("|")
        if not bar:
            raise MalformedRequest("an identifier is written SYSTEM|VALUE", reason="value", path="identifier")
        return cls(system, value)


UNIDENTIFIED: Final = PatientIdentifier("http://hl7.org/fhir/StructureDefinition/data-absent-reason", "unknown")
"""Stands where a document gives its patient no number at all. It is written as absent, and is nobody's."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """A business identifier with its issuer: accession number, placer order number, organisation number.

    Blanks at the ends do not count, inside they do; `000123` is not `123`. Without issuer, `system` is None: never invented.

    Source: PS3.5 §6.2 (SH); MADO.
    """

    system: str | None
    value: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", self.value.strip(" "))

    @classmethod
    def read(cls, text: str, path: str = "identifier") -> Identifier:
        """Read `SYSTEM|VALUE`, or a value without issuer. Raises MalformedRequest for one without value."""
        system, bar, value = text.rpartition("|")
        if not value.strip(" "):
            raise MalformedRequest("a number is written SYSTEM|VALUE, or VALUE", reason="value", path=path)
        return cls(system if bar and system else None, value)


def is_uid(text: str) -> bool:
    """Digits and dots, at most 64, no empty component; leading zeros exist in real archives and pass.

    Source: PS3.5 §9.1; trust.md §2.8.
    """
    return len(text) <= UID_MAX and "." in text and _UID.fullmatch(text) is not None


def checked_uid(text: str, path: str = "uid") -> str:
    """Give the UID back, or raise MalformedRequest (reason uid)."""
    if not is_uid(text):
        raise MalformedRequest("a UID is digits and dots, at most 64 characters", reason="uid", path=path)
    return text


def plain_uid(text: str) -> str:
    """`urn:oid:1.2`, `oid:1.2` and `1.2` are one UID. Source: MADO examples (TOL-03)."""
    for prefix in ("urn:oid:", "oid:"):
        if text.startswith(prefix):
            return text[len(prefix) :]
    return text


def checked_id(text: str, path: str = "id") -> str:
    """Give a FHIR id back, or raise MalformedRequest. Source: R4 id."""
    if _FHIR_ID.fullmatch(text) is None:
        raise MalformedRequest("an id is 1 to 64 letters, digits, hyphens and dots", reason="value", path=path)
    return text


def is_exchange_id(text: str) -> bool:
    """What may be echoed as X-Request-Id. Source: trust.md T58."""
    return _EXCHANGE_ID.fullmatch(text) is not None
