"""A study and a report are taken back or replaced while a professional looks at them: told in Chromium, without a touch.

Source: portal design §4 (withdrawn since listed), §7; trust.md T52.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.country_b.portal.browsing import CHROMIUM, FLAGS
from tests.journeys.walking import look_for

from isthmus.demo.people import PEOPLE
from isthmus.demo.reports import reports
from isthmus.model.people import Patient
from isthmus.testing.studies import SyntheticStudy
from isthmus.testing.two_countries import TwoCountries, at_hand

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("told")]
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
ELENI, NOEMI, MARKOS = PEOPLE["eleni"], PEOPLE["noemi"], PEOPLE["markos"]
ORDERED = ("--by", "M. Registrar", "--reason", "filed under the wrong patient", "--yes", "--json")
TOLD_MS = 20_000
VERSION_1 = '"valueString": "1"'


@pytest.fixture(scope="module")
def pair(front_end: None, at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoCountries]:
    """A pair whose pages ask every five seconds."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    with at_hand(tmp_path_factory.mktemp("told") / "pair", at_rest) as countries:
        file = countries.demo.config("BB")
        file.write_text(file.read_text().replace("[portal]\n", "[portal]\nask_again_s = 5\n"))
        countries.demo.start()
        yield countries


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


def visit(chromium: Any, countries: TwoCountries, patient: Patient) -> tuple[Any, list[str]]:
    """From the front page to the patient's list; and what the page's scripts complained of."""
    page = chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(15_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    ready = countries.demo.ready()
    page.goto(ready["portal"])
    page.fill("[name=login]", ready["accounts"][0]["login"])
    page.fill("[name=password]", ready["accounts"][0]["password"])
    page.click("main button")
    look_for(page, patient)
    page.wait_for_selector("h1:has-text('Examinations')")
    return page, errors


def corrected(countries: TwoCountries, *words: object) -> Any:
    ended = countries.a.command("archive", *words, *ORDERED)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def number(patient: Patient) -> str:
    return f"{patient.identifier.system}|{patient.identifier.value}"


def test_a_study_that_is_moved_leaves_the_viewer_by_itself(chromium: Any, pair: TwoCountries, tmp_path: Path) -> None:
    wrong = SyntheticStudy(seed=4801, patient=ELENI, instances=4, rows=64, columns=64, description="Filed wrongly")
    pair.a.take_in(*wrong.write(tmp_path / "wrong"))
    page, errors = visit(chromium, pair, ELENI)
    page.goto(f"{page.url.rpartition('/')[0]}/studies/{wrong.study_instance_uid}/view")
    page.wait_for_selector("html[data-viewer=ready][data-loaded='4']")
    page.screenshot(path=tmp_path / "before.png")

    corrected(pair, "move", "--study", wrong.study_instance_uid, "--to", number(NOEMI))
    page.wait_for_selector("[role=alert] h1:has-text('Withdrawn since it was listed')", timeout=TOLD_MS)
    page.screenshot(path=tmp_path / "withdrawn.png")

    assert page.locator("canvas, .port, .thumb").count() == 0
    assert page.evaluate("document.activeElement.localName") == "h1"
    assert "does not say why" in page.inner_text("main")
    assert page.locator(".patient").count() == 1
    page.click("a.button:has-text('Back to the examinations')")
    page.wait_for_selector("h1:has-text('Examinations')")
    assert "Filed wrongly" not in page.inner_text("main")
    assert errors == []
    asked = [[e.exchange_id for e in node.exchanges() if e.transaction == "ITI-67"] for node in (pair.a, pair.b)]
    assert asked[0] == asked[1]


def test_a_report_that_is_replaced_says_so_beside_what_is_read_and_one_that_is_retracted_goes(
    chromium: Any, pair: TwoCountries, tmp_path: Path
) -> None:
    page, errors = visit(chromium, pair, MARKOS)
    page.click("a.plate[href*=reports]")
    page.wait_for_selector("h2:has-text('Impression')")
    first = page.url
    later = tmp_path / "later.json"
    issued = reports()["mr-markos"].bundle.read_text(encoding="utf-8")
    later.write_text(issued.replace(VERSION_1, VERSION_1.replace("1", "2")), encoding="utf-8")
    assert VERSION_1 in issued

    pair.a.take_in(later)
    page.wait_for_selector("[aria-live=polite] :text('There is a newer version')", timeout=TOLD_MS)
    page.screenshot(path=tmp_path / "replaced.png")
    impression = page.locator("h2:has-text('Impression')").count()
    page.click("text=Read the newer version")
    page.wait_for_selector("h2:has-text('Changed since the earlier version')")
    newer = page.url

    listed = json.loads(pair.a.command("archive", "list", "--json").stdout)["reports"]
    (last,) = [r["id"] for r in listed if r["patient"] == number(MARKOS) and r["status"] == "current"]
    corrected(pair, "retract", last)
    page.wait_for_selector("[role=alert] h1:has-text('Withdrawn since it was listed')", timeout=TOLD_MS)
    page.screenshot(path=tmp_path / "retracted.png")

    assert (impression, newer != first) == (1, True)
    assert page.locator("h2:has-text('Impression')").count() == 0
    assert errors == []


def test_a_study_that_grows_says_so_beside_the_images_and_one_that_loses_an_image_is_put_away(
    chromium: Any, pair: TwoCountries, tmp_path: Path
) -> None:
    study = SyntheticStudy(seed=4802, patient=ELENI, instances=4, rows=64, columns=64, description="Still arriving")
    *first, last = study.write(tmp_path / "study")
    pair.a.take_in(*first)
    page, errors = visit(chromium, pair, ELENI)
    page.goto(f"{page.url.rpartition('/')[0]}/studies/{study.study_instance_uid}/view")
    page.wait_for_selector("html[data-viewer=ready][data-loaded='3']")

    pair.a.take_in(last)
    page.wait_for_selector(".chart [aria-live=polite] :text('More has come to this study')", timeout=TOLD_MS)
    page.screenshot(path=tmp_path / "grown.png")
    drawn = page.locator("canvas.port__image").count()
    page.click("text=Open it as it is now")
    page.click("text=View images")
    page.wait_for_selector("html[data-viewer=ready][data-loaded='4']")
    corrected(pair, "delete", "--instance", study.sop_instance_uid(0))
    page.wait_for_selector("[role=alert] h1:has-text('This study has changed since you opened it')", timeout=TOLD_MS)
    page.screenshot(path=tmp_path / "changed.png")

    assert drawn == 1
    assert page.locator("canvas").count() == 0
    assert errors == []


def test_a_visit_that_is_closed_in_one_tab_is_put_away_in_the_others_and_so_is_all_at_sign_out(
    chromium: Any, pair: TwoCountries
) -> None:
    page, errors = visit(chromium, pair, MARKOS)
    other, third = page.context.new_page(), page.context.new_page()
    page.click("a.plate[href*=studies]")
    page.wait_for_url("**/studies/**")
    other.goto(page.url)

    other.click("text=Close visit")
    page.wait_for_selector("[role=alert] h1:has-text('This visit has ended')", timeout=TOLD_MS)
    left = page.locator(".patient, table").count()

    third.goto(pair.demo.ready()["portal"])
    page.click("a.button:has-text('Find a patient')")
    look_for(page, MARKOS)
    page.click("a.plate[href*=studies]")
    page.wait_for_url("**/studies/**")
    third.click("text=Sign out")
    page.wait_for_url("**/sign-in", timeout=TOLD_MS)

    assert left == 0
    assert errors == []
