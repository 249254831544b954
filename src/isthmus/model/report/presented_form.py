"""Presented form: the whole report as it was issued. Source: data set A.8."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PresentedForm:
    """Its bytes, exactly."""

    media_type: str
    body: bytes = field(repr=False)
    language: str | None = None
    title: str | None = None
    created: str | None = None  # FHIR dateTime
