"""Radiation dose, as the dose system sums it up. Source: data set A.5, exposure information."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.model.codes import Code
from isthmus.model.report.devices import Device
from isthmus.model.report.statements import Quantity


@dataclass(frozen=True, slots=True)
class Exposure:
    """One value with its unit: dose length product, dose area product, administered activity."""

    name: Code  # DCM
    value: Quantity

    @property
    def shown(self) -> str:
        return f"{self.name.display or self.name.code}: {self.value.shown}"


@dataclass(frozen=True, slots=True)
class Dose:
    """The dose of one study: in words, and in values where they are told."""

    text: str
    study_instance_uid: str | None = None
    exposures: tuple[Exposure, ...] = ()
    device: Device | None = None  # that irradiated
