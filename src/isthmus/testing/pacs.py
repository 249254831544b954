"""A PACS in memory, which can be told to answer wrongly: for trying what connectors to a PACS share.

Source: interfaces.md §7; trust.md T52.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydicom

from isthmus.archive.studies import Told
from isthmus.dicom.part10 import PREAMBLE_BYTES
from isthmus.errors import ImagesNotFound
from isthmus.model.identifiers import PatientIdentifier
from isthmus.national.told import Held, held_study, told_instance
from isthmus.sources import Source

PIECE_BYTES = 512


@dataclass
class PracticePacs:
    """Files by SOP Instance UID. `strangers_too` answers with everybody's studies; `gives` gives other bytes for an instance.

    Without `counts` it does not say how many instances there are.
    """

    source: Source
    files: dict[str, bytes] = field(default_factory=dict)
    near_line: bool = False
    counts: bool = True
    strangers_too: bool = False
    gives: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    left_early: int = 0

    def keep(self, *files: bytes) -> None:
        for body in files:
            self.files[str(_read(body).SOPInstanceUID)] = body

    async def find_studies(self, patient: PatientIdentifier, study_instance_uid: str | None = None) -> Sequence[Held]:
        self.asked.append("find_studies")
        read = [_read(body) for body in self.files.values()]
        studies = {str(one.StudyInstanceUID): one for one in read}
        held = []
        for uid, first in studies.items():
            series = {str(one.SeriesInstanceUID): one for one in read if one.StudyInstanceUID == uid}
            rows = [
                self._row(one, "00201209", sum(r.SeriesInstanceUID == s for r in read)) for s, one in series.items()
            ]
            mine = held_study(self._row(first, "00201206", len(series)), rows, self.source)
            if mine is not None and (self.strangers_too or mine.patient.identifier == patient):
                held.append(mine)
        return [one for one in held if study_instance_uid in (None, one.study_instance_uid)]

    async def list_instances(self, held: Held) -> Sequence[Told]:
        self.asked.append("list_instances")
        told = [
            told_instance(_json(_read(body)), held, series)
            for series in held.series
            for body in self.files.values()
            if _read(body).SeriesInstanceUID == series.series_instance_uid
        ]
        return sorted((one for one in told if one is not None), key=lambda one: (one.number or 0, one.sop_instance_uid))

    async def make_ready(self, held: Held) -> float:
        self.near_line = False
        return 7.0

    async def fetch(self, held: Held, told: Told, listed: Sequence[Told]) -> AsyncIterator[bytes]:
        self.asked.append("fetch")
        body = self.gives.get(told.sop_instance_uid) or self.files.get(told.sop_instance_uid)
        if body is None:
            raise ImagesNotFound("no such instance")
        try:
            for at in range(0, len(body), PIECE_BYTES):
                await asyncio.sleep(0)
                yield body[at : at + PIECE_BYTES]
        except GeneratorExit:
            self.left_early += 1
            raise

    async def close(self) -> None:
        self.asked.append("close")

    def _row(self, data: Any, counted: str, count: int) -> dict[str, Any]:
        availability = {"00080056": {"vr": "CS", "Value": ["NEARLINE" if self.near_line else "ONLINE"]}}
        counts = {counted: {"vr": "IS", "Value": [count]}} if self.counts else {}
        return _json(data) | availability | counts


def _read(body: bytes) -> Any:
    return pydicom.dcmread(io.BytesIO(body), stop_before_pixels=True, force=body[PREAMBLE_BYTES:][:4] != b"DICM")


def _json(data: Any) -> dict[str, Any]:
    return dict(data.to_json_dict())
