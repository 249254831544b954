"""Emergency access at the portal: in the same place for everybody, declared with a reason and a fresh sign-in, ended by itself."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.country_b.portal.fakes import FakePortal, participant

from isthmus.demo.people import PEOPLE
from isthmus.model.context import Purpose
from isthmus.trust.trustlist import Policy

pytestmark = pytest.mark.anyio
ELENI = next(iter(PEOPLE.values()))
OTHER = list(PEOPLE.values())[1]
DECLARED = {"reason": "unconscious", "words": "GCS 7 after a fall, no relatives present.", "vital": "yes"}


async def test_it_is_offered_in_the_same_place_for_every_patient(portal: FakePortal) -> None:
    portal.country.with_study(ELENI)
    browser = portal.browser()
    await browser.sign_in()

    pages = []
    for person in (ELENI, OTHER):
        await browser.find(person)
        text = re.sub(r"/visits/[^/\"]+", "/visits/X", browser.page.text)
        pages.append(
            text[text.index('<div class="row row--between"><p class="row"><button') : text.index("</form>\n<footer")]
        )

    assert pages[0] == pages[1]
    assert "/emergency" in pages[0]


async def test_a_page_of_the_visit_leads_to_it_too(portal: FakePortal) -> None:
    listed = await portal.browser().visit(ELENI)

    assert "/emergency" in listed.text


@pytest.mark.threat("T44")
async def test_a_role_that_may_not_declare_one_does_not_see_it_and_is_refused(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in("nurse")
    await browser.find(ELENI)
    confirm = browser.page
    opened = await browser.get(confirm.path.replace("/confirm", "/emergency"))

    assert "/emergency" not in confirm.text
    assert opened.status == 403


async def test_a_country_that_does_not_offer_it_is_not_asked(portal: FakePortal) -> None:
    portal.directory.participants = [replace(participant(), policy=Policy(btg=False))]
    browser = portal.browser()
    await browser.sign_in()
    await browser.find(ELENI)

    assert "/emergency" not in browser.page.text


async def test_a_declared_emergency_opens_the_list_under_its_own_band(portal: FakePortal) -> None:
    portal.country.with_study(ELENI)
    browser = portal.browser()
    listed = await browser.visit(ELENI)
    asked = len(portal.country.asked)

    await browser.get(listed.path.replace("/examinations", "/emergency"))
    page = await browser.post(browser.page.path, DECLARED)

    assert page.path.endswith("/examinations")
    assert "EMERGENCY ACCESS" in page.text
    assert "patient--emergency" in page.text
    assert portal.country.asked[asked:] == ["documents"]  # the earlier list was put away
    assert [visit.purpose for visit in portal.country.visits][-1] is Purpose.BTG


@pytest.mark.threat("T44")
@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ({"reason": ""}, "Choose why."),
        ({"reason": "curiosity"}, "Choose why."),
        ({"words": "too short"}, "Write at least 20 characters"),
        ({"words": "x" + " " * 30}, "Write at least 20 characters"),
        ({"vital": ""}, "Confirm with the tick."),
    ],
)
async def test_what_is_missing_is_said_and_nothing_is_opened(
    portal: FakePortal, left_out: dict[str, str], said: str
) -> None:
    browser = portal.browser()
    await browser.sign_in()
    await browser.find(ELENI)
    await browser.get(browser.page.path.replace("/confirm", "/emergency"))

    page = await browser.post(browser.page.path, DECLARED | left_out)

    assert page.status == 400
    assert said in page.text
    assert portal.country.asked == ["patients"]


@pytest.mark.threat("T44")
async def test_an_old_sign_in_leads_to_a_fresh_one_first(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in()
    portal.clock.now += timedelta(minutes=6)
    await browser.find(ELENI)

    page = await browser.get(browser.page.path.replace("/confirm", "/emergency"))
    forced = await browser.post(page.path, DECLARED)

    assert re.search(r"/sign-in/again\?here=%2Fvisits%2F[^\"]+%2Femergency", page.text)
    assert "Open in emergency" not in page.text
    assert forced.status == 400
    assert portal.country.asked == ["patients"]


async def test_it_ends_by_itself_after_an_hour(portal: FakePortal) -> None:
    browser = portal.browser()
    listed = await browser.visit(ELENI)
    await browser.get(listed.path.replace("/examinations", "/emergency"))
    page = await browser.post(browser.page.path, DECLARED)
    for _ in range(7):
        portal.clock.now += timedelta(minutes=9)
        page = await browser.get(listed.path)

    assert page.status == 403
    assert "This visit has ended" in page.text


async def test_back_to_ordinary_access_puts_away_what_the_emergency_showed(portal: FakePortal) -> None:
    portal.country.with_study(ELENI)
    browser = portal.browser()
    listed = await browser.visit(ELENI)
    await browser.get(listed.path.replace("/examinations", "/emergency"))
    await browser.post(browser.page.path, DECLARED)
    asked = len(portal.country.asked)

    await browser.get(listed.path.replace("/examinations", "/confirm"))
    page = await browser.post(browser.page.path, {"relationship": "yes", "purpose": "TREAT"})

    assert "EMERGENCY ACCESS" not in page.text
    assert portal.country.asked[asked:] == ["documents"]
