"""Documents that are no FHIR: as they were issued, wrapped or not; a manifest in DICOM stands in for the one in FHIR.

Source: ITI-68; RET-04, RET-11; TOL-10.
"""

from __future__ import annotations

from base64 import encodebytes
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from tests.hostile.evil import ANOTHER, HANDLE, PACK, SHE, STUDY, Stage, http, manifest_of, staged
from tests.wire.made import KOS_ENTRY, MANIFEST_ENTRY, PDF_ENTRY
from tests.wire.test_reports import REPORT

from isthmus.country_b import documents
from isthmus.country_b.fetch import wanted_of
from isthmus.country_b.flights import Flights
from isthmus.country_b.local.access import Reader
from isthmus.country_b.local.holdings import Holdings
from isthmus.country_b.recent import Recent
from isthmus.country_b.verbs import Verbs
from isthmus.errors import ArrivalRefused, CountryMisanswered, DocumentNotFound, UnsupportedRequest
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.queries import DocumentQuery, Page
from isthmus.telemetry import metrics_text
from isthmus.wire.documents import write_found
from isthmus.wire.kos import write_kos
from isthmus.wire.report.document import write_report

pytestmark = pytest.mark.anyio
PDF = b"%PDF-1.7 a report"
CDA = files("isthmus.demo").joinpath("data/reports/us-ottilie.xml").read_bytes()
CDA_ENTRY = replace(PDF_ENTRY, id="b-cda", kind=DocumentKind.REPORT_CDA, media_type="text/xml")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path / "countries") as made:
        yield made


def _says(stage: Stage, *entries: Document) -> dict[str, Any]:
    """A list of these, each about the study."""
    listed = tuple(replace(entry, study_instance_uids=(STUDY.study_instance_uid,), twin=None) for entry in entries)
    base = f"{stage.evil.base}/fhir"
    found = write_found(Page(listed, len(listed)), DocumentQuery(), base=base, handle=HANDLE, pack=PACK)
    stage.evil.says["list"] = http(found)
    told: dict[str, Any] = orjson.loads(found)
    return told


def _wrapped(body: bytes, media_type: str) -> bytes:
    binary = {"resourceType": "Binary", "contentType": media_type, "data": encodebytes(body).decode()}
    return http(orjson.dumps(binary))


@pytest.mark.requirement("RET-04")
@pytest.mark.fault("F40")
@pytest.mark.parametrize("told", [http(PDF, "application/pdf"), _wrapped(PDF, "application/pdf")])
async def test_a_pdf_is_read_as_it_was_issued_wrapped_or_not(stage: Stage, told: bytes) -> None:
    _says(stage, PDF_ENTRY)
    stage.evil.says["document"] = told

    async with stage.visit() as visit:
        (entry,) = await visit.find_documents()
        body = await documents.get_binary(visit.client, visit.visit, "AA", entry)

    assert body == PDF
    assert stage.evil.heard[-1].startswith(f"GET /fhir/Binary/{PDF_ENTRY.id} ")


async def test_of_a_pdf_alone_the_list_tells_what_stands_over_it(stage: Stage) -> None:
    _says(stage, replace(PDF_ENTRY, authors=("Dr A",), language="el"))

    async with stage.visit() as visit:
        (entry,) = await visit.find_documents()
        report = documents.report_as_listed(entry, visit.visit.patient_in("AA"))

    head = report.header
    assert (head.title, head.date, head.language, head.status) == ("Old report", "2025-01-02", "el", "unknown")
    assert ([one.shown for one in head.authors], head.custodian) == (["Dr A"], PDF_ENTRY.custodian)
    assert report.study_instance_uids == (STUDY.study_instance_uid,)
    assert (report.sections, report.examination.impressions) == ((), ())


@pytest.mark.requirement("RET-05")
async def test_a_pdf_inside_its_entry_is_used_without_another_request(stage: Stage) -> None:
    told = _says(stage, PDF_ENTRY, PDF_ENTRY)
    for entry, data in zip(told["entry"], (encodebytes(PDF).decode(), "@"), strict=True):
        attachment = entry["resource"]["content"][0]["attachment"]
        del attachment["url"]
        attachment["data"] = data
    stage.evil.says["list"] = http(orjson.dumps(told))

    async with stage.visit() as visit:
        (entry,) = await visit.find_documents()
        asked = len(stage.evil.heard)
        body = await documents.get_binary(visit.client, visit.visit, "AA", entry)

    assert (body, len(stage.evil.heard)) == (PDF, asked)
    assert visit.client.forgiven["AA", "content-without-address"] == 1


