"""Who is let in: the session, or a token of that visit, as long as both live."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.country_b.local.conftest import Hospital, Program
from tests.country_b.portal.fakes import PUBLIC

from isthmus.demo.people import PEOPLE

pytestmark = [pytest.mark.anyio, pytest.mark.threat("T92")]
LIST = "dicom-web/studies"


async def test_a_token_is_handed_out_for_the_session_and_an_equal_origin_alone(hospital: Hospital) -> None:
    browser, visit = await hospital.visit()

    page = await hospital.token(browser, visit)

    said = json.loads(page.body)
    assert (page.status, said["token_type"], said["expires_in"]) == (200, "Bearer", 900)
    assert page.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in page.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": ""},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site", "origin": ""},
    ],
)
async def test_no_token_for_a_page_of_another_origin(hospital: Hospital, headers: dict[str, str]) -> None:
    browser, visit = await hospital.visit()

    page = await hospital.token(browser, visit, **headers)

    assert page.status == 403
    assert b"access_token" not in page.body


async def test_no_token_without_a_session_or_before_the_relationship_stands(hospital: Hospital) -> None:
    browser = hospital.browser()
    await browser.sign_in()
    page = await browser.find(PEOPLE["mirela"])
    unconfirmed = page.path.rpartition("/")[0]

    early = await hospital.token(browser, unconfirmed)
    stranger = await hospital.token(hospital.browser(), unconfirmed)

    assert (early.status, stranger.status) == (403, 403)


async def test_a_token_opens_its_visit_and_no_other(hospital: Hospital) -> None:
    one, other = await hospital.program(), await hospital.program(PEOPLE["oskar"])

    inside = await one.get(LIST)
    outside = await Program(one.browser, other.visit, one.headers).get(LIST)

    assert (inside.status, outside.status) == (200, 401)


@pytest.mark.parametrize(
    "authorization", ["", "Bearer " + "x" * 43, "Basic cmFkaW9sb2dpc3Q6cmlnaHQ=", "Bearer", "Bearer a b"]
)
async def test_without_a_good_token_nothing_is_told(hospital: Hospital, authorization: str) -> None:
    program = await hospital.program()
    program.headers = {"authorization": authorization}

    page = await program.get(LIST)

    assert page.status == 401
    assert page.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_in_the_address_counts_for_nothing(hospital: Hospital) -> None:
    program = await hospital.program()
    token = program.headers.pop("authorization").removeprefix("Bearer ")

    page = await program.get(f"{LIST}?access_token={token}")

    assert page.status == 401


async def test_a_bad_token_is_not_made_good_by_the_session_beside_it(hospital: Hospital) -> None:
    browser, visit = await hospital.visit()

    page = await browser.once("GET", f"{visit}/{LIST}", b"", {"accept": "*/*", "authorization": "Bearer " + "y" * 43})

    assert page.status == 401


async def test_a_token_lives_for_a_quarter_of_an_hour(hospital: Hospital) -> None:
    program = await hospital.program()
    statuses = []

    for minutes in (14, 2):
        hospital.portal.clock.now += timedelta(minutes=minutes)
        statuses.append((await program.get(LIST)).status)

    assert statuses == [200, 401]


async def test_a_token_ends_with_the_visit(hospital: Hospital) -> None:
    program = await hospital.program()
    await program.browser.get(f"{program.visit}/examinations")

    await program.browser.post(f"{program.visit}/close")

    assert (await program.get(LIST)).status == 401


async def test_a_token_ends_with_the_session(hospital: Hospital) -> None:
    program = await hospital.program()
    session = program.browser.cookies["isthmus-BB-8700"]

    await hospital.portal.desk.sessions.end(session)

    assert (await program.get(LIST)).status == 401


async def test_a_token_of_one_patient_is_none_of_another(hospital: Hospital) -> None:
    program = await hospital.program()
    desk = hospital.portal.desk
    session = await desk.sessions.find(program.browser.cookies["isthmus-BB-8700"])
    assert session is not None
    visit = await desk.visits.find(program.visit.rpartition("/")[2], session.professional)

    await desk.visits.keep(visit.found("AA", replace(PEOPLE["oskar"], handle="h-another")))

    assert (await program.get(LIST)).status == 401


async def test_the_session_reads_too_and_is_asked_where_a_search_is_posted_from(hospital: Hospital) -> None:
    browser, visit = await hospital.visit()
    form = {"accept": "*/*", "content_type": "application/x-www-form-urlencoded"}

    read = await browser.once("GET", f"{visit}/{LIST}", b"", {"accept": "*/*"})
    own = await browser.once("POST", f"{visit}/fhir/DocumentReference/_search", b"_count=1", form | {"origin": PUBLIC})
    foreign = await browser.once(
        "POST", f"{visit}/fhir/DocumentReference/_search", b"_count=1", form | {"origin": "http://evil.example"}
    )

    assert (read.status, own.status, foreign.status) == (200, 200, 403)


async def test_another_host_name_is_not_answered(hospital: Hospital) -> None:
    program = await hospital.program()

    page = await program.get(LIST, host="rebound.example")

    assert page.status == 421


async def test_the_first_use_of_a_token_for_each_thing_stands_in_the_trail(hospital: Hospital) -> None:
    program = await hospital.program()

    for path in (LIST, LIST, "fhir/DocumentReference", LIST):
        await program.get(path)

    assert [view.outcome for view in hospital.trail("view")] == ["complete", "complete"]


async def test_without_a_trail_there_is_neither_token_nor_data(hospital: Hospital) -> None:
    program = await hospital.program()
    hospital.stop_trail()

    read, issued = await program.get(LIST), await hospital.token(program.browser, program.visit)

    assert (read.status, issued.status) == (503, 503)


async def test_only_the_digest_of_a_token_is_kept(hospital: Hospital) -> None:
    program = await hospital.program()
    token = program.headers["authorization"].removeprefix("Bearer ")

    files = [path.read_bytes() for path in hospital.portal.desk.settings.folder.glob("state.sqlite*")]

    assert files
    assert not any(token.encode() in content for content in files)


@pytest.mark.parametrize("path", ["dicom-web", "fhir/Patient", "fhir/Nothing/x", "dicom-web/studies/1.2/nothing"])
async def test_what_is_not_offered_is_said_in_json(hospital: Hospital, path: str) -> None:
    program = await hospital.program()

    page = await program.get(path)

    assert page.status == 404
    assert json.loads(page.body)["resourceType"] == "OperationOutcome"
