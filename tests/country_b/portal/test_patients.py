"""The country's own fields, the one person beside what was typed, and the professional's word."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.country_b.portal.fakes import MASK, FakePortal, participant

from isthmus.country_b.portal.patients import differences, read_date, read_identifier
from isthmus.demo.people import PATIENT_SYSTEM, PEOPLE
from isthmus.errors import CountryUnreachable, PatientAmbiguous
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.masks import MaskIdentifier, SearchMask

pytestmark = pytest.mark.anyio
ELENI = PEOPLE["eleni"]


async def test_the_one_country_comes_with_its_fields_by_name(portal: FakePortal) -> None:
    browser = portal.browser()

    page = await browser.sign_in()

    for name in ("country", "identifier", "family", "given", "birth-date", "gender"):
        assert f'name="{name}"' in page.text
    assert page.text.partition("<main")[2].count("<button") == 1
    assert "National identifier" in page.text


async def test_with_several_countries_the_fields_come_with_the_choice(portal: FakePortal) -> None:
    portal.directory.participants.append(participant("EL"))
    browser = portal.browser()

    before = await browser.sign_in()
    after = await browser.get("/find?country=EL")

    assert "Show the fields" in before.text
    assert 'name="identifier"' not in before.text
    assert "Greece asks for these" in after.text
    for page in (before, after):
        assert page.text.partition("<main")[2].count("<button") == 1


async def test_without_script_the_choice_of_a_country_shows_its_fields(portal: FakePortal) -> None:
    portal.directory.participants.append(participant("EL"))
    browser = portal.browser()
    await browser.sign_in()

    page = await browser.post("/find", {"country": "EL"})

    assert page.status == 200
    assert 'name="mask" value="EL"' in page.text
    assert portal.country.asked == []


async def test_what_is_missing_is_told_at_its_field_before_anything_is_sent(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in()

    page = await browser.find(ELENI, identifier="12", **{"birth-date": "yesterday", "family": ""})

    assert page.status == 400
    assert page.text.count('aria-invalid="true"') == 3
    assert 'value="yesterday"' in page.text
    assert portal.country.asked == []


async def test_the_person_stands_beside_what_was_typed(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in()

    page = await browser.find(ELENI, family="Thalassinoy", identifier="4710 260 018")

    assert page.path.endswith("/confirm")
    assert "Thalassino<mark>y</mark>" in page.text
    assert "One letter differs" in page.text
    assert page.text.count("The same") == 2
    assert 'lang="el">Θαλασσινού' in page.text
    assert 'class="patient"' not in page.text


async def test_nobody_found_is_told_at_the_form(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in()

    page = await browser.find(ELENI, identifier="0000000000")

    assert page.status == 200
    assert "No person found with these data." in page.text
    assert 'value="0000000000"' in page.text


async def test_several_found_are_never_listed(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in()
    portal.country.problem = PatientAmbiguous("several")

    page = await browser.find(ELENI)

    assert "These data fit more than one person. Add the family name." in page.text


async def test_a_country_that_cannot_be_reached_has_a_page_of_its_own(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in()
    portal.country.problem = CountryUnreachable("down", country="AA", exchange_id="7f3c91b2aaaa")

    page = await browser.find(ELENI)

    assert page.status == 502
    assert "Country AA cannot be reached at the moment" in page.text
    assert "+000 000 000" in page.text
    assert "7F3C-91B2" in page.text


async def test_without_the_tick_nothing_is_opened(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in()
    await browser.find(ELENI)

    page = await browser.post(browser.page.path, {"purpose": "TREAT"})
    skipped = await browser.get(page.path.replace("/confirm", "/examinations"))

    assert page.status == 400
    assert "Confirm the treatment relationship with the tick." in page.text
    assert skipped.path.endswith("/confirm")
    assert portal.country.asked == ["patients"]


async def test_emergency_treatment_is_confirmed_like_treatment(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in()
    await browser.find(ELENI)

    page = await browser.post(browser.page.path, {"relationship": "yes", "purpose": "ETREAT"})

    assert page.path.endswith("/examinations")
    assert "Emergency treatment" in page.text


async def test_another_purpose_than_treatment_is_refused(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in()
    await browser.find(ELENI)

    page = await browser.post(browser.page.path, {"relationship": "yes", "purpose": "BTG"})

    assert page.status == 403
    assert "This purpose is not available here yet." in page.text


async def test_a_visit_ends_after_two_hours(portal: FakePortal) -> None:
    browser = portal.browser()
    listed = await browser.visit(ELENI)
    for _ in range(13):
        portal.clock.now += timedelta(minutes=10)
        page = await browser.get(listed.path)

    assert page.status == 403
    assert "This visit has ended" in page.text
    assert ELENI.name.family not in page.text


async def test_closing_a_visit_ends_it(portal: FakePortal) -> None:
    browser = portal.browser()
    listed = await browser.visit(ELENI)

    await browser.post(listed.path.replace("/examinations", "/close"))

    assert (await browser.get(listed.path)).status == 403


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("1961-03-14", "1961-03-14"),
        ("14.3.1961", "1961-03-14"),
        ("14/03/1961", "1961-03-14"),
        ("14 3 1961", "1961-03-14"),
        ("1961-3-4", "1961-03-04"),
        ("31.2.1961", None),
        ("3/14/1961", None),
        ("61-03-14", None),
    ],
)
def test_a_birth_date_is_read_year_first_or_day_first(typed: str, read: str | None) -> None:
    assert read_date(typed) == read


@pytest.mark.parametrize("typed", ["4710260018", " 4710 260018", "471-026-0018", "4710.260.018"])
def test_blanks_in_a_number_do_not_matter(typed: str) -> None:
    assert read_identifier(typed, "", MASK) == PatientIdentifier(PATIENT_SYSTEM, "4710260018")


def test_a_number_goes_under_the_authority_whose_form_it_has() -> None:
    mask = SearchMask(
        (MaskIdentifier("urn:oid:2.999.1", r"\d{10}", {}), MaskIdentifier("urn:oid:2.999.2", "[A-Z]{2}[0-9]{6}", {}))
    )

    assert read_identifier("AB123456", "", mask) == PatientIdentifier("urn:oid:2.999.2", "AB123456")
    assert read_identifier("AB123456", "0", mask) is None
    assert read_identifier("0071234567", "", mask) == PatientIdentifier("urn:oid:2.999.1", "0071234567")


@pytest.mark.parametrize(
    ("typed", "answered", "marked", "differing"),
    [
        ("Mavridi", "Mavridi", "Mavridi", 0),
        ("MAVRIDI", "Mavridí", "MAVRIDI", 0),
        ("Mavrido", "Mavridi", "Mavrid<mark>o</mark>", 1),
        ("Mavrdi", "Mavridi", "Mavr<mark>·</mark>di", 1),
        ("<b>", "<i>", "&lt;<mark>b</mark>&gt;", 1),
    ],
)
def test_differing_letters_are_marked(typed: str, answered: str, marked: str, differing: int) -> None:
    assert differences(typed, answered) == (marked, differing)
