"""A patient at home hides a study on the citizen's page of a running node; the doctor abroad sees it no more, and the patient reads who looked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.test_nothing_leaks import Browser

from isthmus.demo.people import PEOPLE
from isthmus.demo.studies import STUDIES
from isthmus.testing.two_countries import TwoCountries, prepare, two_countries

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def pair(at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoCountries]:
    folder = tmp_path_factory.mktemp("citizen") / "pair"
    prepare(folder, at_rest)
    with two_countries(folder) as running:
        yield running


@pytest.mark.threat("T110")
async def test_what_a_patient_hides_at_home_is_gone_abroad_and_the_visit_stands_in_the_list(pair: TwoCountries) -> None:
    irini, hidden = PEOPLE["irini"], STUDIES["ct-irini"].study_instance_uid
    ready = pair.demo.ready()
    account = next(one for one in ready["citizens"] if one["login"] == "irini")
    browser = Browser(ready["countries"]["AA"]["citizen"])

    async with pair.b.visit(irini) as visit:
        before = len(await visit.examinations())
        browser.get("/sign-in")
        browser.post("/sign-in", login=account["login"], password=account["password"])
        browser.get(f"/consent/preview?kind=restrict-study&scope={hidden}")
        preview = browser.page
        browser.post("/consent", kind="restrict-study", scope=hidden)
        after = len(await visit.examinations())
    looks = browser.get("/access").decode()

    assert re.search(r"<td>Seen</td><td>Hidden</td>", preview)
    assert (before, after) == (2, 1)
    for word in ("Dr. Runa Solvang", "Country BB", "read the list of your studies and reports"):
        assert word in looks


def test_professionals_accounts_do_not_open_it_and_patients_accounts_no_portal(pair: TwoCountries) -> None:
    ready = pair.demo.ready()
    home, portal = Browser(ready["countries"]["AA"]["citizen"]), Browser(ready["portal"])
    doctor, patient = ready["accounts"][0], ready["citizens"][0]

    home.get("/sign-in")
    home.post("/sign-in", login=doctor["login"], password=doctor["password"])
    portal.get("/sign-in")
    portal.post("/sign-in", login=patient["login"], password=patient["password"])

    assert "Name or password is not right" in home.page
    assert "Name or password is not right" in portal.page
