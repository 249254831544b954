"""Signing in at an identity service: out and back, in this browser alone; once more for what needs it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from tests.country_b.portal.fakes import DOCTOR, LOGIN, PASSWORD, Browser, FakePortal, Page

from isthmus.demo.people import PEOPLE
from isthmus.errors import InsufficientRights, WeakAuthentication
from isthmus.model.people import HealthProfessional
from isthmus.signin.provider import Attempt, Elsewhere, Wish

pytestmark = pytest.mark.anyio
ELENI = PEOPLE["eleni"]
AWAY = "isthmus-BB-8700-away"


@dataclass
class FakeService:
    """An identity service in values: whoever says `code=SUB` is that person."""

    portal: FakePortal
    name: str = "national"
    label: str = "National identity service"
    wishes: list[Wish] = field(default_factory=list)

    @property
    def second(self) -> int:
        return int(self.portal.clock().timestamp())

    async def begin(self, wish: Wish) -> Elsewhere | None:
        self.wishes.append(wish)
        return Elsewhere("https://id.example/auth?x=1", Attempt(f"state-{len(self.wishes)}", "n", "v", self.second))

    async def finish(self, said: Mapping[str, str], wish: Wish, attempt: Attempt | None) -> HealthProfessional:
        if attempt is None or said.get("state") != attempt.state:
            raise InsufficientRights("another state", reason="identity")
        sub = f"national:{said['code']}"
        if wish.again not in ("", sub):
            raise InsufficientRights("another person", reason="identity")
        if wish.least == "high" and "card" not in said:
            raise WeakAuthentication("too weak", acr_values="x")
        return replace(
            DOCTOR,
            sub=sub,
            acr=f"http://eidas.europa.eu/LoA/{'high' if 'card' in said else 'substantial'}",
            auth_time=self.second,
        )

    async def close(self) -> None:
        return None


@pytest.fixture
def service(portal: FakePortal) -> FakeService:
    made = FakeService(portal)
    portal.desk.providers = {"national": made, **portal.desk.providers}
    return made


async def out(browser: Browser, path: str = "/sign-in", **fields: str) -> Page:
    await browser.get(path)
    return await browser.post(path.partition("?")[0], fields)


async def back(browser: Browser, **said: str) -> Page:
    """The way back is from another site: a Strict cookie does not come along, a Lax one does."""
    strict = {name: value for name, value in browser.cookies.items() if name != AWAY}
    for name in strict:
        del browser.cookies[name]
    page = await browser.get(f"/sign-in/callback?{urlencode(said)}")
    browser.cookies = {**strict, **browser.cookies}
    return page


async def test_the_browser_goes_out_and_comes_back_with_a_session(portal: FakePortal, service: FakeService) -> None:
    browser = portal.browser()

    leaving = await out(browser)
    arrived = await back(browser, code="p1", state="state-1")
    cookies = dict(browser.cookies)
    page = await browser.get("/find")

    assert (leaving.status, leaving.headers["refresh"]) == (200, "0; url=https://id.example/auth?x=1")
    assert (arrived.status, arrived.headers["refresh"]) == (200, "0; url=/find")
    assert set(cookies) == {"isthmus-BB-8700"}, "what was kept for the way is gone"
    assert (page.status, page.path) == (200, "/find")
    assert [note.details for note in portal.notes] == [
        {"what": "signed-in", "person": "national:p1", "provider": "national"}
    ]


async def test_what_the_browser_keeps_is_lax_sealed_and_short(portal: FakePortal, service: FakeService) -> None:
    browser = portal.browser()
    await browser.get("/sign-in")
    headers = {"origin": "http://127.0.0.1:8700", "content_type": "application/x-www-form-urlencoded"}

    page = await browser.once("POST", "/sign-in", b"with=national", headers)

    cookie = page.headers["set-cookie"]
    assert cookie.startswith(f"{AWAY}=")
    assert all(rule in cookie for rule in ("SameSite=Lax", "HttpOnly", "Max-Age=600", "Path=/"))
    assert "state-1" not in cookie


@pytest.mark.threat("T93")
@pytest.mark.parametrize("whose", ["nobody", "another"])
async def test_an_answer_that_this_browser_did_not_begin_signs_nobody_in(
    whose: str, portal: FakePortal, service: FakeService
) -> None:
    """Login CSRF: the attacker's own code and state, in the victim's browser."""
    attacker, victim = portal.browser(), portal.browser()
    await out(attacker)
    if whose == "another":
        await out(victim)

    page = await back(victim, code="attacker", state="state-1")

    assert page.status == 403
    assert "Your identity service did not confirm who you are" in page.text
    assert set(victim.cookies) <= {AWAY}
    assert (await victim.get("/find")).path == "/sign-in"


async def test_after_ten_minutes_what_was_kept_is_nothing(portal: FakePortal, service: FakeService) -> None:
    browser = portal.browser()
    await out(browser)
    portal.clock.now += timedelta(minutes=10)

    page = await back(browser, code="p1", state="state-1")

    assert page.status == 403


async def test_a_kept_cookie_that_was_changed_or_is_of_another_name_is_nothing(
    portal: FakePortal, service: FakeService
) -> None:
    browser = portal.browser()
    await out(browser)
    for changed in (browser.cookies[AWAY][:-4] + "AAAA", "x", "é", "A" * 4000):
        browser.cookies[AWAY] = changed

        page = await back(browser, code="p1", state="state-1")

        assert page.status == 403


async def test_a_member_given_twice_is_no_answer(portal: FakePortal, service: FakeService) -> None:
    browser = portal.browser()
    await out(browser)

    page = await browser.get("/sign-in/callback?code=p1&state=state-1&code=p2")

    assert page.status == 403


async def test_every_step_has_one_button_and_the_other_providers_are_links(
    portal: FakePortal, service: FakeService
) -> None:
    browser = portal.browser()

    first, other = await browser.get("/sign-in"), await browser.get("/sign-in?with=accounts")
    page = await browser.post("/sign-in", {"with": "accounts", "login": LOGIN, "password": PASSWORD})

    assert "Sign in with National identity service" in first.text
    assert 'name="password"' not in first.text
    assert 'href="/sign-in?with=accounts"' in first.text
    assert 'name="password"' in other.text
    assert [main(each).count("<button") for each in (first, other)] == [1, 1]
    assert (page.status, page.path) == (200, "/find")


async def signed_in(portal: FakePortal, browser: Browser) -> HealthProfessional:
    session = await portal.desk.sessions.find(browser.cookies["isthmus-BB-8700"])
    assert session is not None
    return session.professional


def main(page: Page) -> str:
    found = re.search(r"<main.*?</main>", page.text, re.S)
    assert found is not None
    return found[0]


@pytest.mark.threat("T28")
async def test_once_more_keeps_session_and_visit_and_makes_the_sign_in_fresh(
    portal: FakePortal, service: FakeService
) -> None:
    browser = portal.browser()
    await out(browser)
    await back(browser, code="p1", state="state-1")
    await browser.find(ELENI)
    listed = await browser.confirm()
    portal.clock.now += timedelta(minutes=10)

    await out(browser, f"/sign-in/again?level=high&here={listed.path}", here=listed.path, level="high")
    arrived = await back(browser, code="p1", state="state-2", card="yes")
    page = await browser.get(listed.path)

    assert service.wishes[-1] == Wish("national:p1", "high")
    assert arrived.headers["refresh"] == f"0; url={listed.path}"
    assert (page.status, page.path) == (200, listed.path)
    who = await signed_in(portal, browser)
    assert (who.auth_time, who.acr[-4:]) == (service.second, "high")
    visit = await portal.desk.visits.find(listed.path.split("/")[2], who)
    assert visit.professional == who, "what is told abroad is the fresh sign-in"


@pytest.mark.threat("T28")
async def test_another_person_does_not_take_over_the_session(portal: FakePortal, service: FakeService) -> None:
    browser = portal.browser()
    await out(browser)
    await back(browser, code="p1", state="state-1")
    await out(browser, "/sign-in/again")

    page = await back(browser, code="p2", state="state-2")
    who = await signed_in(portal, browser)

    assert page.status == 403
    assert who.sub == "national:p1"


async def test_with_our_own_form_too_one_shows_once_more_that_it_is_oneself(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in()
    portal.clock.now += timedelta(minutes=10)
    asked = await browser.get("/sign-in/again?here=/about")

    other = await browser.post("/sign-in/again", {"login": "nurse", "password": PASSWORD, "here": "/about"})
    page = await browser.post("/sign-in/again", {"login": LOGIN, "password": PASSWORD, "here": "/about"})

    assert "Show once more that it is you" in asked.text
    assert (other.status, page.path) == (403, "/about")
    assert [note.details["what"] for note in portal.notes] == ["signed-in", "refused", "signed-in-again"]


async def test_once_more_is_for_who_is_signed_in_and_leads_to_no_other_site(portal: FakePortal) -> None:
    stranger, browser = portal.browser(), portal.browser()
    await browser.sign_in()
    await browser.get("/sign-in/again?here=//evil.example")

    page = await browser.post("/sign-in/again", {"login": LOGIN, "password": PASSWORD, "here": "//evil.example"})

    assert (await stranger.get("/sign-in/again")).path == "/sign-in"
    assert page.path == "/find"
