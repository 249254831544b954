"""Whoever touches the trail is found out, by the number of the record. Source: trust.md T77."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from isthmus.audit.account import Account
from isthmus.audit.events import Intent, Outcome
from isthmus.audit.merkle import EMPTY_ROOT, Tree, leaf_hash
from isthmus.audit.trail import Trail
from isthmus.errors import AuditUnavailable
from isthmus.storage.database import Database
from isthmus.storage.schema.metadata import STATE
from isthmus.storage.sealed import MasterKey

MASTER = MasterKey(bytes(range(32)))


def opened(folder: Path) -> Database:
    database = Database(folder / "state.sqlite", STATE, unavailable=AuditUnavailable)
    database.create()
    return database


def written(folder: Path, count: int = 4) -> Path:
    """A stopped node's folder with `count` exchanges."""
    folder.mkdir(exist_ok=True)
    database = opened(folder)
    trail = Trail(database, MASTER, lambda: datetime.now(UTC), folder)
    trail.start()
    for number in range(count):
        intent = Intent(side="A", transaction="ITI-67", exchange_id=f"x-{number}", peer="BB")
        trail.record_now(intent, Outcome(outcome="complete"))
    trail.stop()
    database.close()
    return folder


def touched(folder: Path, *words: str) -> None:
    """As an intruder with the disk in hand: triggers first."""
    with closing(sqlite3.connect(folder / "state.sqlite", isolation_level=None)) as connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{trigger}"')
        for word in words:
            connection.execute(word)


def numbers(folder: Path) -> list[int | None]:
    return [problem.number for problem in Account(opened(folder), MASTER, folder).verify().problems]


def flip(table: str, column: str, where: str = "") -> str:
    """Change the tenth byte of a value, whatever it is."""
    other = f"CASE substr({column}, 10, 1) WHEN x'00' THEN x'01' ELSE x'00' END"
    return f"UPDATE {table} SET {column} = substr({column}, 1, 9) || {other} || substr({column}, 11) {where}"


MANIPULATIONS: dict[str, tuple[int | None, tuple[str, ...]]] = {
    "a byte of the sealed record": (3, (flip("audit_trail", "sealed", "WHERE number = 3"),)),
    "a byte of the leaf": (3, (flip("audit_trail", "leaf", "WHERE number = 3"),)),
    "bytes that are no text": (3, ("UPDATE audit_trail SET key_id = CAST(x'ff' AS TEXT) WHERE number = 3",)),
    "another exchange id": (3, ("UPDATE audit_trail SET exchange_id = 'x-9' WHERE number = 3",)),
    "another kind": (2, ("UPDATE audit_trail SET kind = 'event' WHERE number = 2",)),
    "another writer": (3, ("UPDATE audit_trail SET writer = 'me' WHERE number = 3",)),
    "a patient's tag": (3, ("UPDATE audit_trail SET patient_tag = 'ab' WHERE number = 3",)),
    "another exchange closed": (3, ("UPDATE audit_trail SET closes = 40 WHERE number = 3",)),
    "another key": (3, ("UPDATE audit_trail SET key_id = '2020-01' WHERE number = 3",)),
    "a record taken from the middle": (3, ("DELETE FROM audit_trail WHERE number = 3",)),
    "the first record taken": (0, ("DELETE FROM audit_trail WHERE number = 0",)),
    "the last record taken": (7, ("DELETE FROM audit_trail WHERE number = 7",)),
    "an exchange taken whole": (6, ("DELETE FROM audit_trail WHERE number >= 6",)),
    "two records exchanged": (
        2,
        (
            "UPDATE audit_trail SET number = -1 WHERE number = 2",
            "UPDATE audit_trail SET number = 2 WHERE number = 4",
            "UPDATE audit_trail SET number = 4 WHERE number = -1",
        ),
    ),
    "a record put in": (
        8,
        (
            "INSERT INTO audit_trail SELECT 8, leaf, sealed, key_id, 'event', NULL, 'y', NULL, writer FROM audit_trail LIMIT 1",
        ),
    ),
    "the last record taken and the head set back": (
        None,
        ("DELETE FROM audit_trail WHERE number = 7", "UPDATE audit_head SET size = 7"),
    ),
    "the tree's edge": (None, (flip("audit_head", "edge"),)),
    "the month's key": (0, (flip("audit_key", "wrapped"),)),
    "the trail emptied": (0, ("DELETE FROM audit_trail", "DELETE FROM audit_head")),
}


@pytest.mark.threat("T77")
@pytest.mark.parametrize("what", MANIPULATIONS)
def test_a_manipulation_is_found_and_named(tmp_path: Path, what: str) -> None:
    number, words = MANIPULATIONS[what]
    folder = written(tmp_path / "node")

    touched(folder, *words)

    assert number in numbers(folder)


@pytest.mark.threat("T77")
def test_an_older_database_put_back_is_found_and_not_written_on(tmp_path: Path) -> None:
    folder = written(tmp_path / "node")
    older = (folder / "state.sqlite").read_bytes()
    written(folder, count=2)
    for ending in ("-wal", "-shm"):
        (folder / f"state.sqlite{ending}").unlink(missing_ok=True)
    (folder / "state.sqlite").write_bytes(older)

    trail = Trail(opened(folder), MASTER, lambda: datetime.now(UTC), folder)

    assert numbers(folder) == [8]
    with pytest.raises(AuditUnavailable, match="the trail is behind"):
        trail.start()


@pytest.mark.threat("T77")
@pytest.mark.parametrize(
    "spoil", [lambda head: head.unlink(), lambda head: head.write_text("8\n" + "00" * 32 + "\n" + "00" * 32)]
)
def test_a_lost_or_forged_head_outside_is_found(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    folder = written(tmp_path / "node")

    spoil(folder / "trail.head")

    assert numbers(folder) == [None]


def test_a_head_outside_that_lags_behind_is_no_alarm(tmp_path: Path) -> None:
    folder = written(tmp_path / "node")
    lagging = (folder / "trail.head").read_text()
    written(folder)
    (folder / "trail.head").write_text(lagging)

    verified = numbers(folder)
    written(folder, count=1)

    assert verified == []
    assert numbers(folder) == []


def test_a_copy_of_a_stopped_folder_verifies(tmp_path: Path) -> None:
    shutil.copytree(written(tmp_path / "node"), tmp_path / "copy")

    assert numbers(tmp_path / "copy") == []


def test_another_master_key_opens_nothing(tmp_path: Path) -> None:
    folder = written(tmp_path / "node")

    verified = Account(opened(folder), MasterKey(bytes(32)), folder).verify()

    assert not verified.intact


def test_a_node_that_never_wrote_is_intact(tmp_path: Path) -> None:
    verified = Account(opened(tmp_path), MASTER, tmp_path).verify()

    assert (verified.intact, verified.events) == (True, 0)


LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [  # the published vectors of Certificate Transparency
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_the_tree_is_that_of_rfc_6962() -> None:
    tree, roots = Tree(), []

    for leaf in LEAVES:
        tree = tree.with_leaf(leaf_hash(bytes.fromhex(leaf)))
        roots.append(tree.root.hex())

    assert roots == ROOTS
    assert sha256().digest() == EMPTY_ROOT == Tree().root
