"""Sign-in with our own form: five failures and a login rests, in every process, whoever it is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from tests.signin.conftest import Clock

from isthmus import telemetry
from isthmus.errors import InsufficientRights, WeakAuthentication
from isthmus.signin.accounts import Accounts, practice_entries, write_accounts
from isthmus.signin.locks import Locks
from isthmus.signin.password import PasswordProvider
from isthmus.signin.provider import Wish
from isthmus.storage.database import Database
from isthmus.storage.sealed import MasterKey

ENTRIES = practice_entries()
RADIOLOGIST = ENTRIES[0]
MASTER = MasterKey(bytes(32))
pytestmark = pytest.mark.anyio


@pytest.fixture
def provider(tmp_path: Path, db: Database, clock: Clock) -> PasswordProvider:
    write_accounts(tmp_path / "accounts.toml", ENTRIES)
    return PasswordProvider(Accounts(tmp_path / "accounts.toml", "test"), Locks(db, MASTER, clock), "BB", clock)


def stopped() -> float:
    return (
        telemetry.REGISTRY.get_sample_value(
            "isthmus_limits_total", {"limit": "sign-in-failures", "country": "BB", "verdict": "stopped"}
        )
        or 0
    )


async def wrong(provider: PasswordProvider, login: str = "radiologist", times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(InsufficientRights) as refusal:
            await provider.finish({"login": login, "password": "wrong"}, Wish(), None)
        assert refusal.value.reason == "sign-in"
        assert str(refusal.value) == "login or password is wrong, or the account rests"


RIGHT = {"login": "radiologist", "password": RADIOLOGIST.password}


async def test_after_five_failures_a_login_rests_for_a_quarter_of_an_hour(
    provider: PasswordProvider, clock: Clock
) -> None:
    before = stopped()
    await wrong(provider, times=5)

    clock.now += timedelta(minutes=14)
    with pytest.raises(InsufficientRights):
        await provider.finish(RIGHT, Wish(), None)
    clock.now += timedelta(minutes=1)

    assert (await provider.finish(RIGHT, Wish(), None)).sub == "radiologist"
    assert stopped() - before == 1, "the operator is told once"


async def test_a_login_that_nobody_has_rests_like_any_other(provider: PasswordProvider, db: Database) -> None:
    await wrong(provider, login="nobody", times=7)

    kept = db.file.read_bytes() + Path(f"{db.file}-wal").read_bytes()
    assert b"nobody" not in kept, "what is typed as a login is sometimes a password"


async def test_the_right_password_forgets_the_wrong_ones(provider: PasswordProvider) -> None:
    for _ in range(3):
        await wrong(provider, times=4)
        await provider.finish(RIGHT, Wish(), None)


async def test_many_at_once_do_not_get_more_than_five(provider: PasswordProvider) -> None:
    fields = [{"login": "radiologist", "password": f"wrong-{n}"} for n in range(12)] + [RIGHT]

    ended = await asyncio.gather(*(provider.finish(each, Wish(), None) for each in fields), return_exceptions=True)

    assert all(isinstance(one, InsufficientRights) for one in ended), "the right one came after five others"


async def test_another_process_and_a_restart_know_the_rest(
    tmp_path: Path, provider: PasswordProvider, db: Database, clock: Clock
) -> None:
    """Five failures by another process of the node count here."""
    script = (
        "import asyncio, sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from isthmus.signin.locks import Locks; from isthmus.storage.database import Database\n"
        "from isthmus.storage.schema import signin; from isthmus.storage.schema.metadata import STATE\n"
        "from isthmus.storage.sealed import MasterKey\n"
        "db = Database(Path(sys.argv[1]), STATE)\n"
        "locks = Locks(db, MasterKey(bytes(32)), lambda: datetime(2026, 10, 1, 12, tzinfo=UTC))\n"
        "[asyncio.run(locks.take('radiologist')) for _ in range(5)]\n"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script, str(db.file)], check=True)

    with pytest.raises(InsufficientRights):
        await provider.finish(RIGHT, Wish(), None)


@pytest.mark.threat("T28")
async def test_once_more_is_for_the_same_person_and_the_level_is_the_accounts(provider: PasswordProvider) -> None:
    assert (await provider.finish(RIGHT, Wish(again="radiologist"), None)).sub == "radiologist"

    with pytest.raises(InsufficientRights):
        await provider.finish(RIGHT, Wish(again="nurse"), None)
    with pytest.raises(WeakAuthentication):
        await provider.finish(RIGHT, Wish(least="high"), None)
