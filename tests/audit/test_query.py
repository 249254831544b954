"""An operator finds exchanges by who, whence, about whom, by which key and when; the index names nobody and forgets what was erased."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests.audit.test_trail import COMPLETE, MASTER, database, intent

from isthmus.audit.account import Account
from isthmus.audit.query import Index, Wanted
from isthmus.audit.trail import Trail
from isthmus.storage.schema.audit_index import audit_index

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)


class Hours:
    """A clock that is an hour further each time."""

    def __init__(self) -> None:
        self.now = BEGAN

    def __call__(self) -> datetime:
        self.now += timedelta(hours=1)
        return self.now


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """Four exchanges: two persons, two countries, two patients, one token given on the word of a key and used."""
    trail = Trail(database(tmp_path), MASTER, Hours(), tmp_path)
    trail.start()
    token = {"transaction": "ITI-71", "person": "dr-1 Dr One", "token_jti": "token-1", "details": {"kid": "bb-hpa-1"}}
    trail.record_now(intent("x-0", **token), COMPLETE)
    trail.record_now(
        intent("x-1", person="dr-1 Dr One", organisation="ward", token_jti="token-1", details={"of": "2.25.7/2.25.8"}),
        COMPLETE,
    )
    trail.record_now(intent("x-2", person="dr-2 Dr Two", peer="CC", details={"of": "/studies/2.25.9?x=1"}), COMPLETE)
    trail.record_now(intent("x-3", person="dr-2 Dr Two", peer="CC", transaction="ITI-67"), COMPLETE)
    trail.stop()
    return Account(database(tmp_path), MASTER, tmp_path)


def found(account: Account, since: datetime | None = None, until: datetime | None = None, **values: str) -> list[str]:
    return [one.exchange_id for one in account.query(Wanted(values, since, until), 100)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"person": "dr-1"}, ["x-1", "x-0"]),
        ({"person": "Dr Two"}, ["x-3", "x-2"]),
        ({"organisation": "ward"}, ["x-1"]),
        ({"country": "CC"}, ["x-3", "x-2"]),
        ({"patient": "urn:oid:2.999.2.1|0123456789"}, ["x-3", "x-2", "x-1", "x-0"]),
        ({"patient": "urn:oid:2.999.2.1|012345678"}, []),
        ({"exchange": "x-2"}, ["x-2"]),
        ({"of": "2.25.8"}, ["x-1"]),
        ({"of": "2.25.9"}, ["x-2"]),
        ({"country": "CC", "person": "dr-1"}, []),
        ({"person": "dr_1"}, []),
        ({"person": "%"}, []),
    ],
)
def test_what_fits_is_found_and_nothing_else(account: Account, values: dict[str, str], expected: list[str]) -> None:
    assert [one.exchange_id for one in account.query(Wanted(values), 100)] == expected


@pytest.mark.threat("T29")
def test_by_a_key_all_that_was_given_on_its_word_is_found(account: Account) -> None:
    assert found(account, key="bb-hpa-1") == ["x-1", "x-0"]


def test_a_span_of_time_is_a_span_of_records(account: Account) -> None:
    told = {one.exchange_id: datetime.fromisoformat(one.opened) for one in account.exchanges(10)}

    assert found(account, since=told["x-2"]) == ["x-3", "x-2"]
    assert found(account, until=told["x-2"]) == ["x-1", "x-0"]
    assert found(account, since=told["x-1"], until=told["x-3"], country="CC") == ["x-2"]
    assert found(account, since=told["x-3"] + timedelta(days=1)) == []


def test_the_index_follows_the_trail_and_names_nobody(account: Account, tmp_path: Path) -> None:
    index = Index(account.database, MASTER)
    assert index.catch_up() == 8
    assert index.catch_up() == 0

    trail = Trail(account.database, MASTER, Hours(), tmp_path)
    trail.start()
    trail.record_now(intent("x-4", person="dr-3 Dr Three"), COMPLETE)
    trail.stop()

    assert found(account, person="dr-3") == ["x-4"]
    tags = account.database.read_now(lambda c: c.execute(select(audit_index.c.tag)).scalars().all())
    assert {len(tag) for tag in tags} == {12}
    assert all(b"dr-" not in tag for tag in tags)


def test_what_was_erased_leaves_the_index(account: Account) -> None:
    Index(account.database, MASTER).catch_up()
    erase = "UPDATE audit_trail SET sealed = x'' WHERE number < 4"
    account.database.write_now(lambda c: c.exec_driver_sql("DROP TRIGGER audit_trail_no_update") and None)
    account.database.write_now(lambda c: c.exec_driver_sql(erase) and None)

    assert found(account, person="dr-1") == []
    least = account.database.read_now(lambda c: c.execute(select(func.min(audit_index.c.number))).scalar())
    assert least == 4
