"""What the country takes back while a visit is open: said plainly, and put away.

Source: portal design §4 (examinations: withdrawn since listed; report: superseded).
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.country_b.portal.fakes import Browser, FakePortal, Page

from isthmus.demo.people import PEOPLE
from isthmus.errors import CountryUnreachable
from isthmus.model.documents import Document

pytestmark = pytest.mark.anyio
MARKOS = PEOPLE["markos"]
WITHDRAWN = "Withdrawn since it was listed"


def take_back(portal: FakePortal, *ids: str) -> None:
    """The country lists these no more."""
    listed = portal.country.documents[MARKOS.identifier.value]
    portal.country.documents[MARKOS.identifier.value] = [d for d in listed if d.id not in ids]


def manifest(portal: FakePortal) -> Document:
    return next(d for d in portal.country.documents[MARKOS.identifier.value] if d.kind.is_manifest)


async def opened(portal: FakePortal) -> tuple[Browser, Page, str, str]:
    """A visit with a study and a report in its list: the list, and where the two stand."""
    study = portal.country.with_study(MARKOS)
    report = portal.country.with_report("mr-markos", study_instance_uids=(study.study_instance_uid,))
    browser = portal.browser()
    page = await browser.visit(MARKOS)
    visit = page.path.rpartition("/")[0]
    return browser, page, f"{visit}/studies/{study.study_instance_uid}", f"{visit}/reports/{report.id}"


def kept(portal: FakePortal) -> int:
    """How many files lie in the spool."""
    return len(list((portal.desk.settings.folder / "spool").iterdir()))


async def test_a_report_that_was_read_is_not_shown_again_once_it_is_withdrawn(portal: FakePortal) -> None:
    browser, _, _, report = await opened(portal)
    before = await browser.get(report)

    take_back(portal, report.rpartition("/")[2])
    after, original = await browser.get(report), await browser.get(f"{report}/original")

    assert (before.status, after.status, original.status) == (200, 404, 404)
    assert WITHDRAWN in after.text
    assert "does not say why" in after.text
    assert after.headers["x-isthmus-reason"] == "withdrawn"


async def test_what_was_never_listed_is_only_not_there(portal: FakePortal) -> None:
    browser, page, _, _ = await opened(portal)
    visit = page.path.rpartition("/")[0]

    report, study = await browser.get(f"{visit}/reports/other"), await browser.get(f"{visit}/studies/2.25.404")

    assert (report.status, study.status) == (404, 404)
    assert WITHDRAWN not in report.text + study.text


async def test_a_study_is_put_away_with_its_images_in_page_and_viewer(portal: FakePortal) -> None:
    browser, _, study, _ = await opened(portal)
    told = json.loads((await browser.get(f"{study}/study.json")).body)
    image = told["series"][0]["instances"][0]["url"]
    shown = await browser.get(image)
    before = kept(portal)

    take_back(portal, manifest(portal).id)
    page, viewer = await browser.get(study), await browser.get(f"{study}/view")
    again = await browser.get(image)

    assert (shown.status, before > 0, kept(portal)) == (200, True, 0)
    assert [p.status for p in (page, viewer, again)] == [404] * 3
    assert WITHDRAWN in page.text
    assert WITHDRAWN in viewer.text
    assert again.headers["x-isthmus-reason"] == "withdrawn"


async def test_an_image_that_is_here_is_not_shown_ten_seconds_after_the_study_went(portal: FakePortal) -> None:
    browser, _, study, _ = await opened(portal)
    told = json.loads((await browser.get(f"{study}/study.json")).body)
    image = told["series"][0]["instances"][0]["url"]
    await browser.get(image)

    take_back(portal, manifest(portal).id)
    portal.clock.now += timedelta(seconds=11)
    again = await browser.get(image)

    assert (again.status, again.headers["x-isthmus-reason"], kept(portal)) == (404, "withdrawn", 0)


async def test_a_study_that_has_changed_says_so_and_what_was_here_of_it_goes(portal: FakePortal) -> None:
    browser, _, study, _ = await opened(portal)
    told = json.loads((await browser.get(f"{study}/study.json")).body)
    first = told["series"][0]["instances"][0]["url"]
    await browser.get(first)
    before = await browser.get(study)
    entry = manifest(portal)

    listed = portal.country.documents[MARKOS.identifier.value]
    old = portal.country.manifests[entry.id]
    series = tuple(replace(s, instances=s.instances[1:]) for s in old.study.series)
    portal.country.manifests["later"] = replace(old, study=replace(old.study, series=series))
    portal.country.documents[MARKOS.identifier.value] = [
        replace(entry, id="later") if d == entry else d for d in listed
    ]
    portal.clock.now += timedelta(seconds=11)
    after, viewer, image = await browser.get(study), await browser.get(f"{study}/view"), await browser.get(first)

    changed = "This study has changed since you opened it"
    assert (changed in before.text, changed in after.text, changed in viewer.text) == (False, True, True)
    assert (image.status, image.headers["x-isthmus-reason"]) == (404, "withdrawn")


async def test_a_country_that_is_silent_takes_nothing_away(portal: FakePortal) -> None:
    browser, _, study, report = await opened(portal)
    await browser.get(study)
    await browser.get(report)
    portal.clock.now += timedelta(minutes=2)
    portal.country.problem, portal.country.problem_of = CountryUnreachable("down", country="AA"), "documents"

    pages = [await browser.get(report), await browser.get(study)]

    assert [page.status for page in pages] == [200, 200]


async def test_a_superseded_report_leads_to_the_newer_one_or_says_that_there_is_none(portal: FakePortal) -> None:
    browser, page, _, report = await opened(portal)
    await browser.get(report)
    listed = portal.country.documents[MARKOS.identifier.value]
    old = next(d for d in listed if d.id == report.rpartition("/")[2])
    portal.country.bodies["newer"] = portal.country.bodies[old.id]
    superseded, newer = replace(old, status="superseded"), replace(old, id="newer", replaces=old.id)
    portal.country.documents[MARKOS.identifier.value] = [superseded if d == old else d for d in listed] + [newer]

    with_newer = await browser.get(report)
    take_back(portal, "newer")
    alone = await browser.get(report)

    assert "Read the newer version" in with_newer.text
    assert "Read the newer version" not in alone.text
    assert "No newer one is given here now" in alone.text


async def test_the_list_one_comes_back_to_is_the_present_one(portal: FakePortal) -> None:
    browser, page, _, report = await opened(portal)
    take_back(portal, report.rpartition("/")[2])
    portal.clock.now += timedelta(seconds=11)

    again = await browser.get(page.path)

    assert report not in again.text


async def test_it_is_said_in_greek(portal: FakePortal) -> None:
    study = portal.country.with_study(MARKOS)
    browser = portal.browser("el-GR")
    page = await browser.visit(MARKOS)
    address = f"{page.path.rpartition('/')[0]}/studies/{study.study_instance_uid}"
    await browser.get(address)

    take_back(portal, manifest(portal).id)

    assert "Αποσύρθηκε αφότου αναγράφηκε στον κατάλογο" in (await browser.get(address)).text
