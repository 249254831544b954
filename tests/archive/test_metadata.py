"""Metadata of images: made once for a generation, without bulk, of what crosses.

Source: PS3.18 §10.4.1.1.2, Annex F; performance.md §3.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
import zlib
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from tests.archive.conftest import ISSUER, Node, dicom

from isthmus.archive.metadata import Metadata
from isthmus.errors import ImagesNotFound, NationalInfrastructureUnavailable
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.queries import ImagesQuery
from isthmus.national.connector import DescribesImages
from isthmus.national.files import Files

EVA = PatientIdentifier(f"urn:oid:{ISSUER}", "1234567")
STUDY, SERIES = "2.25.10", "2.25.11"
IMPLICIT_LE = "1.2.840.10008.1.2"


def described(node: Node, *uids: str, patient: PatientIdentifier = EVA) -> list[dict[str, Any]]:
    files = Files(node.settings, node.database, lambda: datetime(2026, 11, 23, tzinfo=UTC))
    assert isinstance(files, DescribesImages)
    body = asyncio.run(files.get_metadata(patient, ImagesQuery(*uids)))
    told: list[dict[str, Any]] = orjson.loads(zlib.decompress(body, 31))
    return told


def sops(told: list[dict[str, Any]]) -> list[str]:
    return [one["00080018"]["Value"][0] for one in told]


def made(node: Node) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(node.settings.index_file)) as index:
        return index.execute("SELECT series_instance_uid, generation FROM described ORDER BY 1").fetchall()


@pytest.mark.requirement("WAD-14")
def test_a_study_a_series_and_an_instance_are_described_without_bulk(node: Node) -> None:
    node.bring(dicom(2), dicom(1), dicom(3, series="2.25.12", SeriesNumber=2))

    study, series, one = (
        described(node, STUDY),
        described(node, STUDY, SERIES),
        described(node, STUDY, SERIES, "2.25.100002"),
    )

    assert sops(study) == ["2.25.100001", "2.25.100002", "2.25.100003"]
    assert sops(series) == sops(study)[:2]
    assert one == [study[1]]
    assert study[0]["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Testova^Eva"}]}
    assert not [element for element in study[0].values() if "BulkDataURI" in element]
    assert "7FE00010" not in study[0]
    assert study[0]["00280010"] == {"vr": "US", "Value": [4]}


def test_it_is_made_once_a_generation_and_the_first_stays(node: Node) -> None:
    node.bring(dicom(1))
    described(node, STUDY)
    Metadata(node.settings, node.database).make([STUDY])
    once = made(node)

    node.bring(dicom(2))
    later = described(node, STUDY, SERIES)

    assert once == [("", 1), (SERIES, 1)]
    assert made(node) == [("", 2), (SERIES, 2)]
    assert len(later) == 2


def test_what_was_recoded_is_described_as_it_crosses(node: Node) -> None:
    from pydicom.uid import ImplicitVRLittleEndian

    node.bring(dicom(1, syntax=ImplicitVRLittleEndian))
    (row,) = node.rows()
    blob = node.settings.path(node.settings.blobs) / row.container
    blob.write_bytes(b"\0" * row.size + blob.read_bytes()[row.size :])  # the original is not looked at

    (told,) = described(node, STUDY)

    assert told["0020000D"]["Value"] == [STUDY]


@pytest.mark.fault("F23")
def test_one_odd_value_costs_itself_alone(node: Node) -> None:
    node.bring(dicom(1, TubeAngle=math.nan), dicom(2))

    odd, plain = described(node, STUDY)

    assert odd["00189303"] == {"vr": "FD", "Value": ["NaN"]}
    assert plain["00080018"]["Value"] == ["2.25.100002"]


def test_an_instance_that_cannot_be_described_any_more_keeps_its_uids(node: Node) -> None:
    node.bring(dicom(1), dicom(2))
    first, _ = node.rows()
    blob = node.settings.path(node.settings.blobs) / first.container
    blob.write_bytes(b"\0" * first.size + blob.read_bytes()[first.size :])

    broken, plain = described(node, STUDY)

    assert sorted(broken) == ["00080016", "00080018", "0020000D", "0020000E"]
    assert "00100010" in plain


def test_nobody_else_is_described(node: Node) -> None:
    node.bring(dicom(1), dicom(2, PatientID=None))
    described(node, STUDY)

    stranger = PatientIdentifier(EVA.system, "7654321")
    for uids, patient in (
        ((STUDY,), stranger), (("2.25.99",), EVA), ((STUDY, "2.25.99"), EVA), ((STUDY, SERIES, "2.25.100002"), EVA),
    ):  # fmt: skip
        with pytest.raises(ImagesNotFound):
            described(node, *uids, patient=patient)
    assert sops(described(node, STUDY)) == ["2.25.100001"]


def test_a_file_that_is_gone_is_said_and_nothing_is_kept(node: Node) -> None:
    node.bring(dicom(1))
    (row,) = node.rows()
    (node.settings.path(node.settings.blobs) / row.container).unlink()

    with pytest.raises(NationalInfrastructureUnavailable):
        described(node, STUDY)

    assert made(node) == []
