"""Header of a report: whose, by whom, for whom, which. Source: data set A.1."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.model.codes import Code
from isthmus.model.identifiers import Identifier
from isthmus.model.people import Address, HumanName, Organisation, Patient, Telecom
from isthmus.model.report.devices import Device


@dataclass(frozen=True, slots=True)
class Person:
    """A professional as named in a report, with the role, the specialty and the organisation they have there."""

    name: HumanName
    identifier: Identifier | None = None
    role: Code | None = None
    specialty: Code | None = None
    organisation: Organisation | None = None
    addresses: tuple[Address, ...] = ()
    telecoms: tuple[Telecom, ...] = ()

    @property
    def shown(self) -> str:
        name = self.name
        return " ".join((*name.prefix, *name.given, name.family, *name.suffix)).strip()


@dataclass(frozen=True, slots=True)
class Attester:
    """Who answers for the report, and since when."""

    person: Person
    time: str | None = None


@dataclass(frozen=True, slots=True)
class Validator:
    """Who or what checked the report, and when."""

    person: Person | None = None
    time: str | None = None
    device: Device | None = None


@dataclass(frozen=True, slots=True)
class Insurance:
    """A.1.3: who insures the patient, and under which number."""

    insurer: Organisation | None = None
    number: Identifier | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """A.1. The identifier is the same for all versions of a report; `version` tells them apart.

    A date that is not known is empty: what is written says so.
    """

    identifier: Identifier
    patient: Patient
    title: str
    date: str  # FHIR dateTime: of authoring
    type: Code | None = None  # LOINC
    status: str = "final"  # of the DiagnosticReport
    language: str | None = None
    version: str | None = None
    authors: tuple[Person, ...] = ()
    organisation: Organisation | None = None  # author
    attester: Attester | None = None  # legal
    custodian: Organisation | None = None
    document_identifier: Identifier | None = None  # of this version alone, where it has one
    issued: str | None = None  # FHIR instant, where it is another than `date`
    devices: tuple[Device, ...] = ()  # authors
    validators: tuple[Validator, ...] = ()
    recipients: tuple[Person | Organisation, ...] = ()
    insurances: tuple[Insurance, ...] = ()
    confidentiality: str | None = None  # HL7 Confidentiality; normal when absent
    service: Code | None = None  # diagnostic service, of HL7 table 0074
    replaces: Identifier | None = None  # the version before
    appends: Identifier | None = None  # the report that this is an addendum to
