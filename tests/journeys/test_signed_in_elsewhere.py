"""A radiologist signs in at a real identity service (OpenID Connect) and reads the list of a patient of Country A."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.cookiejar import Cookie
from pathlib import Path

import pytest
import requests
from tests.engines.openid.browsing import Person
from tests.engines.openid.real import PASSWORD, Running, openid
from tests.journeys.walking import look_for

from isthmus.demo.people import PEOPLE
from isthmus.testing.two_countries import TwoCountries, at_hand

pytestmark = pytest.mark.xdist_group("openid")
ELENI = PEOPLE["eleni"]
CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def both(at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TwoCountries, Running, str]]:
    """Two countries, and an identity service that Country B's settings name."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with at_hand(folder / "pair", at_rest) as countries:
        portal = f"http://127.0.0.1:{countries.demo.ports.portal}"
        with openid(folder / "openid", f"{portal}/sign-in/callback") as service:
            settings = countries.b.settings.file
            settings.write_text(settings.read_text() + service.toml)
            countries.demo.start()
            yield countries, service, portal


class Browser:
    """Cookies as a browser keeps them: what is Strict does not come along from another site."""

    def __init__(self, portal: str) -> None:
        self.portal, self.session = portal, requests.Session()
        self.session.trust_env = False
        self.page = requests.Response()

    def get(self, address: str, *, from_elsewhere: bool = False) -> requests.Response:
        jar = self.session.cookies
        strict = [c for c in iter(jar) if isinstance(c, Cookie) and c.get_nonstandard_attr("SameSite") != "Lax"]
        for cookie in strict if from_elsewhere else ():
            jar.clear(cookie.domain, cookie.path, cookie.name)
        self.page = self.session.get(address if "://" in address else self.portal + address, timeout=20)
        held = {cookie.name for cookie in iter(jar) if isinstance(cookie, Cookie)}
        for cookie in strict if from_elsewhere else ():
            if cookie.name not in held:
                jar.set_cookie(cookie)
        return self.page

    def post(self, path: str, **fields: str) -> requests.Response:
        token = re.search(r'name="page-token" value="([0-9a-f]+)"', self.page.text)
        body = {"page-token": token[1] if token else ""} | fields
        self.page = self.session.post(self.portal + path, data=body, headers={"Origin": self.portal}, timeout=20)
        return self.page


def moved_to(page: requests.Response) -> str:
    """Where a page moves on to."""
    assert page.status_code == 200, page.text
    return page.headers["refresh"].partition("url=")[2]


def test_a_visit_of_a_professional_who_signed_in_at_a_real_identity_service(
    both: tuple[TwoCountries, Running, str],
) -> None:
    countries, service, portal = both
    browser, person, since = Browser(portal), Person(service.authority), countries.since()
    browser.get("/sign-in?with=practice")

    out = moved_to(browser.post("/sign-in", **{"with": "practice"}))
    back = person.sign_in(out, "runa", f"{portal}/sign-in/callback")
    arrived = browser.get(back, from_elsewhere=True)
    browser.get(moved_to(arrived))
    signed_in = browser.page.text
    who = {"identifier": ELENI.identifier.value, "family": ELENI.name.family, "birth-date": ELENI.birth_date}
    browser.post("/find", country="AA", mask="AA", **who)
    listed = browser.post(browser.page.url.removeprefix(portal), relationship="yes", purpose="TREAT")

    assert "Dr. Runa Solvang" in signed_in
    assert listed.url.endswith("/examinations")
    assert "CT" in listed.text
    pairs = since.pairs()
    assert [pair.b.outcome for pair in pairs if pair.b is not None and pair.b.transaction == "ITI-67"] == ["complete"]
    assert {e.get("person") for e in countries.a.events() if e.get("transaction") == "ITI-67"} >= {
        "practice:runa Dr. Runa Solvang"
    }
    log = countries.b.log.read_text(errors="replace")
    assert "code=" not in log
    assert "id_token" not in log


@pytest.mark.threat("T28")
def test_once_more_in_the_middle_of_a_visit_keeps_it(both: tuple[TwoCountries, Running, str]) -> None:
    _, service, portal = both
    browser, person = Browser(portal), Person(service.authority)
    browser.get("/sign-in?with=practice")
    out = moved_to(browser.post("/sign-in", **{"with": "practice"}))
    browser.get(person.sign_in(out, "tomas", f"{portal}/sign-in/callback"), from_elsewhere=True)
    browser.get("/sign-in/again?here=/about&level=high")

    out = moved_to(browser.post("/sign-in/again", here="/about", level="high", **{"with": "practice"}))
    arrived = browser.get(person.sign_in(out, "tomas", f"{portal}/sign-in/callback"), from_elsewhere=True)

    assert moved_to(arrived) == "/about"
    assert "Dr. Tomas Brevik" in browser.get("/about").text
    assert person.forms == 2


@pytest.mark.browser
@pytest.mark.slow
def test_a_browser_keeps_its_cookies_apart_and_arrives_signed_in(
    front_end: None, both: tuple[TwoCountries, Running, str]
) -> None:
    """Chromium withholds a Strict cookie from what came from another site, and sends it with what our page moves on to."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    _, _, portal = both
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = chromium.new_context(locale="en-GB", ignore_https_errors=True).new_page()
        page.set_default_timeout(15_000)
        page.goto(f"{portal}/sign-in?with=practice")

        page.click("main button")
        page.fill("[name=login]", "runa")
        page.fill("[name=password]", PASSWORD)
        page.click("main button")
        page.wait_for_url(f"{portal}/find")
        look_for(page, ELENI)
        page.wait_for_selector("h1:has-text('Examinations')")

        assert "Dr. Runa Solvang" in page.inner_text("header.bar")
        assert [cookie["name"] for cookie in page.context.cookies(portal) if "away" in cookie["name"]] == []
        chromium.close()
