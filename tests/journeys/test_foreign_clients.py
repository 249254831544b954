"""Clients nobody here wrote: at the border with the demo's certificate and a token, and on the files that came."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy
import pydicom
import pytest
import requests
from dicomweb_client import DICOMwebClient

from isthmus.demo.people import PEOPLE
from isthmus.demo.relabel import originals_of
from isthmus.demo.stories import STORIES
from isthmus.demo.studies import STUDIES, uid_of
from isthmus.model.people import Patient
from isthmus.testing.two_countries import TwoCountries

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

IMPLICIT_LE = "1.2.840.10008.1.2"
LABELS = tuple(label for story in STORIES for label in story.studies if STUDIES[label].person == story.person)


@dataclass(frozen=True)
class Pass:
    """What `isthmus token` gives, and the certificate that the ready file names."""

    said: dict[str, Any]
    client: dict[str, str]

    def curl(self, url: str, *more: str, certified: bool = True) -> subprocess.CompletedProcess[bytes]:
        words = ["curl", "--silent", "--show-error", "--max-time", "20", "--cacert", self.client["authority"]]
        words += ["--cert", self.client["certificate"], "--key", self.client["key"]] if certified else []
        words += ["--header", f"Authorization: Bearer {self.said['access_token']}", *more, url]
        return subprocess.run(words, capture_output=True, check=False, env={"PATH": "/usr/bin:/bin:/usr/local/bin"})


def token_for(countries: TwoCountries, patient: Patient) -> Pass:
    identifier = f"{patient.identifier.system}|{patient.identifier.value}"
    ended = countries.b.command(
        "token", "--as", "radiologist", "--country", "AA", "--identifier", identifier, "--family", patient.name.family,
        "--birth-date", patient.birth_date, "--json",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return Pass(json.loads(ended.stdout), countries.demo.ready()["client"])


@pytest.fixture(scope="module")
def irini(countries: TwoCountries) -> Pass:
    """Irini's MR is stored as Implicit VR and crosses recoded; her CT crosses as it is stored."""
    return token_for(countries, PEOPLE["irini"])


def needs(programme: str) -> None:
    if shutil.which(programme) is None:
        pytest.skip(f"{programme} is not installed")


def digest_kept(countries: TwoCountries, study: str) -> dict[str, str]:
    return {row.sop_instance_uid: row.crossing_sha256 or row.sha256 for row in countries.a.kept(study)}


# at the border


def test_curl_reads_the_list_and_one_instance_byte_for_byte(countries: TwoCountries, irini: Pass) -> None:
    needs("curl")
    study = STUDIES["mr-irini"].study_instance_uid
    first = countries.a.kept(study)[0]
    path = f"studies/{study}/series/{first.series_instance_uid}/instances/{first.sop_instance_uid}"

    listed = irini.curl(
        f"{irini.said['fhir']}/DocumentReference?patient=Patient/{irini.said['patient']}&status=current"
    )
    image = irini.curl(f"{irini.said['dicomweb']}/{path}", "--header", "Accept: application/dicom; transfer-syntax=*")

    told = json.loads(listed.stdout)
    assert told["total"] == len(told["entry"]) >= 4
    assert {e["resource"]["subject"]["reference"] for e in told["entry"]} == {f"Patient/{irini.said['patient']}"}
    assert hashlib.sha256(image.stdout).hexdigest() == first.crossing_sha256


def test_the_line_that_the_token_command_prints_works_as_it_stands(irini: Pass) -> None:
    needs("curl")

    ended = subprocess.run(["sh", "-c", irini.said["curl"]], capture_output=True, check=False)

    assert json.loads(ended.stdout)["resourceType"] == "Bundle"


@pytest.mark.requirement("SEC-01")
def test_curl_without_the_certificate_hears_nothing(irini: Pass) -> None:
    needs("curl")

    ended = irini.curl(f"{irini.said['fhir']}/metadata", certified=False)

    assert ended.returncode != 0
    assert ended.stdout == b""


def test_what_curl_says_of_an_exchange_stands_in_country_as_trail(countries: TwoCountries, irini: Pass) -> None:
    needs("curl")

    irini.curl(f"{irini.said['fhir']}/metadata", "--header", "X-Request-Id: curl-was-here-1")

    told = {exchange.exchange_id: exchange for exchange in countries.a.exchanges()}
    assert (told["curl-was-here-1"].transaction, told["curl-was-here-1"].outcome) == ("capability", "complete")


