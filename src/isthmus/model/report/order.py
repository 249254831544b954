"""Order of an examination, why it was asked for, and what was known of the patient. Source: data set A.2, A.3."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.model.codes import Code
from isthmus.model.identifiers import Identifier
from isthmus.model.people import Organisation
from isthmus.model.report.devices import Device
from isthmus.model.report.header import Person
from isthmus.model.report.safety import Medication, Pregnancy, Reaction
from isthmus.model.report.statements import Finding, Statement


@dataclass(frozen=True, slots=True)
class Order:
    """A.2 and A.3. From `history` on it is what the reader of the images was told about the patient."""

    accession_numbers: tuple[Identifier, ...] = ()
    placer_order_numbers: tuple[Identifier, ...] = ()
    requested: str | None = None  # what, in words
    placed: str | None = None  # FHIR dateTime
    requester: Person | None = None
    reasons: tuple[Statement, ...] = ()
    history: tuple[Statement, ...] = ()  # problems, diagnoses, conditions
    filler_order_numbers: tuple[Identifier, ...] = ()
    requested_code: Code | None = None
    organisation: Organisation | None = None  # that asks, where no person is named
    question: str | None = None  # the clinical question
    priority: str | None = None  # routine | urgent | asap | stat
    observations: tuple[Finding, ...] = ()  # height, weight, kidney function
    medications: tuple[Medication, ...] = ()  # before the examination
    implants: tuple[Device, ...] = ()
    allergies: tuple[Reaction, ...] = ()  # known before
    pregnancy: Pregnancy | None = None
    sex_for_clinical_use: Code | None = None