@pytest.mark.requirement("RET-10")
@pytest.mark.parametrize("wrap", [http, _wrapped])
async def test_a_cda_about_another_person_is_refused_however_it_comes(
    stage: Stage, wrap: Callable[[bytes, str], bytes]
) -> None:
    _says(stage, CDA_ENTRY)
    stage.evil.says["document"] = wrap(CDA, "text/xml")

    async with stage.visit() as visit:
        (entry,) = await visit.find_documents()
        with pytest.raises(ArrivalRefused) as caught:
            await documents.get_binary(visit.client, visit.visit, "AA", entry)

    assert caught.value.reason == "wrong-patient"


@pytest.mark.requirement("RET-10")
async def test_the_services_of_a_visit_give_nothing_that_was_refused(stage: Stage) -> None:
    _says(stage, CDA_ENTRY)
    stage.evil.says["document"] = http(CDA, "text/xml")

    async with stage.visit() as visit:
        (entry,) = await visit.find_documents()
        verbs = Verbs.of(visit.client)
        holdings = Holdings(verbs, Flights(verbs, cast(Any, None), 1), Recent(visit.client.clock))
        with pytest.raises(ArrivalRefused):
            await holdings.content(Reader(visit.visit, "", True), entry)


async def test_a_cda_about_the_person_comes_as_it_was_issued(stage: Stage) -> None:
    _says(stage, CDA_ENTRY)
    hers = CDA.replace(b"4710260190", SHE.identifier.value.encode()).replace(b"19401219", b"19700203")
    stage.evil.says["document"] = http(hers, "text/xml")

    async with stage.visit() as visit:
        (entry,) = await visit.find_documents()
        assert await documents.get_binary(visit.client, visit.visit, "AA", entry) == hers


async def test_what_is_wrapped_in_something_else_is_refused(stage: Stage) -> None:
    _says(stage, PDF_ENTRY)

    async with stage.visit() as visit:
        (entry,) = await visit.find_documents()
        for wrong in (b'{"resourceType":"Patient"}', b'{"resourceType":"Binary","data":"@"}', b"{"):
            stage.evil.says["document"] = http(wrong)
            with pytest.raises(CountryMisanswered):
                await documents.get_binary(visit.client, visit.visit, "AA", entry)


async def test_where_there_is_no_manifest_in_fhir_the_one_in_dicom_tells_what_to_fetch(stage: Stage) -> None:
    _says(stage, KOS_ENTRY)
    stage.evil.says["document"] = http(write_kos(manifest_of(STUDY), PACK), "application/dicom")

    async with stage.visit() as visit:
        wanted = await wanted_of(visit.client, visit.visit, "AA", STUDY.study_instance_uid)

    assert len(wanted) == STUDY.instances
    assert stage.evil.heard[-1].startswith("GET /fhir/Binary/")


async def test_the_faces_are_told_of_a_study_by_the_one_form_that_there_is(stage: Stage) -> None:
    _says(stage, KOS_ENTRY)
    body = write_kos(manifest_of(STUDY), PACK)
    stage.evil.says["document"] = http(body, "application/dicom")

    async with stage.visit() as visit:
        (entry,) = await visit.find_documents()
        manifest, came = await Verbs.of(visit.client).get_manifest(visit.visit, "AA", entry)

    assert (manifest.study.study_instance_uid, came) == (STUDY.study_instance_uid, body)


async def test_of_two_forms_the_one_in_fhir_is_read(stage: Stage) -> None:
    _says(stage, KOS_ENTRY, MANIFEST_ENTRY)

    async with stage.visit() as visit:
        await wanted_of(visit.client, visit.visit, "AA", STUDY.study_instance_uid)

    assert stage.evil.heard[-1].startswith("GET /fhir/Bundle/")


@pytest.mark.requirement("RET-11")
async def test_a_form_that_the_country_cannot_give_is_told(stage: Stage) -> None:
    stage.evil.says["document"] = http(b"{}", status=406)

    async with stage.visit() as visit:
        with pytest.raises(UnsupportedRequest):
            await documents.get_kos(visit.client, visit.visit, "AA", "m-kos")


