"""Re-labelled copies: another person's names and numbers, the same pixels, the same bytes at every start."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest

from isthmus.demo.people import ACCESSION_ISSUER, PATIENT_ISSUER
from isthmus.demo.relabel import originals_of, relabelled, write_dicom
from isthmus.demo.studies import SOURCES, STUDIES, DemoStudy

UNCOMPRESSED = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}
LABELS = sorted(STUDIES)


@cache
def copies(label: str) -> dict[Path, bytes]:
    study = STUDIES[label]
    return {path: relabelled(path, study) for path in originals_of(study)}


def read(data: bytes) -> Any:
    return pydicom.dcmread(BytesIO(data))


def uids_in(dataset: Any) -> set[str]:
    found: set[str] = set()
    for element in dataset.iterall():
        if element.VR == "UI" and element.value and "Class" not in element.keyword:
            values = [element.value] if isinstance(element.value, str) else list(element.value)
            found |= {str(v) for v in values if not str(v).startswith("1.2.840.10008.")}
    return found


@pytest.mark.parametrize("label", LABELS)
def test_nothing_of_the_original_identity_survives(label: str) -> None:
    for path, copy in copies(label).items():
        original = pydicom.dcmread(path)
        identity = uids_in(original) | {str(original.PatientName), str(original.PatientID)}

        survivors = [word for word in identity if len(word) > 4 and word.encode() in copy]

        assert survivors == []


@pytest.mark.parametrize("label", LABELS)
def test_every_copy_is_of_the_invented_patient_and_study(label: str) -> None:
    study = STUDIES[label]
    patient = study.patient

    for copy in copies(label).values():
        dataset = read(copy)

        assert dataset.StudyInstanceUID == study.study_instance_uid
        assert dataset.PatientID == patient.identifier.value
        assert dataset.IssuerOfPatientIDQualifiersSequence[0].UniversalEntityID == PATIENT_ISSUER
        assert str(dataset.PatientName.family_name) == patient.name.family
        assert dataset.PatientBirthDate == patient.birth_date.replace("-", "")
        assert dataset.AccessionNumber == study.accession
        assert dataset.IssuerOfAccessionNumberSequence[0].UniversalEntityID == ACCESSION_ISSUER
        assert dataset.StudyDate == study.started.strftime("%Y%m%d")
        assert dataset.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.parametrize("label", LABELS)
def test_pixels_and_transfer_syntax_are_the_originals(label: str) -> None:
    for path, copy in copies(label).items():
        original, dataset = pydicom.dcmread(path), read(copy)

        assert dataset.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
        assert dataset.get("PixelData") == original.get("PixelData")


def test_the_same_bytes_at_every_start(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_dicom(tmp_path / name, STUDIES.values())

    first, second = (
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.dcm")}
        for name in ("first", "second")
    )

    assert first == second
    assert len(first) == sum(len(originals_of(study)) for study in STUDIES.values())


def test_progress_tells_how_many_of_how_many(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    write_dicom(tmp_path, [STUDIES["us-mirela"], STUDIES["mr-petra"]], lambda done, of: told.append((done, of)))

    assert told[0] == (1, len(told))
    assert told[-1] == (len(told), len(told))


def test_sop_instance_uids_are_unique_over_all_studies() -> None:
    uids = [str(read(copy).SOPInstanceUID) for label in LABELS for copy in copies(label).values()]

    assert len(set(uids)) == len(uids)
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


def test_one_original_serves_twice_as_two_studies() -> None:
    study, other = STUDIES["ct-eleni"], STUDIES["ct-irini"]

    assert study.source == other.source
    assert study.study_instance_uid != other.study_instance_uid


def test_the_key_object_note_names_images_of_its_own_study() -> None:
    read_copies = [read(copy) for copy in copies("ct-eleni").values()]
    note = next(d for d in read_copies if d.Modality == "KO")
    images = {d.SOPInstanceUID for d in read_copies if d.Modality == "CT"}

    study = note.CurrentRequestedProcedureEvidenceSequence[0]
    named = {i.ReferencedSOPInstanceUID for s in study.ReferencedSeriesSequence for i in s.ReferencedSOPSequence}

    assert study.StudyInstanceUID == note.StudyInstanceUID
    assert len(named) == 3
    assert named <= images


def test_three_compressed_transfer_syntaxes_and_a_multi_frame_are_there() -> None:
    read_copies = [read(copy) for label in LABELS for copy in copies(label).values()]

    compressed = {str(d.file_meta.TransferSyntaxUID) for d in read_copies} - UNCOMPRESSED

    assert len(compressed) >= 3
    assert any(d.get("NumberOfFrames", 1) > 1 for d in read_copies)


def test_greek_names_stand_in_the_second_group() -> None:
    name = read(next(iter(copies("ct-eleni").values()))).PatientName

    assert (name.family_name, name.ideographic) == ("Thalassinou", "Θαλασσινού^Ελένη")


def test_text_in_another_character_set_is_decoded_and_written_as_utf_8(tmp_path: Path) -> None:
    study = STUDIES["dx-anton"]
    original = pydicom.dcmread(originals_of(study)[0])
    original.SpecificCharacterSet = "ISO_IR 100"
    original.Manufacturer = "Gerätebau Süd"
    source = tmp_path / study.source / "x.dcm"
    source.parent.mkdir()
    original.save_as(source)

    copy = relabelled(source, study)

    assert "Gerätebau Süd".encode("latin-1") in source.read_bytes()
    assert read(copy).Manufacturer == "Gerätebau Süd"
    assert "Gerätebau Süd".encode() in copy


def test_the_table_of_sources_names_the_originals_study() -> None:
    for source, words in SOURCES.items():
        study = DemoStudy("x", "noemi", source, STUDIES["ct-eleni"].started, "1", "x")
        found = {pydicom.dcmread(p, stop_before_pixels=True).StudyInstanceUID for p in originals_of(study)}

        assert found == {words.study}


@pytest.mark.parametrize("label", LABELS)
def test_a_second_reader_finds_no_fault_that_the_original_has_not(label: str, tmp_path: Path) -> None:
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    path, copy = list(copies(label).items())[-1]
    (tmp_path / "copy.dcm").write_bytes(copy)

    before, after = (_errors(p) for p in (path, tmp_path / "copy.dcm"))

    assert after - before == set()


def _errors(path: Path) -> set[str]:
    done = subprocess.run(["dciodvfy", path], capture_output=True, check=False)
    lines = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    return {line for line in lines if line.startswith("Error")}
