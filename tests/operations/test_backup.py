"""Backup and restore of a node's folder: whole or not at all, never over what is there, never without being noticed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from isthmus.audit.access import Accesses
from isthmus.audit.account import Account
from isthmus.audit.events import Intent, Outcome
from isthmus.audit.recovery import Recovery
from isthmus.audit.retention import Retention
from isthmus.audit.trail import Trail
from isthmus.config import Settings, read_settings
from isthmus.errors import AuditUnavailable, ContentMismatch, Replayed, SettingsProblem
from isthmus.model.identifiers import PatientIdentifier
from isthmus.operations.archive_file import MAGIC, members, read_head
from isthmus.operations.backup import Made, back_up
from isthmus.operations.restore import Restored, restore
from isthmus.sections import Audit
from isthmus.storage.database import open_index, open_state
from isthmus.storage.schema.audit import audit_key, audit_trail
from isthmus.storage.schema.country_b import visit_table
from isthmus.storage.sealed import MasterKey
from isthmus.trust.keys import load_log_key, new_log_key, new_signing_key, write_signing_key
from isthmus.trust.replay import remember

AMARA = PatientIdentifier("urn:oid:2.999.2.1", "0123456789")
JANUARY, NOW = datetime(2023, 1, 31, 12, tzinfo=UTC), datetime(2026, 11, 25, 12, tzinfo=UTC)


class Node:
    """A node's folder with a trail and a small archive; its clock is the test's."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        file = folder / "isthmus.toml"
        file.write_text('env = "test"\ncountry = "AA"\nncp_id = "urn:ehealth:aa:ncp-idp"\n')
        (folder / "keys").mkdir()
        self.folder, self.at = folder, NOW
        self.settings: Settings = read_settings(file, {})
        MasterKey.make(self.settings.path(self.settings.keys.env))
        write_signing_key(self.settings.path(self.settings.keys.sig), new_signing_key("aa-sig", demo=True))
        write_signing_key(self.settings.path(self.settings.keys.log), new_log_key("ncp.aa.test/audit", demo=True))
        blob = folder / "archive" / "1a" / "1ad0"
        blob.parent.mkdir(parents=True)
        blob.write_bytes(b"DICM" * 700_000)
        open_index(self.settings).close()

    @property
    def master(self) -> MasterKey:
        return MasterKey.load(self.settings.path(self.settings.keys.env))

    def clock(self) -> datetime:
        return self.at

    def trail(self) -> Trail:
        trail = Trail(open_state(self.settings), self.master, self.clock, self.folder)
        trail.start()
        return trail

    def exchanges(self, *names: str, at: datetime = NOW) -> None:
        self.at, trail = at, self.trail()
        for name in names:
            intent = Intent(
                side="A",
                transaction="ITI-68",
                exchange_id=name,
                peer="BB",
                person="hp-7 Amara Diallo",
                purpose="TREAT",
                patient=AMARA,
            )
            trail.record_now(intent, Outcome(outcome="complete"))
        trail.stop()

    def back_up(self, out: Path) -> Made:
        trail = self.trail()
        try:
            return back_up(self.settings, trail, out, out.with_name("month-keys.json"), self.clock)
        finally:
            trail.stop()

    def restore(self, file: Path, *, replace: bool = True) -> Restored:
        return restore(self.settings, file, file.with_name("month-keys.json"), self.clock, replace=replace)

    def recover(self) -> dict[str, str] | None:
        return (
            Recovery(self.settings, open_state(self.settings), self.clock).recover_now("N. Officer", "disk lost").epoch
        )

    def seen(self) -> list[str]:
        accesses = Accesses(open_state(self.settings), self.master).of_now([AMARA])
        return [access.exchange_id for access in accesses.accesses]

    def problems(self) -> list[str]:
        return [
            problem.what for problem in Account(open_state(self.settings), self.master, self.folder).verify().problems
        ]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path / "aa")
    made.exchanges("x-1", "x-2")
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "out" / "aa.isthmus"


