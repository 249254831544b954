"""How often, how much: guessing is slowed, flooding is told to wait."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

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
