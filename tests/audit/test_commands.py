"""`audit list` and `audit verify` as an operator calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import connect

import pytest

from isthmus.audit.events import Intent, Outcome
from isthmus.audit.trail import Trail
from isthmus.config import read_settings
from isthmus.storage.database import open_state
from isthmus.storage.sealed import MasterKey


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A node that had three exchanges and was stopped."""
    file = tmp_path / "isthmus.toml"
    file.write_text('env = "test"\ncountry = "AA"\nncp_id = "urn:ehealth:aa:ncp-idp"\n')
    (tmp_path / "keys").mkdir()
    settings = read_settings(file)
    key = settings.path(settings.keys.env)
    MasterKey.make(key)
    database = open_state(settings)
    trail = Trail(database, MasterKey.load(key), lambda: datetime.now(UTC), settings.folder)
    trail.start()
    for number in range(3):
        intent = Intent(side="A", transaction="ITI-68", exchange_id=f"x-{number}", peer="BB", purpose="TREAT")
        trail.record_now(intent, Outcome(outcome="complete", bytes=number))
    trail.stop()
    database.close()
    return file


def run(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "isthmus", "--config", str(config), "audit", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def test_the_list_has_the_promised_members(config: Path) -> None:
    done = run(config, "list", "--limit", "2", "--json")

    events = json.loads(done.stdout)["events"]
    promised = [
        "exchange_id",
        "side",
        "opened",
        "closed",
        "transaction",
        "peer",
        "purpose",
        "outcome",
        "instances",
        "bytes",
    ]
    assert [event["exchange_id"] for event in events] == ["x-2", "x-1"]
    assert set(promised) <= set(events[0])
    assert (done.returncode, done.stderr) == (0, "")


def test_an_intact_trail_exits_0_and_a_changed_one_6(config: Path) -> None:
    before = run(config, "verify", "--json")
    with closing(connect(config.parent / "state.sqlite", isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER audit_trail_no_delete")
        connection.execute("DELETE FROM audit_trail WHERE number = 5")
    after = run(config, "verify", "--json")

    assert (before.returncode, json.loads(before.stdout)) == (
        0,
        {"intact": True, "events": 3, "open": 0, "problems": []},
    )
    assert (after.returncode, json.loads(after.stdout)["intact"]) == (6, False)
    assert 5 in [problem["number"] for problem in json.loads(after.stdout)["problems"]]


def test_people_read_a_table_and_a_sentence(config: Path) -> None:
    listed, verified = run(config, "list"), run(config, "verify")

    assert "ITI-68" in listed.stdout
    assert "intact: 3 events" in verified.stdout


def test_the_help_has_an_example(config: Path) -> None:
    assert "isthmus --config aa/isthmus.toml audit verify" in run(config, "verify", "--help").stdout


def test_an_auditor_reads_what_a_patient_may_see_and_is_seen_reading(config: Path, tmp_path: Path) -> None:
    out, patient = tmp_path / "view.csv", "urn:oid:2.999.1.2.1|0123"
    read = ("for-patient", "--patient", patient, "--case", "2026-117", "--by", "officer")

    first = run(config, *read, "--json")
    second = run(config, *read, "--out", str(out), "--form", "csv")

    (access,) = json.loads(first.stdout)["accesses"]
    assert (access["person"], access["reason"], access["kind"]) == ("officer", "2026-117", "ITI-81")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert out.read_text().count("officer") == 2
    assert out.stat().st_mode & 0o077 == 0
    events = tmp_path / "view.json"
    assert run(config, *read, "--out", str(events), "--form", "fhir").returncode == 0
    assert json.loads(events.read_text())["entry"][0]["resource"]["resourceType"] == "AuditEvent"


def test_in_production_nobody_reads_of_a_patient_without_a_case(config: Path) -> None:
    config.write_text(config.read_text().replace('"test"', '"prod"').replace('"AA"', '"PT"'))

    done = run(config, "for-patient", "--patient", "urn:oid:2.999.1.2.1|0123", "--json")

    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (2, "usage")
