"""A study, the viewer's description, and instances: checked, spooled, fetched once, cut when nobody waits."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.country_b.portal.fakes import Browser, FakePortal

from isthmus.config import Ohif
from isthmus.country_b.flights import Flights
from isthmus.country_b.portal.words import VIEWER
from isthmus.demo.people import PEOPLE
from isthmus.errors import CountryUnreachable, ImagesPreparing

pytestmark = pytest.mark.anyio
MIRELA, OSKAR = PEOPLE["mirela"], PEOPLE["oskar"]


async def _open(portal: FakePortal) -> tuple[Browser, str]:
    """A signed-in browser in a visit, and the address of a study of three instances."""
    portal.country.with_study(MIRELA)
    browser = portal.browser()
    page = await browser.visit(MIRELA)
    return browser, re.findall(r'<a class="plate [^"]+" href="([^"]+/studies/[^"]+)"', page.text)[0]


async def _urls(browser: Browser, study: str) -> list[str]:
    described = json.loads((await browser.get(f"{study}/study.json")).body)
    return [i["url"] for s in described["series"] for i in s["instances"]]


async def test_a_study_lists_its_series_before_anything_is_fetched(portal: FakePortal) -> None:
    browser, study = await _open(portal)

    page = await browser.get(study)

    assert "1 series, 3 images, 12 MB" in page.text
    assert "List and description agree" in page.text
    assert "View images" in page.text
    assert not [asked for asked in portal.country.asked if asked.startswith("images")]


async def test_counts_that_differ_are_said(portal: FakePortal) -> None:
    portal.country.with_study(MIRELA, instance_count=5)
    browser = portal.browser()
    page = await browser.visit(MIRELA)

    page = await browser.get(re.findall(r'href="([^"]+/studies/[^"]+)"', page.text)[0])

    assert "The archive now holds 3, the list said 5." in page.text


async def test_the_viewer_is_framed_and_told_where_to_ask(portal: FakePortal) -> None:
    browser, study = await _open(portal)

    page = await browser.get(f"{study}/view")

    assert f'data-study="{study}/study.json"' in page.text
    assert 'data-theme="dark"' in page.text
    assert "Not for primary diagnosis." in page.text
    assert page.text.count("<h1") == 1


async def test_the_description_names_person_study_and_every_word(portal: FakePortal) -> None:
    browser, study = await _open(portal)

    described = json.loads((await browser.get(f"{study}/study.json")).body)

    assert described["patient"] == {
        "name": "LUNESCA, Mirela",
        "native_name": None,
        "birth_date": "1983-02-11",
        "sex": "Female",
    }
    assert described["study"]["date"] == "2026-09-22T10:33"
    assert len(described["series"][0]["instances"]) == 3
    assert described["words"]["loading"] == "Loading the image."


async def test_an_instance_comes_as_it_is_but_for_its_preamble(portal: FakePortal) -> None:
    browser, study = await _open(portal)
    synthetic = next(iter(portal.country.studies.values()))

    page = await browser.get((await _urls(browser, study))[0])

    assert page.headers["content-type"] == "application/dicom"
    assert page.headers["cache-control"] == "no-store"
    assert page.body[:128] == bytes(128)
    assert page.body[128:] == b"".join(synthetic.pieces(0))[128:]


async def test_the_first_image_is_asked_for_alone_and_then_its_series_once(portal: FakePortal) -> None:
    browser, study = await _open(portal)
    urls = await _urls(browser, study)

    await browser.get(urls[1])
    pages = await asyncio.gather(*(browser.once("GET", url) for url in (urls[0], urls[2], urls[0])))
    again = await browser.get(urls[1])

    assert [page.status for page in (*pages, again)] == [200] * 4
    assert [a for a in portal.country.asked if a.startswith("images")] == ["images instance", "images series"]


async def test_two_who_ask_for_the_same_image_share_one_flight(portal: FakePortal) -> None:
    browser, study = await _open(portal)
    url = (await _urls(browser, study))[0]

    pages = await asyncio.gather(*(browser.once("GET", url) for _ in range(4)))

    assert {page.status for page in pages} == {200}
    assert portal.country.asked.count("images instance") == 1


async def test_a_flight_that_nobody_waits_for_is_cut(portal: FakePortal) -> None:
    portal.desk.flights = Flights(portal.desk.verbs, portal.desk.spool, 8, patience_s=0.01)
    browser, study = await _open(portal)
    url = (await _urls(browser, study))[0]
    portal.country.slow = asyncio.Event()

    asking = asyncio.create_task(browser.once("GET", url))
    await asyncio.sleep(0.05)
    flying = len(portal.desk.flights._flights)
    asking.cancel()
    await asyncio.sleep(0.1)

    assert flying == 1
    assert portal.desk.flights._flights == {}


async def test_an_image_of_another_person_is_never_shown(portal: FakePortal) -> None:
    browser, study = await _open(portal)
    uid = study.rpartition("/")[2]
    portal.country.studies[uid] = replace(portal.country.studies[uid], patient=OSKAR)
    url = (await _urls(browser, study))[0]

    page = await browser.get(url)

    assert page.status == 502
    assert b"DICM" not in page.body


async def test_a_doubt_shuts_the_study_for_the_visit(portal: FakePortal) -> None:
    browser, study = await _open(portal)
    uid = study.rpartition("/")[2]
    urls = await _urls(browser, study)
    await browser.get(urls[0])
    portal.country.studies[uid] = replace(portal.country.studies[uid], patient=OSKAR)

    refused = await browser.get(urls[1])
    pages = [await browser.get(path) for path in (study, f"{study}/view", f"{study}/study.json", urls[0])]
    told = json.loads((await browser.get(f"{study}/notes.json")).body)
    listed = await browser.get(study.partition("/studies")[0] + "/examinations")

    assert refused.headers["x-isthmus-reason"] == "wrong-patient"
    assert {page.status for page in pages} == {502}
    assert all("Stopped: this may be another person" in page.text for page in pages)
    assert all("LUNESCA" not in page.text.upper() for page in pages)
    assert told["stopped"] is True
    assert listed.status == 200


async def test_a_doubt_ends_with_the_visit(portal: FakePortal) -> None:
    browser, study = await _open(portal)
    uid = study.rpartition("/")[2]
    right = portal.country.studies[uid]
    portal.country.studies[uid] = replace(right, patient=OSKAR)
    await browser.get((await _urls(browser, study))[0])
    portal.country.studies[uid] = right
    listed = await browser.get(study.partition("/studies/")[0] + "/examinations")
    await browser.post(listed.path.replace("examinations", "close"))

    page = await browser.visit(MIRELA)
    page = await browser.get(re.findall(r'<a class="plate [^"]+" href="([^"]+/studies/[^"]+)"', page.text)[0])

    assert page.status == 200


async def test_images_that_name_the_patient_a_little_differently_are_shown_with_a_note(portal: FakePortal) -> None:
    browser, study = await _open(portal)
    before = await browser.get(f"{study}/view")
    await browser.get((await _urls(browser, study))[0])  # its issuer is not said: explainable

    told = json.loads((await browser.get(f"{study}/notes.json")).body)
    after = [await browser.get(path) for path in (study, f"{study}/view")]

    assert told == {"explained": True, "stopped": False}
    assert "data-explained hidden" in before.text
    assert all("data-explained>" in page.text for page in after)


async def test_a_series_has_one_small_picture_that_is_fetched_once(portal: FakePortal) -> None:
    browser, study = await _open(portal)
    page = await browser.get(study)
    (address,) = re.findall(r'<img src="([^"]+/thumbnail)"', page.text)

    first, again = await browser.get(address), await browser.get(address)

    assert 'alt="Computed tomography, series 1"' in page.text
    assert 'loading="lazy"' in page.text
    assert (first.headers["content-type"], first.headers["cache-control"]) == ("image/png", "no-store")
    assert first.body[:8] == b"\x89PNG\r\n\x1a\n"
    assert first.body == again.body
    assert [a for a in portal.country.asked if a.startswith("images")] == ["images instance"]


async def test_after_a_small_picture_the_first_image_still_comes_alone(portal: FakePortal) -> None:
    browser, study = await _open(portal)
    await browser.get(re.findall(r'<img src="([^"]+/thumbnail)"', (await browser.get(study)).text)[0])

    for url in await _urls(browser, study):
        await browser.get(url)

    asked = [a for a in portal.country.asked if a.startswith("images")]
    assert asked == ["images instance", "images instance", "images series"]


@pytest.mark.fault("F58")
async def test_every_series_is_listed_and_one_without_a_picture_says_so(portal: FakePortal) -> None:
    synthetic = portal.country.with_study(MIRELA)
    portal.country.with_selection(synthetic, (synthetic.sop_instance_uid(1), ""))
    browser = portal.browser()
    listed = await browser.visit(MIRELA)
    study = re.findall(r'<a class="plate [^"]+" href="([^"]+/studies/[^"]+)"', listed.text)[0]

    page = await browser.get(study)
    none = await browser.get(f"{study}/series/2.25.770/thumbnail")

    assert page.text.count("<tr>") == 3
    assert "No image in it; its objects can be downloaded." in page.text
    assert none.status == 400


async def test_a_small_picture_of_another_person_shuts_the_study(portal: FakePortal) -> None:
    browser, study = await _open(portal)
    uid = study.rpartition("/")[2]
    portal.country.studies[uid] = replace(portal.country.studies[uid], patient=OSKAR)
    (address,) = re.findall(r'<img src="([^"]+/thumbnail)"', (await browser.get(study)).text)

    picture = await browser.get(address)

    assert (picture.status, picture.headers["x-isthmus-reason"]) == (502, "wrong-patient")
    assert (await browser.get(study)).status == 502


async def test_ohif_has_its_button_where_it_is_set_up(portal: FakePortal) -> None:
    browser, study = await _open(portal)
    without = await browser.get(study)
    portal.desk.settings = replace(portal.desk.settings, ohif=Ohif(public="http://127.0.0.1:8703", folder="ohif"))

    page = await browser.get(study)

    assert "/ohif" not in without.text
    assert f'action="{study.partition("/studies")[0]}/ohif"' in page.text


@pytest.mark.fault("F28")
async def test_a_key_image_of_the_report_that_the_study_lacks_says_so(portal: FakePortal) -> None:
    report = portal.country.with_report("ct-eleni")
    portal.country.with_study(PEOPLE["eleni"], uid=report.study_instance_uids[0])
    browser = portal.browser()
    await browser.visit(PEOPLE["eleni"])
    listed = browser.page.text
    study = re.findall(r'<a class="plate [^"]+" href="([^"]+/studies/[^"]+)"', listed)[0]

    page = await browser.get(f"{study}/view?report={report.id}")
    whole = await browser.get(f"{study.partition('/studies')[0]}/reports/{report.id}")

    assert page.text.count("Its image is not here.") == whole.text.count('class="imglink"') > 0


async def test_a_broken_line_is_told_and_tried_anew(portal: FakePortal) -> None:
    browser, study = await _open(portal)
    url = (await _urls(browser, study))[0]
    portal.country.problem = CountryUnreachable("down", country="AA")

    broken, whole = await browser.get(url), await browser.get(url)

    assert (broken.status, whole.status) == (502, 200)


@pytest.mark.parametrize(
    "path",
    [
        "studies/1.2.3",
        "studies/1.2.3/view",
        "studies/1.2.3/study.json",
        "studies/1.2.3/series/1.2/instances/1.2",
        "studies/1.2.3/series/1.2/thumbnail",
    ],
)
async def test_a_study_of_somebody_else_leads_nowhere(portal: FakePortal, path: str) -> None:
    browser, study = await _open(portal)

    page = await browser.get(study.partition("studies/")[0] + path)

    assert page.status == 404


async def test_no_service_for_other_programs_is_pretended(portal: FakePortal) -> None:
    browser, study = await _open(portal)
    visit = study.partition("/studies/")[0]

    assert (await browser.once("GET", f"{visit}/dicom-web/studies")).status == 404
    assert (await browser.post(f"{visit}/token")).status == 404


async def test_what_was_fetched_goes_with_the_visit(portal: FakePortal) -> None:
    browser, study = await _open(portal)
    await browser.get((await _urls(browser, study))[0])
    listed = await browser.get(study.partition("/studies/")[0] + "/examinations")
    spool = portal.desk.settings.folder / "spool"
    kept = len(list(spool.iterdir()))

    await browser.post(listed.path.replace("examinations", "close"))

    assert kept == 1
    assert list(spool.iterdir()) == []


async def test_a_role_without_images_is_told_before_the_viewer_opens(portal: FakePortal) -> None:
    portal.country.with_study(MIRELA)
    browser = portal.browser()
    await browser.sign_in("nurse")
    await browser.find(MIRELA)
    page = await browser.confirm()

    page = await browser.get(re.findall(r'href="([^"]+/studies/[^"]+)"', page.text)[0] + "/view")

    assert page.status == 403
    assert "Your role may not do this." in page.text


def test_the_viewer_is_given_every_word_it_asks_for() -> None:
    asked = json.loads((Path(__file__).parents[3] / "web/tests/words.json").read_text(encoding="utf-8"))

    assert asked == VIEWER


async def test_an_image_that_is_being_prepared_is_said_with_when_to_ask_again(portal: FakePortal) -> None:
    browser, study = await _open(portal)
    first, second, _ = await _urls(browser, study)
    portal.country.problem = ImagesPreparing("near-line", country="AA", retry_after_s=90)

    waits = await browser.get(first)
    comes = await browser.get(first)
    series = await browser.get(second)

    assert (waits.status, waits.headers["x-isthmus-reason"], waits.headers["retry-after"]) == (503, "preparing", "90")
    assert waits.headers["refresh"] == "90"
    assert "fetches the images from where they are kept for long" in waits.text
    assert (comes.status, series.status) == (200, 200)
