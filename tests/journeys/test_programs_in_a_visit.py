"""Programs of the hospital in a visit, through both countries: dicomweb-client and plain requests, with a token of the visit.

Source: interfaces.md §6, §12.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

import pydicom
import pytest
import requests
from dicomweb_client import DICOMwebClient
from PIL import Image

from isthmus.demo.people import PEOPLE
from isthmus.demo.studies import STUDIES
from isthmus.model.people import Patient
from isthmus.testing.two_countries import TwoCountries

pytestmark = [pytest.mark.xdist_group("journeys"), pytest.mark.filterwarnings("ignore::UserWarning")]
EXPLICIT_LE = "1.2.840.10008.1.2.1"
AS_STORED = (("application/dicom", "*"),)


@dataclass
class Program:
    """A program with a token, and the address of its visit."""

    visit: str
    session: requests.Session

    @property
    def dicomweb(self) -> DICOMwebClient:
        return DICOMwebClient(f"{self.visit}/dicom-web", session=self.session)

    def fhir(self, path: str) -> Any:
        answer = self.session.get(f"{self.visit}/fhir/{path}")
        answer.raise_for_status()
        return answer.json()


def _session(**headers: str) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.headers.update(headers)
    return session


def _open(countries: TwoCountries, patient: Patient) -> Program:
    """Sign in, find the person, confirm, take the token: as pages do it."""
    ready = countries.demo.ready()
    portal, account, browser = ready["portal"], ready["accounts"][0], _session(Origin=ready["portal"])

    def send(page: requests.Response, **fields: str) -> requests.Response:
        token = re.search(r'name="page-token" value="([0-9a-f]+)"', page.text)
        return browser.post(page.url, data={"page-token": token[1] if token else ""} | fields)

    page = send(browser.get(f"{portal}/sign-in"), login=account["login"], password=account["password"])
    who = {"identifier": patient.identifier.value, "family": patient.name.family, "birth-date": patient.birth_date}
    page = send(browser.get(f"{portal}/find"), country="AA", mask="AA", **who)
    page = send(page, relationship="yes", purpose="TREAT")
    visit = page.url.rpartition("/")[0]
    token = browser.post(f"{visit}/token").json()["access_token"]
    return Program(visit, _session(Authorization=f"Bearer {token}"))


@pytest.fixture(scope="module")
def irini(countries: TwoCountries) -> Program:
    """Her CT is stored as JPEG Lossless, her MR crosses recoded."""
    return _open(countries, PEOPLE["irini"])


@pytest.mark.parametrize("label", ["ct-irini", "mr-irini"])
def test_dicomweb_client_finds_and_fetches_study_series_and_instance(
    countries: TwoCountries, irini: Program, label: str
) -> None:
    study, client = STUDIES[label].study_instance_uid, irini.dicomweb
    rows = countries.a.kept(study)

    found = client.search_for_studies(search_filters={"StudyInstanceUID": study})
    series = [one["0020000E"]["Value"][0] for one in client.search_for_series(study)]
    instances = client.search_for_instances(study)
    whole = client.retrieve_study(study, media_types=AS_STORED)
    part = client.retrieve_series(study, series[0], media_types=AS_STORED)
    one = client.retrieve_instance(study, series[0], part[0].SOPInstanceUID, media_types=AS_STORED)

    assert [s["0020000D"]["Value"] for s in found] == [[study]]
    assert len(instances) == len(whole) == len(rows)
    assert {d.SOPInstanceUID for d in whole} == {row.sop_instance_uid for row in rows}
    assert one.PixelData == next(d for d in whole if d.SOPInstanceUID == one.SOPInstanceUID).PixelData


@pytest.mark.fault("F33")
def test_who_names_no_syntax_gets_the_same_pixels_decoded(irini: Program) -> None:
    study, client = STUDIES["ct-irini"].study_instance_uid, irini.dicomweb

    stored = {d.SOPInstanceUID: d for d in client.retrieve_study(study, media_types=AS_STORED)}
    given = client.retrieve_study(study)

    assert {str(d.file_meta.TransferSyntaxUID) for d in given} == {EXPLICIT_LE}
    assert {str(d.file_meta.TransferSyntaxUID) for d in stored.values()} != {EXPLICIT_LE}
    images = [d for d in given if "PixelData" in d]
    assert all((d.pixel_array == stored[d.SOPInstanceUID].pixel_array).all() for d in images[:3])


@pytest.mark.fault("F34")
@pytest.mark.parametrize("label", ["ct-irini", "mr-irini"])
def test_metadata_frames_and_pictures_fit_together(irini: Program, label: str) -> None:
    study, client = STUDIES[label].study_instance_uid, irini.dicomweb

    told = [one for one in client.retrieve_study_metadata(study) if "7FE00010" in one]
    series, sop = (told[0][tag]["Value"][0] for tag in ("0020000E", "00080018"))
    (frame,) = client.retrieve_instance_frames(study, series, sop, [1])
    picture = client.retrieve_instance_rendered(study, series, sop, ("image/png",), {"viewport": "64,64"})
    instance = client.retrieve_instance(study, series, sop, (("application/dicom", EXPLICIT_LE),))

    rows, columns, bits = (told[0][tag]["Value"][0] for tag in ("00280010", "00280011", "00280100"))
    assert frame == instance.PixelData[: rows * columns * bits // 8]
    assert max(Image.open(io.BytesIO(picture)).size) == 64


def test_a_compressed_frame_comes_as_stored_under_its_own_name(irini: Program) -> None:
    study, client = STUDIES["ct-irini"].study_instance_uid, irini.dicomweb
    first = next(d for d in client.retrieve_study(study, media_types=AS_STORED) if "PixelData" in d)

    (frame,) = client.retrieve_instance_frames(
        study,
        first.SeriesInstanceUID,
        first.SOPInstanceUID,
        [1],
        media_types=(("image/jpeg", first.file_meta.TransferSyntaxUID),),
    )

    assert frame == next(pydicom.encaps.generate_frames(first.PixelData, number_of_frames=1))


def test_documents_are_found_and_read_below_the_visits_own_address(irini: Program) -> None:
    found = irini.fhir("DocumentReference")

    addresses = [e["resource"]["content"][0]["attachment"]["url"] for e in found["entry"]]
    contents = [irini.session.get(url) for url in addresses]

    assert found["total"] == len(addresses) > 0
    assert all(url.startswith(f"{irini.visit}/fhir/") for url in addresses)
    assert {answer.status_code for answer in contents} == {200}


def test_no_document_names_an_address_of_country_a(countries: TwoCountries, irini: Program) -> None:
    theirs = countries.demo.ready()["countries"]["AA"]["border"].encode()

    said = [
        irini.session.get(f"{irini.visit}/{path}").content
        for path in ("fhir/DocumentReference", "fhir/ImagingStudy", "dicom-web/studies")
    ]
    said += [
        irini.session.get(e["resource"]["content"][0]["attachment"]["url"]).content
        for e in irini.fhir("DocumentReference")["entry"]
    ]

    assert len(said) > 3
    assert not [body for body in said if theirs in body]


def test_a_manifest_in_dicom_leads_to_its_images(irini: Program) -> None:
    (listed, *_) = irini.fhir("DocumentReference?contenttype=application/dicom")["entry"]
    body = irini.session.get(listed["resource"]["content"][0]["attachment"]["url"]).content

    (study,) = pydicom.dcmread(io.BytesIO(body)).CurrentRequestedProcedureEvidenceSequence
    series = study.ReferencedSeriesSequence[0]
    client = DICOMwebClient(series.RetrieveURL, session=irini.session)
    images = client.retrieve_series(study.StudyInstanceUID, series.SeriesInstanceUID, media_types=AS_STORED)

    assert series.RetrieveURL == f"{irini.visit}/dicom-web"
    named = {one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence}
    assert {image.SOPInstanceUID for image in images} == named


@pytest.mark.threat("T92")
def test_without_the_header_nobody_reads(irini: Program) -> None:
    url = f"{irini.visit}/dicom-web/studies"
    token = str(irini.session.headers["Authorization"]).removeprefix("Bearer ")

    statuses = [
        _session().get(url).status_code,
        _session(Authorization="Bearer " + "x" * 43).get(url).status_code,
        _session().get(url, params={"access_token": token}).status_code,
    ]

    assert statuses == [401, 401, 401]


def test_a_restricted_study_is_absent_here_too(countries: TwoCountries) -> None:
    program = _open(countries, _restricted(countries))

    found = program.dicomweb.search_for_studies()
    listed = program.fhir("ImagingStudy")["total"]

    assert len(found) == listed == 0


def _restricted(countries: TwoCountries) -> Patient:
    number = next(p for p in countries.demo.ready()["patients"] if p["story_id"] == "only-study-restricted")[
        "identifier"
    ]["value"]
    return next(patient for patient in PEOPLE.values() if patient.identifier.value == number)


def test_what_programs_read_stands_in_country_bs_trail(countries: TwoCountries) -> None:
    since = countries.since()
    program = _open(countries, PEOPLE["irini"])

    program.dicomweb.retrieve_study(STUDIES["mr-irini"].study_instance_uid, media_types=AS_STORED)

    pairs = since.pairs()
    ours = {pair.b.transaction: pair.b.outcome for pair in pairs if pair.b is not None}
    assert (ours["view"], ours["RAD-107"]) == ("complete", "complete")
