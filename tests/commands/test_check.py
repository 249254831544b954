"""`isthmus check`: files are known by what they hold, damage is told at its place, what cannot be read ends soon and without a trace."""

from __future__ import annotations

import io
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from tests.wire.made import MANIFEST
from tests.wire.test_reports import REPORT

from isthmus.commands.root import run
from isthmus.wire.kos import write_kos
from isthmus.wire.manifests import write_manifest
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import write_report

PACK = load_pack()
MANIFEST_FHIR, MANIFEST_KOS, REPORT_FHIR = (
    write_manifest(MANIFEST, PACK),
    write_kos(MANIFEST, PACK),
    write_report(REPORT, PACK),
)


def check(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any]:
    code = run(["check", *map(str, words), "--json"])
    said = capsys.readouterr()
    assert said.err == ""
    return code, orjson.loads(said.out)


def written(folder: Path, name: str, body: bytes) -> Path:
    path = folder / name
    path.write_bytes(body)
    return path


@pytest.mark.parametrize(
    ("body", "kind"),
    [(MANIFEST_FHIR, "FHIR manifest"), (MANIFEST_KOS, "DICOM manifest"), (REPORT_FHIR, "FHIR report")],
)
def test_what_we_write_has_no_error_whatever_its_name(
    body: bytes, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = check(capsys, written(tmp_path, "a", body))

    assert code == 0
    assert answer["summary"]["error"] == 0
    assert [one["kind"] for one in answer["files"]] == [kind]
    assert set(answer) >= {"findings", "coverage", "summary"}


def test_what_a_document_tells_of_the_data_set_is_listed_by_element(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, manifest = written(tmp_path, "r.json", REPORT_FHIR), written(tmp_path, "m.json", MANIFEST_FHIR)

    rows = check(capsys, report, manifest)[1]["coverage"]

    assert {one["element"][0] for one in rows if one["file"] == str(report)} == {"A"}
    assert {one["element"][0] for one in rows if one["file"] == str(manifest)} >= {"B"}
    assert {one["present"] for one in rows} == {True, False}
    assert all(set(one) == {"file", "element", "obligation", "present"} for one in rows)


def damaged(change: Callable[[Any], None]) -> bytes:
    node = orjson.loads(MANIFEST_FHIR)
    change(node)
    return orjson.dumps(node)


def _of(node: Any, kind: str) -> Any:
    return next(e["resource"] for e in node["entry"] if e["resource"]["resourceType"] == kind)


DAMAGE: dict[str, tuple[Callable[[Any], None], str]] = {
    "no status": (lambda n: _of(n, "Composition").pop("status"), "Bundle.entry[0].resource.Composition.status"),
    "no date": (lambda n: _of(n, "Composition").update(date="yesterday"), "Bundle.entry[0].resource.Composition.date"),
    "a number as title": (lambda n: _of(n, "Composition").update(title=5), "Bundle.entry[0].resource.Composition.title"),
    "a gender": (lambda n: _of(n, "Patient").update(gender="strong"), "Patient.gender"),
    "a subject that is nowhere": (
        lambda n: _of(n, "Composition").update(subject={"reference": "urn:uuid:00000000-0000-4000-8000-00000000dead"}),
        "Bundle.entry[0].resource.Composition.subject.reference",
    ),
    "a wrong count": (
        lambda n: _of(n, "ImagingStudy")["series"][0].update(numberOfInstances=9), "series[0].numberOfInstances",
    ),
    "the Composition last": (lambda n: n["entry"].append(n["entry"].pop(0)), "Bundle"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_an_error_where_it_is(damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, path = DAMAGE[damage]

    code, answer = check(capsys, written(tmp_path, "m.json", damaged(change)))

    errors = [one for one in answer["findings"] if one["severity"] == "error"]
    assert code == 6
    assert any(one["path"].endswith(path) for one in errors), [one["path"] for one in errors]
    assert all(all(one[name] for name in ("file", "rule", "source", "path", "message", "advice")) for one in errors)


UNREADABLE = {
    "cut.json": b'{"resourceType": "Bundle", "entry": [',
    "deep.json": b'{"a":' * 100_000,
    "list.json": b"[1, 2]",
    "bomb.xml": b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>',
    "noise.dcm": b"\0" * 128 + b"DICM" + bytes(range(256)) * 4,
    "noise.bin": bytes(range(256)) * 8,
    "cut.pdf": b"%PDF-1.7\n1 0 obj\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_an_error_with_its_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = check(capsys, written(tmp_path, name, UNREADABLE[name]))

    assert code == 6
    assert [(Path(one["file"]).name, one["severity"]) for one in answer["findings"]][0] == (name, "error")


def test_a_folder_is_compared_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, "m.json", damaged(lambda n: _of(n, "ImagingStudy")["series"][0].update(uid="2.25.7")))
    written(tmp_path, "m.dcm", MANIFEST_KOS)
    written(tmp_path, "README.txt", b"what lies here")

    code, answer = check(capsys, tmp_path)

    assert code == 6
    assert "AGREE-instances" in {one["rule"] for one in answer["findings"]}
    assert {one["severity"] for one in answer["findings"] if one["file"].endswith("README.txt")} == {"information"}


def test_no_patient_stands_in_what_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    family = MANIFEST.study.patient.name.family
    broken = damaged(lambda n: _of(n, "Patient").update(gender=family, birthDate=family, **{family: family}))

    run(["check", str(written(tmp_path, "m.json", broken)), "--html", str(tmp_path / "found.html")])

    page = (tmp_path / "found.html").read_text("utf-8")
    assert family not in capsys.readouterr().out
    assert family not in page
    assert "Patient.gender" in page
    assert stat.S_IMODE((tmp_path / "found.html").stat().st_mode) == 0o600


def test_the_page_needs_nothing_else_and_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "<script>alert(1)</script>.json"

    run(["check", str(written(tmp_path, name.replace("/", "_"), b"{}")), "--html", str(tmp_path / "found.html")])

    page = (tmp_path / "found.html").read_text("utf-8")
    assert "<script" not in page
    assert "http:" not in page.replace("http-equiv", "")
    assert "src=" not in page


def test_the_published_manifests_are_judged_and_not_given_up_on(
    sample: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folders = sample("kos/mado").glob("*.dcm"), sample("fhir/ihe_mado_study_b").glob("*-bundle.json")

    for path in (one for folder in folders for one in folder):
        assert check(capsys, path)[1]["findings"]


def test_what_others_published_as_valid_has_no_error(
    sample: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = check(capsys, sample("fhir/mii_bildgebung_r4"), sample("pdf"), sample("cda/ehdsi_orcd"))

    assert (code, answer["summary"]["error"]) == (0, 0)


@pytest.mark.parametrize(
    "words",
    [[], ["nowhere.json"], ["a", "--border", "https://b.example"], ["a", "--pack", "none"], ["a", "--as", "me"]],
)
def test_wrong_usage_exits_2(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "a", MANIFEST_FHIR)

    assert run(["check", *words]) == 2


# as people read it


def said(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    run(["check", *map(str, words)])
    return capsys.readouterr().out


def image(number: int) -> bytes:
    """An instance that says neither issuer nor time zone: two remarks."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", f"2.999.1.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "2.999.1", "2.999.2", "OT"
    dataset.PatientID = "1"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"  # type: ignore[assignment]  # pydicom makes a UID of it
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def test_in_a_large_folder_what_is_in_order_is_counted_and_a_remark_is_made_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(30):
        written(tmp_path, f"{number:02}.dcm", image(number))
    broken = written(tmp_path, "broken.json", damaged(lambda node: node.pop("timestamp")))

    told = said(capsys, tmp_path)

    assert "30 × DICOM instance: no error and no warning" in told
    assert told.count("not said by the file") == 2
    assert f"{broken}: FHIR manifest" in told
    assert "bdl-10" in told
    assert "29.dcm" not in told


def test_of_a_few_files_each_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, written(tmp_path, "m.json", MANIFEST_FHIR), written(tmp_path, "k.dcm", MANIFEST_KOS))

    assert "m.json: FHIR manifest: no error and no warning" in told
    assert "k.dcm: DICOM manifest: no error and no warning" in told


def test_a_data_set_that_is_no_file_is_told_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = written(tmp_path, "bare", image(1)[132:])
    at_its_first_attribute = written(tmp_path, "bare2", image(1).partition(b"\x08\x00\x16\x00")[1] + bytes(20))

    code, answer = check(capsys, bare, at_its_first_attribute)

    assert (code, {one["rule"] for one in answer["findings"]}) == (6, {"DICOM-not-dicom"})
    assert all("file meta information" in one["message"] for one in answer["findings"])


def test_a_finding_that_stands_twice_at_one_place_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def nameless(node: Any) -> None:
        sections = [{"title": "a", "text": {"status": "generated", "div": "<div>a</div>"}} for _ in range(2)]
        _of(node, "Composition")["section"] = sections

    findings = check(capsys, written(tmp_path, "m.json", damaged(nameless)))[1]["findings"]

    assert len(findings) == len({(one["rule"], one["path"], one["message"]) for one in findings})
    assert "MFH-08" in {one["rule"] for one in findings}
