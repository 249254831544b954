"""What the trail holds of people is erased after its term, everywhere; what proves the trail stays."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from isthmus.audit.access import Accesses
from isthmus.audit.account import Account
from isthmus.audit.events import Intent, Outcome
from isthmus.audit.retention import Retention
from isthmus.audit.trail import Trail, patient_tag
from isthmus.audit.verify import Verified
from isthmus.config import Settings, read_settings
from isthmus.errors import SettingsProblem
from isthmus.model.identifiers import PatientIdentifier
from isthmus.sections import Audit, Forward
from isthmus.storage.database import Database, open_state
from isthmus.storage.schema.audit import audit_key, audit_trail
from isthmus.storage.sealed import MasterKey

AMARA = PatientIdentifier("urn:oid:2.999.2.1", "0123456789")
JANUARY, FEBRUARY, NOW = (datetime(*day, 12, tzinfo=UTC) for day in ((2023, 1, 31), (2023, 2, 1), (2026, 3, 1)))


class Node:
    """A node whose clock a test sets."""

    def __init__(self, folder: Path) -> None:
        file = folder / "isthmus.toml"
        file.write_text('env = "test"\ncountry = "AA"\nncp_id = "urn:ehealth:aa:ncp-idp"\n')
        (folder / "keys").mkdir(exist_ok=True)
        self.settings: Settings = read_settings(file, {})
        key = self.settings.path(self.settings.keys.env)
        MasterKey.make(key)
        self.master, self.at = MasterKey.load(key), JANUARY
        self.state: Database = open_state(self.settings)
        self.trail = Trail(self.state, self.master, lambda: self.at, folder)
        self.trail.start()

    def exchange(self, name: str, at: datetime) -> None:
        self.at = at
        intent = Intent(
            side="A",
            transaction="ITI-68",
            exchange_id=name,
            peer="BB",
            person="hp-7 Amara Diallo",
            purpose="TREAT",
            patient=AMARA,
        )
        self.trail.record_now(intent, Outcome(outcome="complete"))

    def retention(self, at: datetime, audit: Audit = Audit()) -> Retention:
        self.at = at
        return Retention(self.state, self.trail, self.master, audit, lambda: at)

    def verified(self) -> Verified:
        return Account(self.state, self.master, self.settings.folder).verify()

    def sealed(self) -> list[bytes]:
        return self.state.read_now(
            lambda c: list(c.execute(select(audit_trail.c.sealed).order_by(audit_trail.c.number)).scalars())
        )

    def on_disk(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self.settings.folder.rglob("*")) if path.is_file())


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.trail.stop()
    made.state.close()


@pytest.mark.threat("T105")
def test_after_its_term_a_month_is_gone_from_the_disk_and_the_trail_still_proves_itself(node: Node) -> None:
    node.exchange("x-1", JANUARY)
    node.exchange("x-2", FEBRUARY)
    wrapped = node.state.read_now(
        lambda c: c.execute(select(audit_key.c.wrapped).where(audit_key.c.key_id == "2023-01")).scalar_one()
    )
    january, february = node.sealed()[:2], node.sealed()[2:]

    done = node.retention(NOW).retain_now()

    assert (done.months, done.records) == (("2023-01",), 2)
    assert node.verified().intact
    assert node.verified().events == 3  # both exchanges, and the note of the retention
    assert [access.exchange_id for access in Accesses(node.state, node.master).of_now([AMARA]).accesses] == ["x-2"]
    left = node.on_disk()
    assert [part in left for part in (*january, wrapped)] == [False, False, False]
    assert all(part in left for part in february)


@pytest.mark.threat("T105")
def test_within_its_term_nothing_is_erased(node: Node) -> None:
    node.exchange("x-1", JANUARY)

    done = node.retention(datetime(2026, 2, 28, 23, 59, tzinfo=UTC)).retain_now()

    assert (done.months, done.records) == ((), 0)
    assert len(Accesses(node.state, node.master).of_now([AMARA]).accesses) == 1


@pytest.mark.threat("T105")
def test_a_patients_keyed_hash_goes_too_and_the_rest_of_the_row_stays(node: Node) -> None:
    node.exchange("x-1", JANUARY)
    node.retention(NOW).retain_now()

    rows = node.state.read_now(lambda c: c.execute(select(audit_trail).order_by(audit_trail.c.number)).all())

    assert {row.patient_tag for row in rows} == {None}
    assert patient_tag(node.master, AMARA).encode() not in node.on_disk()
    assert [len(row.leaf) for row in rows] == [32] * len(rows)


@pytest.mark.threat("T77")
@pytest.mark.threat("T105")
def test_an_operator_who_erases_before_the_term_is_found(node: Node) -> None:
    node.exchange("x-1", JANUARY)
    node.exchange("x-2", FEBRUARY)
    node.retention(NOW).retain_now()
    with node.state._writing.begin() as connection:  # as an operator could
        connection.exec_driver_sql("DROP TRIGGER audit_trail_no_update")
        connection.exec_driver_sql("UPDATE audit_trail SET sealed = x'' WHERE number = 2")

    problems = node.verified().problems

    assert [(problem.number, "no retention" in problem.what) for problem in problems] == [(2, True)]


@pytest.mark.threat("T77")
def test_a_note_that_says_a_month_is_over_too_soon_makes_nothing_lawful(node: Node) -> None:
    node.exchange("x-1", JANUARY)
    hasty = Audit(keep_months=0)

    node.retention(FEBRUARY.replace(month=6), hasty).retain_now()

    assert not node.verified().intact


def test_the_trail_refuses_changes_again_after_a_retention(node: Node) -> None:
    node.exchange("x-1", JANUARY)
    node.retention(NOW).retain_now()

    with pytest.raises(Exception, match="only added to"):
        node.state.write_now(lambda c: c.execute(audit_trail.update().values(exchange_id="y")) and None)


def test_a_retention_that_was_killed_after_the_key_went_is_ended_by_the_next(node: Node) -> None:
    for number in range(3):
        node.exchange(f"x-{number}", JANUARY)
    node.retention(NOW).retain_now()
    node.exchange("x-9", FEBRUARY)
    full = node.sealed()[-1]
    with node.state._writing.begin() as connection:  # as if the rows had not been emptied
        connection.exec_driver_sql("DROP TRIGGER audit_trail_no_update")
        connection.exec_driver_sql("UPDATE audit_trail SET sealed = x'0102' WHERE number = 4")

    done = node.retention(NOW).retain_now()

    assert (done.months, done.records) == ((), 1)
    assert node.sealed()[-1] == full
    assert node.verified().intact


def test_what_a_repository_has_not_been_given_waits(node: Node) -> None:
    node.exchange("x-1", JANUARY)
    audit = Audit(forward=(Forward(name="national", url="https://audit.example/fhir"),))

    done = node.retention(NOW, audit).retain_now()

    assert (done.months, done.records, done.waiting) == ((), 0, ("2023-01",))


def test_a_lost_key_is_no_reason_to_erase_what_it_closed(node: Node) -> None:
    node.exchange("x-1", JANUARY)
    node.exchange("x-2", FEBRUARY)
    node.state.write_now(lambda c: c.execute(audit_key.delete().where(audit_key.c.key_id == "2023-01")) and None)

    done = node.retention(datetime(2026, 2, 28, tzinfo=UTC)).retain_now()

    assert done.records == 0
    assert not node.verified().intact


def test_no_node_starts_that_keeps_less_than_three_years(tmp_path: Path) -> None:
    file = tmp_path / "isthmus.toml"
    file.write_text('env = "test"\ncountry = "AA"\nncp_id = "urn:x"\n[audit]\nkeep_months = 35\n')

    with pytest.raises(SettingsProblem, match="three years"):
        read_settings(file, {})


def test_the_command_says_what_it_erased(node: Node) -> None:
    node.exchange("x-1", JANUARY)
    node.trail.stop()
    argv = [sys.executable, "-m", "isthmus", "--config", str(node.settings.file), "audit", "retain", "--json"]

    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    assert json.loads(done.stdout) == {"months": ["2023-01"], "records": 2, "waiting": []}
