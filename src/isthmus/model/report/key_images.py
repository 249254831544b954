"""Key images: the images a report points to, as a whole or from one of its statements. Source: data set A.6."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.model.report.devices import Device
from isthmus.model.report.header import Person
from isthmus.model.report.sites import Site


@dataclass(frozen=True, slots=True)
class KeyImage:
    """Named by UIDs, never by address: it is shown from what was received."""

    sop_instance_uid: str
    series_instance_uid: str | None = None
    study_instance_uid: str | None = None
    modality: str | None = None
    title: str | None = None  # the view
    comment: str | None = None
    frame: int | None = None  # of a multi-frame instance, from 1; None is the instance as a whole
    site: Site | None = None
    media_type: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    frames: int | None = None
    duration_s: float | None = None
    performer: Person | None = None
    device: Device | None = None
