"""Stock OHIF, opened from the page of a study, in Chromium. It is 200 MB and none of ours: only where its folder is named.

ISTHMUS_TEST_OHIF=…/package/dist (docs/guides/ohif.md)
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.journeys.walking import look_for

from isthmus.demo.people import PEOPLE
from isthmus.testing.two_countries import TwoCountries, prepare, two_countries

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("journeys")]
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
OHIF = os.environ.get("ISTHMUS_TEST_OHIF", "")


@pytest.fixture
def ohif() -> str:
    """The address that OHIF gets."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def countries(at_rest: Path, tmp_path: Path, ohif: str) -> Iterator[TwoCountries]:
    if not OHIF or not CHROMIUM.exists():
        pytest.skip("set ISTHMUS_TEST_OHIF to the folder of OHIF's files, and install Chromium")
    at = {"PORT": ohif.rpartition(":")[2], "PUBLIC": ohif, "FOLDER": OHIF}
    prepare(tmp_path / "pair", at_rest)
    with two_countries(tmp_path / "pair", {f"ISTHMUS_OHIF__{name}": value for name, value in at.items()}) as running:
        yield running


@pytest.fixture
def page() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800}).new_page()
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def test_ohif_shows_the_images_of_a_visit(countries: TwoCountries, page: Any) -> None:
    ready, patient = countries.demo.ready(), PEOPLE["mirela"]
    hosts, frames = set[str](), list[int]()

    def seen(answer: Any) -> None:
        hosts.add(urlsplit(answer.url).netloc)
        if "/frames/" in answer.url:
            frames.append(answer.status)

    page.goto(ready["portal"])
    page.fill("[name=login]", ready["accounts"][0]["login"])
    page.fill("[name=password]", ready["accounts"][0]["password"])
    page.click("main button")
    look_for(page, patient)
    page.click("a.plate[href*=studies]")
    page.context.on("response", seen)
    with page.context.expect_page() as opening:
        page.click("main form button:has-text('OHIF')")
    viewer = opening.value
    viewer.wait_for_selector("canvas")
    viewer.wait_for_function("() => [...document.querySelectorAll('canvas')].some(c => c.width > 200)")
    viewer.wait_for_timeout(3000)

    assert frames
    assert set(frames) == {200}
    assert "token" not in viewer.url
    assert len({host for host in hosts if host}) <= 2  # the portal and OHIF's own address


@pytest.mark.usefixtures("countries")
def test_ohif_that_is_refused_says_how_to_go_on(ohif: str, page: Any) -> None:
    told = f"visit=over&token={'x' * 43}&expires_in=900"

    page.goto(f"{ohif}/viewer?StudyInstanceUIDs=2.25.1#{told}")

    page.wait_for_selector("#visit-note")
