"""How often, how much: guessing is slowed, flooding is told to wait."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from isthmus import telemetry
from isthmus.config import Limits
from isthmus.country_a.counting import Counting
from isthmus.country_a.passes import Admitted
from isthmus.errors import TooOften
from isthmus.testing.border import DOCTOR, PracticeBorder, traits
from isthmus.testing.register import CT, SEEN, TWIN, fill
from isthmus.transport.grid import Grid

pytestmark = pytest.mark.anyio


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[PracticeBorder]:
    """A border whose limits are those of production."""
    async with PracticeBorder(tmp_path / "practice", limits_of="test", grid=Grid()) as made:
        fill(made.register, tmp_path)
        yield made


@pytest.fixture
async def quick(tmp_path: Path) -> AsyncIterator[PracticeBorder]:
    """The same, where nobody looks at the time."""
    async with PracticeBorder(tmp_path / "practice", limits_of="test") as made:
        fill(made.register, tmp_path)
        yield made


@pytest.mark.threat("T38")
async def test_guessing_is_slowed_for_one_professional_alone(strict: PracticeBorder) -> None:
    token, other = await strict.token(), await strict.token(replace(DOCTOR, sub="doctor-2"))
    wrong = {**traits(SEEN), "birthdate": "1901-02-03"}

    guesses = [await strict.ask("/fhir/Patient/_search", token=token, form=wrong) for _ in range(6)]
    right = await strict.ask("/fhir/Patient/_search", token=token, form=traits(SEEN))
    by_other = await strict.ask("/fhir/Patient/_search", token=other, form=traits(SEEN))

    assert [reply.status for reply in guesses] == [200] * 5 + [429]
    assert (right.status, right.code) == (429, "rate")
    assert int(right.headers["retry-after"]) > 1
    assert by_other.status == 200


@pytest.mark.threat("T38")
async def test_patients_of_a_day_are_counted_by_what_was_asked(strict: PracticeBorder) -> None:
    strict.change(1, policy={"min_loa": "substantial", "patient_presence": ["id-document"], "patients_per_day": 2})
    token = await strict.token()

    statuses = []
    for identifier in ("0000000001", "0000000099", "0000000001", "0000000002"):
        asked = {**traits(SEEN), "identifier": f"{SEEN.identifier.system}|{identifier}"}
        statuses.append((await strict.ask("/fhir/Patient/_search", token=token, form=asked)).status)

    assert statuses == [200, 200, 200, 429]


@pytest.mark.threat("T81")
async def test_a_flood_is_told_to_wait_and_does_not_fill_the_trail(strict: PracticeBorder) -> None:
    before = strict.events()

    statuses = [(await strict.ask("/fhir/DocumentReference", token="x")).status for _ in range(150)]

    assert statuses.count(401) + statuses.count(429) == 150
    assert statuses.count(429) > 10
    assert strict.events() - before == 40


@pytest.mark.threat("T40")
async def test_answers_to_a_patient_search_leave_on_a_grid_of_time(strict: PracticeBorder) -> None:
    token = await strict.token()

    for asked in (traits(SEEN), {**traits(TWIN), "birthdate": "1901-02-03"}):
        began = time.monotonic()
        await strict.ask("/fhir/Patient/_search", token=token, form=asked)
        passed_ms = (time.monotonic() - began) * 1000
        assert passed_ms >= 150
        assert math.floor(passed_ms / 50) * 50 >= 150


@pytest.mark.fault("F51")
async def test_a_resume_that_asks_image_by_image_is_not_told_to_wait(strict: PracticeBorder) -> None:
    token, _ = await strict.care(SEEN)
    image = f"/dicom-web/studies/{CT}/series/{CT}.1/instances/{CT}.1.1"
    stored = {"accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}

    statuses = {(await strict.ask(image, token=token, headers=stored)).status for _ in range(150)}

    assert 429 not in statuses


def events(limit: str, verdict: str, country: str = "BB") -> float:
    """How often the operator was told."""
    labels = {"limit": limit, "country": country, "verdict": verdict}
    return telemetry.REGISTRY.get_sample_value("isthmus_limits_total", labels) or 0


@pytest.mark.threat("T96")
@pytest.mark.threat("T50")
async def test_half_of_a_peers_patients_is_told_and_more_than_all_are_stopped(quick: PracticeBorder) -> None:
    quick.change(1, policy={"min_loa": "substantial", "patient_presence": ["id-document"], "patients_per_day": 4})
    token, before = await quick.token(), {v: events("patients-per-day", v) for v in ("alarm", "stopped")}

    statuses = []
    for number in range(40):  # ten times its capacity
        who = replace(DOCTOR, sub=f"doctor-{number}")
        asked = {**traits(SEEN), "identifier": f"{SEEN.identifier.system}|{number:010}"}
        token = await quick.token(who)
        statuses.append((await quick.ask("/fhir/Patient/_search", token=token, form=asked)).status)

    assert (statuses.count(200), statuses.count(429)) == (4, 36)
    assert events("patients-per-day", "alarm") - before["alarm"] == 1
    assert events("patients-per-day", "stopped") - before["stopped"] == 36


@pytest.mark.threat("T38")
async def test_what_stops_a_professional_is_told_by_its_name(quick: PracticeBorder) -> None:
    token, before = await quick.token(), events("failed-searches", "stopped")
    wrong = {**traits(SEEN), "birthdate": "1901-02-03"}

    for _ in range(7):
        await quick.ask("/fhir/Patient/_search", token=token, form=wrong)

    assert events("failed-searches", "stopped") - before == 2


@pytest.mark.threat("T95")
async def test_many_professionals_of_one_patient_are_told_and_all_are_served(border: PracticeBorder) -> None:
    before = events("professionals-per-patient", "alarm")

    for number in range(12):
        token, _ = await border.care(SEEN, replace(DOCTOR, sub=f"doctor-{number}"))
        assert token

    assert events("professionals-per-patient", "alarm") - before == 1


async def test_a_flood_is_counted_whole_and_told_in_the_log_like_in_the_trail(quick: PracticeBorder) -> None:
    before = events("peer-requests", "stopped")

    statuses = [(await quick.ask("/fhir/DocumentReference", token="x")).status for _ in range(150)]

    assert events("peer-requests", "stopped") - before == statuses.count(429)


async def test_a_transfer_that_finds_no_slot_waits_and_is_told(tmp_path: Path) -> None:
    before = events("professional-transfers", "stopped")
    async with PracticeBorder(tmp_path / "practice", parallel_images=0) as border:
        fill(border.register, tmp_path)
        token, _ = await border.care(SEEN)
        busy = await border.ask(f"/dicom-web/studies/{CT}/series/{CT}.1/instances/{CT}.1.1", token=token)

    assert (busy.status, busy.code, busy.headers["retry-after"]) == (429, "rate", "1")
    assert events("professional-transfers", "stopped") - before == 1


async def test_slots_are_eight_of_a_professional_and_sixty_four_of_a_country_and_are_given_back(
    quick: PracticeBorder,
) -> None:
    counting = Counting(quick.state, quick.master, Limits(), "prod", quick.clock)

    def admitted(who: str) -> Admitted:
        return cast(Admitted, SimpleNamespace(peer="urn:bb", sub=who))

    for _ in range(2):
        with contextlib.ExitStack() as held:
            for number in range(64):
                held.enter_context(counting.transfer(admitted(f"doctor-{number // 8}")))
            with pytest.raises(TooOften) as ninth:
                held.enter_context(counting.transfer(admitted("doctor-0")))
            with pytest.raises(TooOften) as full:
                held.enter_context(counting.transfer(admitted("doctor-9")))

    assert ninth.value.facts["limit"] == "professional-transfers"
    assert full.value.facts["limit"] == "peer-parallel-transfers"
