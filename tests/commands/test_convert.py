"""`isthmus convert`: there and back, and nothing written when something is wrong."""

from __future__ import annotations

import stat
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import orjson
import pydicom
import pytest
from tests.wire.made import MANIFEST
from tests.wire.test_reports import REPORT

from isthmus.commands.root import run
from isthmus.conformance.requirement import Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.wire.kos import write_kos
from isthmus.wire.manifests import write_manifest
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import write_report

PACK = load_pack()
assert groups.GROUPS
FHIR = "fhir/ihe_mado_study_b/mado-1.2.250.1.59.40211.22756022.2.1.102-bundle.json"
KEY_IMAGES = "dicom/ct_mado_study_b/Series_B_2/KIN_B2.dcm"


def convert(file: Path, to: str, out: Path, *more: str) -> int:
    return run(["convert", str(file), "--to", to, "--out", str(out), *more])


def _tree(bundle: Any) -> dict[str, list[str]]:
    study = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "ImagingStudy")
    return {series["uid"]: sorted(one["uid"] for one in series["instance"]) for series in study["series"]}


def test_a_manifest_goes_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, kos, back = (tmp_path / name for name in ("a.json", "b.dcm", "c.json"))
    first.write_bytes(write_manifest(MANIFEST, PACK))

    codes = [convert(first, "manifest-kos", kos), convert(kos, "manifest-fhir", back, "--json")]

    assert codes == [0, 0]
    said = orjson.loads(capsys.readouterr().out.partition("{")[2].join(("{", "")))
    assert (said["form"], said["series"], said["instances"], said["forgiven"]) == ("manifest-fhir", 2, 3, [])
    assert _tree(orjson.loads(back.read_bytes())) == _tree(orjson.loads(first.read_bytes()))
    assert examine(Kind.MANIFEST, orjson.loads(back.read_bytes()), PACK) == []


def test_the_published_manifests_are_converted(
    sample: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kos, back = tmp_path / "b.dcm", tmp_path / "c.json"

    codes = [convert(sample(FHIR), "manifest-kos", kos), convert(kos, "manifest-fhir", back)]

    assert codes == [0, 0]
    assert _tree(orjson.loads(back.read_bytes())) == _tree(orjson.loads(sample(FHIR).read_bytes()))
    for file in sorted(sample("kos").rglob("*.dcm")):
        assert convert(file, "manifest-fhir", back) == 0, file.name
        findings = {one.requirement for one in examine(Kind.MANIFEST, orjson.loads(back.read_bytes()), PACK)}
        assert findings <= {"MFH-13", "MFH-18", "MFH-20"}, (
            file.name
        )  # regions, orders, titles of key objects that they do not tell


def test_what_is_written_is_for_its_owner_alone_and_whole(tmp_path: Path) -> None:
    file, out = tmp_path / "a.json", tmp_path / "out.dcm"
    file.write_bytes(write_manifest(MANIFEST, PACK))
    out.write_text("old")

    assert convert(file, "manifest-kos", out) == 0

    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "out.dcm"}


def test_the_plain_form_has_the_title_of_the_older_profile(tmp_path: Path) -> None:
    file, out = tmp_path / "a.dcm", tmp_path / "out.dcm"
    file.write_bytes(write_kos(MANIFEST, PACK))

    assert convert(file, "manifest-kos", out, "--plain") == 0

    assert pydicom.dcmread(out).ConceptNameCodeSequence[0].CodeValue == "113030"


def test_a_report_becomes_the_european_document(tmp_path: Path) -> None:
    bodies = [write_report(REPORT, PACK)]
    reports = resources.files("isthmus.demo").joinpath("data/reports")
    bodies += [one.read_bytes() for one in reports.iterdir() if one.name.endswith(".json")][:3]
    file, out = tmp_path / "a.json", tmp_path / "out.json"

    for body in bodies:
        file.write_bytes(body)
        assert convert(file, "report-fhir", out) == 0

        assert examine(Kind.REPORT, orjson.loads(out.read_bytes()), PACK) == []


NONSENSE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "neither"),
    "no JSON": (b"[1, 2", "neither"),
    "half of JSON": (b'{"resourceType": "Bundle", "entry": [', "JSON"),
    "zeros": (bytes(200), "neither"),
    "object": (b"{}", "neither"),
    "document of nothing": (b'{"resourceType": "Bundle", "type": "document", "entry": []}', "neither"),
    "deep JSON": (b'{"a":' * 100_000, "JSON"),
    "page": (b"<!DOCTYPE html><html></html>", "neither"),
    "CDA": (b'<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"/>', "CDA"),
    "PDF": (b"%PDF-1.7 ...", "PDF"),
    "DICOM that is cut": (write_kos(MANIFEST, PACK)[:900], "DICOM"),
    "report": (write_report(REPORT, PACK), "cannot become a manifest"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_what_is_no_manifest_is_refused_in_a_sentence_and_nothing_is_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body, word = NONSENSE[name]
    file, out = tmp_path / "nonsense", tmp_path / "out.dcm"
    file.write_bytes(body)

    code = convert(file, "manifest-kos", out)

    said = capsys.readouterr().err
    assert (code, out.exists(), said.count("\n")) == (2, False, 1)
    assert word in said


@pytest.mark.parametrize("body", [b"%PDF-1.7", b"<ClinicalDocument/>", write_kos(MANIFEST, PACK)])
def test_reports_in_other_forms_are_not_built_yet(
    body: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "report", tmp_path / "out.json"
    file.write_bytes(body)

    code = convert(file, "report-fhir", out)

    assert (code, out.exists()) == (2, False)
    assert "is not built yet" in capsys.readouterr().err


@pytest.mark.fault("F26")
def test_key_images_are_not_taken_for_a_manifest(
    sample: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(sample(KEY_IMAGES), "manifest-fhir", tmp_path / "out.json") == 2

    assert "key images" in capsys.readouterr().err


def test_a_manifest_that_does_not_say_what_the_other_form_must_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.dcm"
    file.write_bytes(write_kos(MANIFEST, PACK).replace(b"19700101", b"        "))

    assert convert(file, "manifest-fhir", tmp_path / "out.json") == 2

    assert "the patient's birth date" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["missing.dcm", "folder"])
def test_a_path_that_cannot_be_read_or_written_is_wrong_usage(place: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    good = tmp_path / "good.dcm"
    good.write_bytes(write_kos(MANIFEST, PACK))

    assert convert(tmp_path / place, "manifest-fhir", tmp_path / "out.json") == 2
    assert convert(good, "manifest-fhir", tmp_path / "nowhere" / "out.json") == 2
    assert convert(good, "manifest-fhir", tmp_path / "folder") == 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".part")] == []


def test_a_file_beyond_any_manifest_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "large"
    with file.open("wb") as stream:
        stream.truncate(65 * 1024 * 1024)

    assert convert(file, "manifest-fhir", tmp_path / "out.json") == 2

    assert "64 MiB" in capsys.readouterr().err