def client_of(held: Pass) -> DICOMwebClient:
    session = requests.Session()
    session.trust_env = False
    session.cert, session.verify = (held.client["certificate"], held.client["key"]), held.client["authority"]
    headers = {"Authorization": f"Bearer {held.said['access_token']}"}
    return DICOMwebClient(held.said["dicomweb"], session=session, headers=headers)


@pytest.fixture(scope="module")
def dicomweb(irini: Pass) -> DICOMwebClient:
    return client_of(irini)


@pytest.mark.parametrize("label", ["mr-irini", "ct-irini"])
def test_dicomweb_client_fetches_study_series_and_instance(
    countries: TwoCountries, dicomweb: DICOMwebClient, label: str
) -> None:
    study = STUDIES[label].study_instance_uid
    rows = countries.a.kept(study)
    series, sop = rows[0].series_instance_uid, rows[0].sop_instance_uid
    as_stored = (("application/dicom", "*"),)

    whole = dicomweb.retrieve_study(study, media_types=as_stored)
    part = dicomweb.retrieve_series(study, series, media_types=as_stored)
    one = dicomweb.retrieve_instance(study, series, sop, media_types=as_stored)

    assert {d.SOPInstanceUID for d in whole} == {row.sop_instance_uid for row in rows}
    assert {d.SOPInstanceUID for d in part} == {r.sop_instance_uid for r in rows if r.series_instance_uid == series}
    assert one.SOPInstanceUID == sop
    assert one.PixelData == next(d for d in whole if d.SOPInstanceUID == sop).PixelData
    assert {str(d.PatientID) for d in whole} == {PEOPLE["irini"].identifier.value}


@pytest.mark.fault("F33")
@pytest.mark.requirement("WAD-03")
@pytest.mark.parametrize("label", ["ct-irini", "us-mirela", "mr-twin-a"])
def test_dicomweb_client_that_names_no_syntax_gets_every_pixel_of_compressed_studies(
    countries: TwoCountries, label: str
) -> None:
    study = STUDIES[label]
    client = client_of(token_for(countries, study.patient))
    rows = {row.sop_instance_uid: row for row in countries.a.kept(study.study_instance_uid)}

    whole = client.retrieve_study(study.study_instance_uid)

    assert {d.SOPInstanceUID for d in whole} == set(rows)
    assert {str(d.file_meta.TransferSyntaxUID) for d in whole} == {"1.2.840.10008.1.2.1"}
    images = [d for d in whole if "PixelData" in d]
    assert images
    for image in images:
        assert numpy.array_equal(image.pixel_array, stored(countries, rows[image.SOPInstanceUID]).pixel_array)


def stored(countries: TwoCountries, row: Any) -> pydicom.Dataset:
    """An instance as it lies in Country A's archive."""
    blob = countries.a.settings.path(countries.a.settings.blobs) / row.container
    with blob.open("rb") as file:
        file.seek(row.offset)
        return pydicom.dcmread(BytesIO(file.read(row.size)))


@pytest.mark.requirement("WAD-14")
@pytest.mark.parametrize("label", ["ct-irini", "mr-irini"])
def test_dicomweb_client_reads_metadata_as_pydicom_reads_the_files(
    countries: TwoCountries, dicomweb: DICOMwebClient, label: str
) -> None:
    study = STUDIES[label].study_instance_uid
    rows = {row.sop_instance_uid: row for row in countries.a.kept(study)}

    whole = dicomweb.retrieve_study_metadata(study)
    series = dicomweb.retrieve_series_metadata(study, whole[0]["0020000E"]["Value"][0])

    told = {one["00080018"]["Value"][0]: pydicom.Dataset.from_json(one) for one in whole}
    assert set(told) == set(rows)
    assert series == [one for one in whole if one["0020000E"] == whole[0]["0020000E"]]
    for uid, said in told.items():
        file = stored(countries, rows[uid])
        assert "PixelData" not in said
        for keyword in (
            "PatientName",
            "StudyDate",
            "Modality",
            "InstanceNumber",
            "Rows",
            "Columns",
            "PixelSpacing",
            "ImageType",
        ):
            assert said.get(keyword) == file.get(keyword), keyword


@pytest.mark.anyio
async def test_country_b_asks_for_metadata_and_keeps_what_is_the_patients(countries: TwoCountries) -> None:
    study = STUDIES["ct-irini"]
    since = countries.since()

    async with countries.b.visit(study.patient) as visit:
        whole = await visit.get_metadata(study.study_instance_uid)
        one = await visit.get_metadata(*_uids(whole[0]))

    assert len(whole) == len(countries.a.kept(study.study_instance_uid))
    assert one == whole[:1]
    told = [pair.b and pair.b.transaction for pair in since.pairs()]
    assert told[-2:] == ["RAD-107", "RAD-107"]


