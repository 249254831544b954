"""A page that is open asks by itself whether what it shows still stands, and is told of a withdrawal without being touched.

Source: portal design §4 (examinations: withdrawn since listed), §6 (expired), §7; trust.md §2.14.
"""

from __future__ import annotations

import asyncio
import html
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.country_b.portal.fakes import Browser, FakePortal, Page

from isthmus.country_b.flights import stopped
from isthmus.demo.people import PEOPLE
from isthmus.errors import CountryUnreachable, UnsupportedRequest, UntrustedCountry
from isthmus.model.documents import Document

pytestmark = pytest.mark.anyio
MARKOS = PEOPLE["markos"]
WITHDRAWN = "Withdrawn since it was listed"


async def opened(portal: FakePortal) -> tuple[Browser, Page, Page]:
    """A visit with a study and its report open: the viewer's page and the report's."""
    study = portal.country.with_study(MARKOS)
    report = portal.country.with_report("mr-markos", study_instance_uids=(study.study_instance_uid,))
    browser = portal.browser()
    visit = (await browser.visit(MARKOS)).path.rpartition("/")[0]
    viewer = await browser.get(f"{visit}/studies/{study.study_instance_uid}/view")
    return browser, viewer, await browser.get(f"{visit}/reports/{report.id}")


def standing(page: Page) -> str:
    """Where a page asks whether it still stands."""
    found = re.search(r'data-standing="([^"]+)"', page.text)
    assert found is not None, page.path
    return html.unescape(found[1])


def listed(portal: FakePortal) -> list[Document]:
    return portal.country.documents[MARKOS.identifier.value]


def later(portal: FakePortal) -> None:
    """The time after which a page asks again."""
    portal.clock.now += timedelta(seconds=60)


async def test_what_stands_is_answered_with_nothing_to_say(portal: FakePortal) -> None:
    browser, viewer, report = await opened(portal)

    answers = [await browser.get(standing(page)) for page in (viewer, report)]

    assert [(answer.status, answer.body) for answer in answers] == [(204, b"")] * 2
    assert portal.country.asked[-2:] == ["one document"] * 2


async def test_an_open_study_is_told_that_it_was_withdrawn_and_put_away(portal: FakePortal) -> None:
    browser, viewer, _ = await opened(portal)

    listed(portal)[:] = [d for d in listed(portal) if not d.kind.is_manifest]
    told = await browser.get(standing(viewer))

    assert (told.status, told.headers["x-isthmus-reason"]) == (404, "withdrawn")
    assert WITHDRAWN in told.text
    assert list((portal.desk.settings.folder / "spool").iterdir()) == []


async def test_an_open_report_is_told_that_it_was_withdrawn(portal: FakePortal) -> None:
    browser, _, report = await opened(portal)

    listed(portal)[:] = [d for d in listed(portal) if d.kind.is_manifest]
    told = await browser.get(standing(report))

    assert (told.status, WITHDRAWN in told.text) == (404, True)


async def test_the_report_beside_the_images_is_asked_after_too(portal: FakePortal) -> None:
    browser, viewer, report = await opened(portal)
    beside = await browser.get(f"{viewer.path}?report={report.path.rpartition('/')[2]}")

    listed(portal)[:] = [d for d in listed(portal) if d.kind.is_manifest]
    told = await browser.get(standing(beside))

    assert (told.status, WITHDRAWN in told.text) == (404, True)


async def test_a_replaced_report_says_where_the_newer_one_is_once_and_stays_readable(portal: FakePortal) -> None:
    browser, _, report = await opened(portal)
    old = next(d for d in listed(portal) if not d.kind.is_manifest)
    newer = replace(old, id="newer", replaces=old.id)
    listed(portal)[:] = [replace(d, status="superseded") if d == old else d for d in listed(portal)] + [newer]

    told = await browser.get(standing(report))
    later(portal)
    again = await browser.get(standing(told))

    assert told.status == 200
    assert f'href="{report.path.rpartition("/")[0]}/newer"' in told.text
    assert "There is a newer version" in told.text
    assert again.status == 204


async def test_a_report_that_was_superseded_when_it_was_opened_is_only_asked_whether_it_is_there(
    portal: FakePortal,
) -> None:
    browser, _, report = await opened(portal)
    listed(portal)[:] = [d if d.kind.is_manifest else replace(d, status="superseded") for d in listed(portal)]
    portal.clock.now += timedelta(seconds=11)

    told = await browser.get(standing(await browser.get(report.path)))

    assert told.status == 204


