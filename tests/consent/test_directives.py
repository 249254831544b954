"""What patients said is kept signed; whatever was changed behind our back closes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from isthmus.consent.directives import Directives
from isthmus.errors import DocumentNotFound, NationalInfrastructureUnavailable, SettingsProblem
from isthmus.model.identifiers import PatientIdentifier
from isthmus.storage.database import Database
from isthmus.storage.schema.consent import CONSENT_DIRECTIVES, CONSENT_HEADS
from isthmus.storage.schema.metadata import STATE
from isthmus.storage.sealed import MasterKey
from isthmus.trust.keys import SigningKey, StatementKey, new_signing_key

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
PATIENT = PatientIdentifier("urn:oid:2.999.2.1", "0042-0042-0042")
OTHER = PatientIdentifier("urn:oid:2.999.2.1", "0043")
KEY = new_signing_key("consent-1", demo=True)


def directives_of(db: Database, key: SigningKey | None = KEY, pinned: SigningKey = KEY) -> Directives:
    known = StatementKey(pinned.kid, frozenset({"consent"}), pinned.alg, pinned.public_jwk)
    return Directives(db, MasterKey(b"k" * 32), {pinned.kid: known}, key, lambda: NOW)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "state.sqlite", STATE)
    database.create()
    yield database
    database.close()


@pytest.fixture
def directives(db: Database) -> Directives:
    return directives_of(db)


def say(db: Database, directives: Directives, kind: str, scope: str = "", *, withdraw: bool = False) -> None:
    change = directives.change_now(PATIENT, kind, scope, withdraw=withdraw)
    assert change is not None
    db.write_now(lambda connection: directives.write(connection, change))


def test_what_was_said_is_read_back(db: Database, directives: Directives) -> None:
    say(db, directives, "opt-out")
    say(db, directives, "restrict-study", "urn:oid:1.2.3")

    found = asyncio.run(directives.of(PATIENT)).directives

    assert {(d.kind, d.scope, d.patient) for d in found} == {
        ("opt-out", "", PATIENT),
        ("restrict-study", "1.2.3", PATIENT),
    }
    assert directives.of_now(OTHER).directives == ()


def test_the_same_again_changes_nothing(db: Database, directives: Directives) -> None:
    say(db, directives, "opt-out")

    assert directives.change_now(PATIENT, "opt-out", "") is None


def test_a_withdrawn_directive_is_kept_and_says_nothing(db: Database, directives: Directives) -> None:
    say(db, directives, "restrict-study", "1.2.3")
    say(db, directives, "restrict-study", "1.2.3", withdraw=True)

    (found,) = directives.of_now(PATIENT).directives

    assert (found.active, found.until) == (False, NOW)


def test_there_must_be_something_to_withdraw(directives: Directives) -> None:
    with pytest.raises(DocumentNotFound):
        directives.change_now(PATIENT, "opt-out", "", withdraw=True)


def test_of_two_changes_at_a_time_one_fails(db: Database, directives: Directives) -> None:
    late = directives.change_now(PATIENT, "restrict-study", "1.2.3")
    say(db, directives, "opt-out")

    with pytest.raises(NationalInfrastructureUnavailable):
        db.write_now(lambda connection: directives.write(connection, late))  # type: ignore[arg-type]  # it is a change


def test_a_node_without_the_key_writes_nothing(db: Database) -> None:
    reader = directives_of(db, key=None)
    change = reader.change_now(PATIENT, "opt-out", "")

    with pytest.raises(SettingsProblem):
        db.write_now(lambda connection: reader.write(connection, change))  # type: ignore[arg-type]  # it is a change


def test_no_table_holds_the_patient_in_clear(db: Database, directives: Directives) -> None:
    say(db, directives, "restrict-study", "1.2.3.4.5.6.7")

    stored = db.file.read_bytes() + db.file.with_name("state.sqlite-wal").read_bytes()

    assert b"0042-0042" not in stored
    assert b"1.2.3.4.5.6.7" not in stored


def _delete_row(db: Database) -> None:
    db.write_now(lambda c: c.execute(delete(CONSENT_DIRECTIVES)))


def _delete_head(db: Database) -> None:
    db.write_now(lambda c: c.execute(delete(CONSENT_HEADS)))


def _change_row(db: Database) -> None:
    db.write_now(lambda c: c.execute(update(CONSENT_DIRECTIVES).values(sealed=b"x" * 64)))


def _change_signature(db: Database) -> None:
    db.write_now(lambda c: c.execute(update(CONSENT_DIRECTIVES).values(signature="a..b")))


def _lower_number(db: Database) -> None:
    db.write_now(lambda c: c.execute(update(CONSENT_HEADS).values(number=1)))


@pytest.mark.parametrize("tamper", [_delete_row, _delete_head, _change_row, _change_signature, _lower_number])
@pytest.mark.threat("T104")
def test_whatever_was_changed_behind_our_back_closes(
    db: Database, directives: Directives, tamper: Callable[[Database], None]
) -> None:
    say(db, directives, "opt-out")
    say(db, directives, "restrict-study", "1.2.3")

    tamper(db)

    with pytest.raises(NationalInfrastructureUnavailable):
        directives.of_now(PATIENT)


@pytest.mark.threat("T104")
def test_an_older_row_put_back_closes(db: Database, directives: Directives) -> None:
    say(db, directives, "restrict-study", "1.2.3")
    say(db, directives, "restrict-study", "1.2.3", withdraw=True)
    older: Any = db.read_now(lambda c: c.execute(select(CONSENT_DIRECTIVES)).one())._asdict()
    say(db, directives, "restrict-study", "1.2.3")

    db.write_now(lambda c: c.execute(delete(CONSENT_DIRECTIVES).where(CONSENT_DIRECTIVES.c.id != older["id"])))

    with pytest.raises(NationalInfrastructureUnavailable):
        directives.of_now(PATIENT)


@pytest.mark.threat("T36")
def test_a_directive_of_another_signer_closes(db: Database, directives: Directives) -> None:
    say(db, directives, "opt-out")

    with pytest.raises(NationalInfrastructureUnavailable):
        directives_of(db, pinned=new_signing_key("consent-1", demo=True)).of_now(PATIENT)
