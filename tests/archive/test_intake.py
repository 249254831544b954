"""What becomes of an image: the table of verdicts, row by row, and the faults that archives had before.

Source: interfaces.md §11.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.archive.conftest import ISSUER, NOW, Node, dicom, settings_in

from isthmus.archive.verdicts import REASONS, Verdict
from isthmus.errors import ImagesNotFound, SettingsProblem
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.pieces import FileRange, StoredInstance
from isthmus.model.queries import ImagesQuery, PatientQuery
from isthmus.national.files import Files
from isthmus.storage.database import open_index

SYSTEM = f"urn:oid:{ISSUER}"
EVA = PatientIdentifier(SYSTEM, "1234567")
IMPLICIT, BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"


def _outcomes(verdicts: list[Verdict]) -> list[tuple[str, str | None]]:
    return [(verdict.outcome, verdict.reason) for verdict in verdicts]


def _images(node: Node, patient: PatientIdentifier, study: str = "2.25.10") -> list[StoredInstance]:
    files = Files(node.settings, node.database, lambda: NOW)
    return list(asyncio.run(files.get_images(patient, ImagesQuery(study))))


def _read(stored: StoredInstance) -> bytes:
    assert isinstance(stored.content, FileRange)
    with open(stored.content.path, "rb") as file:
        file.seek(stored.content.offset)
        return file.read(stored.content.size_bytes)


def test_a_whole_image_is_accepted_and_its_patient_and_study_are_found(node: Node) -> None:
    verdicts = node.bring(dicom())

    assert _outcomes(verdicts) == [("accepted", None)]
    found = asyncio.run(Files(node.settings, node.database, lambda: NOW).find_patients(PatientQuery((EVA,))))
    assert [(p.name.family, p.birth_date, p.gender) for p in found] == [("Testova", "1970-01-01", "female")]
    assert [i.sop_instance_uid for i in _images(node, EVA)] == ["2.25.100001"]


def test_what_is_kept_is_byte_for_byte_what_came(node: Node) -> None:
    body = dicom()

    node.bring(body)

    (stored,) = _images(node, EVA)
    assert _read(stored) == body
    assert stored.sha256 == hashlib.sha256(body).hexdigest()
    assert stored.size_bytes == len(body)
    assert stored.recoded_from is None


def test_the_same_bytes_again_are_unchanged(node: Node) -> None:
    node.bring(dicom())

    verdicts = node.bring(dicom())

    assert _outcomes(verdicts) == [("unchanged", None)]
    assert len(node.rows()) == 1


def test_the_same_bytes_twice_in_one_group_are_kept_once(node: Node) -> None:
    intake = node.intake()
    for name in ("a", "b"):
        intake.dicom(io.BytesIO(dicom()), name)

    verdicts = intake.close()

    assert _outcomes(verdicts) == [("accepted", None), ("unchanged", None)]
    assert len(_images(node, EVA)) == 1


def test_an_image_without_patient_is_kept_and_offered_to_nobody(node: Node) -> None:
    verdicts = node.bring(dicom(PatientID=None))

    assert [(v.outcome, v.state) for v in verdicts] == [("accepted", "unassigned")]
    assert [row.state for row in node.rows()] == ["unassigned"]
    with pytest.raises(ImagesNotFound):
        _images(node, EVA)


def test_a_number_too_long_to_be_one_is_nobodys_rather_than_a_shortened_one(node: Node) -> None:
    verdicts = node.bring(dicom(PatientID="1" * 200))

    assert [(v.outcome, v.state) for v in verdicts] == [("accepted", "unassigned")]


def test_an_operator_assigns_what_named_nobody(node: Node) -> None:
    body = dicom(PatientID=None)
    node.bring(body)

    verdicts = node.bring(body, assign=EVA)

    assert [(v.outcome, v.state) for v in verdicts] == [("accepted", "served")]
    assert [_read(i) for i in _images(node, EVA)] == [body]
    assert _outcomes(node.bring(body, assign=EVA)) == [("unchanged", None)]


def test_a_file_that_names_another_than_it_is_assigned_to_is_quarantined(node: Node) -> None:
    verdicts = node.bring(dicom(PatientID="7654321"), assign=EVA)

    assert _outcomes(verdicts) == [("quarantined", "contradicts-assignment")]


def test_a_patient_who_contradicts_the_register_is_quarantined(node: Node) -> None:
    node.bring(dicom())

    verdicts = node.bring(dicom(2, study="2.25.20", PatientName="Contradictus^Otho", PatientBirthDate="19310131"))

    assert _outcomes(verdicts) == [("quarantined", "contradicts-register")]
    assert [row.state for row in node.rows()] == ["served", "quarantined"]
    with pytest.raises(ImagesNotFound):
        _images(node, EVA, "2.25.20")


@pytest.mark.parametrize(
    "other",
    [
        {"PatientName": "Novakova^Eva"},
        {"PatientBirthDate": "19700110"},
        {"PatientName": "EVA^TESTOVA", "PatientBirthDate": ""},
    ],
)
def test_one_trait_alone_that_differs_can_be_explained(node: Node, other: dict[str, str]) -> None:
    node.bring(dicom())

    verdicts = node.bring(dicom(2, **other))

    assert _outcomes(verdicts) == [("accepted", None)]


def test_what_was_quarantined_is_kept_once_and_judged_anew(node: Node) -> None:
    node.bring(dicom())
    odd = dicom(2, PatientID="2", PatientName="Other^One", PatientBirthDate="19500101")

    again = [node.bring(odd), node.bring(odd)]

    assert [_outcomes(verdicts) for verdicts in again] == [[("quarantined", "contradicts-study")]] * 2
    assert [row.state for row in node.rows()] == ["served", "quarantined"]


def test_a_known_uid_with_other_bytes_is_refused_and_the_first_stays(node: Node) -> None:
    first = dicom()
    node.bring(first)

    verdicts = node.bring(dicom(StudyDescription="Another"))

    assert _outcomes(verdicts) == [("refused", "other-bytes")]
    assert [_read(i) for i in _images(node, EVA)] == [first]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"This is no image.\n" * 20, "not-dicom"),
        (bytes(128) + b"DICM" + b"\xd7" * 400, None),
        (dicom()[:-20], "truncated"),
        (dicom(SOPInstanceUID=None), None),
        (dicom(SeriesInstanceUID=None), "no-series-uid"),
        (dicom(StudyInstanceUID=None), "no-study-uid"),
        (b"MZ" + dicom()[2:], "active-preamble"),
    ],
)
def test_what_is_no_whole_image_is_refused_with_a_reason(node: Node, body: bytes, reason: str | None) -> None:
    (verdict,) = node.bring(body)

    assert verdict.outcome == "refused"
    assert verdict.reason in REASONS
    assert reason in (None, verdict.reason)
    assert not node.rows()


def test_what_goes_over_a_bound_is_quarantined_with_its_bytes(node: Node) -> None:
    plain = dicom(syntax=DEFLATED)
    meta_end = plain.index(b"1.2.840.10008.1.2.1.99") + 22
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = b"\x09\x00\x10\x00LO\x06\x00Maker " + b"\x09\x00\x01\x10OB\x00\x00" + (300 << 20).to_bytes(4, "little")
    packed = bomb.compress(head + bytes(300 << 20)) + bomb.flush()

    (verdict,) = node.bring(plain[:meta_end] + packed)

    assert (verdict.outcome, verdict.reason) == ("quarantined", "too-large")
    assert [(row.state, row.sha256) for row in node.rows()] == [
        ("quarantined", hashlib.sha256(plain[:meta_end] + packed).hexdigest())
    ]


@pytest.mark.parametrize("syntax", [IMPLICIT, DEFLATED])
def test_a_stored_form_that_may_not_cross_has_another_that_does(node: Node, syntax: str) -> None:
    body = dicom(syntax=syntax)

    node.bring(body)

    from pydicom import dcmread

    (stored,) = _images(node, EVA)
    crossed = _read(stored)
    assert (stored.recoded_from, stored.transfer_syntax_uid) == (syntax, "1.2.840.10008.1.2.1")
    assert stored.sha256 == hashlib.sha256(crossed).hexdigest()
    assert dcmread(io.BytesIO(crossed)).PixelData == bytes(range(32))
    assert [row.sha256 for row in node.rows()] == [hashlib.sha256(body).hexdigest()]
    assert _read(stored) == crossed


def test_a_node_without_images_takes_none(node: Node, tmp_path: Path) -> None:
    from dataclasses import replace

    from isthmus.archive.intake import Intake
    from isthmus.sources import Sources

    intake = Intake(replace(node.settings, sources=Sources()), node.database, lambda: NOW)

    with pytest.raises(SettingsProblem, match=r"sources\.images"):
        intake.dicom(io.BytesIO(dicom()), "x")


@pytest.mark.fault("F04")
def test_one_number_of_two_issuers_is_two_persons(node: Node) -> None:
    a = dicom(1, study="2.25.1", IssuerOfPatientID="HOSP_A", PatientID="12345")
    b = dicom(
        2, study="2.25.2", IssuerOfPatientID="HOSP_B", PatientID="12345", PatientName="B^B", PatientBirthDate="19500505"
    )
    c = dicom(3, study="2.25.3", PatientID="12345", PatientName="C^C", PatientBirthDate="19600606")

    verdicts = node.bring(a, b, c)

    assert _outcomes(verdicts) == [("accepted", None)] * 3
    assert len(_images(node, PatientIdentifier("HOSP_A", "12345"), "2.25.1")) == 1
    assert len(_images(node, PatientIdentifier(SYSTEM, "12345"), "2.25.3")) == 1
    for stranger, study in (("HOSP_A", "2.25.2"), ("HOSP_B", "2.25.1"), (SYSTEM, "2.25.1")):
        with pytest.raises(ImagesNotFound):
            _images(node, PatientIdentifier(stranger, "12345"), study)


@pytest.mark.fault("F05")
def test_a_study_that_changes_its_patient_keeps_the_first_and_shows_both_to_the_operator(node: Node) -> None:
    verdicts = node.bring(dicom(1), dicom(2), dicom(3, PatientID="999"))

    assert _outcomes(verdicts)[2] == ("quarantined", "contradicts-study")
    assert len(_images(node, EVA)) == 2
    assert [row.said_patient for row in node.rows()] == [f"{SYSTEM}|1234567"] * 2 + [f"{SYSTEM}|999"]


@pytest.mark.fault("F10")
def test_a_uid_with_leading_zeros_is_served_under_its_very_text(node: Node) -> None:
    (verdict,) = node.bring(dicom(study="1.2.840.0012.3", series="1.2.840.00044.1", SOPInstanceUID="1.2.840.00044.2"))

    assert verdict.outcome == "accepted"
    assert any("leading zero" in warning for warning in verdict.warnings)
    (stored,) = _images(node, EVA, "1.2.840.0012.3")
    assert (stored.series_instance_uid, stored.sop_instance_uid) == ("1.2.840.00044.1", "1.2.840.00044.2")


@pytest.mark.fault("F11")
def test_one_sop_uid_under_two_series_is_a_conflict_that_is_told(node: Node) -> None:
    first = dicom()
    node.bring(first)

    verdicts = node.bring(dicom(series="2.25.99"))

    assert _outcomes(verdicts) == [("refused", "other-bytes")]
    assert [_read(i) for i in _images(node, EVA)] == [first]


@pytest.mark.fault("F12")
@pytest.mark.fault("F49")
def test_two_at_once_keep_each_instance_once_and_readable(node: Node) -> None:
    bodies = [dicom(number) for number in range(40)]
    told: list[list[Verdict]] = []

    def bring() -> None:
        database = open_index(node.settings)
        told.append(Node(node.settings, database).bring(*bodies))
        database.close()

    threads = [threading.Thread(target=bring) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    outcomes = [verdict.outcome for verdicts in told for verdict in verdicts]
    assert (outcomes.count("accepted"), outcomes.count("unchanged")) == (40, 40)
    assert sorted(_read(i) for i in _images(node, EVA)) == sorted(bodies)


@pytest.mark.fault("F12")
def test_after_any_order_of_arrivals_everything_listed_can_be_read(node: Node) -> None:
    a, other, b = dicom(1), dicom(1, StudyDescription="Other"), dicom(2)

    node.bring(a, other, b, a, other, b)

    assert [_read(i) for i in _images(node, EVA)] == [a, b]


@pytest.mark.fault("F14")
@pytest.mark.parametrize("date", ["00000000", "20190229", "0000-00-00", "2024.02.29", "202402"])
def test_a_date_that_is_none_stops_nothing(node: Node, date: str) -> None:
    body = dicom(StudyDate="20260105").replace(b"DA\x08\x0020260105", b"DA" + _length(date) + _padded(date))

    (verdict,) = node.bring(body)

    assert verdict.outcome == "accepted"
    assert len(_images(node, EVA)) == 1


def _padded(text: str) -> bytes:
    return text.encode() + b" " * (len(text) % 2)


def _length(text: str) -> bytes:
    return len(_padded(text)).to_bytes(2, "little")


@pytest.mark.fault("F16")
def test_a_file_without_group_length_is_accepted_and_one_without_preamble_is_not(node: Node) -> None:
    body = dicom()
    without_length = body[:132] + body[144:]

    verdicts = node.bring(without_length, body[body.index(b"\x08\x00\x05\x00") :])

    assert _outcomes(verdicts) == [("accepted", None), ("refused", "not-dicom")]


@pytest.mark.fault("F24")
def test_an_encapsulated_document_is_kept_as_it_came(node: Node, sample: Callable[[str], Path]) -> None:
    body = next(p for p in sorted(sample("dicom/pdf_encapsulated").iterdir()) if p.is_file()).read_bytes()

    node.bring(body)

    assert [row.sha256 for row in node.rows()] == [hashlib.sha256(body).hexdigest()]


_KILLED = """
import sys, io
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.archive.conftest import Node, dicom, settings_in
from isthmus.storage.database import open_index
settings = settings_in(Path({folder!r}))
intake = Node(settings, open_index(settings)).intake()
for number in range(100_000):
    for verdict in intake.dicom(io.BytesIO(dicom(number)), str(number)):
        print(verdict.sop_instance_uid, flush=True)