def test_everything_comes_back_as_it_was(node: Node, file: Path) -> None:
    blob = (node.folder / "archive" / "1a" / "1ad0").read_bytes()
    made = node.back_up(file)
    (node.folder / "archive" / "1a" / "1ad0").write_bytes(b"spoilt")

    restored = node.restore(file)

    assert (made.records, made.files, restored.records) == (4, 1, 4)
    assert (node.folder / "archive" / "1a" / "1ad0").read_bytes() == blob
    assert sorted(node.seen()) == ["x-1", "x-2"]
    assert restored.aside is not None
    assert (node.folder / restored.aside / "archive" / "1a" / "1ad0").read_bytes() == b"spoilt"


@pytest.mark.threat("T77")
def test_a_node_that_is_behind_its_head_does_not_start_until_the_loss_is_written_down(node: Node, file: Path) -> None:
    node.back_up(file)
    node.exchanges("x-3")
    restored = node.restore(file)

    with pytest.raises(AuditUnavailable, match="the trail is behind: 4 records are here, 7 were seen"):
        node.trail()
    epoch = node.recover()
    node.exchanges("x-4")

    assert restored.behind
    assert node.problems() == []
    assert sorted(node.seen()) == ["x-1", "x-2", "x-4"]
    assert epoch is not None
    assert (
        load_log_key(node.settings.path(node.settings.keys.log), "test").name
        == epoch["origin"]
        == "ncp.aa.test/audit/2"
    )
    assert len(list((node.folder / "gaps").iterdir())) == 1


@pytest.mark.threat("T77")
def test_on_a_new_machine_nobody_can_tell_and_the_node_does_not_start_either(
    node: Node, file: Path, tmp_path: Path
) -> None:
    node.back_up(file)
    fresh = Node(tmp_path / "new")
    for name in ("env.key", "sig.jwk", "log.jwk"):
        (fresh.folder / "keys" / name).write_bytes((node.folder / "keys" / name).read_bytes())

    restored = fresh.restore(file)

    assert restored.behind
    with pytest.raises(AuditUnavailable, match="audit recover"):
        fresh.trail()
    fresh.recover()
    fresh.exchanges("x-9")
    assert sorted(fresh.seen()) == ["x-1", "x-2", "x-9"]


def test_one_that_lost_nothing_starts_at_once_and_has_nothing_to_recover(node: Node, file: Path) -> None:
    trail = node.trail()
    trail.stop()
    node.back_up(file)
    for _ in range(2):  # the note of the first backup is in the second
        file.unlink()
        node.back_up(file)
    state = open_state(node.settings)
    size = state.read_now(lambda c: len(c.execute(select(audit_trail.c.number)).all()))

    with pytest.raises(SettingsProblem, match="nothing to recover"):
        node.recover()
    assert size == 7


@pytest.mark.threat("T77")
def test_records_that_were_changed_are_not_recovered(node: Node, file: Path) -> None:
    node.back_up(file)
    node.exchanges("x-3")
    node.restore(file)
    state = open_state(node.settings)
    with state._writing.begin() as connection:  # as an operator could
        connection.exec_driver_sql("DROP TRIGGER audit_trail_no_update")
        connection.exec_driver_sql("UPDATE audit_trail SET exchange_id = 'y' WHERE number = 1")

    with pytest.raises(ContentMismatch, match="were changed"):
        node.recover()


@pytest.mark.threat("T19")
def test_what_was_used_once_after_the_backup_is_not_used_again_after_the_restore(node: Node, file: Path) -> None:
    node.back_up(file)
    expires = int(NOW.timestamp()) + 300
    use = lambda c: remember(c, "urn:bb", "hpa+jwt", "jti-1", expires, NOW)  # noqa: E731
    open_state(node.settings).write_now(use)

    node.restore(file)

    with pytest.raises(Replayed):
        open_state(node.settings).write_now(use)
    later = NOW + timedelta(minutes=20)
    fresh = int(later.timestamp()) + 60
    open_state(node.settings).write_now(lambda c: remember(c, "urn:bb", "hpa+jwt", "jti-2", fresh, later))


