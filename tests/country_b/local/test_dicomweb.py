"""Studies, series, instances, metadata, frames, pictures: as a PACS or a viewer asks for them."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pydicom
import pytest
from PIL import Image
from tests.country_b.local.conftest import Hospital, Program

from isthmus.demo.people import PEOPLE
from isthmus.errors import CountryUnreachable
from isthmus.model.documents import DocumentKind
from isthmus.model.imaging import Instance, Series
from isthmus.testing.studies import SyntheticStudy
from isthmus.wire.images import PartEnd, PartReader, PartStart, boundary_of

pytestmark = pytest.mark.anyio
MIRELA, OSKAR = PEOPLE["mirela"], PEOPLE["oskar"]
STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def parts_of(body: bytes, content_type: str) -> list[tuple[dict[str, str], bytes]]:
    """The parts of a multipart body; a missing end is an error."""
    reader, parts = PartReader(boundary_of(content_type) or ""), list[tuple[dict[str, str], bytes]]()
    for event in reader.feed(body):
        if isinstance(event, PartStart):
            parts.append((dict(event.headers), b""))
        elif not isinstance(event, PartEnd):
            parts[-1] = (parts[-1][0], parts[-1][1] + bytes(event))
    reader.close()
    return parts


async def _open(hospital: Hospital) -> tuple[Program, SyntheticStudy, str]:
    """A program in a visit to a person with one study; and the study's path."""
    study = hospital.portal.country.with_study(MIRELA)
    return await hospital.program(), study, f"dicom-web/studies/{study.study_instance_uid}"


def _original(study: SyntheticStudy, number: int) -> bytes:
    return bytes(128) + b"".join(study.pieces(number))[128:]


def _one(study: SyntheticStudy, path: str, number: int = 0) -> str:
    return f"{path}/series/{study.series_instance_uid(0)}/instances/{study.sop_instance_uid(number)}"


async def test_studies_series_and_instances_are_told_without_fetching_images(hospital: Hospital) -> None:
    program, study, path = await _open(hospital)

    studies = await program.json("dicom-web/studies")
    series = await program.json(f"{path}/series")
    instances = await program.json(f"{path}/series/{study.series_instance_uid(0)}/instances")

    assert studies[0]["0020000D"]["Value"] == [study.study_instance_uid]
    assert studies[0]["00100010"]["Value"] == [{"Alphabetic": "Lunesca^Mirela"}]
    assert studies[0]["00100020"]["Value"] == [MIRELA.identifier.value]
    assert studies[0]["00081190"]["Value"][0].startswith("http://127.0.0.1:8700/visits/")
    assert [s["00201209"]["Value"] for s in series] == [[3]]
    assert {i["00080018"]["Value"][0] for i in instances} == {study.sop_instance_uid(n) for n in range(3)}
    assert not [asked for asked in hospital.portal.country.asked if asked.startswith("images")]


async def test_a_country_that_offers_manifests_in_dicom_alone_has_its_studies_here(hospital: Hospital) -> None:
    study = hospital.portal.country.with_study(MIRELA, kind=DocumentKind.MANIFEST_KOS, media_type="application/dicom")
    program, path = await hospital.program(), f"dicom-web/studies/{study.study_instance_uid}"

    studies, series = await program.json("dicom-web/studies"), await program.json(f"{path}/series")
    instances = await program.json(f"{path}/instances")
    whole = await program.get(path, STORED)
    described = await program.json("fhir/ImagingStudy")
    listed = await program.json("fhir/DocumentReference")

    assert [s["0020000D"]["Value"] for s in studies] == [[study.study_instance_uid]]
    assert (len(series), len(instances)) == (1, 3)
    assert [b for _, b in parts_of(whole.body, whole.headers["content-type"])] == [
        _original(study, n) for n in range(3)
    ]
    assert described["entry"][0]["resource"]["numberOfInstances"] == 3
    assert listed["entry"][0]["resource"]["content"][0]["attachment"]["contentType"] == "application/dicom"


async def test_a_study_in_both_forms_is_one_study_and_two_documents(hospital: Hospital) -> None:
    country = hospital.portal.country
    country.with_study(MIRELA)
    listed = country.documents[MIRELA.identifier.value]
    listed.append(
        replace(listed[0], id="kos", kind=DocumentKind.MANIFEST_KOS, media_type="application/dicom", indexed="2027")
    )
    country.manifests["kos"] = next(iter(country.manifests.values()))
    program = await hospital.program()

    assert len(await program.json("dicom-web/studies")) == 1
    assert (await program.json("fhir/ImagingStudy"))["total"] == 1
    assert (await program.json("fhir/DocumentReference"))["total"] == 2


