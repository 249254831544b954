"""Structured objects of a study as pages: whatever the template, everything they say, in its order."""

from __future__ import annotations

import re
from html import unescape

import pytest
from pydicom.dataset import Dataset
from tests.country_b.portal.fakes import Browser, FakePortal
from tests.originals.made import DOSE, code, dose_report, image, nested, number, report, text
from tests.originals.test_nothing_lost import made

from isthmus.demo.people import PEOPLE
from isthmus.model.imaging import Instance, Series
from isthmus.testing.studies import SyntheticStudy

pytestmark = pytest.mark.anyio
MIRELA, OSKAR = PEOPLE["mirela"], PEOPLE["oskar"]
BASIC_TEXT, COMPREHENSIVE_3D = "1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.88.34"
OBJECT, SERIES = "2.25.990", "2.25.99"


def _of(study: SyntheticStudy, person: object = MIRELA) -> dict[str, str]:
    """What makes an object one of this study, and of this person."""
    assert person in (MIRELA, OSKAR)
    who = MIRELA if person is MIRELA else OSKAR
    return {
        "SOPInstanceUID": OBJECT,
        "StudyInstanceUID": study.study_instance_uid,
        "SeriesInstanceUID": SERIES,
        "PatientName": f"{who.name.family}^{' '.join(who.name.given)}",
        "PatientID": who.identifier.value,
        "PatientBirthDate": who.birth_date.replace("-", ""),
        "PatientSex": who.gender[0].upper(),
        "IssuerOfPatientID": "",
    }


async def _opened(portal: FakePortal, sop_class: str, *content: Dataset, **more: str) -> tuple[Browser, str]:
    """A browser at a study that has such an object, and the study's address."""
    study = portal.country.with_study(MIRELA)
    body = (
        dose_report(**_of(study) | more)
        if sop_class == DOSE
        else report(*content, sop_class=sop_class, **_of(study) | more)
    )
    portal.country.with_object(study, Series(SERIES, "SR", (Instance(OBJECT, sop_class, 1),), 99), body)
    browser = portal.browser()
    page = await browser.visit(MIRELA)
    return browser, re.findall(r'<a class="plate [^"]+" href="([^"]+/studies/[^"]+)"', page.text)[0]


def _said(page_text: str) -> list[str]:
    """The words of the tree, item by item, as they stand on the page."""
    article = page_text.partition("<article")[2].partition("</article>")[0].partition(">")[2]
    bare = (re.sub(r"<[^>]+>|\s+", " ", piece) for piece in re.split(r"<li>|<ul>|</ul>", article))
    return [said for piece in bare if (said := " ".join(unescape(piece).split()))]


@pytest.mark.fault("F27")
async def test_a_dose_report_is_listed_with_its_series_and_read_as_text(portal: FakePortal) -> None:
    browser, study = await _opened(portal, DOSE)

    listed = await browser.get(study)
    (address,) = re.findall(r'href="([^"]+/text)"', listed.text)
    page = await browser.get(address)

    assert "Read structured report 1" in listed.text
    assert (page.status, "X-Ray Radiation Dose Report" in page.text) == (200, True)
    assert "Dose Area Product Total: 0.00012500 Gy.m2" in _said(page.text)
    assert "Nobody has verified this" in page.text
    assert "/reports/" not in listed.text


@pytest.mark.fault("F27")
@pytest.mark.parametrize("sop_class", [BASIC_TEXT, COMPREHENSIVE_3D])
async def test_six_levels_stand_on_the_page_in_their_order(portal: FakePortal, sop_class: str) -> None:
    browser, study = await _opened(portal, sop_class, nested(6))

    page = await browser.get(f"{study}/series/{SERIES}/instances/{OBJECT}/text")

    before = [f"{said} {n}" for n in range(1, 7) for said in ("Level", "Remark: before")]
    assert _said(page.text) == [*before, "Remark: bottom", *(f"Remark: after {n}" for n in range(6, 0, -1))]
    assert "Nobody has verified this" not in page.text


@pytest.mark.fault("F27")
async def test_the_viewer_is_told_where_an_object_is_read(portal: FakePortal) -> None:
    browser, study = await _opened(portal, DOSE)

    described = await browser.get(f"{study}/study.json")

    assert re.findall(r'"text": "([^"]+)"', described.text) == [f"{study}/series/{SERIES}/instances/{OBJECT}/text"]


async def test_an_image_that_is_named_can_be_opened_and_one_that_is_not_here_says_so(portal: FakePortal) -> None:
    study = SyntheticStudy(seed=0, patient=MIRELA, instances=3, rows=16, columns=16)
    here = study.sop_instance_uid(1)
    seen = text(code("121071", meaning="Finding"), "Seen", image(here), image("2.25.404"))
    browser, address = await _opened(portal, BASIC_TEXT, seen)

    page = await browser.get(f"{address}/series/{SERIES}/instances/{OBJECT}/text")

    assert f'href="{address}/view?image={here}"' in page.text
    assert "Image 2, series 1" in page.text
    assert page.text.count("Its image is not here.") == 1


async def test_markup_in_an_object_is_words(portal: FakePortal) -> None:
    browser, study = await _opened(
        portal, BASIC_TEXT, text(code("121071", meaning="Finding"), "<script>alert(1)</script>\nb")
    )

    page = await browser.get(f"{study}/series/{SERIES}/instances/{OBJECT}/text")

    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text


async def test_an_object_of_another_person_is_not_read(portal: FakePortal) -> None:
    other = {name: value for name, value in _of(SyntheticStudy(seed=0), OSKAR).items() if name.startswith("Patient")}
    browser, study = await _opened(portal, DOSE, **other)

    page = await browser.get(f"{study}/series/{SERIES}/instances/{OBJECT}/text")

    assert (page.status, "Gy" in page.text) == (502, False)


async def test_an_image_has_no_text(portal: FakePortal) -> None:
    browser, study = await _opened(portal, DOSE)
    images = re.findall(r'"url": "([^"]+)"', (await browser.get(f"{study}/study.json")).text)

    page = await browser.get(f"{images[0]}/text")

    assert page.status == 400


async def test_who_may_not_see_images_reads_no_object(portal: FakePortal) -> None:
    browser, study = await _opened(portal, DOSE)
    await browser.post(study.partition("/studies/")[0] + "/close")
    await browser.post("/sign-out")
    await browser.sign_in("nurse")
    await browser.find(MIRELA)
    listed = await browser.confirm()
    again = re.findall(r'href="([^"]+/studies/[^"]+)"', listed.text)[0]

    page = await browser.get(again)
    refused = await browser.get(f"{again}/series/{SERIES}/instances/{OBJECT}/text")

    assert "Read structured report" not in page.text
    assert refused.status == 403


@pytest.mark.fault("F27")
@pytest.mark.fault("F30")
async def test_a_report_made_of_six_levels_shows_every_word_of_them(portal: FakePortal) -> None:
    bare = number(code("2", "99OWN", "Count"), "7.50", code("", "99OWN"))
    del bare.MeasuredValueSequence[0].MeasurementUnitsCodeSequence
    person, listed = PEOPLE["eleni"], portal.country.with_report("ct-eleni")
    portal.country.bodies[listed.id] = made(report(nested(6), bare, sop_class=BASIC_TEXT))
    browser = portal.browser()
    await browser.visit(person)

    page = await browser.get(browser.page.path.replace("examinations", f"reports/{listed.id}"))

    words = ["bottom", *(f"{word} {n}" for n in range(1, 7) for word in ("Level", "before", "after")), "Count: 7.50"]
    assert [one for one in words if one not in page.text] == []
