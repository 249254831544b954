"""Coded words in the reader's own language, also where the interface has it not; the original beside them; never a guess."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.country_b.portal.fakes import FakePortal, Page

from isthmus.demo.people import PEOPLE
from isthmus.demo.reports import reports
from isthmus.model.codes import SNOMED, Code
from isthmus.pages.language import choose_terms
from isthmus.terminology.designations import Dictionary
from isthmus.terminology.display import Words

pytestmark = pytest.mark.anyio
MIRELA = PEOPLE["mirela"]
DRAFT = "are a draft made by a machine"


async def _listed(portal: FakePortal, language: str) -> Page:
    portal.country.with_report("mr-markos")
    return await portal.browser(language).visit(reports()["mr-markos"].patient)


async def _study(portal: FakePortal, language: str, site: Code | None, side: Code | None = None) -> Page:
    """A study whose one series says what it is of."""
    study = portal.country.with_study(MIRELA)
    for name, manifest in portal.country.manifests.items():
        series = replace(manifest.study.series[0], body_site=site, laterality=side)
        portal.country.manifests[name] = replace(manifest, study=replace(manifest.study, series=(series,)))
    browser = portal.browser(language)
    listed = await browser.visit(MIRELA)
    return await browser.get(listed.path.replace("examinations", f"studies/{study.study_instance_uid}"))


@pytest.mark.parametrize(
    ("accepted", "kept", "interface", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.5", "", "", "de"),
        ("ja,mt;q=0.3", "", "", "mt"),
        ("de", "ga", "", "ga"),
        ("de", "", "el", "el"),
        ("de", "xx", "", "de"),
        ("", "", "", "en"),
    ],
)
def test_the_language_of_terms_is_the_readers_of_the_24(
    accepted: str, kept: str, interface: str, language: str
) -> None:
    assert choose_terms(accepted, kept, interface) == language


async def test_a_german_reader_finds_the_status_in_german_in_an_english_page(portal: FakePortal) -> None:
    page = await _listed(portal, "de")

    assert '<html lang="en">' in page.text
    assert '<span lang="de">Endgültig</span>' in page.text


async def test_a_greek_reader_sees_no_mark_of_language_on_greek_words(portal: FakePortal) -> None:
    page = await _listed(portal, "el")

    assert "Οριστική" in page.text
    assert 'lang="el">Οριστική' not in page.text


async def test_sections_of_a_report_are_named_in_the_readers_language_with_the_written_title_beside(
    portal: FakePortal,
) -> None:
    listed = await _listed(portal, "fi")
    browser = portal.browser("fi")
    await browser.visit(reports()["mr-markos"].patient)

    page = await browser.get(browser.page.path.replace("examinations", "reports/mr-markos"))

    assert listed.status == page.status == 200
    assert '<span lang="fi">Löydökset</span> <span class="quiet"><span lang="el">Ευρήματα</span>' in page.text
    assert DRAFT in page.text


async def test_a_body_part_is_shown_translated_with_what_was_written_beside_it(portal: FakePortal) -> None:
    home = Code("urn:oid:2.999.6", "B4", "Θώρακας", is_original=True)

    page = await _study(portal, "pl", Code(SNOMED, "67734004", original=home), Code(SNOMED, "7771000", "Left"))

    assert '<span lang="pl">Górna część tułowia</span> <span class="quiet small">Θώρακας</span>' in page.text
    assert '<span lang="pl">Po lewej</span> <span class="quiet small">Left</span>' in page.text
    assert '<span lang="pl">Tomografia komputerowa</span>' in page.text


async def test_a_body_part_known_in_english_alone_says_so(portal: FakePortal) -> None:
    page = await _study(portal, "el", Code(SNOMED, "10200004", "Ήπαρ"))

    assert (
        '<span lang="en">Liver</span> <span class="quiet small">στα αγγλικά</span> <span class="quiet small">Ήπαρ</span>'
        in page.text
    )


async def test_a_national_code_stands_as_it_came_marked_with_its_code(portal: FakePortal) -> None:
    page = await _study(portal, "en", Code("99GR", "B4", "Θώρακας", is_original=True))

    assert 'Θώρακας <span class="quiet small">not translated <span class="id">B4</span></span>' in page.text


async def test_imported_words_are_shown_where_the_product_has_none(
    portal: FakePortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Imported(Dictionary):
        async def words(self, language: str, codes: object = ()) -> Words:
            return Words(language, {(SNOMED, "10200004", "de"): "Leber"})

    portal.desk.dictionary = Imported()

    page = await _study(portal, "de", Code(SNOMED, "10200004"))

    assert '<span lang="de">Leber</span>' in page.text


async def test_the_reader_chooses_the_language_of_terms_and_it_is_kept(portal: FakePortal) -> None:
    portal.country.with_report("mr-markos")
    browser = portal.browser("en")
    await browser.visit(reports()["mr-markos"].patient)
    listed = browser.page.path
    about = await browser.get("/about")

    await browser.post("/terms", {"terms": "ga", "here": "/about"})
    page = await browser.get(listed)

    assert '<option value="ga" lang="ga">Gaeilge</option>' in about.text
    assert DRAFT not in about.text
    assert browser.cookies["isthmus-terms"] == "ga"
    assert '<span lang="ga">Críochnaitheach</span>' in page.text


async def test_a_language_that_is_none_of_the_24_is_not_kept(portal: FakePortal) -> None:
    browser = portal.browser("de")
    await browser.sign_in()
    await browser.get("/about")

    await browser.post("/terms", {"terms": "../x", "here": "/about"})

    assert "isthmus-terms" not in browser.cookies


async def test_every_heading_that_names_a_section_of_a_report_is_in_the_readers_language(portal: FakePortal) -> None:
    demo = reports()["ct-eleni"]
    portal.country.with_report("ct-eleni")
    portal.country.with_study(demo.patient, uid=demo.study_instance_uids[0])
    browser = portal.browser("de")
    listed = await browser.visit(demo.patient)

    page = await browser.get(listed.path.replace("examinations", "reports/ct-eleni"))
    images = await browser.get(
        f"{listed.path.replace('examinations', 'studies')}/{demo.study_instance_uids[0]}/view?report=ct-eleni"
    )

    for heading in ('id="imp"><span lang="de">Beurteilung', 'id="rec"><span lang="de">Empfehlung'):
        assert heading in page.text
    assert '<summary><span lang="de">Befund' in page.text
    assert '<h3><span lang="de">Beurteilung</span></h3>' in images.text
    assert ">Impression<" not in page.text + images.text
