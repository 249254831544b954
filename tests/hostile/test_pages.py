"""A hostile country's words in a professional's browser, and what a browser keeps when the visit is over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.country_b.portal.browsing import Served, Walker, a_browser
from tests.hostile.vectors import texts, vectors

from isthmus.demo.people import PEOPLE

pytestmark = [pytest.mark.browser, pytest.mark.slow]
MARKOS = PEOPLE["markos"]
KEPT = """async () => {
    const bases = indexedDB.databases ? await indexedDB.databases() : [];
    const workers = await navigator.serviceWorker?.getRegistrations() ?? [];
    return {
        local: {...localStorage}, session: {...sessionStorage}, cookies: document.cookie,
        bases: bases.map(base => base.name), caches: globalThis.caches ? await caches.keys() : [], workers: workers.length,
    };
}"""


@pytest.fixture(scope="module")
def chromium(front_end: None) -> Iterator[Any]:
    with a_browser() as browser:
        yield browser


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    running = Served(tmp_path)
    yield running
    running.stop()


class Watched(Walker):
    """A professional whose browser tells every request that leaves for elsewhere, and every box that opens."""

    def __init__(self, browser: Any, served: Served) -> None:
        super().__init__(browser, served)
        self.elsewhere: list[str] = []
        self.boxes: list[str] = []
        self.context.on("request", self._asked)
        self.page.on("dialog", self._opened)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.served.url, "blob:", "data:,")):
            self.elsewhere.append(request.url)

    def _opened(self, box: Any) -> None:
        self.boxes.append(box.message)
        box.dismiss()

    def touched(self) -> list[Any]:
        """Whatever got through, after everything on the page was pointed at, focused and pressed."""
        for link in self.page.locator("main :is(p, td, li, div, span)").all()[:60]:
            link.dispatch_event("pointerenter")
            link.dispatch_event("mouseover")
            link.dispatch_event("focus")
        self.page.evaluate("window.dispatchEvent(new HashChangeEvent('hashchange'))")
        self.page.wait_for_timeout(200)
        ran = [frame.evaluate("window.pwned ?? null") for frame in self.page.frames]
        refused = [error for error in self.errors if "Content Security Policy" in error]
        return [*(one for one in ran if one), *self.elsewhere, *self.boxes, *refused]


@pytest.mark.threat("T70")
@pytest.mark.threat("T93")
def test_no_narrative_of_a_hostile_country_acts_or_asks_for_anything(chromium: Any, served: Served) -> None:
    document = served.portal.country.with_report("mr-markos")
    bundle = json.loads(served.portal.country.bodies["mr-markos"])
    composition = bundle["entry"][0]["resource"]
    spoken = composition["section"][0]["text"]["div"].partition(">")[0] + ">"
    for number, vector in enumerate(vectors()):
        text = {"status": "additional", "div": f"{spoken}<p>vector {number}</p>{vector}</div>"}
        composition["section"].append({"title": "Hostile", "text": text})
    served.portal.country.bodies["mr-markos"] = json.dumps(bundle).encode()
    walker = Watched(chromium, served)
    page = walker.to_list()

    page.goto(f"{page.url.rpartition('/')[0]}/reports/{document.id}")
    page.wait_for_selector("main h1")

    assert len(vectors()) >= 120
    assert page.locator("text=vector").count() >= 100, "the vectors were not on the page: nothing was tried"
    assert walker.touched() == []
    assert (
        page.locator(
            "main :is(script:not([src]), iframe, object, embed, form[action*=elsewhere], [onclick], [hx-on], base)"
        ).count()
        == 0
    )
    assert page.url.startswith(served.url)


@pytest.mark.threat("T66")
@pytest.mark.threat("T74")
def test_names_and_descriptions_of_a_hostile_country_are_words(chromium: Any, served: Served) -> None:
    country = served.portal.country
    for number, words in enumerate(texts()):
        country.with_report("mr-markos", title=words, custodian=None, id=f"mr-markos-{number}")
        country.with_study(MARKOS, uid=f"2.999.66.{number}", description=words)
    walker = Watched(chromium, served)

    page = walker.to_list()
    listed = page.inner_text("main")
    in_list = walker.touched()
    page.locator("a[href*='/studies/2.999.66.0']").first.click()
    page.wait_for_selector("h1")
    in_study = walker.touched()

    assert texts()[0] in listed
    assert texts()[2] in listed
    assert (in_list, in_study) == ([], [])


@pytest.mark.threat("T84")
@pytest.mark.fault("F56")
def test_a_visit_leaves_nothing_of_the_patient_in_the_browser(chromium: Any, served: Served) -> None:
    report = served.portal.country.with_report("mr-markos")
    study = served.portal.country.with_study(MARKOS)
    walker = Walker(chromium, served)
    page = walker.to_list()
    listed = page.url

    page.goto(f"{listed.rpartition('/')[0]}/reports/{report.id}")
    page.wait_for_selector("main h1")
    page.goto(f"{listed.rpartition('/')[0]}/studies/{study.study_instance_uid}/view")
    page.wait_for_selector("html[data-viewer=ready]")
    page.goto(listed)
    during = page.evaluate(KEPT)
    page.click("header button:has-text('Sign out'), button:has-text('Sign out')")
    page.wait_for_selector("[name=password]")
    after = page.evaluate(KEPT)

    told = json.dumps([during, after])
    names = (MARKOS.name.family, *MARKOS.name.given, MARKOS.identifier.value, str(MARKOS.birth_date))
    assert [name for name in names if name in told] == []
    assert (during["bases"], during["caches"], during["workers"], during["cookies"]) == ([], [], 0, "")
    assert (after["local"], after["session"]) == ({}, {})


@pytest.mark.threat("T94")
@pytest.mark.threat("T71")
def test_the_next_person_at_the_workstation_comes_back_to_a_sign_in(chromium: Any, served: Served) -> None:
    report = served.portal.country.with_report("mr-markos")
    walker = Walker(chromium, served)
    page = walker.to_list()
    listed = page.url
    page.goto(f"{listed.rpartition('/')[0]}/reports/{report.id}")
    page.wait_for_selector("main h1")
    kept = walker.context.cookies()
    page.click("button:has-text('Sign out')")
    page.wait_for_selector("[name=password]")

    page.go_back()
    page.wait_for_load_state()
    back = page.inner_text("body")
    restored = walker.context.new_page()
    restored.goto(listed)
    tab = restored.inner_text("body")
    walker.context.add_cookies(kept)
    restored.goto(listed)
    with_old_cookie = restored.inner_text("body")

    for seen in (back, tab, with_old_cookie):
        assert MARKOS.name.family not in seen
        assert MARKOS.identifier.value not in seen


@pytest.mark.threat("T71")
def test_no_page_of_the_portal_is_shown_in_a_frame_of_another(chromium: Any, served: Served, tmp_path: Path) -> None:
    walker = Walker(chromium, served)
    walker.sign_in()
    trap = tmp_path / "trap.html"
    trap.write_text(f'<iframe src="{served.url}/find"></iframe>', encoding="utf-8")

    page = walker.context.new_page()
    page.goto(trap.as_uri())
    page.wait_for_timeout(500)

    assert all(
        "identifier" not in (frame.content() if frame.url.startswith("http") else "") for frame in page.frames[1:]
    )