@pytest.mark.parametrize(
    ("less", "status", "said"), [(1, 404, "has changed since you opened it"), (0, 200, "More has come")]
)
async def test_a_study_that_lost_an_image_is_put_away_and_one_that_grew_is_not(
    portal: FakePortal, less: int, status: int, said: str
) -> None:
    browser, viewer, _ = await opened(portal)
    entry = next(d for d in listed(portal) if d.kind.is_manifest)
    old = portal.country.manifests[entry.id]
    (series,) = old.study.series
    more = replace(series.instances[0], sop_instance_uid="2.25.4")
    after = replace(series, instances=(*series.instances[less:], more))
    portal.country.manifests["later"] = replace(old, study=replace(old.study, series=(after,)))
    listed(portal)[:] = [replace(d, id="later") if d == entry else d for d in listed(portal)]

    told = await browser.get(standing(viewer))
    later(portal)
    again = None if less else await browser.get(standing(told))

    assert (told.status, said in told.text) == (status, True)
    assert again is None or again.status == 204


async def test_many_tabs_ask_the_country_once(portal: FakePortal) -> None:
    browser, viewer, report = await opened(portal)
    before = len(portal.country.asked)

    await asyncio.gather(*(portal_tab(browser, page) for page in (viewer, report) * 5))
    at_once = portal.country.asked[before:]
    later(portal)
    await portal_tab(browser, viewer)

    assert at_once == ["one document"] * 2
    assert portal.country.asked[before:] == ["one document"] * 3


async def portal_tab(browser: Browser, page: Page) -> Page:
    return await browser.once("GET", f"{standing(page)}&idle=1")


@pytest.mark.parametrize("problem", [CountryUnreachable("down", country="AA"), UntrustedCountry("hm", country="AA")])
async def test_a_country_that_does_not_answer_takes_nothing_off_the_screen(
    portal: FakePortal, problem: CountryUnreachable | UntrustedCountry
) -> None:
    browser, viewer, _ = await opened(portal)
    portal.country.problem, portal.country.problem_stays = problem, True

    told = await browser.get(standing(viewer))

    assert told.status == 204


async def test_a_country_that_cannot_be_asked_for_one_document_is_asked_for_its_list(portal: FakePortal) -> None:
    browser, viewer, _ = await opened(portal)
    listed(portal)[:] = []
    later(portal)
    portal.country.problem, portal.country.problem_of = UnsupportedRequest("_id", path="_id"), "one document"

    told = await browser.get(standing(viewer))

    assert (told.status, WITHDRAWN in told.text) == (404, True)


async def test_an_image_of_another_person_stops_the_other_pages_of_the_study_too(portal: FakePortal) -> None:
    browser, viewer, _ = await opened(portal)
    visit, study = viewer.path.split("/")[2], viewer.path.split("/")[4]
    await portal.desk.spool.note(visit, "0123", *stopped(study))

    told = await browser.get(standing(viewer))

    assert told.headers["x-isthmus-reason"] == "wrong-patient"
    assert MARKOS.name.family not in told.text


async def test_a_page_that_asks_by_itself_keeps_no_visit_awake(portal: FakePortal) -> None:
    browser, viewer, _ = await opened(portal)

    statuses = []
    for _ in range(16):
        later(portal)
        statuses.append((await browser.get(f"{standing(viewer)}&idle=1")).status)

    assert statuses[:14] == [204] * 14
    assert statuses[-1] == 403
    assert "has been put away" in browser.page.text


async def test_whoever_works_on_the_page_keeps_the_visit_awake(portal: FakePortal) -> None:
    browser, viewer, _ = await opened(portal)

    statuses = []
    for _ in range(20):
        later(portal)
        statuses.append((await browser.get(standing(viewer))).status)

    assert statuses == [204] * 20


async def test_the_page_says_how_often_and_has_a_place_where_it_is_told(portal: FakePortal) -> None:
    _, viewer, report = await opened(portal)

    for page in (viewer, report):
        assert 'data-ask-again="60.0"' in page.text
        assert '<div class="told" role="status" aria-live="polite" data-told></div>' in page.text
