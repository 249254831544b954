"""Seen once is seen: after a restart, by another process, with the clock set back."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select
from tests.trust.conftest import Clock

from isthmus.errors import Replayed
from isthmus.storage.database import Database
from isthmus.storage.schema.metadata import STATE
from isthmus.storage.schema.trust import trust_seen
from isthmus.trust.replay import remember

JTI = "AAECAwQFBgcICQoLDA0ODw"


def see(
    db: Database,
    now: datetime,
    *,
    life_s: int = 60,
    issuer: str = "bb",
    typ: str = "hpa+jwt",
    jti: str = JTI,
    **more: str,
) -> None:
    expires_at = int(now.timestamp()) + life_s
    db.write_now(lambda connection: remember(connection, issuer, typ, jti, expires_at, now, **more))


@pytest.mark.threat("T19")
def test_a_second_sight_is_refused(db: Database, clock: Clock) -> None:
    see(db, clock.now)

    with pytest.raises(Replayed) as refusal:
        see(db, clock.now, reason="replay-hpa")

    assert refusal.value.meaning.status == 400


@pytest.mark.threat("T19")
def test_another_process_and_a_restart_know_it_too(db: Database, clock: Clock) -> None:
    see(db, clock.now)
    other = Database(db.file, STATE)

    with pytest.raises(Replayed):
        see(other, clock.now)

    other.close()


def test_issuer_type_and_jti_together_name_a_statement(db: Database, clock: Clock) -> None:
    see(db, clock.now)

    see(db, clock.now, issuer="cc")
    see(db, clock.now, typ="client-authentication+jwt")
    see(db, clock.now, jti=JTI[::-1])

    assert (
        db.read_now(lambda connection: connection.execute(select(func.count()).select_from(trust_seen)).scalar()) == 4
    )


@pytest.mark.threat("T19")
def test_a_clock_set_back_does_not_open_the_window_again(db: Database, clock: Clock) -> None:
    then = clock.now
    see(db, then)
    clock.forward(minutes=10)
    see(db, clock.now, jti="another-statement-00000")
    assert (
        db.read_now(lambda connection: connection.execute(select(func.count()).select_from(trust_seen)).scalar()) == 1
    )

    with pytest.raises(Replayed):
        see(db, then)

    see(db, then + timedelta(seconds=1))


def test_what_the_transaction_undoes_was_not_seen(db: Database, clock: Clock) -> None:
    expires_at = int(clock.now.timestamp()) + 60

    def fails(connection: object) -> None:
        remember(connection, "bb", "hpa+jwt", JTI, expires_at, clock.now)  # type: ignore[arg-type]  # a Connection
        raise RuntimeError("the trail could not be written")

    with pytest.raises(RuntimeError):
        db.write_now(fails)

    see(db, clock.now)


ANOTHER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from isthmus.errors import Replayed
from isthmus.storage.database import Database
from isthmus.storage.schema import trust
from isthmus.storage.schema.metadata import STATE
from isthmus.trust.replay import remember

database = Database(Path(sys.argv[1]), STATE)
now = datetime.fromtimestamp(int(sys.argv[2]), UTC)
accepted = 0
for number in range(int(sys.argv[3])):
    try:
        database.write_now(lambda c: remember(c, "bb", "hpa+jwt", f"statement-{number:016}", int(sys.argv[4]), now))
        accepted += 1
    except Replayed:
        pass
print(accepted)
"""


def another_process(db: Database, now: datetime, expires_at: int, count: int) -> subprocess.Popen[str]:
    """One that is shown the same statements."""
    words = [sys.executable, "-c", ANOTHER, str(db.file), str(int(now.timestamp())), str(count), str(expires_at)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def accepted(process: subprocess.Popen[str]) -> int:
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return int(said)


@pytest.mark.threat("T19")
def test_two_processes_that_are_shown_the_same_at_once_accept_each_statement_once(db: Database, clock: Clock) -> None:
    expires_at = int(clock.now.timestamp()) + 60

    racing = [another_process(db, clock.now, expires_at, 100) for _ in range(2)]
    first, second = (accepted(process) for process in racing)
    late = accepted(another_process(db, clock.now, expires_at, 100))

    assert first + second == 100
    assert late == 0, "a process that starts later knows them too"


@pytest.mark.threat("T19")
def test_another_process_whose_clock_is_behind_does_not_open_the_window(db: Database, clock: Clock) -> None:
    """What was purged here is not new there: the mark is shared, not the clock."""
    then, expires_at = clock.now, int(clock.now.timestamp()) + 60
    assert accepted(another_process(db, then, expires_at, 1)) == 1
    clock.forward(minutes=10)
    see(db, clock.now, jti="another-statement-00000")

    assert accepted(another_process(db, then, expires_at, 1)) == 0