@pytest.mark.fault("F37")
@pytest.mark.parametrize("path", ["studies?StudyDate=19000101", "series?Modality=MR", "instances?SOPInstanceUID=1.2.3"])
async def test_nothing_found_is_an_empty_array_at_every_level(hospital: Hospital, path: str) -> None:
    program, _, _ = await _open(hospital)

    assert await program.json(f"dicom-web/{path}") == []


async def test_a_search_for_another_patient_is_refused(hospital: Hospital) -> None:
    program, _, _ = await _open(hospital)

    mine, another = (
        await program.get(f"dicom-web/studies?PatientID={MIRELA.identifier.value}"),
        await program.get("dicom-web/studies?PatientID=1"),
    )

    assert (mine.status, another.status) == (200, 403)


@pytest.mark.parametrize("level", ["", "/series/{series}"])
async def test_a_study_or_series_comes_whole_and_unchanged_but_for_preambles(hospital: Hospital, level: str) -> None:
    program, study, path = await _open(hospital)

    page = await program.get(path + level.format(series=study.series_instance_uid(0)), STORED)

    parts = parts_of(page.body, page.headers["content-type"])
    assert page.status == 200
    assert [body for _, body in parts] == [_original(study, n) for n in range(3)]
    assert {h["content-type"] for h, _ in parts} == {"application/dicom; transfer-syntax=1.2.840.10008.1.2.1"}
    assert [a for a in hospital.portal.country.asked if a.startswith("images")] == ["images series"]


async def test_what_lies_in_the_spool_is_not_fetched_again(hospital: Hospital) -> None:
    program, _, path = await _open(hospital)
    await program.get(path, STORED)

    await program.get(path, STORED)
    await program.get(f"{path}/metadata")

    assert [a for a in hospital.portal.country.asked if a.startswith("images")] == ["images series"]


