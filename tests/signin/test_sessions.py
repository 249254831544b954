"""Sessions: what the cookie keeps is nowhere else, and they end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.signin.conftest import Clock

from isthmus.errors import InsufficientRights, NationalInfrastructureUnavailable
from isthmus.model.people import HealthProfessional, Organisation
from isthmus.signin.sessions import Sessions, page_token, page_token_holds
from isthmus.signin.struck_off import StruckOff
from isthmus.storage.database import Database

WHO = HealthProfessional(
    "radiologist", "Dr. Runa Solvang", "2212", Organisation("Hospital", "1"), auth_time=1, amr=("pwd",)
)
pytestmark = pytest.mark.anyio


async def test_a_session_is_found_by_its_cookie(db: Database, clock: Clock) -> None:
    sessions = Sessions(db, clock)
    started = await sessions.start(WHO)

    found = await sessions.find(started.token)

    assert found == started
    assert found.professional.name == WHO.name
    assert found.professional.session not in ("", found.id, found.token)


async def test_neither_database_nor_representation_holds_the_token(db: Database, clock: Clock) -> None:
    started = await Sessions(db, clock).start(WHO)

    stored = db.file.read_bytes() + Path(f"{db.file}-wal").read_bytes()

    assert started.token.encode() not in stored
    assert started.id.encode() in stored
    assert started.token not in repr(started)


async def test_a_session_idle_for_a_quarter_of_an_hour_is_over(db: Database, clock: Clock) -> None:
    sessions = Sessions(db, clock)
    token = (await sessions.start(WHO)).token
    clock.now += timedelta(minutes=14)
    assert await sessions.find(token) is not None

    clock.now += timedelta(minutes=14)
    in_use = await sessions.find(token)
    clock.now += timedelta(minutes=15)
    idle = await sessions.find(token)

    assert in_use is not None
    assert idle is None


async def test_no_session_lasts_longer_than_eight_hours(db: Database, clock: Clock) -> None:
    sessions = Sessions(db, clock)
    token = (await sessions.start(WHO)).token

    lived = 0
    while await sessions.find(token) is not None:
        clock.now += timedelta(minutes=10)
        lived += 10

    assert lived == 480


async def test_a_session_that_was_ended_is_over(db: Database, clock: Clock) -> None:
    sessions = Sessions(db, clock)
    token = (await sessions.start(WHO)).token

    await sessions.end(token)

    assert await sessions.find(token) is None


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "x" * 5000, "\ud800" * 43])
async def test_an_invented_cookie_names_nobody(token: str, db: Database, clock: Clock) -> None:
    sessions = Sessions(db, clock)
    await sessions.start(WHO)

    assert await sessions.find(token) is None


@pytest.mark.threat("T93")
async def test_a_page_token_is_masked_anew_and_holds_for_its_session_alone(db: Database, clock: Clock) -> None:
    sessions = Sessions(db, clock)
    mine, other = await sessions.start(WHO), await sessions.start(WHO)

    first, second = page_token(mine), page_token(mine)

    assert first != second
    assert page_token_holds(mine, first)
    assert page_token_holds(mine, second)
    assert not page_token_holds(other, first)
    assert not any(page_token_holds(mine, token) for token in ("", "zz", first[:-2], first + "00", "00" * 64))


async def test_a_session_that_is_only_looked_at_is_not_used_by_it(db: Database, clock: Clock) -> None:
    sessions = Sessions(db, clock)
    started = await sessions.start(WHO)

    clock.now += timedelta(minutes=10)
    looked_at = await sessions.find(started.token, used=False)
    clock.now += timedelta(minutes=6)

    assert looked_at is not None
    assert await sessions.find(started.token) is None


async def test_who_was_struck_off_is_out_at_the_next_request_and_does_not_come_in_again(
    db: Database, clock: Clock, tmp_path: Path
) -> None:
    register = tmp_path / "struck-off.txt"
    register.write_text("# by the medical council\n")
    sessions = Sessions(db, clock, StruckOff(register))
    started, other = await sessions.start(WHO), await sessions.start(replace(WHO, sub="colleague"))
    assert await sessions.find(started.token) is not None

    register.write_text("# by the medical council\nradiologist  # 2026-11-25\n")

    assert await sessions.find(started.token) is None
    assert await sessions.living(started.id) is None
    assert await sessions.find(other.token) is not None
    with pytest.raises(InsufficientRights) as refusal:
        await sessions.start(WHO)
    assert refusal.value.reason == "no-role"


async def test_a_list_of_the_struck_off_that_cannot_be_read_closes(db: Database, clock: Clock, tmp_path: Path) -> None:
    started = await Sessions(db, clock).start(WHO)

    with pytest.raises(NationalInfrastructureUnavailable):
        await Sessions(db, clock, StruckOff(tmp_path / "not-there.txt")).find(started.token)
