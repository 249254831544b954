"""Comparison with earlier studies. Source: data set A.7."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ComparedStudy:
    """An earlier study as the report names it."""

    study_instance_uid: str
    started: str | None = None
    description: str | None = None
    modalities: tuple[str, ...] = ()  # DCM codes


@dataclass(frozen=True, slots=True)
class Comparison:
    """A.7."""

    text: str | None = None
    studies: tuple[ComparedStudy, ...] = ()
