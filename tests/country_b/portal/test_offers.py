"""What a country does not share yet is said on every page that it concerns; an empty list never fools."""

from __future__ import annotations

import re

import pytest
from tests.country_b.portal.fakes import Browser, FakePortal, participant

from isthmus.demo.people import PEOPLE
from isthmus.demo.reports import reports

pytestmark = pytest.mark.anyio
ELENI, MIRELA, NOEMI = PEOPLE["eleni"], PEOPLE["mirela"], PEOPLE["noemi"]
REPORTS, STUDIES, IMAGES = "imaging-report", "imaging-manifest", "imaging-pixels"
STAGES = {
    frozenset({REPORTS, STUDIES, IMAGES}): "Shares reports and images.",
    frozenset({REPORTS, STUDIES}): "Shares reports, and which images there are; the images themselves not yet.",
    frozenset({REPORTS}): "Shares reports; images not yet.",
    frozenset({REPORTS, IMAGES}): "Shares reports; images not yet.",
    frozenset({STUDIES, IMAGES}): "Shares images; reports not yet.",
    frozenset({STUDIES}): "Shares which images there are; the images themselves and reports not yet.",
    frozenset({"laboratory"}): "Shares no imaging yet.",
}
NOT_YET = "Country AA does not share images yet"


def _offer(portal: FakePortal, *services: str) -> None:
    portal.directory.participants[:] = [participant("AA", frozenset(services))]


async def _study(portal: FakePortal, browser: Browser) -> str:
    page = await browser.visit(MIRELA)
    return str(re.findall(r'<a class="plate [^"]+" href="([^"]+/studies/[^"]+)"', page.text)[0])


@pytest.mark.parametrize(("services", "words"), list(STAGES.items()))
async def test_each_stage_has_its_words_before_and_after_the_search(
    portal: FakePortal, services: frozenset[str], words: str
) -> None:
    _offer(portal, *services)
    browser = portal.browser()
    await browser.sign_in()

    tile = await browser.get("/find")
    await browser.find(NOEMI)
    empty = await browser.confirm()

    assert words in tile.text
    assert "No imaging information is available here for this person." in empty.text
    assert empty.text.count(words) == (1 if len(services) == 3 else 2)  # in the strip, and beside "nothing"


async def test_a_report_without_images_says_that_the_country_shares_none(portal: FakePortal) -> None:
    _offer(portal, REPORTS)
    portal.country.with_report("ct-eleni")
    browser = portal.browser()

    listed = await browser.visit(ELENI)
    report = await browser.get(re.findall(r'href="([^"]+/reports/[^"]+)"', listed.text)[0])

    assert NOT_YET in listed.text
    assert "No images available here" not in listed.text
    assert NOT_YET in report.text
    assert "View the" not in report.text
    assert f'data-sop="{reports()["ct-eleni"].studies[0]}' not in report.text
    assert 'class="imglink"' not in report.text


async def test_a_study_without_reports_says_that_the_country_shares_none(portal: FakePortal) -> None:
    _offer(portal, STUDIES, IMAGES)
    portal.country.with_study(MIRELA)
    browser = portal.browser()

    address = await _study(portal, browser)
    listed, study, viewer = browser.page, await browser.get(address), await browser.get(f"{address}/view")

    for page in (listed, study, viewer):
        assert "Country AA does not share reports yet" in page.text
        assert "No report available" not in page.text


async def test_a_study_without_its_images_lists_its_series_and_opens_no_viewer(portal: FakePortal) -> None:
    _offer(portal, REPORTS, STUDIES)
    study = portal.country.with_study(MIRELA)
    portal.country.with_selection(study, (study.sop_instance_uid(1), ""))
    browser = portal.browser()

    address = await _study(portal, browser)
    listed, page = browser.page, await browser.get(address)

    assert "described only" in listed.text
    assert "Axial" in page.text
    assert "Country AA does not share the images themselves yet" in page.text
    assert f"{address}/view" not in page.text
    assert "/thumbnail" not in page.text
    assert not [asked for asked in portal.country.asked if asked.startswith("images")]


@pytest.mark.parametrize("services", [{REPORTS, STUDIES}, {REPORTS}])
@pytest.mark.parametrize("what", ["view", "series/{series}/thumbnail", "series/{series}/instances/{instance}"])
async def test_what_is_not_offered_is_refused_with_its_own_page(
    portal: FakePortal, services: set[str], what: str
) -> None:
    study = portal.country.with_study(MIRELA)
    browser = portal.browser()
    address = await _study(portal, browser)
    _offer(portal, *services)

    page = await browser.get(
        f"{address}/{what.format(series=study.series_instance_uid(0), instance=study.sop_instance_uid(0))}"
    )

    assert page.status == 501
    assert page.headers["x-isthmus-reason"] == "not-offered"
    assert "Country AA does not share this yet" in page.text
    assert "Back to the examinations" in page.text
    assert "Try again" not in page.text


async def test_a_report_whose_study_is_described_leads_to_the_description(portal: FakePortal) -> None:
    _offer(portal, REPORTS, STUDIES)
    report = portal.country.with_report("ct-eleni")
    portal.country.with_study(ELENI, uid=report.study_instance_uids[0])
    browser = portal.browser()
    listed = await browser.visit(ELENI)

    page = await browser.get(re.findall(r'href="([^"]+/reports/[^"]+)"', listed.text)[0])

    assert "The series, described" in page.text
    assert "/view" not in page.text
    assert NOT_YET in page.text


async def test_the_words_are_the_same_for_all_patients_of_a_country(portal: FakePortal) -> None:
    _offer(portal, REPORTS)
    portal.country.with_report("ct-eleni")
    pages = []
    for patient in (NOEMI, PEOPLE["iason"]):
        browser = portal.browser()
        pages.append((await browser.visit(patient)).text)

    mains = [re.sub(r"/visits/[^/]+/", "/visits/V/", page[page.index("<main") :]) for page in pages]

    assert mains[0] == mains[1]
