"""One timeline: what belongs together is joined, what is missing is said, what is restricted leaves no trace."""

from __future__ import annotations

import re

import pytest
from tests.country_b.portal.fakes import FakePortal, participant

from isthmus.demo.people import PEOPLE
from isthmus.errors import CountryTimedOut, InsufficientRights
from isthmus.model.queries import REGIONS

pytestmark = pytest.mark.anyio
MARKOS, NOEMI, IASON, MIRELA, OSKAR = (PEOPLE[name] for name in ("markos", "noemi", "iason", "mirela", "oskar"))


def _joined(portal: FakePortal) -> None:
    report = portal.country.with_report("mr-markos")
    portal.country.with_study(MARKOS, uid=report.study_instance_uids[0])


async def test_a_study_and_its_report_are_joined_and_both_are_links(portal: FakePortal) -> None:
    _joined(portal)

    page = await portal.browser().visit(MARKOS)

    assert "1 examination" in page.text
    assert '<div class="neck"><span class="vh">linked by the study number</span></div>' in page.text
    report, study = re.findall(r'<a class="plate .*?</a>', page.text, re.DOTALL)
    assert "CT of the chest" in study
    assert "3 images" in study
    assert "Μαγνητική τομογραφία εγκεφάλου" in report
    assert 'lang="el"' in report
    assert "Greek" in report
    assert "Final" in report


async def test_a_study_alone_and_a_report_alone_say_what_is_missing(portal: FakePortal) -> None:
    portal.country.with_study(MIRELA)
    portal.country.with_report("ct-abdomen-oskar")

    alone = await portal.browser().visit(MIRELA)
    orphan = await portal.browser().visit(OSKAR)

    assert "No report available" in alone.text
    assert "No images available here" in orphan.text


async def test_a_country_that_shares_no_images_says_so_to_everybody(portal: FakePortal) -> None:
    portal.directory.participants = [participant(services=frozenset({"imaging-report"}))]
    portal.country.with_report("ct-abdomen-oskar")

    page = await portal.browser().visit(OSKAR)
    empty = await portal.browser().visit(NOEMI)

    assert "Country AA does not share images yet" in page.text
    for text in (page.text, empty.text):
        assert "Shares reports; images not yet." in text


async def test_an_earlier_version_stands_under_the_one_that_replaced_it(portal: FakePortal) -> None:
    old = portal.country.with_report("mr-markos", id="old", status="superseded", report_version="1")
    new = portal.country.with_report("mr-markos", id="new", report_status="amended", report_version="2", replaces="old")
    portal.country.with_study(MARKOS, uid=new.study_instance_uids[0])

    page = await portal.browser().visit(MARKOS)

    assert page.text.count('<a class="plate ') == 2
    assert "1 earlier version" in page.text
    assert f"/reports/{old.id}" in page.text
    assert "Amended" in page.text


@pytest.mark.requirement("EHDS-8")
async def test_nothing_to_see_looks_the_same_whatever_the_reason(portal: FakePortal) -> None:
    pages = [await portal.browser().visit(patient) for patient in (NOEMI, IASON)]

    shapes = [_anonymous(page.text) for page in pages]

    assert shapes[0] == shapes[1]
    assert "No imaging information is available here for this person." in pages[0].text
    assert "This does not mean that none exists." in pages[0].text


@pytest.mark.requirement("EHDS-8")
@pytest.mark.parametrize("language", ["en-GB", "el-GR"])
async def test_a_restricted_study_leaves_no_gap_on_the_page(portal: FakePortal, language: str) -> None:
    for patient in (MIRELA, OSKAR):
        portal.country.with_study(patient)

    pages = [await portal.browser(language).visit(patient) for patient in (MIRELA, OSKAR)]

    assert _anonymous(pages[0].text) == _anonymous(pages[1].text)


def _anonymous(text: str) -> str:
    """The page without token, visit, study and person."""
    text = re.sub(r'name="page-token" value="\w+"', "", text)
    text = re.sub(r"/visits/[\w-]+", "/visits/V", text)
    text = re.sub(r"2\.25\.\d+", "UID", text)
    return re.sub(r'<section class="patient".*?</section>', "", text, flags=re.DOTALL)


async def test_filters_work_by_address_and_say_what_they_leave(portal: FakePortal) -> None:
    _joined(portal)
    browser = portal.browser()
    page = await browser.visit(MARKOS)

    none = await browser.get(f"{page.path}?m=us&p=1")

    assert "No examination matches." in none.text
    assert "1 without these filters." in none.text
    assert 'name="m" value="us" checked' in none.text
    assert portal.country.asked.count("documents") == 1


async def test_asking_again_asks_the_country(portal: FakePortal) -> None:
    browser = portal.browser()
    page = await browser.visit(NOEMI)

    await browser.get(f"{page.path}?again=1")

    assert portal.country.asked.count("documents") == 2


