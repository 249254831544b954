"""`isthmus convert`: there and back, and nothing written when something is wrong."""

from __future__ import annotations

import re
import stat
from base64 import b64encode
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import orjson
import pydicom
import pytest
from tests.originals.made import dose_report, encapsulated
from tests.originals.made import report as sr
from tests.wire.made import MANIFEST
from tests.wire.test_reports import REPORT

from isthmus.commands.root import run
from isthmus.conformance.requirement import Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.model.identifiers import Identifier
from isthmus.wire.kos import write_kos
from isthmus.wire.manifests import write_manifest
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import read_report, write_report

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


REPORTS = (
    "dicom/sr/reportki.dcm",
    "dicom/sr/test-SR.dcm",
    "dicom/odd_files/reportsi_with_empty_number_tags.dcm",
    "dicom/pt_headneck_derived/sr_tid1500.dcm",
    "cda/ccda_dir/Diagnostic_Imaging_Report.xml",
    "cda/ehdsi_orcd/18748-4_3-1234-W7.xml",
    "cda/ehdsi_orcd/x-clinical-image_3-1234-W7.xml",
)
OF_A_PATIENT = ("--patient", "urn:oid:2.999.1|4711")


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("reference"), str):
            yield node["reference"]
        for member in node.values():
            yield from _references(member)
    elif isinstance(node, list):
        for member in node:
            yield from _references(member)


def _is_closed(bundle: Any) -> bool:
    return set(_references(bundle)) <= {entry["fullUrl"] for entry in bundle["entry"]}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_of_others_becomes_a_document_in_which_every_reference_resolves(
    name: str, sample: Callable[[str], Path], tmp_path: Path
) -> None:
    file, out = sample(name), tmp_path / "out.json"

    assert convert(file, "report-fhir", out) == 0

    bundle = orjson.loads(out.read_bytes())
    first = bundle["entry"][0]["resource"]
    (diagnostic,) = (e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "DiagnosticReport")
    assert (bundle["type"], first["resourceType"], _is_closed(bundle)) == ("document", "Composition", True)
    assert bundle["timestamp"]
    assert b64encode(file.read_bytes()).decode() in [form["data"] for form in diagnostic["presentedForm"]]
    assert b"wado" not in re.sub(rb'"data":"[^"]*"', b"", out.read_bytes()).lower()


def test_a_pdf_with_what_the_operator_says_becomes_a_report_around_it(tmp_path: Path) -> None:
    file, out = tmp_path / "letter", tmp_path / "out.json"
    file.write_bytes(b"%PDF-1.7 letter")

    code = convert(
        file, "report-fhir", out, *OF_A_PATIENT, "--study", "2.25.7", "--study", "2.25.8",
        "--title", "Brief", "--date", "2026-03-02", "--language", "de",
    )  # fmt: skip

    report, bundle = read_report(out.read_bytes(), PACK), orjson.loads(out.read_bytes())
    assert (code, bundle["type"], _is_closed(bundle)) == (0, "collection", True)
    assert report.presented_forms[0].body == file.read_bytes()
    assert (report.header.patient.identifier.value, report.study_instance_uids) == ("4711", ("2.25.7", "2.25.8"))
    assert report.header.language == "de"


def test_the_same_pdf_of_the_same_patient_is_the_same_document(tmp_path: Path) -> None:
    file, outs = tmp_path / "letter", [tmp_path / "a.json", tmp_path / "b.json"]
    file.write_bytes(b"%PDF-1.7 letter")

    for out in outs:
        assert convert(file, "report-fhir", out, *OF_A_PATIENT) == 0

    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_a_pdf_inside_a_dicom_file_comes_out_unchanged(sample: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "out.json"

    assert convert(sample("dicom/pdf_encapsulated/de_cct_report.dcm"), "report-fhir", out) == 0

    report = read_report(out.read_bytes(), PACK)
    assert report.presented_forms[0].body == sample("pdf/de_cct_report_9df9cc92.pdf").read_bytes()
    assert report.study_instance_uids == ("2.25.281846230517316417043208213571113411",)
    assert report.order.accession_numbers == (Identifier(None, "HB2505080001"),)


REFUSED: dict[str, tuple[bytes, tuple[str, ...], str]] = {
    "PDF of nobody": (b"%PDF-1.7", (), "does not say whose it is"),
    "CDA of nobody": (b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>', (), "names no patient"),
    "page": (b"<!DOCTYPE html><html></html>", (), "neither"),
    "entities": (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', (), "neither"),
    "manifest in DICOM": (write_kos(MANIFEST, PACK), (), "no report"),
    "manifest in FHIR": (write_manifest(MANIFEST, PACK), (), "cannot become a report"),
    "DiagnosticReport alone": (b'{"resourceType":"DiagnosticReport"}', (), "only a part of a report"),
    "PDF in a Binary": (b'{"resourceType":"Binary","contentType":"application/pdf"}', (), "only carries a document"),
    "report that is cut": (sr()[:700], (), "can be read"),
    "report of another": (sr(), OF_A_PATIENT, "another patient"),
    "report with the same number of another country": (sr(PatientID="4711"), OF_A_PATIENT, "another patient"),
    "PDF in DICOM with the same number of another country": (
        encapsulated(b"%PDF-1.7", PatientID="4711"),
        OF_A_PATIENT,
        "another patient",
    ),
    "Bundle of another": (write_report(REPORT, PACK), OF_A_PATIENT, "another patient"),
    "Bundle of another study": (write_report(REPORT, PACK), ("--study", "2.25.99"), "other studies"),
    "study that is none": (sr(), ("--study", "x"), "UID"),
    "patient that is none": (sr(), ("--patient", "4711"), "SYSTEM|VALUE"),
    "day that is none": (sr(), ("--date", "yesterday"), "--date"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_become_a_report_is_refused_in_a_sentence_and_nothing_is_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body, more, word = REFUSED[name]
    file, out = tmp_path / "file", tmp_path / "out.json"
    file.write_bytes(body)

    code = convert(file, "report-fhir", out, *more)

    said = capsys.readouterr().err
    assert (code, out.exists(), said.count("\n")) == (2, False, 1)
    assert word in said


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


@pytest.mark.fault("F27")
def test_a_dose_report_becomes_text_and_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out, none = tmp_path / "dose.dcm", tmp_path / "dose.txt", tmp_path / "report.json"
    file.write_bytes(dose_report())

    codes = [convert(file, "text", out), convert(file, "report-fhir", none)]

    assert (codes, none.exists()) == ([0, 2], False)
    assert "but no report" in capsys.readouterr().err
    assert out.read_text().startswith("X-Ray Radiation Dose Report\n")
    assert "  Dose Area Product Total: 0.00012500 Gy.m2\n" in out.read_text()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["PDF", "CDA", "DICOM that is cut", "report"])
def test_what_has_no_content_tree_becomes_no_text(name: str, tmp_path: Path) -> None:
    file, out = tmp_path / "nonsense", tmp_path / "out.txt"
    file.write_bytes(NONSENSE[name][0])

    assert (convert(file, "text", out), out.exists()) == (2, False)
