"""How the patient was recognised, who speaks for them, and what a professional sees whose sign-in is too weak."""

from __future__ import annotations

import hashlib
import html
import re
from dataclasses import replace

import pytest
from tests.country_b.portal.fakes import DOCTOR, LOGIN, PASSWORD, FakePortal, participant

from isthmus.country_b.visit import Visit
from isthmus.demo.people import PEOPLE
from isthmus.errors import WeakAuthentication
from isthmus.model.context import TreatmentRelationship
from isthmus.trust.encoding import base64url
from isthmus.trust.trustlist import Policy

pytestmark = pytest.mark.anyio
ELENI = PEOPLE["eleni"]
CONFIRMED = {"relationship": "yes", "purpose": "TREAT"}
SPEAKS = {"representative": "Maria  Kosta", "basis": "guardian", "evidence": "court decision 17/2026"}


def accepting(portal: FakePortal, *ways: str) -> None:
    entry = replace(participant(), policy=Policy(patient_presence=frozenset(ways)))
    portal.directory.participants = [entry]


async def bond_of(portal: FakePortal, path: str) -> TreatmentRelationship:
    visit: Visit = await portal.desk.visits.find(path.split("/")[2], DOCTOR)
    assert visit.relationship is not None
    return visit.relationship


async def test_the_ways_of_recognising_are_those_of_the_country(portal: FakePortal) -> None:
    accepting(portal, "ehic", "id-document", "eudiw-pid")
    browser = portal.browser()
    await browser.sign_in()

    asked = await browser.find(ELENI)
    listed = await browser.post(asked.path, CONFIRMED | {"recognised": "ehic"})

    assert "European Health Insurance Card" in asked.text
    assert "Could not show a document" not in asked.text
    assert (await bond_of(portal, listed.path)).method == "ehic"


async def test_where_there_is_one_way_nobody_is_asked(portal: FakePortal) -> None:
    accepting(portal, "ehic")
    browser = portal.browser()
    await browser.sign_in()

    asked = await browser.find(ELENI)
    listed = await browser.confirm()

    assert "How you recognised the person" not in asked.text
    assert (await bond_of(portal, listed.path)).method == "ehic"


async def test_a_way_that_was_not_offered_is_not_taken(portal: FakePortal) -> None:
    accepting(portal, "id-document")
    browser = portal.browser()
    await browser.sign_in()
    asked = await browser.find(ELENI)

    page = await browser.post(asked.path, CONFIRMED | {"recognised": "unable"})

    assert page.status == 400


@pytest.mark.threat("T47")
async def test_who_speaks_for_the_patient_is_kept_and_what_they_showed_as_a_digest(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in()
    asked = await browser.find(ELENI)

    listed = await browser.post(asked.path, CONFIRMED | SPEAKS)

    somebody = (await bond_of(portal, listed.path)).representative
    assert somebody is not None
    assert (somebody.identifier, somebody.basis) == ("Maria Kosta", "guardian")
    assert somebody.evidence_sha256 == base64url(hashlib.sha256(b"court decision 17/2026").digest())
    assert "Maria" not in repr(somebody)


@pytest.mark.threat("T47")
@pytest.mark.parametrize("lacking", ["representative", "evidence"])
async def test_who_speaks_is_said_whole_or_not_at_all(portal: FakePortal, lacking: str) -> None:
    browser = portal.browser()
    await browser.sign_in()
    asked = await browser.find(ELENI)

    page = await browser.post(asked.path, CONFIRMED | {**SPEAKS, lacking: ""})
    without = await browser.post(asked.path, CONFIRMED | {"representative": "", "basis": "guardian", "evidence": ""})

    assert page.status == 400
    assert "Say who speaks for the person and what they showed" in page.text
    assert (await bond_of(portal, without.path)).representative is None


@pytest.mark.threat("T28")
async def test_a_sign_in_that_is_too_weak_is_told_with_the_way_to_a_stronger_one(portal: FakePortal) -> None:
    browser = portal.browser()
    await browser.sign_in()
    portal.country.problem = WeakAuthentication("too weak", acr_values="http://eidas.europa.eu/LoA/high", country="AA")

    page = await browser.find(ELENI)
    link = re.search(r'href="(/sign-in/again[^"]*)"', page.text)
    assert link is not None
    again = await browser.get(html.unescape(link[1]))
    back = await browser.post(
        "/sign-in/again", {"login": LOGIN, "password": PASSWORD, "here": "/find", "level": "high"}
    )

    assert page.status == 403
    assert "Country AA asks for a stronger sign-in" in page.text
    assert 'name="here" value="/find"' in again.text
    assert 'name="level" value="high"' in again.text
    assert back.path == "/find"