async def test_a_country_that_does_not_answer_is_a_page_with_a_way_on(portal: FakePortal) -> None:
    browser = portal.browser()
    page = await browser.visit(NOEMI)
    portal.country.problem = CountryTimedOut("silence", country="AA")

    stopped = await browser.get(f"{page.path}?again=1")

    assert stopped.status == 504
    assert "Country AA cannot be reached at the moment" in stopped.text
    assert "Try again" in stopped.text


async def test_a_role_that_may_not_is_told_so_in_greek(portal: FakePortal) -> None:
    browser = portal.browser("el")
    page = await browser.visit(NOEMI)
    portal.country.problem = InsufficientRights("no", reason="role")

    stopped = await browser.get(f"{page.path}?again=1")

    assert stopped.status == 403
    assert "Ο ρόλος σας δεν το επιτρέπει. Ρωτήστε ιατρό της ομάδας σας." in stopped.text


@pytest.mark.parametrize("language", ["en", "el"])
async def test_the_constant_sentence_stands_on_every_list(portal: FakePortal, language: str) -> None:
    _joined(portal)
    browser = portal.browser(language)
    sentence = {"en": "Information may be incomplete.", "el": "Οι πληροφορίες μπορεί να είναι ελλιπείς."}[language]

    full, empty = await browser.visit(MARKOS), await browser.visit(NOEMI)

    for page in (full, empty):
        assert sentence in page.text


async def test_the_person_is_on_every_page_that_shows_data(portal: FakePortal) -> None:
    _joined(portal)
    browser = portal.browser()
    page = await browser.visit(MARKOS)
    report, study = re.findall(r'<a class="plate [^"]+" href="([^"]+)"', page.text)

    for path in (page.path, study, f"{study}/view", report):
        shown = await browser.get(path)
        assert shown.status == 200
        assert 'class="patient"' in shown.text
        assert "Markos Petravgos" in shown.text
        assert "3 Sept 1974" in shown.text


async def test_one_report_for_two_studies_stands_at_both_and_says_so(portal: FakePortal) -> None:
    first, second = portal.country.with_study(MARKOS), portal.country.with_study(MARKOS, modalities=("US",))
    portal.country.with_report(
        "mr-markos", study_instance_uids=(first.study_instance_uid, second.study_instance_uid), modalities=("CT", "US")
    )

    page = await portal.browser().visit(MARKOS)

    assert page.text.count("One report for 2 studies") == 2
    assert page.text.count("/reports/mr-markos") == 2
    assert re.search(r'value="us">.*?Ultrasound <span class="n">1</span>', page.text)


async def test_words_typed_into_the_filter_become_chips_and_an_address(portal: FakePortal) -> None:
    portal.country.with_study(MIRELA, regions=(REGIONS["774007"],), started="2026-01-05T10:00:00+02:00")
    portal.country.with_study(MIRELA, modalities=("MR",), started="2019-01-05T10:00:00+02:00")
    browser = portal.browser()
    listed = await browser.visit(MIRELA)

    page = await browser.get(f"{listed.path}?q=ct+kopf+2+jahre+thalassa")

    assert page.path == f"{listed.path}?p=2&m=ct&r=head&q=thalassa"
    assert all(f'id="{chip}"' in page.text for chip in ("p-2", "m-ct", "r-head"))
    assert len(re.findall(r'value="(?:2|ct|head)" checked', page.text)) == 3
    assert 'value="thalassa"' in page.text
    assert "0 of 2 examinations" in page.text


async def test_while_typing_only_finished_words_move_and_the_address_follows(portal: FakePortal) -> None:
    portal.country.with_study(MIRELA)
    browser = portal.browser()
    listed = await browser.visit(MIRELA)

    page = await browser.get(f"{listed.path}?q=ct+hea", hx_request="true")

    assert page.headers["hx-push-url"] == f"{listed.path}?m=ct&q=hea"
    assert 'name="q" value="hea"' in page.text


async def test_a_likeness_is_dotted_and_said_and_never_joined(portal: FakePortal) -> None:
    report = portal.country.with_report("ct-eleni", study_instance_uids=(), accession_numbers=(), report_status=None)
    portal.country.with_study(
        PEOPLE["eleni"],
        started=report.period_start or report.created,
        custodian=report.custodian,
        modalities=report.modalities,
    )
    browser = portal.browser()

    page = await browser.visit(PEOPLE["eleni"])
    study = await browser.get(re.findall(r'<a class="plate [^"]+" href="([^"]+/studies/[^"]+)"', page.text)[0])

    assert "1 examination" in page.text
    assert '<div class="neck neck--maybe"><span class="vh">possibly related</span></div>' in page.text
    for text in (page.text, study.text):
        assert "same day, same hospital, same kind of image. Not confirmed by a number." in text
    assert "linked by" not in page.text
