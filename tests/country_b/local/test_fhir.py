"""The list and the studies of a visit as FHIR: every address is one of the visit, documents as issued."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace

import pytest
from tests.country_b.local.conftest import Hospital, Program

from isthmus.country_b.local.metadata import as_given
from isthmus.country_b.local.moved import moved_to
from isthmus.demo.people import PEOPLE
from isthmus.demo.reports import reports
from isthmus.dicom.syntaxes import SYNTAXES
from isthmus.model.documents import DocumentKind
from isthmus.model.identifiers import Identifier
from isthmus.model.imaging import Manifest
from isthmus.wire.kos import write_kos
from isthmus.wire.kos_reading import read_kos
from isthmus.wire.packs.pack import load_pack

MIRELA = PEOPLE["mirela"]
BASE = "http://127.0.0.1:8700"
THEIRS = "https://aa.example"


async def _open(hospital: Hospital, studies: int = 3) -> Program:
    for number in range(studies):
        hospital.portal.country.with_study(MIRELA, started=f"2026-0{number + 1}-01T10:00:00Z")
    return await hospital.program()


@pytest.mark.anyio
@pytest.mark.fault("F41")
async def test_every_address_of_the_list_is_one_of_the_visit(hospital: Hospital) -> None:
    program = await _open(hospital)

    found = await program.json("fhir/DocumentReference?_count=2")

    urls = [found["link"][0]["url"], *(e["fullUrl"] for e in found["entry"])]
    urls += [e["resource"]["content"][0]["attachment"]["url"] for e in found["entry"]]
    assert found["total"] == 3
    assert all(url.startswith(f"{BASE}{program.visit}/fhir/") for url in urls)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["DocumentReference", "ImagingStudy"])
async def test_pages_follow_one_another_until_everything_was_told(hospital: Hospital, kind: str) -> None:
    program = await _open(hospital)
    path, ids = f"fhir/{kind}?_count=1", list[str]()

    while path:
        found = await program.json(path)
        ids += [e["resource"]["id"] for e in found["entry"]]
        path = next(
            (link["url"].partition(f"{program.visit}/")[2] for link in found["link"] if link["relation"] == "next"), ""
        )

    assert len(set(ids)) == len(ids) == 3


@pytest.mark.anyio
async def test_the_list_is_written_in_the_pack_that_was_agreed_with_the_country(hospital: Hospital) -> None:
    program = await _open(hospital, 1)
    hospital.portal.country.speaks = "ehdsi-9.1"  # ours; theirs in the list is newer

    found = await program.json("fhir/DocumentReference")

    assert found["entry"][0]["resource"]["type"]["coding"][0]["code"] == "x-clinical-image"


@pytest.mark.anyio
async def test_what_a_search_gives_can_be_read_by_its_id(hospital: Hospital) -> None:
    program = await _open(hospital, 1)

    for kind in ("DocumentReference", "ImagingStudy"):
        found = (await program.json(f"fhir/{kind}"))["entry"][0]["resource"]
        assert await program.json(f"fhir/{kind}/{found['id']}") == found


@pytest.mark.anyio
async def test_a_study_names_the_visits_own_place_of_its_images(hospital: Hospital) -> None:
    program = await _open(hospital, 1)

    study = (await program.json("fhir/ImagingStudy"))["entry"][0]["resource"]

    assert study["contained"][0]["address"] == f"{BASE}{program.visit}/dicom-web"
    assert study["numberOfInstances"] == 3


@pytest.mark.anyio
async def test_a_search_by_get_and_by_post_is_about_the_visits_patient_alone(hospital: Hospital) -> None:
    program = await _open(hospital, 1)
    system, value = MIRELA.identifier.system, MIRELA.identifier.value

    mine = await program.post("fhir/ImagingStudy/_search", f"patient.identifier={system}|{value}".encode())
    theirs = await program.post("fhir/ImagingStudy/_search", f"patient.identifier={system}|1".encode())
    other = await program.get("fhir/DocumentReference?patient=Patient/another")

    assert json.loads(mine.body)["total"] == 1
    assert (theirs.status, other.status) == (403, 403)


@pytest.mark.anyio
async def test_a_report_comes_byte_for_byte(hospital: Hospital) -> None:
    name, demo = next(iter(reports().items()))
    hospital.portal.country.with_report(name)
    program = await hospital.program(demo.patient)

    page = await program.get(f"fhir/Bundle/{name}")

    assert page.headers["content-type"].startswith("application/fhir+json")
    assert page.body == hospital.portal.country.bodies[name]
    assert (await program.get(f"fhir/Binary/{name}")).status == 404


async def _with_kos(hospital: Hospital, location: str = "2.25.8") -> tuple[Program, Manifest, bytes]:
    """A program in a visit to a person with one manifest in DICOM; what it says and what its bytes are as issued."""
    country = hospital.portal.country
    country.with_study(MIRELA, kind=DocumentKind.MANIFEST_KOS, media_type="application/dicom")
    manifest = replace(country.manifests["manifest-0"], endpoint_address=THEIRS, location_uid=location)
    country.manifests["manifest-0"] = manifest
    listed = country.documents[MIRELA.identifier.value]
    listed[0] = replace(listed[0], unique_id=Identifier("urn:dicom:uid", f"urn:oid:{manifest.uid}"))
    return await hospital.program(), manifest, write_kos(manifest, load_pack())


@pytest.mark.anyio
@pytest.mark.fault("F41")
@pytest.mark.parametrize("location", ["2.25.8", "AA_ARCHIVE"])
async def test_a_manifest_in_dicom_leads_to_the_visits_own_place_of_the_images(
    hospital: Hospital, location: str
) -> None:
    program, manifest, issued = await _with_kos(hospital, location)

    page = await program.get("fhir/Binary/manifest-0", "application/dicom")

    told = read_kos(page.body, load_pack()).manifest
    assert told.endpoint_address == f"{BASE}{program.visit}/dicom-web"
    assert told.study == read_kos(issued, load_pack()).manifest.study
    assert b"aa.example" in issued
    assert b"aa.example" not in page.body
    assert b"AA_ARCHIVE" not in page.body
    assert (told.location_uid == manifest.location_uid) is (location == "2.25.8")


@pytest.mark.anyio
@pytest.mark.requirement("MKO-21")
async def test_a_manifest_for_another_address_is_another_object_and_the_list_names_it(hospital: Hospital) -> None:
    program, manifest, _ = await _with_kos(hospital)
    other = await hospital.program()

    first, again = [await program.get("fhir/Binary/manifest-0", "application/dicom") for _ in range(2)]
    elsewhere = await other.get("fhir/Binary/manifest-0", "application/dicom")
    entry = await program.json("fhir/DocumentReference/manifest-0")

    uids = [read_kos(page.body, load_pack()).manifest.uid for page in (first, elsewhere)]
    assert first.body == again.body
    assert len({manifest.uid, *uids}) == 3
    assert entry["masterIdentifier"]["value"] == f"urn:oid:{uids[0]}"


@pytest.mark.anyio
@pytest.mark.fault("F40")
@pytest.mark.parametrize(
    ("accept", "wrapped"),
    [("application/pdf", False), ("application/fhir+json", True), ("application/json", True), ("*/*", False),
     ("application/pdf;q=0.5, application/fhir+json", True)],
)  # fmt: skip
async def test_a_pdf_comes_bare_or_wrapped_as_accepted(hospital: Hospital, accept: str, wrapped: bool) -> None:
    country = hospital.portal.country
    country.with_study(MIRELA)
    listed = country.documents[MIRELA.identifier.value]
    listed.append(replace(listed[0], id="pdf-1", kind=DocumentKind.REPORT_PDF, media_type="application/pdf"))
    country.bodies["pdf-1"] = b"%PDF-1.7"
    program = await hospital.program()

    page = await program.get("fhir/Binary/pdf-1", accept)

    body = b64decode(json.loads(page.body)["data"]) if wrapped else page.body
    assert body == b"%PDF-1.7"
    assert page.headers["content-type"].startswith("application/fhir+json" if wrapped else "application/pdf")


@pytest.mark.anyio
async def test_a_document_that_is_not_on_the_list_is_not_asked_for(hospital: Hospital) -> None:
    program = await _open(hospital, 1)

    page = await program.get("fhir/Bundle/of-somebody-else")

    assert page.status == 404
    assert "report" not in hospital.portal.country.asked


@pytest.mark.anyio
async def test_what_is_offered_is_declared(hospital: Hospital) -> None:
    program = await _open(hospital, 0)

    told = await program.json("fhir/metadata")

    assert {r["type"] for r in told["rest"][0]["resource"]} == {"DocumentReference", "ImagingStudy", "Bundle", "Binary"}


def test_addresses_below_a_base_move_and_nothing_else_does() -> None:
    theirs, ours = "https://aa.example/dicom-web", "http://b.example/visits/x/dicom-web"
    body = rb'{"a":"https://aa.example/dicom-web","b":"https:\/\/aa.example\/dicom-web\/studies\/1","c":"https://aa.example/dicom-web.evil","d":19.00}'

    moved = moved_to(body, theirs, ours)

    assert moved == (
        rb'{"a":"http://b.example/visits/x/dicom-web","b":"http://b.example/visits/x/dicom-web\/studies\/1",'
        rb'"c":"https://aa.example/dicom-web.evil","d":19.00}'
    )


@pytest.mark.fault("F34")
@pytest.mark.parametrize(
    ("syntax", "space", "told"),
    [
        ("4.50", "YBR_FULL_422", "RGB"),
        ("4.90", "YBR_RCT", "RGB"),
        ("5", "YBR_FULL", "YBR_FULL"),
        ("4.70", "RGB", "RGB"),
    ],
)
def test_metadata_tell_colour_as_its_decoded_frames_are(syntax: str, space: str, told: str) -> None:
    said: dict[str, object] = {"00280002": {"vr": "US", "Value": [3]}, "00280004": {"vr": "CS", "Value": [space]}}

    as_given(said, SYNTAXES[f"1.2.840.10008.1.2.{syntax}"])

    assert (said["00280004"], said["00280006"]) == ({"vr": "CS", "Value": [told]}, {"vr": "US", "Value": [0]})
