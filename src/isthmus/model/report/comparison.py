"""Comparison with earlier studies and reports. Source: data set A.7."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.model.identifiers import Identifier


@dataclass(frozen=True, slots=True)
class ComparedStudy:
    """An earlier study as the report names it."""

    study_instance_uid: str
    started: str | None = None
    description: str | None = None
    modalities: tuple[str, ...] = ()  # DCM codes


@dataclass(frozen=True, slots=True)
class ComparedReport:
    """An earlier report, by its identifier alone: it may lie in any country."""

    identifier: Identifier
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A.7."""

    text: str | None = None
    studies: tuple[ComparedStudy, ...] = ()
    reports: tuple[ComparedReport, ...] = ()
