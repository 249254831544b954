"""Examination: what was done, what was seen, what it means, what is advised. Source: data set A.5."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.model.codes import Code
from isthmus.model.imaging import Study
from isthmus.model.report.order import Statement


@dataclass(frozen=True, slots=True)
class Examination:
    """A.5. Studies may be named by UID alone (no series): the manifest describes them."""

    studies: tuple[Study, ...] = ()
    procedure: Statement | None = None  # its name
    technique: str | None = None
    performed: str | None = None  # FHIR dateTime
    body_site: Code | None = None
    regions: tuple[Code, ...] = ()
    findings: tuple[Statement, ...] = ()
    impressions: tuple[Statement, ...] = ()
    recommendations: tuple[Statement, ...] = ()
