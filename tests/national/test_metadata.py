"""Metadata of images behind DICOMweb: as the PACS tells them, of this patient alone, without what leads into the country."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest
from tests.national.odd_dicomweb import Row
from tests.national.test_dicomweb import MINE, STUDY, THEIRS, Behind, behind, ordered

from isthmus.errors import ContentMismatch, ImagesNotFound, NationalInfrastructureUnavailable, UnsupportedRequest
from isthmus.model.queries import ImagesQuery
from isthmus.testing.pacs import PracticePacs

__all__ = ["behind"]
pytestmark = pytest.mark.requirement("WAD-14")


def told(behind: Behind, *uids: str) -> list[dict[str, Any]]:
    images = behind.images()
    found: list[dict[str, Any]] = orjson.loads(
        gzip.decompress(behind.run(images.get_metadata(MINE, ImagesQuery(STUDY, *uids))))
    )
    return found


def sops(rows: list[dict[str, Any]]) -> list[str]:
    return [row["00080018"]["Value"][0] for row in rows]


def test_a_study_a_series_and_an_instance_are_told_in_the_order_of_the_images(behind: Behind) -> None:
    images = behind.run(behind.images().get_images(MINE, ImagesQuery(STUDY)))

    assert sops(told(behind)) == [one.sop_instance_uid for one in images]
    assert len(told(behind)) == len(ordered())
    assert sops(told(behind, "2.25.12")) == [o.sop_instance_uid for o in images if o.series_instance_uid == "2.25.12"]
    assert sops(told(behind, "2.25.12", "2.25.100003")) == ["2.25.100003"]


def test_bulk_values_and_what_leads_into_the_country_do_not_cross(behind: Behind) -> None:
    inner = {"vr": "UR", "Value": [behind.web.url]}
    item = {"00081190": inner, "00080100": {"vr": "SH", "Value": ["A"]}, "00420011": {"vr": "OB", "BulkDataURI": "x"}}
    behind.web.alter = lambda row: row | {"00081190": inner, "00081032": {"vr": "SQ", "Value": [item]}}

    (row,) = told(behind, "2.25.12", "2.25.100003")

    assert row["00081032"]["Value"] == [{"00080100": {"vr": "SH", "Value": ["A"]}}]
    assert b"127.0.0.1" not in orjson.dumps(row)
    assert "7FE00010" not in row
    assert row["00280010"] == {"vr": "US", "Value": [4]}


@pytest.mark.threat("T52")
def test_an_instance_of_another_patient_costs_the_answer(behind: Behind) -> None:
    images = behind.images()
    behind.told(images)
    behind.web.alter = stranger

    with pytest.raises(ContentMismatch):
        behind.run(_after(images, behind))


def stranger(row: Row) -> Row:
    whose = "12345678" if "00280010" in row and "7FE00010" in row else "1234567"
    return row | {"00100020": {"vr": "LO", "Value": [whose]}}


async def _after(images: Any, behind: Behind) -> bytes:
    body: bytes = await images.get_metadata(MINE, ImagesQuery(STUDY))
    return body


def test_a_strangers_study_is_not_found(behind: Behind) -> None:
    for study in ("2.25.90", "2.25.404"):
        with pytest.raises(ImagesNotFound):
            behind.run(behind.images().get_metadata(MINE, ImagesQuery(study)))
    assert THEIRS in behind.web.files


def test_fewer_than_are_listed_are_no_answer(behind: Behind) -> None:
    behind.web.alter = lambda row: {k: v for k, v in row.items() if "7FE00010" not in row or k != "00080018"}

    with pytest.raises(NationalInfrastructureUnavailable, match="tells metadata of 0"):
        told(behind)


@pytest.mark.parametrize("status", [404, 406, 501])
def test_a_pacs_that_has_none_is_said_to_have_none(behind: Behind, status: int) -> None:
    behind.web.statuses["metadata"] = status, {}

    with pytest.raises(UnsupportedRequest) as error:
        told(behind)
    assert error.value.reason == "no-route"


def test_a_pacs_that_speaks_no_dicomweb_has_none(behind: Behind) -> None:
    images = behind.images()
    practice = PracticePacs(behind.source())
    practice.keep(*behind.web.files)
    images.pacs = practice

    with pytest.raises(UnsupportedRequest):
        behind.run(images.get_metadata(MINE, ImagesQuery(STUDY)))