@pytest.mark.threat("T105")
def test_a_month_that_was_erased_opens_in_no_older_backup_either(node: Node, tmp_path: Path, file: Path) -> None:
    old = Node(tmp_path / "bb")
    old.exchanges("x-old", at=JANUARY)
    old.exchanges("x-new", at=NOW)
    old.back_up(file)  # holds January's records
    trail = old.trail()
    Retention(open_state(old.settings), trail, old.master, Audit(), old.clock).retain_now()
    trail.stop()
    old.back_up(file.with_name("second.isthmus"))  # replaces the month keys

    old.restore(file)
    old.recover()
    trail = old.trail()
    done = Retention(open_state(old.settings), trail, old.master, Audit(), old.clock).retain_now()
    trail.stop()

    assert old.seen() == ["x-new"]
    assert done.records == 2
    assert old.problems() == []
    opened = b"".join(content.read() for _, content in members(file, old.master))
    assert b"Amara" not in opened
    assert b"0123456789" not in opened


@pytest.mark.threat("T109")
def test_no_key_of_a_month_or_a_visit_is_in_a_backup(node: Node, file: Path) -> None:
    state = open_state(node.settings)
    visit = {"id": "v-1", "sub": "hp-7", "body": b"sealed-body-of-a-visit", "seen": 0.0, "expires": 9e9}
    state.write_now(lambda c: c.execute(insert(visit_table).values(**visit)) and None)
    wrapped = state.read_now(lambda c: c.execute(select(audit_key.c.wrapped)).scalars().all())

    node.back_up(file)

    opened = b"".join(content.read() for _, content in members(file, node.master))
    assert [key for key in (*wrapped, b"sealed-body-of-a-visit") if key in opened] == []


@pytest.mark.parametrize("at", [len(MAGIC) + 30, 5_000, -20])
def test_a_backup_with_one_bit_changed_changes_nothing(node: Node, file: Path, at: int) -> None:
    node.back_up(file)
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)
    before = node.seen()

    with pytest.raises((ContentMismatch, SettingsProblem)):
        node.restore(file)

    assert node.seen() == before
    assert not list(node.folder.glob("before-restore-*"))
    assert not (node.folder / "restoring").exists()


def test_a_backup_that_was_cut_changes_nothing(node: Node, file: Path) -> None:
    node.back_up(file)
    file.write_bytes(file.read_bytes()[: -(1 << 20)])

    with pytest.raises(ContentMismatch):
        node.restore(file)

    assert sorted(node.seen()) == ["x-1", "x-2"]


def test_nothing_is_restored_under_a_node_that_writes(node: Node, file: Path) -> None:
    node.back_up(file)
    trail = node.trail()
    try:
        with pytest.raises(SettingsProblem, match="stop the node"):
            node.restore(file)
        with pytest.raises(SettingsProblem, match="stop the node"):
            node.recover()
    finally:
        trail.stop()


def test_nothing_is_restored_over_a_state_unless_that_is_said(node: Node, file: Path) -> None:
    node.back_up(file)

    with pytest.raises(SettingsProblem, match="--replace"):
        node.restore(file, replace=False)


def test_another_nodes_backup_and_no_backup_at_all_are_refused(node: Node, file: Path, tmp_path: Path) -> None:
    other = Node(tmp_path / "bb")
    other.exchanges("x-1")
    other.back_up(file)
    (tmp_path / "text").write_text("no backup")

    with pytest.raises(ContentMismatch, match="does not open"):
        node.restore(file)
    with pytest.raises(SettingsProblem, match="no backup"):
        read_head(tmp_path / "text")


def test_a_backup_replaces_nothing(node: Node, file: Path) -> None:
    node.back_up(file)

    with pytest.raises(SettingsProblem, match="exists"):
        node.back_up(file)


def test_the_trail_knows_of_each_backup(node: Node, file: Path) -> None:
    made = node.back_up(file)

    assert made.records == 4
    assert open_state(node.settings).read_now(lambda c: len(c.execute(select(audit_trail.c.number)).all())) == 5