"""


@pytest.mark.fault("F12")
def test_killed_in_the_middle_nothing_answered_for_is_lost_and_everything_listed_is_readable(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    script = _KILLED.format(root=root, folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(150)]
        os.kill(process.pid, signal.SIGKILL)
        told += [line.strip() for line in process.stdout if line.endswith("\n")]
    database = open_index(settings_in(tmp_path))
    node = Node(settings_in(tmp_path), database)

    stored = _images(node, EVA)
    again = node.bring(dicom(0), dicom(99_999))
    database.close()

    assert set(told) <= {instance.sop_instance_uid for instance in stored}
    assert all(hashlib.sha256(_read(instance)).hexdigest() == instance.sha256 for instance in stored)
    assert [verdict.outcome for verdict in again] == ["unchanged", "accepted"]


def test_what_is_held_already_takes_no_more_room_however_often_it_comes(node: Node) -> None:
    node.bring(dicom())
    odd = dicom(2, study="2.25.20", PatientName="Contradictus^Otho", PatientBirthDate="19310131")
    intake = node.intake()

    sizes = []
    for _ in range(3):
        intake.dicom(io.BytesIO(odd), "odd")
        intake.dicom(io.BytesIO(odd), "again")
        intake.flush()
        sizes.append(sum(file.stat().st_size for file in intake.blobs.rglob("*") if file.is_file()))

    assert sizes == [len(dicom()) + len(odd)] * 3
    assert _outcomes(intake.dicom(io.BytesIO(dicom(3)), "next") + intake.close()) == [("accepted", None)]
    assert [len(_read(stored)) for stored in _images(node, EVA)] == [len(dicom()), len(dicom(3))]


def test_an_issuer_by_a_name_of_the_house_is_the_one_the_settings_say(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    source = replace(settings.sources.images[0], issuers={"HIS": ISSUER, "RIS": "2.999.5.7"})
    settings = replace(settings, sources=replace(settings.sources, images=(source,)))
    node = Node(settings, open_index(settings))

    node.bring(dicom(1, IssuerOfPatientID="HIS"), dicom(2, IssuerOfPatientID="RIS"), dicom(3, IssuerOfPatientID="?"))

    assert [row.said_patient for row in node.rows()] == [
        f"urn:oid:{ISSUER}|1234567",
        "urn:oid:2.999.5.7|1234567",
        "?|1234567",
    ]
    node.database.close()
