"""Key images as selections in the study mark them: which, why, and the way to each and back."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from tests.country_b.portal.fakes import Browser, FakePortal, participant

from isthmus.country_b.portal import keys
from isthmus.demo.people import PEOPLE
from isthmus.dicom.header import Code
from isthmus.errors import CountryUnreachable
from isthmus.testing.studies import SyntheticStudy

pytestmark = pytest.mark.anyio
MIRELA, OSKAR = PEOPLE["mirela"], PEOPLE["oskar"]
REJECTED = Code("113001", "DCM", "Rejected for Quality Reasons")


async def _open(portal: FakePortal) -> tuple[Browser, str]:
    browser = portal.browser()
    page = await browser.visit(MIRELA)
    return browser, re.findall(r'<a class="plate [^"]+" href="([^"]+/studies/[^"]+)"', page.text)[0]


def _links(text: str) -> list[str]:
    return [href.replace("&amp;", "&") for href in re.findall(r'<a class="key imglink"[^>]*href="([^"]+)"', text)]


def _marked(study: SyntheticStudy, number: int, frames: str = "") -> tuple[str, str]:
    return study.sop_instance_uid(number), frames


@pytest.mark.fault("F26")
async def test_what_the_tree_says_is_marked_not_what_is_evidence(portal: FakePortal) -> None:
    study = portal.country.with_study(MIRELA)
    portal.country.with_selection(study, _marked(study, 1), why="Largest extent of the infarct")
    browser, address = await _open(portal)

    page = await browser.get(address)

    assert _links(page.text) == [f"{address}/view?image={study.sop_instance_uid(1)}"]
    assert "Image 2, series 1" in page.text
    assert "Largest extent of the infarct" in page.text


async def test_a_selection_is_read_in_the_pack_agreed_with_the_country_not_in_its_own(portal: FakePortal) -> None:
    study = portal.country.with_study(MIRELA)
    portal.country.with_selection(study, _marked(study, 1))
    portal.directory.participants = [replace(participant(), pack="one-that-only-they-have")]
    browser, address = await _open(portal)

    page = await browser.get(address)

    assert _links(page.text) == [f"{address}/view?image={study.sop_instance_uid(1)}"]


@pytest.mark.fault("F26")
async def test_frame_numbers_are_kept_and_used(portal: FakePortal) -> None:
    study = portal.country.with_study(MIRELA)
    portal.country.with_selection(study, _marked(study, 0, "3\\7"))
    browser, address = await _open(portal)

    page = await browser.get(address)
    viewer = await browser.get(_links(page.text)[1])

    assert [link.rpartition("=")[2] for link in _links(page.text)] == ["3", "7"]
    assert "Of interest" in page.text
    assert 'data-start-frame="7"' in viewer.text


async def test_the_viewer_is_told_of_marks_for_its_key(portal: FakePortal) -> None:
    study = portal.country.with_study(MIRELA)
    portal.country.with_selection(study, _marked(study, 2, "4"), _marked(study, 0), why="Schwannoma")
    browser, address = await _open(portal)

    described = json.loads((await browser.get(f"{address}/study.json")).body)

    assert [(k["instance"], k["frame"], k["why"]) for k in described["key_images"]] == [
        (study.sop_instance_uid(2), 4, "Schwannoma"),
        (study.sop_instance_uid(0), None, "Schwannoma"),
    ]
    assert {k["series"] for k in described["key_images"]} == {study.series_instance_uid(0)}


async def test_a_selection_is_fetched_once(portal: FakePortal) -> None:
    study = portal.country.with_study(MIRELA)
    portal.country.with_selection(study, _marked(study, 1))
    browser, address = await _open(portal)

    for path in (address, f"{address}/study.json", f"{address}/view", address):
        await browser.get(path)

    assert [asked for asked in portal.country.asked if asked.startswith("images")] == ["images instance"]


@pytest.mark.fault("F26")
async def test_what_was_rejected_is_no_key_image(portal: FakePortal) -> None:
    study = portal.country.with_study(MIRELA)
    portal.country.with_selection(study, _marked(study, 1), title=REJECTED)
    browser, address = await _open(portal)

    page = await browser.get(address)

    assert _links(page.text) == []
    assert "Not all marks" not in page.text


@pytest.mark.fault("F28")
async def test_a_mark_on_an_image_that_is_not_here_is_said(portal: FakePortal) -> None:
    study = portal.country.with_study(MIRELA)
    portal.country.with_selection(study, ("2.25.404", ""), _marked(study, 1))
    browser, address = await _open(portal)

    page = await browser.get(address)
    described = json.loads((await browser.get(f"{address}/study.json")).body)

    assert "Its image is not here." in page.text
    assert len(_links(page.text)) == len(described["key_images"]) == 1


async def test_a_selection_that_is_no_dicom_is_said(portal: FakePortal) -> None:
    study = portal.country.with_study(MIRELA)
    uid = portal.country.with_selection(study, _marked(study, 1))
    portal.country.objects[uid] = b"no DICOM at all"
    browser, address = await _open(portal)

    page = await browser.get(address)

    assert (page.status, _links(page.text)) == (200, [])
    assert "Not all marks of key images are here yet." in page.text


async def test_a_line_that_is_down_leaves_the_study_open(portal: FakePortal) -> None:
    study = portal.country.with_study(MIRELA)
    portal.country.with_selection(study, _marked(study, 1))
    browser, address = await _open(portal)
    visit = address.split("/")[2]
    await browser.get(address)
    await portal.desk.spool.forget(visit)
    portal.desk.recent._held.pop((visit, f"keys {address.rpartition('/')[2]}"))
    portal.country.problem, portal.country.problem_of = CountryUnreachable("down", country="AA"), "images"

    down, again = await browser.get(address), await browser.get(address)

    assert (down.status, "Not all marks" in down.text) == (200, True)
    assert (again.status, len(_links(again.text))) == (200, 1)


async def test_a_selection_that_is_too_large_is_not_read(portal: FakePortal) -> None:
    study = portal.country.with_study(MIRELA)
    portal.country.with_selection(study, _marked(study, 1), size=keys.SIZE_MAX_BYTES)
    browser, address = await _open(portal)

    page = await browser.get(address)

    assert (_links(page.text), "Not all marks" in page.text) == ([], True)


async def test_a_selection_about_another_person_stops_the_study(portal: FakePortal) -> None:
    study = portal.country.with_study(MIRELA)
    uid = portal.country.with_selection(study, _marked(study, 1))
    theirs = portal.country.objects[uid]
    for old, new in (
        (MIRELA.name.family, OSKAR.name.family.ljust(len(MIRELA.name.family))[: len(MIRELA.name.family)]),
        (MIRELA.birth_date.replace("-", ""), OSKAR.birth_date.replace("-", "")),
    ):
        theirs = theirs.replace(old.encode(), new.encode())
    portal.country.objects[uid] = theirs
    browser, address = await _open(portal)

    page = await browser.get(address)

    assert page.status == 502
    assert "Stopped: this may be another person" in page.text


async def test_who_may_not_see_images_fetches_no_selection(portal: FakePortal) -> None:
    study = portal.country.with_study(MIRELA)
    portal.country.with_selection(study, _marked(study, 1))
    browser = portal.browser()
    await browser.sign_in("nurse")
    await browser.find(MIRELA)
    page = await browser.confirm()

    page = await browser.get(re.findall(r'href="([^"]+/studies/[^"]+)"', page.text)[0])

    assert page.status == 200
    assert not [asked for asked in portal.country.asked if asked.startswith("images")]