@pytest.mark.requirement("RET-12")
async def test_two_forms_of_a_manifest_are_one_examination(stage: Stage) -> None:
    _says(stage, KOS_ENTRY, MANIFEST_ENTRY)

    async with stage.visit() as visit:
        (examination,) = await visit.examinations()

    assert set(examination.manifests) == {DocumentKind.MANIFEST_FHIR, DocumentKind.MANIFEST_KOS}


@pytest.mark.requirement("RET-10")
async def test_a_manifest_in_dicom_is_held_to_the_same(stage: Stage) -> None:
    elsewhere = replace(manifest_of(STUDY), endpoint_address="https://evil.example/dicom-web")
    refused = [
        (write_kos(manifest_of(STUDY, ANOTHER), PACK), ArrivalRefused),
        (write_kos(elsewhere, PACK), CountryMisanswered),
        (write_kos(manifest_of(STUDY), PACK)[:700], CountryMisanswered),
        (PDF, CountryMisanswered),
    ]

    async with stage.visit() as visit:
        for body, error in refused:
            stage.evil.says["document"] = http(body, "application/dicom")
            with pytest.raises(error):
                await documents.get_kos(visit.client, visit.visit, "AA", "m-kos")


async def test_an_id_that_is_not_on_the_list_is_not_there(stage: Stage) -> None:
    async with stage.visit() as visit:
        with pytest.raises(DocumentNotFound):
            await documents.get_entry(visit.client, visit.visit, "AA", "another")


@pytest.mark.requirement("TOL-10")
async def test_what_was_forgiven_is_counted_by_country_and_word(stage: Stage) -> None:
    told = _says(stage, MANIFEST_ENTRY)
    del told["total"]
    del told["entry"][0]["resource"]["masterIdentifier"]
    stage.evil.says["list"] = http(orjson.dumps(told))

    async with stage.visit() as visit:
        await visit.find_documents()

        assert dict(visit.client.forgiven) == {("AA", "no-total"): 1, ("AA", "no-master-identifier"): 1}
    assert b'isthmus_tolerances_total{peer="AA",word="no-master-identifier"}' in metrics_text()
    assert SHE.identifier.value.encode() not in metrics_text()


@pytest.mark.requirement("TOL-10")
async def test_a_member_of_another_kind_is_read_as_absent_and_counted(stage: Stage) -> None:
    told = _says(stage, MANIFEST_ENTRY)
    told["entry"][0]["resource"]["description"] = 7
    stage.evil.says["list"] = http(orjson.dumps(told))
    report = orjson.loads(write_report(replace(REPORT, header=replace(REPORT.header, patient=SHE)), PACK))
    finding = next(e["resource"] for e in report["entry"] if e["resource"].get("valueString") == "No haemorrhage")
    finding["valueString"] = {"text": "No haemorrhage"}
    stage.evil.says["document"] = http(orjson.dumps(report))

    async with stage.visit() as visit:
        (entry,) = await visit.find_documents()
        read, _ = await documents.get_report(visit.client, visit.visit, "AA", "r-1")

        assert dict(visit.client.forgiven) == {("AA", "member-of-another-kind"): 2}
    assert entry.description is None
    assert "No haemorrhage" not in [finding.text for finding in read.examination.findings]


@pytest.mark.requirement("TOL-10")
async def test_what_is_written_as_it_must_be_needs_no_forgiving(stage: Stage) -> None:
    _says(stage, MANIFEST_ENTRY, PDF_ENTRY)
    stage.evil.says["document"] = http(write_report(replace(REPORT, header=replace(REPORT.header, patient=SHE)), PACK))

    async with stage.visit() as visit:
        await visit.find_documents()
        await documents.get_report(visit.client, visit.visit, "AA", "r-1")

        assert not visit.client.forgiven


@pytest.mark.requirement("TOL-10")
async def test_a_finding_whose_image_is_not_in_the_report_is_counted(stage: Stage) -> None:
    told = orjson.loads(write_report(replace(REPORT, header=replace(REPORT.header, patient=SHE)), PACK))
    finding = next(e["resource"] for e in told["entry"] if e["resource"].get("valueString") == "No haemorrhage")
    finding["derivedFrom"].append({"reference": "urn:uuid:00000000-0000-4000-8000-00000000000f"})
    stage.evil.says["document"] = http(orjson.dumps(told))

    async with stage.visit() as visit:
        report, _ = await documents.get_report(visit.client, visit.visit, "AA", "r-1")

        assert dict(visit.client.forgiven) == {("AA", "finding-without-image"): 1}
    assert report.examination.findings[0].images == ()
