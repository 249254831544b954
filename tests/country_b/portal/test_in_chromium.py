"""The portal in Chromium, with a Country AA made of values: what only a browser can show.

Pages that need the front end's build say so. With axe-core in `web/node_modules` every page is looked over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.country_b.portal.browsing import Served, Walker, a_browser
from tests.country_b.portal.fakes import participant

from isthmus.demo.people import PEOPLE
from isthmus.model.queries import REGIONS

pytestmark = [pytest.mark.browser, pytest.mark.slow]
AXE = Path(__file__).parents[3] / "web/node_modules/axe-core/axe.min.js"
MARKOS, NOEMI = PEOPLE["markos"], PEOPLE["noemi"]


@pytest.fixture(scope="module")
def chromium(front_end: None) -> Iterator[Any]:
    with a_browser() as browser:
        yield browser


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    running = Served(tmp_path)
    report = running.portal.country.with_report("mr-markos")
    running.portal.country.with_study(MARKOS, uid=report.study_instance_uids[0])
    older = running.portal.country.with_study(
        MARKOS, started="2019-04-02T09:00:00+03:00", description="CT of the abdomen", regions=(REGIONS["63337009"],)
    )
    running.portal.country.with_selection(older, (older.sop_instance_uid(2), ""), ("2.25.404", ""), why="Largest")
    running.portal.country.with_report("ct-eleni")
    yield running
    running.stop()


def test_filters_swap_the_list_and_say_so_in_the_address(chromium: Any, served: Served) -> None:
    walker = Walker(chromium, served)
    page = walker.to_list()

    page.locator("label.chip:has(#p-1)").click()
    page.wait_for_selector("h2:has-text('1 of 2 examinations')")
    address = page.url
    page.fill("#q", "abdomen")
    page.wait_for_selector("text=No examination matches.")

    assert "p=1" in address
    assert walker.errors == []


def test_keys_lead_from_list_to_report_to_image_and_back(chromium: Any, served: Served) -> None:
    walker = Walker(chromium, served)
    page = walker.to_list("eleni")
    page.keyboard.press("j")

    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('CT of the head')")
    page.wait_for_load_state()
    page.keyboard.press("u")
    page.wait_for_selector("h2:has-text('1 examination')")

    assert walker.errors == []


def test_the_original_is_drawn_on_a_page_of_ours(chromium: Any, served: Served) -> None:
    walker = Walker(chromium, served)
    page = walker.to_list()

    page.click("a.plate[href*=reports]")
    page.wait_for_selector("[data-reader=ready] canvas")

    assert "Page 1 of" in page.inner_text("[data-page-count]")
    assert "Πετραυγός" in page.inner_text(".textLayer")
    assert walker.errors == []


def test_the_viewer_draws_what_was_fetched(chromium: Any, served: Served) -> None:
    walker = Walker(chromium, served)
    page = walker.to_list()

    page.locator("a.plate[href*=studies]").nth(1).click()
    page.click("text=View images")
    page.wait_for_selector("html[data-viewer=ready][data-position='3']")  # at its key image
    page.keyboard.press("ArrowUp")
    page.wait_for_selector("html[data-position='2'][data-loaded='3']")
    page.keyboard.press("u")
    page.wait_for_selector("text=List and description agree")

    assert walker.errors == []


def test_a_key_image_leads_into_the_viewer_and_back_to_its_card(chromium: Any, served: Served) -> None:
    walker = Walker(chromium, served)
    page = walker.to_list()
    page.locator("a.plate[href*=studies]").nth(1).click()
    page.wait_for_function("() => document.querySelector('a.key img')?.naturalWidth > 0")

    page.click("a.key")
    page.wait_for_selector("html[data-viewer=ready][data-position='3']")
    page.wait_for_selector(".thumb img:not([hidden])")
    noted = page.locator("[data-explained]").is_visible()
    page.keyboard.press("u")
    page.wait_for_selector("a.key:focus")

    assert noted
    assert page.locator("a.key").first.evaluate("card => card.style.background") == "var(--mark)"
    assert page.locator("[data-explained]").is_visible()
    assert walker.errors == []


def test_an_image_of_another_person_clears_the_screen(chromium: Any, served: Served) -> None:
    walker = Walker(chromium, served)
    page = walker.to_list()
    page.locator("a.plate[href*=studies]").nth(1).click()
    page.wait_for_selector("text=List and description")
    country = served.portal.country
    uid = page.url.rpartition("/")[2]
    address = page.url

    page.click("text=View images")
    page.wait_for_selector("html[data-viewer=ready]")
    country.studies[uid] = replace(country.studies[uid], patient=NOEMI)
    asyncio.run_coroutine_threadsafe(_forget(served, address.split("/")[4]), served._loop).result(10)
    page.reload()
    page.wait_for_selector("html[data-viewer=stopped]")
    cleared = page.inner_text("body")
    page.click("text=What to do")
    page.wait_for_selector("text=Do not use it for this patient until it is cleared.")

    assert "Stopped: this may be another person" in cleared
    assert "PETRAVGOS" not in cleared.upper()
    assert page.locator("canvas").count() == 0


async def _forget(served: Served, visit: str) -> None:
    await served.portal.desk.spool.forget(visit)


def test_a_study_that_is_withdrawn_while_it_is_looked_at_clears_the_viewer(chromium: Any, served: Served) -> None:
    walker = Walker(chromium, served)
    page = walker.to_list()
    page.goto(f"{_href(page, 'studies', 1)}/view")
    page.wait_for_selector("html[data-viewer=ready]")

    documents = served.portal.country.documents
    documents[MARKOS.identifier.value] = [d for d in documents[MARKOS.identifier.value] if not d.kind.is_manifest]
    served.portal.clock.now += timedelta(seconds=11)
    page.evaluate("() => { const now = Date.now; Date.now = () => now.call(Date) + 60000; }")
    page.keyboard.press("ArrowDown")

    page.wait_for_selector("h1:has-text('Withdrawn since it was listed')")
    assert page.query_selector("canvas") is None


def test_words_typed_into_the_filter_become_chips(chromium: Any, served: Served) -> None:
    walker = Walker(chromium, served)
    page = walker.to_list()

    page.keyboard.press("/")
    page.keyboard.type("ct bauch 10 ", delay=20)
    page.wait_for_selector("#m-ct:checked")
    page.wait_for_function("() => document.querySelector('#q').value === '10 '")
    page.keyboard.type("jahre", delay=20)
    page.keyboard.press("Enter")
    page.wait_for_selector("#p-10:checked")

    assert page.url.endswith("?p=10&m=ct&r=abdomen")
    assert page.input_value("#q") == ""
    assert "1 of 2 examinations" in page.inner_text("#list h2")
    assert walker.errors == []


def test_a_chosen_country_brings_its_fields_and_the_focus(chromium: Any, served: Served) -> None:
    served.portal.directory.participants.append(participant("EL"))
    walker = Walker(chromium, served)
    page = walker.sign_in()

    page.locator("label.country:has-text('Greece')").click()
    page.wait_for_selector("text=Greece asks for these")
    page.wait_for_function("() => document.activeElement?.id === 'identifier'")

    assert page.locator("main button").count() == 1
    assert walker.errors == []


def test_the_way_to_the_list_works_without_script(chromium: Any, served: Served) -> None:
    served.portal.directory.participants.append(participant("EL"))
    walker = Walker(chromium, served, java_script_enabled=False)
    page = walker.sign_in()
    page.locator("label.country:has-text('Country AA')").click()

    page.click("text=Show the fields")
    page.fill("[name=identifier]", NOEMI.identifier.value)
    page.fill("[name=family]", NOEMI.name.family)
    page.fill("[name=birth-date]", NOEMI.birth_date)
    page.click("text=Find this person")
    page.check("[name=relationship]")
    page.click("text=Yes, show the examinations")

    assert "No imaging information is available here for this person." in page.inner_text("main")


def test_a_page_from_before_sign_out_is_not_shown_again(chromium: Any, served: Served) -> None:
    walker = Walker(chromium, served)
    page = walker.to_list()
    page.click("text=Sign out")
    page.wait_for_selector("[name=password]")

    page.go_back()
    page.wait_for_load_state("networkidle")

    assert "Petravgos" not in page.inner_text("body")


@pytest.mark.parametrize("width", [320, 1024, 1280, 1920])
def test_no_page_scrolls_sideways(chromium: Any, served: Served, width: int) -> None:
    walker = Walker(chromium, served, viewport={"width": width, "height": 768})
    page = walker.to_list()
    addresses = [page.url, *(_href(page, kind) for kind in ("reports", "studies"))]
    addresses += [page.url.replace("/examinations", "/confirm"), f"{served.url}/find", f"{served.url}/about"]

    for address in addresses:
        page.goto(address)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width, address


@pytest.mark.parametrize(("locale", "theme"), [("en-GB", "light"), ("el-GR", "dark")])
def test_axe_finds_nothing_on_any_page(chromium: Any, served: Served, theme: str, locale: str) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not in web/node_modules")
    walker = Walker(chromium, served, color_scheme=theme, locale=locale)
    page = walker.to_list()
    addresses = [page.url, *(_href(page, kind) for kind in ("reports", "studies"))]
    addresses += [
        _href(page, "studies", 1),
        f"{_href(page, 'studies', 1)}/view",
        f"{page.url}?m=us",
        page.url.replace("/examinations", "/confirm"),
    ]
    addresses += [f"{served.url}/{name}" for name in ("find", "about", "nowhere")]

    found = [finding for address in addresses for finding in _axe(page, address)]
    walker.context.clear_cookies()
    found += _axe(page, f"{served.url}/sign-in")

    assert found == []


@pytest.mark.parametrize("services", [{"imaging-report"}, {"imaging-manifest"}])
def test_axe_finds_nothing_where_not_all_is_offered(chromium: Any, served: Served, services: set[str]) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not in web/node_modules")
    walker = Walker(chromium, served)
    page = walker.to_list()
    addresses = [page.url, *(_href(page, kind) for kind in ("reports", "studies")), f"{_href(page, 'studies')}/view"]
    served.portal.directory.participants[:] = [participant(services=frozenset(services))]

    found = [finding for address in [*addresses, f"{served.url}/find"] for finding in _axe(page, address)]

    assert found == []


def _href(page: Any, kind: str, number: int = 0) -> str:
    return str(page.evaluate(f"() => document.querySelectorAll('a.plate[href*={kind}]')[{number}].href"))


def _axe(page: Any, address: str) -> list[str]:
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    violations = page.evaluate(
        "() => axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].html.slice(0, 120)))"
    )
    return [f"{address.rpartition('/')[2]}: {v}" for v in violations]
