"""The SQLite file under two processes, and what it does when it cannot."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, select, update

from isthmus.errors import AuditUnavailable, NoConsent
from isthmus.storage import database as storage
from isthmus.storage import schema
from isthmus.storage.database import Database
from isthmus.storage.schema.metadata import UtcDateTime
from isthmus.trust import pki

METADATA = MetaData()
COUNTER = Table("counter", METADATA, Column("id", Integer, primary_key=True), Column("value", Integer))
MOMENT = Table("moment", METADATA, Column("at", UtcDateTime))

COUNT = """
import sys; from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_database import opened, count_up
for _ in range(50): opened(Path(sys.argv[1])).write_now(count_up)
"""


def opened(file: Path) -> Database:
    return Database(file, METADATA, unavailable=AuditUnavailable)


def count_up(connection: Connection) -> None:
    value = connection.execute(select(COUNTER.c.value)).scalar_one()
    connection.execute(update(COUNTER).values(value=value + 1))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = opened(tmp_path / "state.sqlite")
    made.create()
    made.write_now(lambda c: c.execute(insert(COUNTER).values(id=1, value=0)) and None)
    return made


@pytest.mark.fault("F49")
def test_two_processes_that_read_and_then_write_lose_nothing(database: Database) -> None:
    here = str(Path(__file__).parent)

    others = [subprocess.Popen([sys.executable, "-c", COUNT, str(database.file), here]) for _ in range(2)]

    assert [other.wait(60) for other in others] == [0, 0]
    assert database.read_now(lambda c: c.execute(select(COUNTER.c.value)).scalar_one()) == 100


@pytest.mark.fault("F49")
def test_a_writer_that_waits_too_long_says_unavailable(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_PRAGMAS", ("busy_timeout=50", *storage._PRAGMAS[1:]))
    second, held, done = opened(database.file), threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        held.set()
        done.wait(10)

    holder = threading.Thread(target=database.write_now, args=(hold,))
    holder.start()
    held.wait(10)
    try:
        with pytest.raises(AuditUnavailable, match="locked"):
            second.write_now(count_up)
    finally:
        done.set()
        holder.join()


def test_what_the_work_raises_undoes_the_transaction(database: Database) -> None:
    def refuse(connection: Connection) -> None:
        count_up(connection)
        raise NoConsent("no")

    with pytest.raises(NoConsent):
        asyncio.run(database.write(refuse))

    assert database.read_now(lambda c: c.execute(select(COUNTER.c.value)).scalar_one()) == 0


def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(AuditUnavailable, match="readonly"):
        asyncio.run(database.read(count_up))


def test_a_moment_comes_back_aware_and_in_utc(database: Database) -> None:
    moment = datetime(2026, 11, 25, 3, 2, 1, 500, timezone(timedelta(hours=2)))

    database.write_now(lambda c: c.execute(insert(MOMENT).values(at=moment)) and None)
    found = database.read_now(lambda c: c.execute(select(MOMENT.c.at)).scalar_one())

    assert found == moment
    assert found.tzinfo is UTC


def test_the_file_is_for_its_owner_alone(database: Database) -> None:
    assert database.file.stat().st_mode & 0o777 == 0o600


@pytest.mark.fault("F50")
def test_the_log_shrinks_when_the_long_reader_has_gone(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = "UPDATE counter SET value = value + 1"
    limited = [p.replace(str(storage.WAL_LIMIT_BYTES), "100000") for p in storage._PRAGMAS]  # the house's own, smaller
    monkeypatch.setattr(storage, "_PRAGMAS", (*limited, "synchronous=OFF"))
    small = opened(database.file)

    def writes(connection: Connection) -> None:
        for _ in range(400):
            small.write_now(lambda c: c.exec_driver_sql(pages) and None)

    def while_reading(connection: Connection) -> None:
        connection.execute(select(COUNTER.c.value)).scalar_one()
        writes(connection)
        writes(connection)
        writes(connection)

    small.read_now(while_reading)
    grown = small.wal_bytes()
    for _ in range(3):
        small.write_now(lambda c: c.exec_driver_sql(pages) and None)

    assert grown > 1_000_000
    assert small.wal_bytes() <= 200_000


def test_every_page_of_the_schema_is_opened_with_its_database() -> None:
    pages = {file.stem for file in Path(schema.__path__[0]).glob("*.py")} - {"__init__", "metadata"}

    assert pages == {*storage.STATE_TABLES, *storage.INDEX_TABLES, *storage.TERMS_TABLES}


OPENED = """
import sys; from isthmus.config import read_settings
from isthmus.ground import Ground
from pathlib import Path
ground = Ground.open(read_settings(Path(sys.argv[1])))
from isthmus.audit.query import Index
print(Index(ground.state, ground.master).catch_up())
"""


def test_a_node_that_was_just_made_indexes_its_trail(tmp_path: Path) -> None:
    pki.init(tmp_path / "pki", ports=pki.default_ports(("AA", "BB")), now=datetime.now(UTC))

    ran = subprocess.run([sys.executable, "-c", OPENED, str(tmp_path / "pki" / "aa" / "isthmus.toml")], capture_output=True, text=True)  # fmt: skip

    assert (ran.returncode, ran.stdout) == (0, "0\n"), ran.stderr
