"""A trial of sources with a patient is a look at a person's data: on the trail before the first question, closed after the last.

Source: trust.md §4.1, §4.2.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.archive.conftest import EVA, ISSUER, dicom
from tests.commands.test_connector import ORDERED, PATIENT, SETTINGS, STUDY
from tests.national.odd_dicomweb import OddDicomWeb, odd_dicomweb

from isthmus.audit.account import Account, Exchange
from isthmus.audit.trail import patient_tag
from isthmus.commands.root import run
from isthmus.config import read_settings
from isthmus.model.identifiers import PatientIdentifier
from isthmus.storage.database import open_state
from isthmus.storage.schema.audit import audit_trail
from isthmus.storage.sealed import MasterKey


class Node:
    """Country A's node with a PACS behind it, its command line, and its trail read again."""

    def __init__(self, folder: Path, pacs: OddDicomWeb, capsys: pytest.CaptureFixture[str]) -> None:
        self.config, self.pacs, self._capsys = folder / "isthmus.toml", pacs, capsys
        self.config.write_text(SETTINGS.format(url=pacs.url).replace("timeout_s = 2", "timeout_s = 60"))
        self.settings = read_settings(self.config, {})
        self.key = self.settings.path(self.settings.keys.env)
        self.key.parent.mkdir()
        MasterKey.make(self.key)

    def words(self, *words: str) -> list[str]:
        return ["--config", str(self.config), *words, "--json"]

    def __call__(self, *words: str) -> tuple[int, Any]:
        status = run(self.words(*words))
        return status, json.loads(self._capsys.readouterr().out)

    def tried(self, *words: str) -> tuple[int, Any]:
        return self("connector", "test", "--source", "pacs", *words)

    def exchanges(self, of: str | None = None) -> list[Exchange]:
        """Those of the trail, which must be intact."""
        state = open_state(self.settings)
        try:
            account = Account(state, MasterKey.load(self.key), self.settings.folder)
            assert account.verify().intact
            return account.exchanges(20, of)
        finally:
            state.close()

    def tags(self) -> set[str | None]:
        """Whose records there are, as the trail finds them."""
        state = open_state(self.settings)
        try:
            rows = state.read_now(lambda c: c.execute(audit_trail.select()).all())
            return {row.patient_tag for row in rows if row.kind == "intent"}
        finally:
            state.close()


@pytest.fixture
def node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Node]:
    with odd_dicomweb(*(dicom(number) for number in range(3))) as pacs:
        yield Node(tmp_path, pacs, capsys)


def test_a_trial_with_a_patient_stands_on_the_trail_with_who_why_and_how_it_ended(node: Node) -> None:
    status, answer = node.tried("--patient", PATIENT, "--study", STUDY, *ORDERED)

    (one,) = node.exchanges()
    assert status == 0
    assert (one.exchange_id, one.side, one.peer) == (answer["exchange_id"], "A", "urn:ncp:aa")
    assert (one.transaction, one.purpose, one.person, one.outcome) == ("trial", "HSYSADMIN", "M. Admin", "complete")
    assert one.instances == 2
    assert one.bytes > 4 * 128
    assert node.exchanges(STUDY) == [one]
    assert node.exchanges("2.25.404") == []


def test_it_is_found_among_what_was_seen_of_the_patient(node: Node) -> None:
    node.tried("--patient", PATIENT, *ORDERED)

    eva = PatientIdentifier(f"urn:oid:{ISSUER}", str(EVA["PatientID"]))
    assert node.tags() == {patient_tag(MasterKey.load(node.key), eva)}


def test_audit_list_and_audit_verify_show_it_and_name_no_patient(node: Node) -> None:
    _, answer = node.tried("--patient", PATIENT, *ORDERED)

    _, listed = node("audit", "list")
    status, verified = node("audit", "verify")

    assert [event["exchange_id"] for event in listed["events"]] == [answer["exchange_id"]]
    assert str(EVA["PatientID"]) not in json.dumps(listed)
    assert (status, verified["intact"], verified["open"]) == (0, True, 0)


@pytest.mark.parametrize("said", [(), ("--by", "M. Admin"), ("--reason", "why"), ("--by", " ", "--reason", "why")])
def test_whoever_does_not_say_who_and_why_asks_nothing(node: Node, said: tuple[str, ...]) -> None:
    status, answer = node.tried("--patient", PATIENT, *said)

    assert status == 2
    assert "--by NAME and --reason TEXT" in answer["error"]["message"]
    assert node.pacs.asked == []


def test_where_no_record_can_be_written_no_question_is_asked(node: Node) -> None:
    node.key.unlink()

    status, answer = node.tried("--patient", PATIENT, *ORDERED)

    assert status == 2
    assert "master key" in answer["error"]["message"]
    assert node.pacs.asked == []


def test_a_trail_that_was_cut_gets_no_trial(node: Node) -> None:
    node.tried("--patient", PATIENT, *ORDERED)
    (node.settings.folder / "trail.head").unlink()
    node.pacs.asked.clear()

    status, answer = node.tried("--patient", PATIENT, *ORDERED)

    assert status == 5
    assert "audit verify" in answer["error"]["message"]
    assert node.pacs.asked == []


def test_a_trial_without_a_patient_needs_no_trail_and_leaves_none(node: Node) -> None:
    node.key.unlink()

    status, answer = node.tried()

    assert (status, answer["exchange_id"]) == (0, None)
    assert not node.settings.database_file.exists()


def test_a_source_that_does_not_answer_closes_it_as_failed(node: Node) -> None:
    node.pacs.search_status = 500

    status, _ = node.tried("--patient", PATIENT, *ORDERED)

    (one,) = node.exchanges()
    assert status == 5
    assert (one.outcome, one.reason, one.instances) == ("failed", "backend", 0)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_trial_is_closed_as_interrupted(node: Node, how: signal.Signals) -> None:
    node.pacs.delays = {"instances/": 20.0}  # of images
    argv = [sys.executable, "-m", "isthmus", *node.words("connector", "test", "--patient", PATIENT, *ORDERED)]
    trying = subprocess.Popen([*argv, "--source", "pacs"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while not any("instances/" in path for path, *_ in node.pacs.asked) and time.monotonic() < until:
        time.sleep(0.05)
    (begun,) = node.exchanges()
    os.kill(trying.pid, how)
    trying.wait(30)
    node.pacs.delays = {}

    if how is signal.SIGKILL:  # the next who writes closes what the dead left
        assert node.tried("--patient", PATIENT, *ORDERED)[0] == 0

    ended = node.exchanges()[-1]
    assert begun.outcome == "open"
    assert (ended.exchange_id, ended.outcome, ended.reason) == (begun.exchange_id, "incomplete", "interrupted")
