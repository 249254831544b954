"""The committed reports: each a whole document, about its own patient and study, with the PDF as issued inside."""

from __future__ import annotations

import base64
import importlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pypdf import PdfReader

from isthmus.conformance.requirement import Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.demo.reports import reports
from isthmus.demo.stories import STORIES
from isthmus.demo.studies import STUDIES
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import read_report

IDS = sorted(i for i, report in reports().items() if report.form == "fhir")
LETTERS = sorted(i for i, report in reports().items() if report.form != "cda")
PACK = load_pack()
assert groups.GROUPS
SECTIONS = {"18726-0", "55115-0", "11329-0", "55111-9"}
TOOLS = Path(__file__).parents[2] / "tools" / "demo"
FONTS = Path("/usr/share/fonts/truetype/dejavu")


def bundle(report_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(reports()[report_id].bundle.read_bytes())
    return found


def resources(report_id: str, kind: str) -> list[dict[str, Any]]:
    return [e["resource"] for e in bundle(report_id)["entry"] if e["resource"]["resourceType"] == kind]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def codes(concepts: list[dict[str, Any]]) -> set[str]:
    return {coding["code"] for concept in concepts for coding in concept["coding"]}


def test_there_are_enough_reports_in_four_languages() -> None:
    languages = [report.source["language"] for report in reports().values()]

    assert len(languages) >= 7
    assert set(languages) == {"en", "el", "de", "bg"}
    assert min(languages.count(language) for language in set(languages)) >= 2


@pytest.mark.parametrize("report_id", IDS)
def test_a_bundle_fulfils_every_requirement_of_a_report(report_id: str) -> None:
    assert examine(Kind.REPORT, bundle(report_id), PACK) == []


@pytest.mark.parametrize("report_id", IDS)
@pytest.mark.requirement("REP-19")
def test_the_pdf_inside_is_the_pdf_as_issued(report_id: str) -> None:
    form = resources(report_id, "DiagnosticReport")[0]["presentedForm"][0]

    assert form["contentType"] == "application/pdf"
    assert base64.b64decode(form["data"]) == reports()[report_id].pdf.read_bytes()


@pytest.mark.parametrize("report_id", LETTERS)
def test_every_font_of_a_pdf_is_embedded_and_its_text_can_be_read(report_id: str) -> None:
    report = reports()[report_id]
    reader = PdfReader(report.pdf)

    pages: list[Any] = list(reader.pages)
    fonts = [f.get_object() for page in pages for f in page["/Resources"]["/Font"].values()]
    text = "".join(page.extract_text() for page in pages)

    assert fonts
    assert all("/FontFile2" in font["/FontDescriptor"] for font in fonts)
    assert report.source["title"] in text
    assert report.patient.identifier.value in text


@pytest.mark.parametrize("report_id", IDS)
@pytest.mark.requirement("REP-01")
@pytest.mark.requirement("REP-02")
def test_a_bundle_is_one_document(report_id: str) -> None:
    found = bundle(report_id)
    kinds = [e["resource"]["resourceType"] for e in found["entry"]]

    assert (found["type"], kinds[0]) == ("document", "Composition")
    assert {found[member] is not None for member in ("identifier", "timestamp")} == {True}
    assert [kinds.count(k) for k in ("Composition", "DiagnosticReport", "Patient")] == [1, 1, 1]
    assert "ImagingStudy" in kinds
    assert "Endpoint" not in kinds
    assert all(set(e) == {"fullUrl", "resource"} for e in found["entry"])
    assert "total" not in found


@pytest.mark.parametrize("report_id", IDS)
@pytest.mark.fault("F29")
def test_references_resolve_and_every_entry_is_reached_from_the_composition(report_id: str) -> None:
    entries = {e["fullUrl"]: e["resource"] for e in bundle(report_id)["entry"]}
    reached, waiting = set[str](), [next(iter(entries))]

    while waiting:
        url = waiting.pop()
        if url not in reached:
            reached.add(url)
            waiting += list(references(entries[url]))

    assert reached == set(entries)
    assert all(url.startswith("urn:uuid:") for url in entries)


@pytest.mark.parametrize("report_id", IDS)
@pytest.mark.requirement("REP-03")
@pytest.mark.requirement("REP-04")
@pytest.mark.requirement("REP-05")
@pytest.mark.requirement("REP-06")
@pytest.mark.requirement("REP-13")
@pytest.mark.requirement("REP-14")
def test_composition_and_diagnostic_report_agree(report_id: str) -> None:
    head, report = resources(report_id, "Composition")[0], resources(report_id, "DiagnosticReport")[0]
    entries = {e["fullUrl"]: e["resource"] for e in bundle(report_id)["entry"]}
    organisations = [
        {r["reference"] for r in of if entries[r["reference"]]["resourceType"] == "Organization"}
        for of in (head["author"], report["performer"])
    ]

    assert head["identifier"] in report["identifier"]
    assert codes(head["category"]) == codes(report["category"]) == {"85430-7", "Medical-Imaging"}
    assert (head["type"], head["status"], head["subject"]) == (report["code"], report["status"], report["subject"])
    assert "18748-4" not in codes([head["type"]])
    assert entries[report["extension"][0]["valueReference"]["reference"]] == head
    assert entries[head["extension"][0]["valueReference"]["reference"]] == report
    assert organisations[0] == organisations[1] != set()
    attested = [(attester["mode"], attester["time"]) for attester in head.get("attester", [])]
    assert attested == ([] if head["status"] == "preliminary" else [("legal", head["date"])])


@pytest.mark.parametrize("report_id", IDS)
@pytest.mark.requirement("REP-07")
@pytest.mark.requirement("REP-09")
def test_mandatory_sections_are_there_once_and_none_is_silent(report_id: str) -> None:
    sections = resources(report_id, "Composition")[0]["section"]
    present = [coding["code"] for s in sections for coding in s["code"]["coding"]]

    assert all(present.count(code) == 1 for code in SECTIONS)
    assert all(("entry" in s) != ("emptyReason" in s or "extension" in s) for s in sections)
    assert all("<p>" in s["text"]["div"] or "<li>" in s["text"]["div"] for s in sections)


@pytest.mark.parametrize("report_id", IDS)
@pytest.mark.requirement("REP-10")
@pytest.mark.requirement("REP-17")
def test_the_narrative_says_what_the_entries_say(report_id: str) -> None:
    report = reports()[report_id]
    head, told = resources(report_id, "Composition")[0], resources(report_id, "DiagnosticReport")[0]
    text = "".join(s["text"]["div"] for s in head["section"])
    observations = [o["valueString"] for o in resources(report_id, "Observation")]

    assert all(value in text for value in observations)
    assert len(told["result"]) == len(report.source["content"]["findings"]) + len(
        report.source["content"]["impression"]
    )


@pytest.mark.parametrize("report_id", IDS)
@pytest.mark.requirement("REP-11")
@pytest.mark.requirement("REP-12")
@pytest.mark.requirement("REP-15")
def test_a_report_names_its_own_patient_and_study(report_id: str) -> None:
    report = reports()[report_id]
    person = resources(report_id, "Patient")[0]
    entries = {e["fullUrl"]: e["resource"] for e in bundle(report_id)["entry"]}
    about = [entries[r["reference"]] for r in resources(report_id, "DiagnosticReport")[0]["imagingStudy"]]
    accessions = {i["value"] for order in resources(report_id, "ServiceRequest") for i in order["identifier"]}

    assert person["identifier"][0]["value"] == report.patient.identifier.value
    assert [n["family"] for n in person["name"]] == [n.family for n in report.patient.names]
    assert [s["identifier"][0]["value"] for s in about] == [f"urn:oid:{uid}" for uid in report.study_instance_uids]
    assert all(STUDIES[label].accession in accessions for label in report.studies if label in STUDIES)
    assert "wado" not in json.dumps(bundle(report_id)).lower()


def test_the_report_without_study_names_a_study_that_is_not_in_the_archive() -> None:
    orphan = next(s for s in STORIES if s.story_id == "report-without-study").reports[0]

    named = set(reports()[orphan].study_instance_uids)

    assert len(named) == 1
    assert not named & {study.study_instance_uid for study in STUDIES.values()}


def test_no_visible_report_mentions_a_restricted_study() -> None:
    hidden = {STUDIES[label] for s in STORIES for label in s.restricted}
    visible = [reports()[r].document.read_bytes().decode("latin-1") for s in STORIES for r in s.reports]

    assert not [h.label for h in hidden for text in visible if h.study_instance_uid in text or h.accession in text]


def test_one_report_stands_at_both_of_its_studies() -> None:
    read = read_report(reports()["ct-mr-rosalie"].bundle.read_bytes(), PACK)

    assert [study.modalities for study in read.examination.studies] == [("CT", "KO"), ("MR",)]
    assert [len(study.accession_numbers) for study in read.examination.studies] == [1, 1]
    assert {study.study_instance_uid for study in read.examination.studies} == {
        STUDIES["ct-rosalie"].study_instance_uid,
        STUDIES["mr-rosalie"].study_instance_uid,
    }


@pytest.mark.requirement("REP-22")
def test_an_amendment_is_the_same_report_in_a_higher_version_and_another_document() -> None:
    first, second = (
        read_report(reports()[report_id].bundle.read_bytes(), PACK).header
        for report_id in ("dx-stefanos", "dx-stefanos-2")
    )

    assert first.identifier == second.identifier
    assert (first.version, second.version) == ("1", "2")
    assert (first.status, second.status) == ("final", "amended")
    assert first.document_identifier is None
    assert second.document_identifier not in (None, first.identifier)


@pytest.mark.parametrize(("report_id", "findings"), [("ct-eleni", 2), ("mr-markos", 2)])
def test_findings_are_seen_in_images_of_their_study(report_id: str, findings: int) -> None:
    done = read_report(reports()[report_id].bundle.read_bytes(), PACK).examination
    there = {i.sop_instance_uid for study in done.studies for series in study.series for i in series.instances}

    seen = [finding.images for finding in done.findings if finding.images]

    assert len(seen) == findings
    assert {image.sop_instance_uid for images in seen for image in images} <= there


def test_a_preliminary_report_is_signed_by_nobody() -> None:
    report = reports()["ct-rada"]

    header = read_report(report.bundle.read_bytes(), PACK).header
    letter = "".join(page.extract_text() for page in PdfReader(report.pdf).pages)

    assert (header.status, header.attester) == ("preliminary", None)
    assert "Предварително разчитане" in letter
    assert "Подписано" not in letter


def test_the_report_that_is_a_cda_document_says_whose_it_is_and_about_which_study() -> None:
    report = reports()["us-ottilie"]
    v3 = "{urn:hl7-org:v3}"

    document = ElementTree.parse(report.document).getroot()
    patient = document.find(f".//{v3}patientRole/{v3}id")
    event = document.find(f".//{v3}serviceEvent/{v3}id")
    headings = [title.text for title in document.iterfind(f".//{v3}section/{v3}title")]

    assert document.tag == f"{v3}ClinicalDocument"
    assert patient is not None
    assert f"urn:oid:{patient.get('root')}" == report.patient.identifier.system
    assert patient.get("extension") == report.patient.identifier.value
    assert event is not None
    assert (event.get("root"),) == report.study_instance_uids
    assert headings[-2:] == ["Beurteilung", "Empfehlung"]


@pytest.mark.parametrize("report_id", sorted(reports()))
def test_the_committed_document_follows_from_its_source(report_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    tool: Any = importlib.import_module("make_reports")
    report = reports()[report_id]
    pdf = report.pdf.read_bytes() if report.form != "cda" else b""

    made = tool.document_of(report, pdf)

    assert made == report.document.read_bytes()


@pytest.mark.skipif(not FONTS.is_dir(), reason="the fonts of the letters are not here (package fonts-dejavu-extra)")
@pytest.mark.parametrize("report_id", ["mr-markos", "ct-rada"])
def test_the_committed_letter_follows_from_its_source(report_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    tool: Any = importlib.import_module("make_reports")
    tool.load_fonts()
    report = reports()[report_id]

    letter = PdfReader(io.BytesIO(tool.pdf_of(report)))

    assert [p.extract_text() for p in letter.pages] == [p.extract_text() for p in PdfReader(report.pdf).pages]
