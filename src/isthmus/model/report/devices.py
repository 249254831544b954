"""Devices: what makes images, what writes or checks a report, what a patient carries. Source: data set A.1.5, A.5.1.7, A.3."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.model.codes import Code
from isthmus.model.identifiers import Identifier


@dataclass(frozen=True, slots=True)
class Device:
    """A device, or software, or an implant. `udi` is the device identifier part of its UDI."""

    name: str
    identifier: Identifier | None = None
    type: Code | None = None  # SNOMED CT, EMDN
    manufacturer: str | None = None
    model: str | None = None
    serial_number: str | None = None
    version: str | None = None
    udi: str | None = None
    note: str | None = None

    @property
    def shown(self) -> str:
        kind = self.type.display or self.type.code if self.type else ""
        return self.name or kind or " ".join(filter(None, (self.manufacturer, self.model))) or self.udi or ""
