"""What is known of a document beside what it says itself: by whoever keeps it, or brings it. It does not replace what a document says of
the examination; whose it is, it decides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import Organisation, Patient


@dataclass(frozen=True, slots=True)
class Beside:
    """Everything may be unknown. `patient` is whom a register knows; of a `number` alone the person is as the document says."""

    patient: Patient | None = None
    number: PatientIdentifier | None = None
    studies: tuple[str, ...] = ()
    accession_numbers: tuple[Identifier, ...] = ()
    accession_issuer: str | None = (
        None  # tells which of several order numbers is one; the issuer of one that names none
    )
    identifier: Identifier | None = None
    title: str | None = None
    created: str | None = None  # FHIR dateTime
    language: str | None = None
    custodian: Organisation | None = None
    modalities: tuple[str, ...] = ()
    started: str | None = None  # FHIR dateTime
    description: str | None = None
    confidentiality: str | None = None  # HL7 Confidentiality
    status: str | None = None  # of a DiagnosticReport

    def __repr__(self) -> str:  # never in a log
        return "Beside(…)"


def numbered(said: tuple[Identifier, ...], known: Beside) -> tuple[Identifier, ...]:
    """Accession numbers with the issuer that is known of those that name none; else what is known."""
    issued = tuple(
        replace(one, system=f"urn:oid:{known.accession_issuer}")
        if one.system is None and known.accession_issuer
        else one
        for one in said
    )
    return issued or known.accession_numbers
