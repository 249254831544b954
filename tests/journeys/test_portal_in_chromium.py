"""A professional at the demo's portal, in Chromium: the two-minute job, through both countries.

Source: portal design §5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.country_b.portal.browsing import CHROMIUM, FLAGS

from isthmus.demo.stories import STORIES
from isthmus.testing.two_countries import at_hand

pytestmark = [pytest.mark.browser, pytest.mark.slow]
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")


@dataclass
class Demo:
    """The running demo: what its ready file says."""

    ready: dict[str, Any]

    def patient(self, story: str, number: int = 0) -> dict[str, Any]:
        found: list[dict[str, Any]] = [p for p in self.ready["patients"] if p["story_id"] == story]
        return found[number]


@pytest.fixture(scope="module")
def demo(front_end: None, at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    with at_hand(tmp_path_factory.mktemp("demo") / "pair", at_rest) as countries:
        countries.demo.start()
        yield Demo(countries.demo.ready())


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


def _list(chromium: Any, demo: Demo, patient: dict[str, Any]) -> tuple[Any, list[str]]:
    """From the front page to the patient's list; and what the page's scripts complained of."""
    page = chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(15_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    account = demo.ready["accounts"][0]
    page.goto(demo.ready["portal"])
    page.fill("[name=login]", account["login"])
    page.fill("[name=password]", account["password"])
    page.click("main button")
    page.fill("[name=identifier]", patient["identifier"]["value"])
    page.fill("[name=family]", patient["family"])
    page.fill("[name=birth-date]", patient["birthDate"])
    page.keyboard.press("Enter")
    page.check("[name=relationship]")
    page.click("main button")
    page.wait_for_selector("h1:has-text('Examinations')")
    return page, errors


def test_from_the_front_page_to_report_key_image_and_back(chromium: Any, demo: Demo, tmp_path: Path) -> None:
    page, errors = _list(chromium, demo, demo.patient("study-with-report"))

    page.click("a.plate[href*=reports]")
    page.wait_for_selector("[data-reader=ready] canvas")
    page.screenshot(path=tmp_path / "report.png")
    link = page.locator("a.imglink").nth(1)
    name, sop = link.get_attribute("id"), link.get_attribute("data-sop")
    link.click()
    page.wait_for_selector(f"html[data-viewer=ready][data-sop='{sop}']")
    page.screenshot(path=tmp_path / "viewer.png")
    page.keyboard.press("u")
    page.wait_for_selector("h2:has-text('Impression')")

    assert page.url.endswith(f"#{name}")
    assert errors == []


def test_from_a_finding_to_its_picture_and_back(chromium: Any, demo: Demo, tmp_path: Path) -> None:
    page, errors = _list(chromium, demo, demo.patient("study-with-report", 1))

    page.click("a.plate[href*=reports]")
    page.wait_for_selector("[data-reader=ready] canvas")
    link = page.locator("a.imglink[id^=finding]").last
    name, sop, text = link.get_attribute("id"), link.get_attribute("data-sop"), link.locator("xpath=..").inner_text()
    link.click()
    page.wait_for_selector(f"html[data-viewer=ready][data-sop='{sop}']")
    marked = page.locator(".chart li:has(.imglink[aria-current])").inner_text()
    corner = page.inner_text(".over--bs")
    page.screenshot(path=tmp_path / "finding.png")
    page.keyboard.press("u")
    page.wait_for_selector("h2:has-text('Findings with an image')")
    page.wait_for_function(
        "name => document.activeElement.id === name", arg=name
    )  # the page's script comes after its text

    assert page.url.endswith(f"#{name}")
    assert text.split("\n")[0].strip()[:40] in marked
    assert text[:40] in corner
    assert errors == []


def test_from_sign_in_to_a_measured_length(chromium: Any, demo: Demo, tmp_path: Path) -> None:
    page, errors = _list(chromium, demo, demo.patient("two-studies"))

    page.click("a.plate[href*=studies]")
    page.wait_for_url("**/studies/**")
    page.keyboard.press("v")
    page.wait_for_selector("html[data-viewer=ready]")
    for key in ("l", "Enter", "Shift+ArrowRight", "Shift+ArrowRight", "Enter"):
        page.keyboard.press(key)
    spoken = page.inner_text(".port [aria-live]")
    page.screenshot(path=tmp_path / "measured.png")

    assert spoken.endswith(" mm")
    assert 2 < float(spoken.split()[0]) < 60
    assert errors == []


def draw_every_study_of(patients: Iterable[dict[str, Any]], chromium: Any, demo: Demo) -> int:
    """Open every study in the viewer; gives how many there were."""
    drawn = 0
    for patient in patients:
        page, errors = _list(chromium, demo, patient)
        for number in range(page.locator("a.plate[href*=studies]").count()):
            page.locator("a.plate[href*=studies]").nth(number).click()
            page.click("text=View images")
            page.wait_for_selector("html[data-viewer=ready]")
            assert patient["family"].upper() in page.inner_text(".over--ts")
            page.go_back()
            page.go_back()
            drawn += 1
        page.context.close()
        assert errors == []
    return drawn


def test_a_study_of_every_modality_draws_an_image(chromium: Any, demo: Demo) -> None:
    """All studies of the demonstration: `tests/proof`."""
    shown = [p for p in demo.ready["patients"] if p["family"] in ("Thalassinou", "Asimenia", "Quintaventa")]

    assert {study.partition("-")[0] for s in STORIES for study in s.studies} == {"ct", "pt", "mr", "dx", "us", "mg"}
    assert draw_every_study_of(shown, chromium, demo) == 6


def test_restricted_opted_out_and_empty_handed_see_one_page(chromium: Any, demo: Demo) -> None:
    pages = []
    for story in ("only-study-restricted", "opted-out", "nothing"):
        page, _ = _list(chromium, demo, demo.patient(story))
        pages.append(re.sub(r"/visits/[\w-]+|[0-9a-f]{128}", "", page.inner_html("main")))
        page.context.close()

    assert "No imaging information is available here for this person." in pages[0]
    assert pages[0] == pages[1] == pages[2]
