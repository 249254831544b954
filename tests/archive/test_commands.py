"""`import`, `import-patients` and `archive list` as an operator and a script see them.

Source: interfaces.md §2.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.archive.conftest import ISSUER, dicom

from isthmus.commands.root import run
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.testing.studies import SyntheticStudy

SYSTEM = f"urn:oid:{ISSUER}"
SETTINGS = f"""
env = "test"
country = "AA"
ncp_id = "urn:ehealth:aa:ncp-idp"
[[sources.patients]]
[[sources.images]]
patient_issuer = "{ISSUER}"
accession_issuer = "2.999.5.1"
time_zone = "Europe/Athens"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "aa" / "isthmus.toml"
    file.parent.mkdir()
    file.write_text(SETTINGS)
    return file


def _answer(capsys: pytest.CaptureFixture[str], config: Path, *words: object) -> tuple[int, Any]:
    code = run(["--config", str(config), *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_import_tells_four_lists_and_running_it_twice_changes_nothing(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.dcm").write_bytes(dicom())

    code, first = _answer(capsys, config, "import", tmp_path / "in")
    again_code, again = _answer(capsys, config, "import", tmp_path / "in")

    told = {
        "path": str(tmp_path / "in" / "good.dcm"), "sop_instance_uid": "2.25.100001", "study_instance_uid": "2.25.10",
        "kind": "instance", "state": "served",
    }  # fmt: skip
    assert (code, again_code) == (0, 0)
    assert first == {"accepted": [told], "unchanged": [], "quarantined": [], "refused": []}
    assert again == {"accepted": [], "unchanged": [told], "quarantined": [], "refused": []}


def test_a_pdf_is_brought_with_its_images_by_the_accession_number_alone(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "image.dcm").write_bytes(dicom())
    (tmp_path / "in" / "report.pdf").write_bytes(b"%PDF-1.7\nA report.\n%%EOF\n")
    (tmp_path / "other.pdf").write_bytes(b"%PDF-1.7\nAnother.\n%%EOF\n")
    whose = ("--patient", f"{SYSTEM}|1234567")

    code, tied = _answer(capsys, config, "import", tmp_path / "in", *whose, "--accession", "urn:oid:2.999.5.1|A1")
    run(["--config", str(config), "import", str(tmp_path / "other.pdf"), *whose, "--accession", "A1"])
    said = capsys.readouterr().out

    about = {row["kind"]: (row["study_instance_uid"], row.get("warnings")) for row in tied["accepted"]}
    assert (code, about["report-pdf"]) == (0, ("2.25.10", None))
    assert "1 accepted" in said
    assert "The accession number has no issuer" in " ".join(said.split())


def test_import_exits_6_when_something_was_held_back(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.dcm").write_bytes(b"no image" * 100)
    (tmp_path / "good.dcm").write_bytes(dicom())

    code, answer = _answer(capsys, config, "import", tmp_path / "bad.dcm", tmp_path / "good.dcm")

    assert code == 6
    assert len(answer["accepted"]) == 1
    assert answer["refused"] == [
        {"path": str(tmp_path / "bad.dcm"), "reason": "not-dicom", "detail": answer["refused"][0]["detail"]}
    ]
    assert answer["refused"][0]["detail"]


@pytest.mark.parametrize(
    "words", [["import", "/nothing/here"], ["import", "."] + ["--as", "picture"], ["import", ".", "--patient", "12"]]
)
def test_wrong_words_exit_2_and_bring_nothing(
    config: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = _answer(capsys, config, *words)

    assert code == 2
    assert answer["error"]["message"]


def test_archive_list_shows_whose_each_instance_is(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, patient_id in enumerate(("1234567", None, "9")):
        (tmp_path / f"{number}.dcm").write_bytes(dicom(number, PatientID=patient_id))
    _answer(capsys, config, "import", *sorted(tmp_path.glob("*.dcm")))

    code, answer = _answer(capsys, config, "archive", "list", "--study", "2.25.10")
    _, other = _answer(capsys, config, "archive", "list", "--study", "2.25.404")

    assert code == 0
    assert [(row["state"], row["patient"]) for row in answer["instances"]] == [
        ("served", {"system": SYSTEM, "value": "1234567"}),
        ("unassigned", None),
        ("quarantined", {"system": SYSTEM, "value": "9"}),
    ]
    assert other == {"instances": [], "reports": []}


def test_archive_list_tells_people_a_line_a_study_of_one_person_or_of_all(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = (dicom(1), dicom(2), dicom(3, study="2.25.30", series="2.25.31", PatientID="2", PatientName="B^C"))
    for number, body in enumerate(files):
        (tmp_path / f"{number}.dcm").write_bytes(body)
    _answer(capsys, config, "import", *sorted(tmp_path.glob("*.dcm")))

    def lines(*words: str) -> list[list[str]]:
        assert run(["--config", str(config), "archive", "list", *words]) == 0
        return [line.split() for line in capsys.readouterr().out.splitlines() if "2.25." in line]

    everyone, evas = lines(), lines("--patient", f"{SYSTEM}|1234567")
    _, instances = _answer(capsys, config, "archive", "list", "--patient", f"{SYSTEM}|2")
    code, nobody = _answer(capsys, config, "archive", "list", "--patient", f"{SYSTEM}|404")

    assert [line[0] for line in everyone] == ["2.25.10", "2.25.30"]
    assert evas == [["2.25.10", "2026-01-05", "CT", "of", "the", "chest", "2", "0.0", "served", f"{SYSTEM}|1234567"]]
    assert [row["study_instance_uid"] for row in instances["instances"]] == ["2.25.30"]
    assert (code, "import-patients registers" in nobody["error"]["message"]) == (4, True)


def test_a_register_is_brought_from_csv_and_from_a_bundle(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register = tmp_path / "r.csv"
    register.write_text(
        "system,value,family,given,birth_date,gender\n"
        f'{SYSTEM},0017,"Ó Briain",Eva Maria,1970-01-01,female\n'
        f"{SYSTEM},18,,Ada,1970-01-01,female\n{SYSTEM},19,B,C,01.02.1970,female\n,20,B,C,1970-01-01,female\n{SYSTEM},21,B,C,1970,x\n",
        encoding="utf-8",
    )
    person = {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": "22"}], "birthDate": "1988-08-18"}
    person |= {"name": [{"family": "Neophyta", "given": ["Iris"]}], "gender": "female"}
    bundle = tmp_path / "b.json"
    bundle.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": person}]}))

    results = [_answer(capsys, config, "import-patients", file) for file in (register, register, bundle, bundle)]

    assert [(code, a["registered"], a["unchanged"], len(a["refused"])) for code, a in results] == [
        (6, 1, 0, 4), (6, 0, 1, 4), (0, 1, 0, 0), (0, 0, 1, 0),
    ]  # fmt: skip
    assert "0017" not in json.dumps(results)


@pytest.mark.parametrize("body", ["a,b\n1,2\n", '{"resourceType": "Patient"}', "{", ""])
def test_a_file_that_is_no_register_exits_2(
    config: Path, tmp_path: Path, body: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r").write_text(body)

    code, _ = _answer(capsys, config, "import-patients", tmp_path / "r")

    assert code == 2


def test_every_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["import"], ["import-patients"], ["archive", "list"]):
        run([*words, "--help"])
        assert "isthmus --config" in capsys.readouterr().out


@pytest.mark.parametrize("cut", [signal.SIGINT, signal.SIGKILL])
def test_an_import_that_is_cut_is_completed_by_the_next_one(config: Path, tmp_path: Path, cut: signal.Signals) -> None:
    patient = Patient(PatientIdentifier(SYSTEM, "1"), (HumanName("A", ("B",)),), "1970-01-01", "male")
    study = SyntheticStudy(3, patient, instances=120)
    study.write(tmp_path / "in")
    words = [sys.executable, "-m", "isthmus", "--config", str(config), "import", str(tmp_path / "in"), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and _bytes_under(config.parent) < 4 << 20:
            time.sleep(0.005)
        os.kill(process.pid, cut)
        out, _ = process.communicate(timeout=30)

    done = subprocess.run(words, capture_output=True, check=False, timeout=60)

    assert process.returncode == (130 if cut == signal.SIGINT else -9)
    told = len(json.loads(out)["accepted"]) if out else 0
    answer = json.loads(done.stdout)
    assert done.returncode == 0
    assert len(answer["unchanged"]) >= told
    assert len(answer["unchanged"]) + len(answer["accepted"]) == 120


def _bytes_under(folder: Path) -> int:
    return sum(path.stat().st_size for path in list(folder.rglob("*")) if path.is_file())


_MEASURED = """
import re, sys
from isthmus.commands.root import run
code = run(sys.argv[1:])
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
sys.stderr.write(f"{code} {int(peak[1]) // 1024}")
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.slow
def test_a_file_of_512_mib_passes_in_less_than_100_mib_of_memory(config: Path, tmp_path: Path) -> None:
    patient = Patient(PatientIdentifier(SYSTEM, "1"), (HumanName("A", ("B",)),), "1970-01-01", "male")
    (path,) = SyntheticStudy(4, patient, instances=1, frames=1024).write(tmp_path / "in")

    words = [sys.executable, "-c", _MEASURED, "--config", str(config), "import", str(path), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)

    code, peak_mib = map(int, done.stderr.split())
    assert (code, len(json.loads(done.stdout)["accepted"])) == (0, 1)
    assert peak_mib < 100
