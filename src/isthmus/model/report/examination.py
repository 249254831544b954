"""Examination: what was done, what was seen, what it means, what is advised. Source: data set A.5."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.model.codes import Code
from isthmus.model.imaging import Study
from isthmus.model.report.devices import Device
from isthmus.model.report.header import Person
from isthmus.model.report.safety import Medication, Reaction
from isthmus.model.report.sites import Site
from isthmus.model.report.statements import Finding, Statement


@dataclass(frozen=True, slots=True)
class Procedure:
    """A.5.1: one imaging procedure as it was performed. `technique` is the text of it, `details` are phases and the like."""

    name: Statement | None = None
    technique: str | None = None
    performed: str | None = None  # FHIR dateTime; of a period its start
    performed_until: str | None = None
    sites: tuple[Site, ...] = ()
    devices: tuple[Device, ...] = ()
    performers: tuple[Person, ...] = ()
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A.5.6: what is advised; a code where it can be ordered by one."""

    text: str
    code: Code | None = None
    planned: str | None = None  # FHIR dateTime; of a period its start
    planned_until: str | None = None
    plan: str | None = None  # what follows from it, as a plan in words


@dataclass(frozen=True, slots=True)
class Examination:
    """A.5. Studies may be named by UID alone (no series): the manifest describes them.

    `performed` is when the service was given, which a report may tell without describing a procedure. `conclusion` is what is
    concluded in words, where the impressions are not all of it.
    """

    studies: tuple[Study, ...] = ()
    procedures: tuple[Procedure, ...] = ()
    performed: str | None = None  # FHIR dateTime; of a period its start
    performed_until: str | None = None
    regions: tuple[Code, ...] = ()
    medications: tuple[Medication, ...] = ()
    reactions: tuple[Reaction, ...] = ()
    findings: tuple[Finding, ...] = ()
    impressions: tuple[Finding, ...] = ()
    conclusion: str | None = None
    recommendations: tuple[Recommendation, ...] = ()
    communication: str | None = None  # who was told what, and when
