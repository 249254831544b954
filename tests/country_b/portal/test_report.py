"""A report: impression first, foreign words marked and cleaned, the original as issued."""

from __future__ import annotations

import re

import orjson
import pytest
from tests.country_b.portal.fakes import FakePortal, Page

from isthmus.conformance.evidence import Arrival
from isthmus.conformance.requirement import Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.demo.people import PEOPLE
from isthmus.demo.reports import reports
from isthmus.demo.stories import STORIES
from isthmus.errors import ArrivalRefused
from isthmus.wire.packs.pack import load_pack

pytestmark = pytest.mark.anyio
assert groups.GROUPS


async def _open(portal: FakePortal, report_id: str, *, study: bool = True, language: str = "en") -> Page:
    demo = reports()[report_id]
    document = portal.country.with_report(report_id)
    if study:
        portal.country.with_study(demo.patient, uid=document.study_instance_uids[0])
    browser = portal.browser(language)
    listed = await browser.visit(demo.patient)
    return await browser.get(listed.path.replace("examinations", f"reports/{report_id}"))


async def test_the_impression_comes_before_everything_else(portal: FakePortal) -> None:
    page = await _open(portal, "ct-eleni")

    order = [
        page.text.index(words)
        for words in ("Impression", "Recommendation", "Key images", ">Findings<", "Original, as signed")
    ]

    assert order == sorted(order)
    assert "Normal CT of the head; no explanation for the headache." in page.text
    assert "Version 1, 14 Oct 2026 10:05" in page.text


HERE = {story.person for story in STORIES}
SHOWN = [report.id for report in reports().values() if report.bundle.exists() and report.person in HERE]


@pytest.mark.requirement("REP-23", "REP-24")
@pytest.mark.parametrize("report_id", SHOWN)
async def test_every_section_of_a_report_is_shown_and_nothing_of_it_runs_or_fetches(
    portal: FakePortal, report_id: str
) -> None:
    page = await _open(portal, report_id, study=False)

    shown = page.text.partition("<main")[2].partition("</main>")[0]
    arrived = Arrival(document=orjson.loads(reports()[report_id].bundle.read_bytes()), told=shown)
    found = examine(Kind.ARRIVAL, arrived, load_pack())
    assert [(finding.requirement, finding.path) for finding in found] == []


async def test_a_foreign_text_stands_in_its_own_language_marked(portal: FakePortal) -> None:
    page = await _open(portal, "mr-markos")

    assert '<p class="said" lang="el">Χωρίς ένδειξη οξείας ισχαιμίας.' in page.text
    assert "In Greek, not translated. The original is the reference." in page.text
    assert 'Findings <span class="quiet"><span lang="el">Ευρήματα</span>, in Greek, not translated' in page.text


async def test_a_reader_of_that_language_sees_no_such_mark(portal: FakePortal) -> None:
    page = await _open(portal, "mr-markos", language="el")

    assert "αμετάφραστο" not in page.text
    assert 'class="said" lang=' not in page.text


async def test_key_images_lead_to_the_viewer_and_know_the_way_back(portal: FakePortal) -> None:
    page = await _open(portal, "ct-eleni")

    links = re.findall(r'<a class="imglink" id="(key-\d)" href="([^"]+)" data-sop="([\d.]+)"', page.text)

    assert [link[0] for link in links] == ["key-1", "key-2", "key-3"]
    for _, href, sop in links:
        assert f"report=ct-eleni&amp;image={sop}" in href


async def test_a_report_without_its_images_says_so(portal: FakePortal) -> None:
    page = await _open(portal, "ct-abdomen-oskar", study=False)

    assert "No images available here" in page.text
    assert "/view?" not in page.text


async def test_the_original_is_byte_for_byte_and_opens_nothing(portal: FakePortal) -> None:
    page = await _open(portal, "ct-eleni")
    browser = portal.browser()
    listed = await browser.visit(PEOPLE["eleni"])

    original = await browser.get(listed.path.replace("examinations", "reports/ct-eleni/original"))

    assert original.body == reports()["ct-eleni"].pdf.read_bytes()
    assert original.headers["content-type"] == "application/pdf"
    assert original.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert original.headers["content-disposition"].startswith("attachment")
    assert "/reports/ct-eleni/original" in page.text


async def test_original_and_report_are_one_access(portal: FakePortal) -> None:
    portal.country.with_report("ct-eleni")
    browser = portal.browser()
    listed = await browser.visit(PEOPLE["eleni"])
    here = listed.path.replace("examinations", "reports/ct-eleni")

    for path in (here, f"{here}/original", here):
        await browser.get(path)

    assert portal.country.asked.count("report") == 1


@pytest.mark.threat("T70")
async def test_hostile_narrative_is_cleaned(portal: FakePortal) -> None:
    portal.country.with_report("ct-eleni")
    hostile = (
        '<p onclick=\\"x()\\">No intra</p><script>alert(1)</script><img src=\\"https://elsewhere.example/a.png\\"/><p>'
    )
    body = portal.country.bodies["ct-eleni"].decode().replace("<p>No intra", hostile + "No intra", 1)
    portal.country.bodies["ct-eleni"] = body.encode()
    browser = portal.browser()
    listed = await browser.visit(PEOPLE["eleni"])

    page = await browser.get(listed.path.replace("examinations", "reports/ct-eleni"))

    assert "elsewhere.example" not in page.text
    assert "alert(1)" not in page.text
    assert "onclick" not in page.text
    assert "intracranial haemorrhage" in page.text


async def test_a_superseded_report_says_there_is_a_newer_one(portal: FakePortal) -> None:
    portal.country.with_report("ct-eleni", id="old", status="superseded")
    portal.country.with_report("ct-eleni", id="new", replaces="old")
    browser = portal.browser()
    listed = await browser.visit(PEOPLE["eleni"])

    page = await browser.get(listed.path.replace("examinations", "reports/old"))
    newer = await browser.get(listed.path.replace("examinations", "reports/new"))

    assert "There is a newer version" in page.text
    assert "/reports/new" in page.text
    assert "This version replaces an earlier one." in newer.text
    assert "/reports/old" in newer.text
    assert "Superseded" in page.text


async def test_a_document_of_another_person_stops_and_clears_the_screen(portal: FakePortal) -> None:
    portal.country.with_report("ct-eleni")
    browser = portal.browser()
    listed = await browser.visit(PEOPLE["eleni"])
    portal.country.problem = ArrivalRefused("another", reason="wrong-patient", country="AA")

    page = await browser.get(listed.path.replace("examinations", "reports/ct-eleni"))

    assert page.status == 502
    assert "Stopped: this may be another person" in page.text
    assert "halt__card--stop" in page.text
    assert "Try again" not in page.text
    assert "Back to the examinations" in page.text
    assert "Thalassinou" not in page.text


async def test_a_manifest_is_no_report_and_is_not_asked_for_as_one(portal: FakePortal) -> None:
    study = portal.country.with_study(PEOPLE["eleni"])
    browser = portal.browser("en")
    visit = (await browser.visit(PEOPLE["eleni"])).path.removesuffix("/examinations")

    page = await browser.get(f"{visit}/reports/manifest-0")
    described = await browser.get(f"{visit}/studies/{study.study_instance_uid}/study.json?report=manifest-0")

    assert (page.status, described.status) == (404, 404)
    assert "report" not in portal.country.asked
