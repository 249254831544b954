"""Radiation dose, as the dose system sums it up. Source: data set A.5, exposure information."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dose:
    """The summary in words, for one study."""

    text: str
    study_instance_uid: str | None = None
