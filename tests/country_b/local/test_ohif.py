"""What OHIF is served with: its configuration is ours, and says when the token of its page runs out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from tests.country_b.local.conftest import Hospital
from tests.country_b.portal.fakes import PUBLIC

from isthmus.country_b.local.access import LIFE_S
from isthmus.country_b.local.ohif import CONFIG
from isthmus.demo.people import PEOPLE

CHROMIUM = Path("/usr/bin/chromium")
NOTE = "#visit-note"


@pytest.fixture
def page() -> Iterator[Any]:
    """A page that does with the configuration what OHIF does: loads it in its head."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        html = "<!doctype html><head><script src=/app-config.js></script></head><body><p>images</p></body>"
        page.route("**/viewer*", lambda route: route.fulfill(body=html, content_type="text/html"))
        page.route("**/app-config.js", lambda route: route.fulfill(body=CONFIG, content_type="text/javascript"))
        page.clock.install()
        yield page
        browser.close()


@pytest.mark.browser
@pytest.mark.slow
class TestThePage:
    def test_it_says_a_minute_before_that_its_token_runs_out_and_then_that_it_did(self, page: Any) -> None:
        page.goto(f"http://ohif.test/viewer#visit=v&token=t&expires_in={LIFE_S}")

        page.clock.run_for("13:59")
        quiet = page.locator(NOTE).count()
        page.clock.run_for("00:02")
        before = page.locator(NOTE).text_content()
        page.clock.run_for("01:00")
        after = page.locator(NOTE).text_content()

        assert quiet == 0
        assert re.search(r"for 59 seconds more.*press OHIF again", before)
        assert "may load nothing more" in after
        assert "token" not in page.url

    def test_it_says_so_at_once_when_a_request_is_refused(self, page: Any) -> None:
        page.goto(f"http://ohif.test/viewer#visit=v&token=t&expires_in={LIFE_S}")

        page.evaluate("window.config.httpErrorHandler({ status: 404 })")
        still = page.locator(NOTE).count()
        page.evaluate("window.config.httpErrorHandler({ status: 401 })")

        assert still == 0
        assert "the visit has ended" in page.locator(NOTE).text_content()
        assert page.locator(NOTE).get_attribute("role") == "alert"


@pytest.mark.anyio
async def test_ohif_is_told_for_how_long_its_token_is_good(hospital: Hospital) -> None:
    study = hospital.portal.country.with_study(PEOPLE["mirela"]).study_instance_uid
    browser, visit = await hospital.visit()

    form = {"origin": PUBLIC, "content_type": "application/x-www-form-urlencoded"}
    page = await browser.once("POST", f"{visit}/ohif", f"study={study}".encode(), form)

    address, _, told = page.headers["refresh"].partition("#")
    assert address.endswith(f"/viewer?StudyInstanceUIDs={study}")
    assert parse_qs(told)["expires_in"] == [str(LIFE_S)]