async def test_one_instance_comes_bare_or_in_an_envelope(hospital: Hospital) -> None:
    program, study, path = await _open(hospital)

    bare = await program.get(_one(study, path), "application/dicom; transfer-syntax=*")
    wrapped = await program.get(_one(study, path), STORED)

    assert bare.headers["content-type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
    assert bare.body == parts_of(wrapped.body, wrapped.headers["content-type"])[0][1] == _original(study, 0)


async def test_an_image_of_another_person_never_leaves_and_the_answer_never_looks_whole(hospital: Hospital) -> None:
    program, study, path = await _open(hospital)
    hospital.portal.country.studies[study.study_instance_uid] = replace(study, patient=OSKAR)

    page = await program.get(path, STORED)

    assert page.status == 502
    assert b"DICM" not in page.body


@pytest.mark.fault("F39")
async def test_one_that_does_not_come_cuts_the_answer_and_is_known_before_the_next(hospital: Hospital) -> None:
    program, study, path = await _open(hospital)
    _list_one_more(hospital)

    first = await program.get(path, STORED)
    second = await program.get(path, STORED)

    with pytest.raises(Exception, match="closing boundary"):
        parts_of(first.body, first.headers["content-type"])
    assert (first.status, second.status) == (200, 206)
    assert len(parts_of(second.body, second.headers["content-type"])) == 3


def _list_one_more(hospital: Hospital) -> None:
    """Let the manifest list an instance that the country does not send."""
    country = hospital.portal.country
    (name, manifest), *_ = country.manifests.items()
    series = manifest.study.series[0]
    more = (*series.instances, Instance("1.2.3.4", "1.2.840.10008.5.1.4.1.1.2", 4))
    changed: tuple[Series, ...] = (replace(series, instances=more),)
    country.manifests[name] = replace(manifest, study=replace(manifest.study, series=changed))


async def test_a_broken_line_is_an_error_before_the_first_byte(hospital: Hospital) -> None:
    program, _, path = await _open(hospital)
    await program.get("dicom-web/series")
    hospital.portal.country.problem = CountryUnreachable("down", country="AA")

    page = await program.get(path, STORED)

    assert page.status == 502
    assert json.loads(page.body)["issue"][0]["details"]["coding"][0]["code"] == "unreachable"


@pytest.mark.parametrize("tail", ["", "/metadata", "/series", "/thumbnail", "/series/1.2.4/instances/1.2.5/frames/1"])
async def test_a_study_of_somebody_else_is_not_there(hospital: Hospital, tail: str) -> None:
    program, _, _ = await _open(hospital)

    page = await program.get(f"dicom-web/studies/1.2.3{tail}")

    assert (page.status, page.body[:2]) in ((404, b'{"'), (200, b"[]"))


async def test_a_role_without_images_reads_lists_alone(hospital: Hospital) -> None:
    study = hospital.portal.country.with_study(MIRELA)
    nurse = await hospital.program(login="nurse")

    listed = await nurse.get("dicom-web/studies")
    images = [
        (await nurse.get(f"dicom-web/studies/{study.study_instance_uid}{tail}")).status
        for tail in ("", "/metadata", "/thumbnail")
    ]

    assert (listed.status, images) == (200, [403, 403, 403])


async def test_metadata_tell_every_instance_and_where_its_pixels_are(hospital: Hospital) -> None:
    program, study, path = await _open(hospital)

    told = await program.json(f"{path}/metadata")

    read = [pydicom.Dataset.from_json(one, bulk_data_uri_handler=lambda _: None) for one in told]
    assert [d.SOPInstanceUID for d in read] == [study.sop_instance_uid(n) for n in range(3)]
    address = told[0]["7FE00010"]["BulkDataURI"]
    assert address == f"http://127.0.0.1:8700{program.visit}/{_one(study, path)}/bulkdata/7FE00010"


async def test_a_bulk_value_comes_as_it_lies(hospital: Hospital) -> None:
    program, study, path = await _open(hospital)
    pixels = pydicom.dcmread(io.BytesIO(b"".join(study.pieces(1)))).PixelData

    page = await program.get(f"{_one(study, path, 1)}/bulkdata/7FE00010")
    missing = await program.get(f"{_one(study, path, 1)}/bulkdata/00291010")

    assert (page.status, page.body, missing.status) == (200, pixels, 404)


@pytest.mark.fault("F34")
async def test_a_frame_comes_as_native_pixels_bare_or_in_an_envelope(hospital: Hospital) -> None:
    program, study, path = await _open(hospital)
    pixels = pydicom.dcmread(io.BytesIO(b"".join(study.pieces(0)))).PixelData

    wrapped = await program.get(
        f"{_one(study, path)}/frames/1", "multipart/related; type=application/octet-stream; transfer-syntax=*"
    )
    bare = await program.get(f"{_one(study, path)}/frames/1", "application/octet-stream")

    (headers, body), *_ = parts_of(wrapped.body, wrapped.headers["content-type"])
    assert headers["content-type"] == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
    assert bare.body == body == pixels


@pytest.mark.parametrize(
    ("frames", "accept", "status"),
    [("2", "*/*", 404), ("0", "*/*", 400), ("1,x", "*/*", 400), ("1", "image/jpeg", 406), ("1", "image/*", 406)],
)
async def test_frames_that_cannot_be_given_are_refused(
    hospital: Hospital, frames: str, accept: str, status: int
) -> None:
    program, study, path = await _open(hospital)

    page = await program.get(f"{_one(study, path)}/frames/{frames}", accept)

    assert page.status == status


@pytest.mark.parametrize(("accept", "form"), [("*/*", "JPEG"), ("image/png", "PNG")])
async def test_a_picture_fits_into_what_is_asked_and_is_never_enlarged(
    hospital: Hospital, accept: str, form: str
) -> None:
    program, study, path = await _open(hospital)

    small = await program.get(f"{_one(study, path)}/rendered?viewport=8,4&window=40,400,linear", accept)
    large = await program.get(f"{_one(study, path)}/frames/1/rendered?viewport=2000,2000", accept)

    assert (Image.open(io.BytesIO(small.body)).format, Image.open(io.BytesIO(small.body)).size) == (form, (4, 4))
    assert Image.open(io.BytesIO(large.body)).size == (16, 16)


@pytest.mark.parametrize("place", ["", "/series/{series}", "/series/{series}/instances/{instance}"])
async def test_a_small_picture_stands_for_each_level(hospital: Hospital, place: str) -> None:
    program, study, path = await _open(hospital)

    page = await program.get(
        path + place.format(series=study.series_instance_uid(0), instance=study.sop_instance_uid(0)) + "/thumbnail"
    )

    assert page.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(page.body)).size == (16, 16)


@pytest.mark.parametrize(
    ("query", "status"),
    [("window=1", 400), ("window=1,0,linear", 400), ("window=1,2,round", 400), ("viewport=0,5", 400), ("viewport=5,5,1,1,2,2", 400),
     ("annotation=patient", 400), ("quality=101", 400)],
)  # fmt: skip
async def test_a_picture_that_is_not_made_here_is_refused(hospital: Hospital, query: str, status: int) -> None:
    program, study, path = await _open(hospital)

    page = await program.get(f"{_one(study, path)}/rendered?{query}")

    assert page.status == status