def _uids(one: bytes) -> list[str]:
    said = json.loads(one)
    return [said[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018")]


# on the files


@dataclass(frozen=True)
class Received:
    """One instance: the original it goes back to, what lies in A, what came to B."""

    label: str
    original: Path
    file: Path
    sha256: str
    crossing_sha256: str | None


@pytest.fixture(scope="module")
def received(countries: TwoCountries, tmp_path_factory: pytest.TempPathFactory) -> list[Received]:
    """Every study that may be seen, fetched once."""
    folder, found = tmp_path_factory.mktemp("received"), []
    for label in LABELS:
        study = STUDIES[label]
        came = asyncio.run(_fetched(countries, study.patient, study.study_instance_uid))
        rows = {row.sop_instance_uid: row for row in countries.a.kept(study.study_instance_uid)}
        for original in originals_of(study):
            uid = uid_of(label, str(pydicom.dcmread(original, stop_before_pixels=True).SOPInstanceUID))
            file = folder / f"{label}-{uid}.dcm"
            file.write_bytes(came.pop(uid))
            found.append(Received(label, original, file, rows[uid].sha256, rows[uid].crossing_sha256))
        assert came == {}, "something came that goes back to no original"
    return found


async def _fetched(countries: TwoCountries, patient: Patient, study: str) -> dict[str, bytes]:
    async with countries.b.visit(patient) as visit:
        return await visit.get_images(study)


@pytest.mark.requirement("WAD-10")
def test_what_crosses_unchanged_is_byte_for_byte_what_the_archive_lists(received: list[Received]) -> None:
    unchanged = [one for one in received if one.crossing_sha256 is None]

    assert unchanged
    assert [hashlib.sha256(one.file.read_bytes()).hexdigest() for one in unchanged] == [o.sha256 for o in unchanged]


def test_what_was_stored_as_implicit_vr_crosses_as_explicit_and_says_so(received: list[Received]) -> None:
    recoded = [one for one in received if one.crossing_sha256 is not None]

    assert {str(pydicom.dcmread(one.original, stop_before_pixels=True).file_meta.TransferSyntaxUID) for one in recoded} == {IMPLICIT_LE}  # fmt: skip
    assert {str(pydicom.dcmread(one.file, stop_before_pixels=True).file_meta.TransferSyntaxUID) for one in recoded} == {"1.2.840.10008.1.2.1"}  # fmt: skip


def test_every_pixel_that_came_is_that_of_the_original(received: list[Received]) -> None:
    differing = [one.file.name for one in received if not same_pixels(one.original, one.file)]

    assert differing == []


def same_pixels(original: Path, file: Path) -> bool:
    before, after = pydicom.dcmread(original), pydicom.dcmread(file)
    if "PixelData" not in before:
        return "PixelData" not in after
    if before.file_meta.TransferSyntaxUID == after.file_meta.TransferSyntaxUID:
        return bool(before.PixelData == after.PixelData)
    return bool(numpy.array_equal(before.pixel_array, after.pixel_array))


def per_label(received: list[Received], most: int = 3) -> Iterator[Received]:
    """The first few of each study: what a checker says of one slice it says of the next."""
    seen: dict[str, int] = {}
    for one in received:
        seen[one.label] = seen.get(one.label, 0) + 1
        if seen[one.label] <= most:
            yield one


@pytest.mark.requirement("WAD-13")
def test_dcmdump_reads_every_kind_of_file_that_came(received: list[Received]) -> None:
    needs("dcmdump")

    for one in per_label(received):
        ended = subprocess.run(["dcmdump", "-q", "--load-short", one.file], capture_output=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, b""), one.file.name
        assert STUDIES[one.label].study_instance_uid.encode() in ended.stdout


def test_dciodvfy_finds_nothing_that_it_did_not_find_in_the_original(received: list[Received]) -> None:
    needs("dciodvfy")

    news = {}
    for one in per_label(received):
        more = findings(one.file) - findings(one.original)
        if more:
            news[one.file.name[:40]] = sorted(more)

    assert news == {}


def findings(file: Path, tidy: Callable[[str], str] = lambda line: re.sub(r"<[^>]*>|\[[^]]*\]", "", line)) -> set[str]:
    """The errors that dciodvfy reports, without the values."""
    ended = subprocess.run(["dciodvfy", str(file)], capture_output=True, check=False)
    return {tidy(line) for line in ended.stderr.decode("latin-1").splitlines() if line.startswith("Error")}
