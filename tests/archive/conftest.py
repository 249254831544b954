"""A node with an empty archive, and small DICOM files made on the spot."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from isthmus.archive.intake import Intake
from isthmus.archive.verdicts import Verdict
from isthmus.config import Settings
from isthmus.model.identifiers import PatientIdentifier
from isthmus.sandbox import Sandbox
from isthmus.sources import Source, Sources
from isthmus.storage.database import Database, open_index

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
ISSUER = "2.999.4.1"
SANDBOX = Sandbox()  # for all tests: no child before the first XML
EVA: dict[str, Any] = {
    "PatientID": "1234567",
    "PatientName": "Testova^Eva",
    "PatientBirthDate": "19700101",
    "PatientSex": "F",
}


def settings_in(folder: Path) -> Settings:
    source = Source(
        patient_issuer=ISSUER, accession_issuer="2.999.5.1", time_zone="Europe/Athens", institution="General"
    )
    return Settings(
        folder=folder, file=folder / "isthmus.toml", env="test", country="AA", ncp_id="urn:ehealth:aa:ncp-idp",
        sources=Sources(patients=(source,), reports=(source,), images=(source,)),
    )  # fmt: skip


def dicom(
    number: int = 1, *, study: str = "2.25.10", series: str = "2.25.11", syntax: str = "", **values: Any
) -> bytes:
    """A small CT instance; `None` leaves an attribute out."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta: Any = FileMetaDataset()
    meta.TransferSyntaxUID = syntax or ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"2.25.1{number:05}"
    made = Dataset()
    made.file_meta = meta
    said = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "SOPInstanceUID": f"2.25.1{number:05}", "StudyInstanceUID": study,
        "SeriesInstanceUID": series, "StudyDate": "20260105", "StudyTime": "101500", "Modality": "CT", "InstanceNumber": number,
        "SeriesNumber": 1, "StudyDescription": "CT of the chest", "BodyPartExamined": "CHEST", "AccessionNumber": "A1",
        "SpecificCharacterSet": "ISO_IR 192", **EVA, **values,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that no writer should write are what is tried here
        for keyword, value in said.items():
            if value is not None:
                setattr(made, keyword, value)
    made.Rows = made.Columns = 4
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit = 15
    made.add_new(0x7FE00010, "OW", bytes(range(32)))
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.save_as(file, enforce_file_format=True)
    return file.getvalue()


@dataclass
class Node:
    settings: Settings
    database: Database
    intakes: list[Intake] = field(default_factory=list)

    def intake(self) -> Intake:
        self.intakes.append(Intake(self.settings, self.database, lambda: NOW))
        return self.intakes[-1]

    def bring(self, *files: bytes, assign: PatientIdentifier | None = None) -> list[Verdict]:
        """Take files in one by one, by an intake of their own; their verdicts in order."""
        intake = self.intake()
        verdicts: list[Verdict] = []
        for number, body in enumerate(files):
            verdicts += intake.dicom(io.BytesIO(body), f"{number}.dcm", assign)
            verdicts += intake.flush()
        intake.close()
        return verdicts

    def rows(self) -> list[Any]:
        from isthmus.archive.queries import list_instances

        return self.database.read_now(lambda connection: list_instances(connection, None, 0, 1000))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    settings = settings_in(tmp_path)
    database = open_index(settings)
    yield Node(settings, database)
    database.close()
