"""A country's own infrastructure behind Country A: a class to copy. It passes the contract, over a register and an archive of files.

    [[sources.images]]
    kind = "isthmus.testing.own_infrastructure:OwnInfrastructure"     # yours: "package.module:Class"
    url = "own"                                                       # here a folder; whatever your class makes of it

Replace `OwnRegister` and `OwnArchive` by what asks your systems; keep `OwnInfrastructure`. What is shared with PACS (manifests, whose an
instance is, nothing of strangers) comes from `PacsImages`, so that an archive has five questions to answer. Reports usually lie in another
source, which is joined to this one. Then: `isthmus connector test`, and a test that inherits `connector_contract.ConnectorContract`.

Source: interfaces.md §7.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

import pydicom

from isthmus.archive.register import fits
from isthmus.archive.studies import Told
from isthmus.errors import ImagesNotFound, NationalInfrastructureUnavailable
from isthmus.model.documents import Document, DocumentContent
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.model.pieces import StoredInstance
from isthmus.model.queries import DocumentQuery, ImagesQuery, PatientQuery
from isthmus.national.opening import Opening
from isthmus.national.pacs import PacsImages
from isthmus.national.told import Held, held_study, told_instances
from isthmus.sources import Source

PIECE_BYTES = 256 << 10


class OwnInfrastructure:
    """Register and archive as one national connector: four verbs. Made with the source's section of the settings."""

    def __init__(self, source: Source, opening: Opening) -> None:
        folder = opening.settings.path(source.url)
        self._source = source
        self._register = OwnRegister(folder / "register.json")
        archive = OwnArchive(source, folder)
        self._images = PacsImages(opening.settings, opening.index, source, archive, opening.clock)

    @property
    def zone(self) -> tzinfo:
        return self._source.zone if self._source.time_zone else UTC

    async def find_patients(self, query: PatientQuery) -> Sequence[Patient]:
        """By identifier, then every trait by the rules that all connectors share."""
        found = [await self._register.look_up(identifier) for identifier in query.identifiers]
        return tuple(dict.fromkeys(patient for patient in found if patient is not None and fits(patient, query)))

    async def find_documents(self, query: DocumentQuery) -> Sequence[Document]:
        return await self._images.find_documents(query)

    async def get_document(self, patient: PatientIdentifier, id: str) -> DocumentContent:
        return await self._images.get_document(patient, id)

    async def get_images(self, patient: PatientIdentifier, query: ImagesQuery) -> Sequence[StoredInstance]:
        return await self._images.get_images(patient, query)

    async def close(self) -> None:
        await self._images.close()


class OwnRegister:
    """Ours: people in a file. Yours: a request to the register."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def look_up(self, identifier: PatientIdentifier) -> Patient | None:
        """The person of exactly this identifier. What does not answer raises NationalInfrastructureUnavailable: never nobody."""
        try:
            people = json.loads(await asyncio.to_thread(self._file.read_bytes))
        except (OSError, ValueError) as error:
            raise NationalInfrastructureUnavailable("the register does not answer") from error
        told = next(
            (one for one in people if (one["system"], one["value"]) == (identifier.system, identifier.value)), None
        )
        if told is None:
            return None
        name = HumanName(told["family"], tuple(told["given"]))
        return Patient(identifier, (name,), told["birth_date"], told["gender"])


class OwnArchive:
    """Ours: DICOM files in a folder. Yours: requests to the archive, its answers as DICOM JSON or made into it."""

    def __init__(self, source: Source, folder: Path) -> None:
        self._source, self._folder = source, folder

    async def find_studies(self, patient: PatientIdentifier, study_instance_uid: str | None = None) -> Sequence[Held]:
        rows = await asyncio.to_thread(self._rows)
        mine = [row for row in rows if _text(row, "00100020") == patient.value]
        held = []
        for uid in dict.fromkeys(_text(row, "0020000D") for row in mine):
            of_study = [row for row in mine if _text(row, "0020000D") == uid]
            series = {_text(row, "0020000E"): row for row in of_study}
            told = [
                row | {"00201209": {"vr": "IS", "Value": [sum(_text(r, "0020000E") == one for r in of_study)]}}
                for one, row in series.items()
            ]
            held.append(held_study(of_study[0], told, self._source))
        return [one for one in held if one is not None and study_instance_uid in (None, one.study_instance_uid)]

    async def list_instances(self, held: Held) -> Sequence[Told]:
        rows = await asyncio.to_thread(self._rows)
        return [
            one
            for series in held.series
            for one in told_instances(
                (row for row in rows if _text(row, "0020000E") == series.series_instance_uid), held, series
            )
        ]

    async def make_ready(self, held: Held) -> float:
        return 60.0  # nothing is near-line here

    async def fetch(self, held: Held, told: Told, listed: Sequence[Told]) -> AsyncGenerator[bytes]:
        file = await asyncio.to_thread(self._file_of, told.sop_instance_uid)
        with file:
            while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                yield piece

    async def close(self) -> None:
        return

    def _rows(self) -> list[dict[str, Any]]:
        read = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(self._folder.glob("*.dcm"))]
        return [dict(one.to_json_dict()) for one in read]

    def _file_of(self, sop_instance_uid: str) -> io.BufferedReader:
        for path in sorted(self._folder.glob("*.dcm")):
            if pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID == sop_instance_uid:
                return path.open("rb")
        raise ImagesNotFound("the archive lists an instance that it does not have")


def _text(row: dict[str, Any], tag: str) -> str:
    """The first value of an attribute of DICOM JSON, as text."""
    values = row.get(tag, {}).get("Value") or [""]
    return str(values[0])
