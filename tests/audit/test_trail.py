"""The trail as a node writes it: durable first, closed always, and closed for those who cannot."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, Table, insert, select

from isthmus.audit.account import Account
from isthmus.audit.events import Intent, Note, Outcome
from isthmus.audit.trail import Trail
from isthmus.audit.writers import Writers
from isthmus.errors import AuditUnavailable, Replayed
from isthmus.model.identifiers import PatientIdentifier
from isthmus.storage.database import Database
from isthmus.storage.schema.audit import audit_trail, audit_writer
from isthmus.storage.schema.metadata import STATE
from isthmus.storage.sealed import MasterKey

MASTER = MasterKey(bytes(range(32)))
COMPLETE = Outcome(outcome="complete", status=200, instances=3, bytes=1234, digest="ab" * 32)
SEEN = Table("seen_in_test", STATE, Column("id", Integer, primary_key=True))


def now() -> datetime:
    return datetime.now(UTC)


def intent(exchange_id: str = "x-1", **more: object) -> Intent:
    patient = PatientIdentifier("urn:oid:2.999.2.1", "0123456789")
    values: dict[str, object] = {"side": "A", "transaction": "RAD-107", "peer": "BB", "purpose": "TREAT"}
    return Intent(exchange_id=exchange_id, patient=patient, **{**values, **more})  # type: ignore[arg-type]  # kinds vary


def database(folder: Path) -> Database:
    made = Database(folder / "state.sqlite", STATE, unavailable=AuditUnavailable)
    made.create()
    return made


def trail_in(folder: Path) -> Trail:
    return Trail(database(folder), MASTER, now, folder)


def account_of(folder: Path) -> Account:
    return Account(database(folder), MASTER, folder)


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[Trail]:
    trail = trail_in(tmp_path)
    trail.start()
    yield trail
    trail.stop()


def test_an_exchange_is_listed_open_and_then_with_its_ending(trail: Trail, tmp_path: Path) -> None:
    account = account_of(tmp_path)

    opened = asyncio.run(trail.open(intent()))
    before = account.exchanges(10)
    asyncio.run(trail.close(opened, COMPLETE))
    after = account.exchanges(10)

    assert [(each.outcome, each.closed) for each in before] == [("open", None)]
    assert [(each.outcome, each.instances, each.bytes, each.peer) for each in after] == [("complete", 3, 1234, "BB")]
    assert account.verify().open == 0


def test_the_list_is_newest_first_and_bounded(trail: Trail, tmp_path: Path) -> None:
    for number in range(5):
        trail.record_now(intent(f"x-{number}"), Outcome(outcome="refused", status=403, reason="role"))

    listed = account_of(tmp_path).exchanges(2)

    assert [each.exchange_id for each in listed] == ["x-4", "x-3"]
    assert {each.outcome for each in listed} == {"refused"}


def test_no_clear_column_names_the_patient(trail: Trail, tmp_path: Path) -> None:
    trail.record_now(intent(person="Amara Diallo"), COMPLETE)
    trail.stop()

    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())

    assert b"0123456789" not in stored
    assert b"Amara" not in stored


def test_two_hundred_openings_at_once_are_all_written_and_numbered_without_gap(trail: Trail, tmp_path: Path) -> None:
    async def many() -> list[int]:
        async def one(number: int) -> int:
            opened = await trail.open(intent(f"x-{number}"))
            await trail.close(opened, COMPLETE)
            return opened.number

        return await asyncio.gather(*(one(number) for number in range(200)))

    numbers = asyncio.run(many())
    verified = account_of(tmp_path).verify()

    assert len(set(numbers)) == 200
    assert (verified.intact, verified.events, verified.open) == (True, 200, 0)


def test_what_belongs_to_a_record_is_written_with_it_or_not_at_all(trail: Trail, tmp_path: Path) -> None:
    def also(connection: Connection) -> None:
        connection.execute(insert(SEEN).values(id=1))

    def seen_already(connection: Connection) -> None:
        connection.execute(insert(SEEN).values(id=2))
        raise Replayed("seen before")

    async def both() -> list[object]:
        openings = (trail.open(intent("x-1"), also), trail.open(intent("x-2"), seen_already))
        return list(await asyncio.gather(*openings, return_exceptions=True))

    results = asyncio.run(both())
    kept = database(tmp_path).read_now(lambda c: c.execute(select(SEEN.c.id)).scalars().all())

    assert isinstance(results[1], Replayed)
    assert kept == [1]
    assert [each.exchange_id for each in account_of(tmp_path).exchanges(10)] == ["x-1"]


def test_an_opening_whose_asker_was_cancelled_is_closed(trail: Trail, tmp_path: Path) -> None:
    async def cancelled() -> None:
        opening = asyncio.create_task(trail.open(intent()))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    asyncio.run(cancelled())
    trail.stop()

    assert [each.outcome for each in account_of(tmp_path).exchanges(10)] == ["incomplete"]


def test_an_ending_is_written_once(trail: Trail, tmp_path: Path) -> None:
    opened = trail.open_now(intent())

    trail.close_now(opened, COMPLETE)
    trail.close_now(opened, Outcome(outcome="failed"))

    assert [each.outcome for each in account_of(tmp_path).exchanges(10)] == ["complete"]


def test_a_note_is_an_event_but_no_exchange(trail: Trail, tmp_path: Path) -> None:
    trail.note_now(Note(kind="trust-list", side="A", details={"seq": "412"}))

    assert account_of(tmp_path).exchanges(10) == []
    assert account_of(tmp_path).verify().events == 1


def test_a_stopped_node_leaves_nothing_open_and_no_writer(tmp_path: Path) -> None:
    trail = trail_in(tmp_path)
    trail.start()
    trail.open_now(intent())

    trail.stop()

    assert [(each.outcome, each.reason) for each in account_of(tmp_path).exchanges(1)] == [
        ("incomplete", "interrupted")
    ]
    assert database(tmp_path).read_now(lambda c: c.execute(select(audit_writer)).first()) is None
    assert not list((tmp_path / "writers").glob("*.lock"))


KILLED = """
import sys; from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_trail import trail_in, intent
trail = trail_in(Path(sys.argv[1])); trail.start(); trail.open_now(intent("killed")); print("open", flush=True)
import time; time.sleep(60)
"""


@pytest.mark.threat("T76")
def test_the_exchange_of_a_killed_process_is_a_finding_until_another_closes_it(tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    other = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), here], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"open\n"
    account, trail = account_of(tmp_path), trail_in(tmp_path)
    trail.start()

    running = account.verify(), trail.recover_now()
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    other.stdout.close()
    killed, mended = account.verify(), trail.recover_now()
    after = account.verify()
    trail.stop()

    assert (running[0].intact, running[0].open, running[1]) == (True, 1, 0)
    assert (killed.intact, killed.open, [problem.number for problem in killed.problems]) == (False, 1, [0])
    assert mended == 1
    assert (after.intact, after.open) == (True, 0)
    assert [(each.outcome, each.reason) for each in account.exchanges(5)] == [("incomplete", "interrupted")]


@pytest.mark.threat("T76")
def test_what_cannot_be_written_is_not_opened_and_an_ending_stays_owed(trail: Trail, tmp_path: Path) -> None:
    opened = trail.open_now(intent())
    other = database(tmp_path)
    other.write_now(lambda c: c.exec_driver_sql("ALTER TABLE audit_trail RENAME TO gone") and None)

    with pytest.raises(AuditUnavailable):
        trail.open_now(intent("x-2"))
    with pytest.raises(AuditUnavailable):
        trail.close_now(opened, COMPLETE)
    unhealthy = trail.healthy
    other.write_now(lambda c: c.exec_driver_sql("ALTER TABLE gone RENAME TO audit_trail") and None)
    trail.record_now(intent("x-3"), COMPLETE)

    assert not unhealthy
    assert trail.healthy
    assert {each.exchange_id: each.outcome for each in account_of(tmp_path).exchanges(5)} == {
        "x-1": "complete",
        "x-3": "complete",
    }


def test_a_trail_that_is_not_started_refuses(tmp_path: Path) -> None:
    with pytest.raises(AuditUnavailable):
        asyncio.run(trail_in(tmp_path).open(intent()))


def test_values_are_cut_and_control_characters_written_out(trail: Trail, tmp_path: Path) -> None:
    trail.record_now(intent(peer="BB\nforged line\x1b[2J" + "x" * 5000), COMPLETE)

    listed = account_of(tmp_path).exchanges(1)[0]

    assert listed.peer.startswith("BB\\u000aforged line\\u001b[2J")
    assert len(listed.peer) < 600


@pytest.mark.threat("T77")
def test_the_database_itself_refuses_to_change_a_record(trail: Trail, tmp_path: Path) -> None:
    trail.record_now(intent(), COMPLETE)

    for words in ("UPDATE audit_trail SET kind = 'event'", "DELETE FROM audit_trail"):
        with pytest.raises(Exception, match="only added to"):
            database(tmp_path).write_now(lambda c, words=words: c.exec_driver_sql(words) and None)  # type: ignore[misc]  # bound

    assert database(tmp_path).read_now(lambda c: len(c.execute(select(audit_trail.c.number)).all())) == 2


@pytest.mark.threat("T77")
@pytest.mark.parametrize("taken", ["number = 0", "number = 1", "number >= 0"])
def test_a_trail_that_lacks_a_record_is_not_written_on(tmp_path: Path, taken: str) -> None:
    trail = trail_in(tmp_path)
    trail.start()
    trail.record_now(intent(), COMPLETE)
    trail.stop()
    with closing(sqlite3.connect(tmp_path / "state.sqlite", isolation_level=None)) as disk:
        for (trigger,) in disk.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            disk.execute(f'DROP TRIGGER "{trigger}"')
        disk.execute(f"DELETE FROM audit_trail WHERE {taken}")

    with pytest.raises(AuditUnavailable, match="records of the trail are missing"):
        trail_in(tmp_path).start()


@pytest.mark.threat("T77")
def test_a_trail_whose_head_outside_was_taken_is_not_written_on(tmp_path: Path) -> None:
    trail = trail_in(tmp_path)
    trail.start()
    trail.record_now(intent(), COMPLETE)
    trail.stop()
    (tmp_path / "trail.head").unlink()

    with pytest.raises(AuditUnavailable, match="head outside the database is missing"):
        trail_in(tmp_path).start()


def test_a_folder_that_cannot_be_written_is_no_place_for_a_trail(tmp_path: Path) -> None:
    (tmp_path / "writers").write_text("in the way")

    with pytest.raises(AuditUnavailable, match="folder cannot be written"):
        trail_in(tmp_path).start()


def test_a_head_that_cannot_be_kept_outside_stays_owed_and_the_trail_goes_on(
    trail: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.audit.trail.HEAD_EVERY_S", 0.05)
    in_the_way = tmp_path / f"trail.{os.getpid()}"
    in_the_way.mkdir()

    trail.record_now(intent(), COMPLETE)
    time.sleep(1.5)  # the head comes round, and cannot be kept
    trail.record_now(intent("x-2"), COMPLETE)
    in_the_way.rmdir()
    trail.stop()

    kept = Writers(tmp_path).head()
    assert kept is not None
    assert kept.size == 4
    assert account_of(tmp_path).verify().intact


def test_the_head_outside_follows_without_a_stop(trail: Trail, tmp_path: Path) -> None:
    trail.record_now(intent(), COMPLETE)

    deadline = time.monotonic() + 10
    while ((head := Writers(tmp_path).head()) is None or head.size < 2) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert head is not None
    assert head.size == 2


def test_a_writer_says_that_it_is_still_there(trail: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.audit.trail.RENEW_EVERY_S", 0.0)
    trail._due["renew"] = 0.0
    signs = select(audit_writer.c.started, audit_writer.c.renewed, audit_writer.c.pid)

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        trail.note_now(Note(kind="trust-list", side="A", details={"seq": "412"}))
        started, renewed, pid = database(tmp_path).read_now(lambda c: c.execute(signs).one())
        if renewed > started:
            break

    assert renewed > started
    assert pid == os.getpid()


def test_a_stopped_trail_can_be_started_again_and_a_started_one_stays_one_writer(tmp_path: Path) -> None:
    trail = trail_in(tmp_path)
    trail.start()
    trail.start()
    one = len(list((tmp_path / "writers").glob("*.lock")))
    trail.stop()
    trail.stop()
    trail.start()

    assert asyncio.run(trail.recover()) == 0
    trail.record_now(intent(), COMPLETE)
    trail.stop()

    assert one == 1
    assert account_of(tmp_path).verify().intact


@pytest.mark.threat("T76")
def test_what_fails_beside_a_record_for_no_reason_of_ours_is_told_as_the_trails_own_failure(trail: Trail) -> None:
    def broken(_: Connection) -> None:
        raise KeyError("SECRET-77")

    with pytest.raises(AuditUnavailable) as told:
        trail.open_now(intent(), broken)

    assert "SECRET-77" not in str(told.value)


def test_an_opening_is_quick(trail: Trail) -> None:
    began = time.perf_counter()

    for number in range(100):
        trail.open_now(intent(f"x-{number}"))

    assert time.perf_counter() - began < 5
