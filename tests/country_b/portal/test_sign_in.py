"""Signing in, staying in, going out; and what a page carries whoever asks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.country_b.portal.fakes import LOGIN, PASSWORD, PUBLIC, FakePortal

from isthmus.demo.people import PEOPLE

pytestmark = pytest.mark.anyio
ELENI = PEOPLE["eleni"]


async def test_a_professional_signs_in_and_is_named(portal: FakePortal) -> None:
    browser = portal.browser()

    page = await browser.sign_in()

    assert (page.status, page.path) == (200, "/find")
    assert "Dr. Runa Solvang" in page.text
    assert [n.details["what"] for n in portal.notes] == ["signed-in"]


async def test_a_wrong_password_is_told_in_words_and_noted(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.get("/sign-in")

    page = await browser.post("/sign-in", {"login": LOGIN, "password": "wrong"})

    assert page.status == 403
    assert "Name or password is not right. Try again." in page.text
    assert "wrong" not in page.text.replace("what was wrong", "")
    assert browser.cookies == {}
    assert [n.details for n in portal.notes] == [{"what": "refused"}]


@pytest.mark.threat("T71")
async def test_the_sessions_cookie_names_country_and_port_and_is_shut(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.get("/sign-in")
    body = f"login={LOGIN}&password={PASSWORD}".encode()
    headers = {"origin": PUBLIC, "content_type": "application/x-www-form-urlencoded"}

    page = await browser.once("POST", "/sign-in", body, headers)

    cookie = page.headers["set-cookie"]
    assert cookie.startswith("isthmus-BB-8700=")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/" in cookie


@pytest.mark.threat("T71")
async def test_pages_need_a_session(portal: FakePortal) -> None:
    browser = portal.browser()

    for path in ("/", "/find", "/visits/x/examinations", "/visits/x/reports/y", "/visits/x/studies/1.2/view"):
        page = await browser.get(path)
        assert page.path == "/sign-in"


@pytest.mark.threat("T94")
async def test_fifteen_idle_minutes_end_the_session_and_say_so(portal: FakePortal) -> None:
    browser = portal.browser()
    page = await browser.visit(ELENI)
    portal.clock.now += timedelta(minutes=16)

    page = await browser.get(page.path)

    assert page.status == 403
    assert "You are signed out" in page.text
    assert ELENI.name.family not in page.text


@pytest.mark.threat("T71")
async def test_sign_out_ends_session_visit_and_what_was_kept(portal: FakePortal) -> None:
    browser = portal.browser()
    listed = await browser.visit(ELENI)
    cookies = dict(browser.cookies)

    page = await browser.post("/sign-out")

    assert page.path == "/sign-in"
    assert browser.cookies == {}
    browser.cookies = cookies
    assert (await browser.get(listed.path)).status == 403


@pytest.mark.threat("T84")
@pytest.mark.threat("T94")
async def test_sign_out_clears_what_the_browser_holds(portal: FakePortal) -> None:
    browser = portal.browser()
    page = await browser.sign_in()
    token = page.text.partition('name="page-token" value="')[2].partition('"')[0]
    headers = {"origin": PUBLIC, "content_type": "application/x-www-form-urlencoded"}

    answer = await browser.once("POST", "/sign-out", f"page-token={token}".encode(), headers)

    assert answer.headers["clear-site-data"] == '"cache", "storage"'


@pytest.mark.threat("T94")
async def test_a_visit_belongs_to_its_professional(portal: FakePortal) -> None:
    listed = await portal.browser().visit(ELENI)
    other = portal.browser()
    await other.sign_in("nurse")

    page = await other.get(listed.path)

    assert page.status == 403
    assert "This visit has ended" in page.text


@pytest.mark.parametrize("path", ["/", "/sign-in", "/find", "/static/portal.css", "/nowhere"])
async def test_another_host_is_refused(portal: FakePortal, path: str) -> None:
    page = await portal.browser().once("GET", path, headers={"host": "attacker.example"})

    assert page.status == 421
    assert "content-security-policy" in page.headers


@pytest.mark.threat("T71")
async def test_a_post_without_the_pages_token_changes_nothing(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.visit(ELENI)

    page = await browser.post("/sign-out", {"page-token": "00" * 64})

    assert page.status == 403
    assert (await browser.get("/find")).status == 200


@pytest.mark.threat("T71")
async def test_a_post_from_elsewhere_is_refused_even_with_the_token(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in()

    page = await browser.post("/sign-out", origin="http://attacker.example")

    assert page.status == 403


@pytest.mark.threat("T71")
async def test_a_page_token_is_another_on_each_page(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in()

    first, second = (await browser.get("/find")).text, (await browser.get("/find")).text

    assert first != second


@pytest.mark.threat("T71")
@pytest.mark.threat("T101")
async def test_every_page_carries_policy_and_is_not_kept(portal: FakePortal) -> None:
    browser = portal.browser()
    pages = [await browser.get("/sign-in"), await browser.sign_in(), await browser.find(ELENI), await browser.confirm()]
    pages += [
        await browser.get("/about"),
        await browser.get("/nowhere"),
        await browser.get("/visits/none/examinations"),
    ]

    for page in pages:
        assert "script-src 'self' 'wasm-unsafe-eval'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-request-id"]


async def test_language_and_theme_are_switched_by_post_and_kept(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in()

    page = await browser.post("/language", {"language": "el", "here": "/find"})
    page = await browser.post("/theme", {"theme": "dark", "here": "/find"})

    assert '<html lang="el" data-theme="dark">' in page.text
    assert "Αναζήτηση ασθενούς" in page.text


async def test_the_browsers_language_is_the_first(portal: FakePortal) -> None:
    page = await portal.browser("el-GR,el;q=0.9").get("/sign-in")

    assert '<html lang="el"' in page.text
    assert "Σύνδεση" in page.text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", "/about", "GET, HEAD"), ("GET", "/sign-out", "POST"), ("PUT", "/sign-in", "GET, HEAD, POST")],
)
async def test_a_page_says_how_it_may_be_asked(portal: FakePortal, method: str, path: str, allowed: str) -> None:
    form = {"origin": PUBLIC, "content_type": "application/x-www-form-urlencoded"}

    page = await portal.browser().once(method, path, b"a=b", form)

    assert (page.status, page.headers["allow"]) == (405, allowed)


@pytest.mark.threat("T84")
async def test_a_service_worker_is_never_served(portal: FakePortal) -> None:
    page = await portal.browser().once("GET", "/static/portal.css", headers={"service-worker": "script"})

    assert page.status == 404


async def test_the_page_about_names_whose_images_these_are(portal: FakePortal) -> None:
    page = await portal.browser().get("/about")

    assert "Images by somebody, CC0." in page.text
    assert "re-labelled" in page.text
    assert "Demo with throw-away keys" in page.text
    assert "Not for primary diagnosis" in page.text
