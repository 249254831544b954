"""`isthmus connector test` over sources that work, are poor, lie, or are not there.

What the trail says of it afterwards: `tests/audit/test_trial.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.archive.conftest import EVA, ISSUER, dicom
from tests.national.odd_dicomweb import COUNTS, OddDicomWeb, odd_dicomweb

from isthmus.commands.root import run
from isthmus.storage.sealed import MasterKey

SETTINGS = """env = "test"
country = "AA"
ncp_id = "urn:ncp:aa"
[[sources.patients]]
[[sources.reports]]
[[sources.images]]
name = "pacs"
kind = "dicomweb"
url = "{url}"
timeout_s = 2
page_size = 3
patient_issuer = "2.999.4.1"
accession_issuer = "2.999.5.1"
time_zone = "Europe/Athens"
"""
PATIENT = f"urn:oid:{ISSUER}|{EVA['PatientID']}"
STUDY = "2.25.10"
ORDERED = ("--by", "M. Admin", "--reason", "a new PACS")
Tried = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def pacs() -> Iterator[OddDicomWeb]:
    mine = [dicom(number, series=f"2.25.{11 + number % 2}") for number in range(5)]
    theirs = dicom(90, study="2.25.90", series="2.25.91", PatientID="12345678")
    with odd_dicomweb(*mine, theirs) as web:
        yield web


@pytest.fixture
def tried(pacs: OddDicomWeb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Tried:
    """Runs the command on the settings, by somebody and for a reason; gives its status and what it says as JSON."""
    (tmp_path / "keys").mkdir()
    MasterKey.make(tmp_path / "keys" / "env.key")

    def go(*words: str, url: str = "") -> tuple[int, dict[str, Any]]:
        file = tmp_path / "isthmus.toml"
        file.write_text(SETTINGS.format(url=url or pacs.url))
        status = run(["--config", str(file), "connector", "test", "--json", *ORDERED, *words])
        return status, json.loads(capsys.readouterr().out)

    return go


def said(answer: dict[str, Any]) -> str:
    return "\n".join(f"{one['severity']}: {one['what']}" for one in answer["findings"])


def test_a_source_that_works_has_no_error_and_every_question_is_asked(tried: Tried) -> None:
    status, answer = tried("--source", "pacs", "--patient", PATIENT, "--study", STUDY)

    assert status == 0, said(answer)
    assert {one["outcome"] for one in answer["questions"]} == {"works"}
    assert len(answer["questions"]) == 8
    assert answer["summary"]["error"] == 0
    assert "IssuerOfPatientID is not answered" in said(answer)
    assert "no NumberOfFrames at instance level" in said(answer)


def test_without_a_patient_only_what_concerns_nobody_is_asked(tried: Tried) -> None:
    status, answer = tried("--source", "pacs")

    assert status == 0
    outcomes = [one["outcome"] for one in answer["questions"]]
    assert (outcomes.count("works"), outcomes.count("not asked")) == (3, 5)


@pytest.mark.parametrize(
    ("odd", "sentence", "expected"),
    [
        ({"takes": lambda accept: "=*" not in accept}, "warning: transfer-syntax=* is refused", 0),
        (
            {"refuses": frozenset({"includefield"})},
            "warning: studies: attributes by name (includefield) are refused",
            0,
        ),
        ({"refuses": frozenset({"limit"})}, "warning: instances: limit and offset are refused", 0),
        (
            {"page": lambda rows, asked: rows[:1] if "limit" in asked else rows},
            "warning: instances: pages overlap, stand still or fall short",
            0,
        ),
        ({"all_match": True}, "warning: studies of other patients are answered with", 0),
        ({"breaks_at": 700}, "error: the PACS broke off an instance", 6),
        (
            {"alter": lambda row: row | ({"00201209": {"vr": "IS", "Value": [9]}} if "00201209" in row else {})},
            "error: fewer rows than counted",
            6,
        ),
        (
            {"alter": lambda row: {t: e for t, e in row.items() if t not in COUNTS}},
            "warning: counts of series and instances are missing",
            0,
        ),
        (
            {"alter": lambda row: {t: e for t, e in row.items() if t not in ("00200013", "00080060", "00080020")}},
            "warning: InstanceNumber is missing",
            0,
        ),
    ],
    ids=[
        "recodes",
        "no fields",
        "no pages",
        "pages fall short",
        "strangers",
        "breaks off",
        "short",
        "no counts",
        "poor rows",
    ],
)
def test_what_a_source_lacks_is_said_with_what_to_ask_for(
    tried: Tried, pacs: OddDicomWeb, odd: dict[str, Any], sentence: str, expected: int
) -> None:
    for name, value in odd.items():
        setattr(pacs, name, value)

    status, answer = tried("--source", "pacs", "--patient", PATIENT)

    assert status == expected, said(answer)
    assert sentence in said(answer)
    assert all(one["ask"] for one in answer["findings"])


def test_an_image_that_changes_each_time_is_an_error(tried: Tried, pacs: OddDicomWeb) -> None:
    times = iter(range(10, 100))
    pacs.bodies = lambda body: body[:-14] + b"%02d" % next(times) + body[-12:]  # the last pixel

    status, answer = tried("--source", "pacs", "--patient", PATIENT)

    assert status == 6
    assert "error: an instance is other bytes each time" in said(answer)


@pytest.mark.parametrize("status", [401, 500])
def test_a_source_that_does_not_answer_is_5(tried: Tried, pacs: OddDicomWeb, status: int) -> None:
    pacs.search_status = status

    code, answer = tried("--source", "pacs", "--patient", PATIENT)

    assert code == 5
    assert str(status) in said(answer)
    assert len(answer["questions"]) == 1


def test_a_patient_without_studies_is_said(tried: Tried) -> None:
    status, answer = tried("--source", "pacs", "--patient", f"urn:oid:{ISSUER}|555")

    assert status == 0
    assert "warning: no study of the patient is found" in said(answer)


def test_what_could_not_be_asked_of_images_is_not_said_to_work(tried: Tried) -> None:
    _, answer = tried("--source", "pacs", "--patient", f"urn:oid:{ISSUER}|999")

    unasked = [one for one in answer["questions"] if one["detail"] == "the patient has no study"]
    assert unasked
    assert {one["outcome"] for one in unasked} == {"not asked"}


def test_a_near_line_study_is_no_error(tried: Tried, pacs: OddDicomWeb) -> None:
    pacs.alter = lambda row: row | {"00080056": {"vr": "CS", "Value": ["NEARLINE"]}}

    status, answer = tried("--source", "pacs", "--patient", PATIENT)

    assert status == 0
    assert "near-line" in said(answer)


def test_a_name_that_no_source_has_is_wrong_usage(tried: Tried) -> None:
    status, answer = tried("--source", "nothing")

    assert status == 2
    assert "no such source" in answer["error"]["message"]


def test_every_source_is_tried_where_none_is_named_and_people_read_a_table(
    tried: Tried, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, answer = tried("--patient", PATIENT)
    tried_again = run(["--config", str(tmp_path / "isthmus.toml"), "connector", "test", "--source", "pacs"])
    table = capsys.readouterr().out

    assert {(one["source"], one["kind"]) for one in answer["questions"]} == {
        ("archive", "patients"), ("archive", "reports"), ("pacs", "images"),
    }  # fmt: skip
    assert status == 6  # nobody is registered here
    assert tried_again == 0
    assert "What was asked" in table


def test_no_patient_data_is_told(tried: Tried) -> None:
    _, answer = tried("--patient", PATIENT)

    text = json.dumps(answer)
    assert EVA["PatientID"] not in text
    assert "Testova" not in text


def test_the_address_of_nothing_is_not_taken_for_a_source_that_has_nothing(tried: Tried, pacs: OddDicomWeb) -> None:
    pacs.nothing = "404"
    status, right = tried("--source", "pacs", "--patient", PATIENT)
    pacs.search_status = 404
    _, wrong = tried("--source", "pacs", "--patient", PATIENT)

    assert status == 0
    assert "answered with 404" not in said(right)
    assert "warning: every search is answered with 404: nothing is found, or nothing lies at url" in said(wrong)


def test_a_local_name_of_an_issuer_is_told(tried: Tried, pacs: OddDicomWeb) -> None:
    pacs.files = [dicom(1, IssuerOfPatientID="HIS")]

    _, answer = tried("--source", "pacs", "--patient", PATIENT)

    assert "rows with the patient's number name another issuer than --patient does: HIS" in said(answer)


def test_the_log_does_not_repeat_the_findings(
    tried: Tried, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    tried("--source", "pacs", "--patient", PATIENT)

    assert caplog.records == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:9", "it cannot be reached (Connection refused)"),
        ("http://nowhere.invalid", "its name is not known"),
        ("https", "no TLS connection"),
    ],
)
def test_why_a_source_does_not_answer_is_told(tried: Tried, pacs: OddDicomWeb, url: str, why: str) -> None:
    status, answer = tried("--source", "pacs", url=pacs.url.replace("http", "https") if url == "https" else url)

    assert status == 5
    assert f"pacs does not answer: {why}" in said(answer)
