"""Specimen: what was imaged outside a body. Source: data set A.4."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.model.identifiers import Identifier
from isthmus.model.report.devices import Device
from isthmus.model.report.sites import Site
from isthmus.model.report.statements import Statement


@dataclass(frozen=True, slots=True)
class Specimen:
    """A.4. Where it was taken, with side and morphology, is its site."""

    identifiers: tuple[Identifier, ...] = ()
    material: Statement | None = None
    collected: str | None = None  # FHIR dateTime; of a period its start
    collected_until: str | None = None
    site: Site | None = None
    device: Device | None = None  # it was taken from, as a catheter
    method: Statement | None = None
    received: str | None = None  # FHIR dateTime
    note: str | None = None
