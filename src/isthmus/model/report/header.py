"""Header of a report: whose, by whom, which. Source: data set A.1."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.model.codes import Code
from isthmus.model.identifiers import Identifier
from isthmus.model.people import HumanName, Organisation, Patient


@dataclass(frozen=True, slots=True)
class Person:
    """A professional as named in a report."""

    name: HumanName
    identifier: Identifier | None = None

    @property
    def shown(self) -> str:
        return " ".join((*self.name.given, self.name.family)).strip()


@dataclass(frozen=True, slots=True)
class Attester:
    """Who answers for the report, and since when."""

    person: Person
    time: str | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """A.1. The identifier is the same for all versions of a report; `version` tells them apart."""

    identifier: Identifier
    patient: Patient
    title: str
    date: str  # FHIR dateTime
    type: Code | None = None  # LOINC
    status: str = "final"  # of the DiagnosticReport
    language: str | None = None
    version: str | None = None
    authors: tuple[Person, ...] = ()
    organisation: Organisation | None = None  # author
    attester: Attester | None = None  # legal
    custodian: Organisation | None = None
    document_identifier: Identifier | None = None  # of this version alone, where it has one
