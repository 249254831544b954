"""The corrections as an operator and a script give them, and what the trail says of them afterwards.

Source: interfaces.md §2; trust.md §4.1.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.archive.conftest import ISSUER, dicom
from tests.archive.corrections.conftest import IDAS, OLD, note
from tests.archive.corrections.test_reports import written
from tests.archive.test_commands import SETTINGS

from isthmus.archive.corrections.studies import What, to_be_erased
from isthmus.audit.account import Account
from isthmus.commands.root import run
from isthmus.config import read_settings
from isthmus.storage.database import open_index, open_state
from isthmus.storage.sealed import MasterKey

SYSTEM = f"urn:oid:{ISSUER}"
EVA, OLD_EVA, IDA = f"{SYSTEM}|1234567", f"{SYSTEM}|1111111", f"{SYSTEM}|7654321"
ORDERED = ("--by", "M. Registrar", "--reason", "filed under the wrong patient", "--yes")


class Archive:
    """A node's archive, spoken to as a script does."""

    def __init__(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.config, self._capsys = config, capsys

    def __call__(self, *words: object, code: int = 0) -> Any:
        got = run(["--config", str(self.config), *map(str, words), "--json"])
        out = self._capsys.readouterr()
        assert got == code, out.err
        return json.loads(out.out)

    def import_(self, *files: bytes) -> None:
        folder = self.config.parent / "in"
        folder.mkdir(exist_ok=True)
        for number, body in enumerate(files):
            (folder / f"{number}.dcm").write_bytes(body)
        run(["--config", str(self.config), "import", str(folder), "--json"])
        self._capsys.readouterr()

    def said(self, *words: object) -> str:
        """The same for people: what is said to them."""
        assert run(["--config", str(self.config), *map(str, words)]) == 0
        return self._capsys.readouterr().out

    def states(self) -> list[str]:
        return [row["state"] for row in self("archive", "list")["instances"]]


@pytest.fixture
def archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Archive:
    config = tmp_path / "aa" / "isthmus.toml"
    config.parent.mkdir()
    config.write_text(SETTINGS)
    settings = read_settings(config, {})
    key = settings.path(settings.keys.env)
    key.parent.mkdir(parents=True, exist_ok=True)
    MasterKey.make(key)
    made = Archive(config, capsys)
    made.import_(dicom(1), dicom(2), dicom(5, study="2.25.50", **IDAS), dicom(6, study="2.25.60", **OLD))
    return made


def trail(archive: Archive) -> list[tuple[str, str, str, int]]:
    settings = read_settings(archive.config, {})
    state = open_state(settings)
    try:
        account = Account(state, MasterKey.load(settings.path(settings.keys.env)), settings.folder)
        assert account.verify().intact
        return [(e.transaction, e.purpose, e.outcome, e.instances) for e in account.exchanges(20)]
    finally:
        state.close()


def test_each_correction_stands_on_the_trail_of_every_patient_it_touches(archive: Archive) -> None:
    moved = archive("archive", "move", "--study", "2.25.10", "--to", IDA, *ORDERED)
    archive("archive", "delete", "--instance", "2.25.100005", *ORDERED)

    assert (moved["changed"], moved["instances"], moved["held"]) == (True, 2, 2)
    assert trail(archive) == [
        ("correction", "delete", "complete", 1), ("correction", "move", "complete", 2), ("correction", "move", "complete", 2),
    ]  # fmt: skip


def test_what_cannot_be_done_is_recorded_as_refused(archive: Archive) -> None:
    answer = archive("archive", "merge", EVA, IDA, *ORDERED, code=2)

    assert "two people" in answer["error"]["message"]
    assert {row[:3] for row in trail(archive)} == {("correction", "merge", "refused")}


def test_a_correction_says_who_and_why_and_that_it_is_meant(archive: Archive) -> None:
    archive("archive", "delete", "--study", "2.25.10", "--by", "M.", "--reason", "r", code=2)
    archive("archive", "delete", "--study", "2.25.10", "--by", " ", "--reason", "r", "--yes", code=2)
    archive("archive", "delete", "--study", "2.25.10", "--reason", "r", "--yes", code=2)
    archive("archive", "delete", *ORDERED, code=2)
    archive("archive", "delete", "--study", "2.25.404", *ORDERED, code=4)

    assert archive.states() == ["served"] * 4


def test_merge_and_split(archive: Archive) -> None:
    archive("archive", "merge", OLD_EVA, EVA, *ORDERED)
    merged = archive("archive", "list", "--study", "2.25.60")["instances"][0]["patient"]
    archive("archive", "split", OLD_EVA, *ORDERED)

    split = archive("archive", "list", "--study", "2.25.60")["instances"][0]["patient"]
    assert (merged["value"], split["value"]) == ("1234567", "1111111")


def test_what_a_rejection_note_did_is_recorded_whichever_door_it_came_in_by(archive: Archive) -> None:
    archive.import_(note("2.25.100001"))

    archive("archive", "delete", "--instance", "2.25.100002", *ORDERED)
    archive("archive", "delete", "--instance", "2.25.100005", *ORDERED)

    assert trail(archive)[-1] == ("correction", "reject", "complete", 1)
    assert [row[1] for row in trail(archive)] == ["delete", "delete", "reject"]


def test_delete_erase_and_restore(archive: Archive) -> None:
    archive("archive", "delete", "--study", "2.25.10", "--erase", *ORDERED)
    archive("archive", "delete", "--study", "2.25.10", "--erase", *ORDERED)
    held = archive("archive", "held")["instances"]
    restored = archive("archive", "restore", "--study", "2.25.10", *ORDERED)
    archive.import_(dicom(1), dicom(2))

    assert [row["state"] for row in held] == ["deleted", "deleted"]
    assert "brought again" in restored["follows"][0]
    assert archive.states().count("served") == 4


def test_quarantine_tells_both_people_and_is_judged_again_or_discarded(archive: Archive) -> None:
    stranger = {**IDAS, "PatientName": "Wrong^Other", "PatientBirthDate": "19000101"}
    archive.import_(dicom(7, study="2.25.70", **stranger), dicom(8, study="2.25.10", **IDAS))
    first, second = archive("archive", "held")["instances"]

    assert (first["reason"], first["file_says"]) == ("contradicts-register", IDA)
    assert (second["reason"], second["file_says"], second["study_of"]) == ("contradicts-study", IDA, EVA)
    archive("archive", "release", first["number"], *ORDERED, code=6)
    rows = f"system,value,family,given,birth_date,gender\n{SYSTEM},7654321,Wrong,Other,1900-01-01,female\n"
    (archive.config.parent / "people.csv").write_text(rows)
    archive("import-patients", archive.config.parent / "people.csv")
    archive("archive", "release", first["number"], *ORDERED)
    archive("archive", "discard", second["number"], *ORDERED)
    archive("archive", "discard", second["number"], *ORDERED, code=4)
    assert archive("archive", "held")["instances"] == []
    assert archive.states().count("served") == 5


def test_a_report_is_moved_held_retracted_and_restored(archive: Archive) -> None:
    file = archive.config.parent / "report.json"
    file.write_bytes(written())
    archive("import", file)
    (report,) = archive("archive", "list")["reports"]

    moved = archive("archive", "move", "--report", report["id"], "--to", IDA, *ORDERED)
    (held,) = archive("archive", "held")["reports"]
    back = archive("archive", "move", "--report", report["id"], "--to", EVA, *ORDERED)
    archive("archive", "retract", report["id"], *ORDERED)
    archive("import", file, code=6)
    archive("archive", "restore", "--report", report["id"], *ORDERED)
    archive("archive", "delete", "--report", report["id"], "--erase", *ORDERED)
    archive("archive", "restore", "--report", report["id"], *ORDERED, code=2)

    assert (moved["documents"], moved["held"], back["held"]) == (1, 1, 0)
    assert (held["state"], held["patient"]) == ("corrected", IDA)
    assert [row["state"] for row in archive("archive", "held")["reports"]] == ["deleted"]


def test_what_names_nobody_is_assigned(archive: Archive) -> None:
    nobody: dict[str, Any] = {"PatientID": None, "PatientName": None, "PatientBirthDate": None}
    archive.import_(dicom(9, study="2.25.90", **nobody))

    archive("archive", "assign", "--study", "2.25.90", "--to", EVA, *ORDERED)

    (row,) = archive("archive", "list", "--study", "2.25.90")["instances"]
    assert (row["state"], row["patient"]["value"]) == ("served", "1234567")


def test_a_second_run_finishes_an_erasure_that_was_cut(archive: Archive) -> None:
    archive(
        "archive", "delete", "--study", "2.25.10", *ORDERED
    )  # as a crash before the bytes were written over leaves it

    archive("archive", "delete", "--study", "2.25.10", "--erase", *ORDERED)

    settings = read_settings(archive.config, {})
    index = open_index(settings)
    try:
        left = index.read_now(lambda c: to_be_erased(c, What(study="2.25.10")))
    finally:
        index.close()
    assert left == []


def test_one_of_something_is_told_as_one(archive: Archive) -> None:
    one = archive.said("archive", "delete", "--instance", "2.25.100005", *ORDERED)
    two = archive.said("archive", "delete", "--study", "2.25.10", *ORDERED)

    assert one.splitlines()[0] == "delete: 1 instance"
    assert two.splitlines()[0] == "delete: 2 instances"


def test_a_merge_of_a_number_that_had_nothing_is_told_as_done(archive: Archive, tmp_path: Path) -> None:
    register = tmp_path / "people.csv"
    register.write_text(f"system,value,family,given,birth_date,gender\n{SYSTEM},77,Testova,Eva,1970-01-01,female\n")
    archive.said("import-patients", str(register))

    merged = archive.said("archive", "merge", f"{SYSTEM}|77", EVA, *ORDERED)
    again = archive.said("archive", "merge", f"{SYSTEM}|77", EVA, *ORDERED)

    assert merged.splitlines()[0] == "merge: 1 entry of the register"
    assert again.splitlines()[0] == "merge: nothing changed"


def test_what_waits_for_its_new_issue_is_told_with_what_to_do(archive: Archive) -> None:
    moved = archive.said("archive", "move", "--study", "2.25.10", "--to", IDA, *ORDERED)

    assert "somebody else is named: 2 files. Import what names the right patient." in moved
