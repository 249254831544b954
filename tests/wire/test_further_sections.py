"""What of a report is none of its chapters, how its author wrote it, and a report that exists as it was issued alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest
from tests.wire.test_reports import REPORT

from isthmus.conformance.requirement import Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.fhir.narrative import inside
from isthmus.model.codes import LOINC, Code
from isthmus.model.identifiers import UNIDENTIFIED
from isthmus.model.people import HumanName, Patient
from isthmus.model.report.document import ImagingReport, Section
from isthmus.model.report.examination import Examination
from isthmus.model.report.header import Header
from isthmus.model.report.order import Order
from isthmus.model.report.presented_form import PresentedForm
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import original_of, read_report, write_report
from isthmus.wire.report.minimal import is_minimal, write_minimal

PACK = load_pack()
assert groups.GROUPS
PDF = b"%PDF-1.7 letter"
ALONE = ImagingReport(replace(REPORT.header, authors=(), attester=None, organisation=None))


def composition(body: bytes) -> Any:
    return orjson.loads(body)["entry"][0]["resource"]


def sections(body: bytes) -> dict[str, Any]:
    return {one["title"]: one for one in composition(body)["section"]}


@pytest.mark.requirement("REP-08")
@pytest.mark.requirement("REP-23")
def test_a_section_of_no_chapter_crosses_with_its_words_and_what_is_in_it() -> None:
    inner = Section("Inner", None, "<p>Deep <b>words</b></p>")
    further = Section("Own", Code("urn:oid:2.999.3", "7"), None, ("One", "Two\nThree"), None, (inner,))

    body = write_report(replace(REPORT, sections=(further,)), PACK)
    read = next(one for one in read_report(body, PACK).sections if one.title == "Own")
    again = next(
        one for one in read_report(write_report(read_report(body, PACK), PACK), PACK).sections if one.title == "Own"
    )

    assert (read.code, [one.title for one in read.sections]) == (further.code, ["Inner"])
    assert "<p>One</p><p>Two</p><p>Three</p>" in (read.narrative or "")
    assert "<p>Deep <b>words</b></p>" in (read.sections[0].narrative or "")
    assert read.sections[0].lines == ("Deep words",)
    assert "One" in (again.narrative or "")


@pytest.mark.requirement("REP-09")
def test_every_further_section_says_why_or_what() -> None:
    further = (Section("Empty", None, None), Section("Words", None, "<p>w</p>"), Section("", None, None, ("l",)))

    written = sections(write_report(replace(REPORT, sections=further), PACK))

    assert written["Empty"]["emptyReason"]["coding"][0]["code"] == "unavailable"
    assert written["Words"]["extension"][0]["valueAnnotation"]["text"] == "w"
    assert "text" in written["–"]


@pytest.mark.requirement("REP-10")
def test_a_chapter_keeps_the_narrative_of_its_author_and_adds_what_entries_say_beyond_it() -> None:
    said = REPORT.examination.findings[0].text
    author = Section("Findings", Code(LOINC, "59776-5"), "<table><tr><td>In a table</td></tr></table>")
    whole = replace(author, narrative=f"<p>{said}</p><i>and more</i>")

    beyond, covered = (
        sections(write_report(replace(REPORT, sections=(one,)), PACK))["Findings"]["text"]["div"]
        for one in (author, whole)
    )

    assert "In a table" in beyond
    assert f"<p>{said}</p>" in beyond
    assert covered.count(said) == 1


@pytest.mark.requirement("REP-24")
def test_a_foreign_narrative_leaves_cleaned_and_well_formed() -> None:
    evil = (
        '<div onclick="x"><script>alert(1)</script><a href="http://h/">go</a><img src="http://h/"/>1&nbsp;<br>2</div>'
    )

    div = sections(write_report(replace(REPORT, sections=(Section("Own", None, evil),)), PACK))["Own"]["text"]["div"]

    assert "".join(ElementTree.fromstring(div).itertext()) == "go1\u00a02"  # noqa: S314  # ours
    assert not any(word in div for word in ("script", "onclick", "http://h/", "<img"))


def minimal(**header: Any) -> ImagingReport:
    head = Header(REPORT.header.identifier, REPORT.header.patient, "Letter", "2026-03-02", status="unknown")
    studies = Examination(REPORT.examination.studies)
    return ImagingReport(
        replace(head, **header), REPORT.order, studies, presented_forms=(PresentedForm("application/pdf", PDF),)
    )


@pytest.mark.requirement("REP-20")
def test_a_report_as_issued_alone_is_a_collection_that_names_study_and_order_by_identifier() -> None:
    report = minimal()

    body = write_minimal(report, PACK)
    bundle, read = orjson.loads(body), read_report(body, PACK)

    assert is_minimal(report)
    assert not is_minimal(REPORT)
    assert (bundle["type"], [e["resource"]["resourceType"] for e in bundle["entry"]]) == (
        "collection",
        ["DiagnosticReport", "Patient"],
    )
    assert read.study_instance_uids == report.study_instance_uids
    assert read.order.accession_numbers == report.order.accession_numbers
    assert read.header.patient == replace(report.header.patient, handle=None)
    assert original_of(body) == ("application/pdf", PDF)
    assert read.sections == ()
    assert examine(Kind.MINIMAL, bundle, PACK) == []


@pytest.mark.requirement("REP-20")
@pytest.mark.requirement("REP-21")
def test_a_report_as_issued_alone_of_an_unknown_study_and_order_says_so() -> None:
    report = replace(minimal(), order=Order(), examination=Examination())

    body = write_minimal(report, PACK)

    assert examine(Kind.MINIMAL, orjson.loads(body), PACK) == []
    assert (read_report(body, PACK).study_instance_uids, read_report(body, PACK).order.accession_numbers) == ((), ())


@pytest.mark.requirement("REP-21")
def test_a_patient_without_number_is_said_to_have_none_and_is_nobody_s() -> None:
    body = write_minimal(minimal(patient=Patient(UNIDENTIFIED, (HumanName("Testova"),), "1970-01-01", "female")), PACK)

    (written,) = orjson.loads(body)["entry"][1]["resource"]["identifier"]

    assert written == {"extension": [{"url": UNIDENTIFIED.system, "valueCode": "unknown"}]}
    assert read_report(body, PACK).header.patient.identifier == UNIDENTIFIED


def test_a_report_whose_date_is_no_instant_says_when_it_was_assembled() -> None:
    dated = replace(REPORT, header=replace(REPORT.header, date="2026-03-02"))

    body = write_report(dated, PACK, assembled="2026-11-25T10:00:00Z")

    assert (orjson.loads(body)["timestamp"], composition(body)["date"]) == ("2026-11-25T10:00:00Z", "2026-03-02")


def test_a_section_that_says_why_it_is_empty_still_says_so_when_it_is_written_anew() -> None:
    other = {"system": "http://loinc.org", "code": "LA4720-4", "display": "Not applicable"}
    bundle = orjson.loads(write_report(ALONE, PACK))
    history = next(s for s in bundle["entry"][0]["resource"]["section"] if "11329-0" in str(s["code"]))
    history["text"]["div"] = '<div xmlns="http://www.w3.org/1999/xhtml"><p>Nothing applies.</p></div>'
    history["emptyReason"] = {"coding": [other]}

    again = sections(write_report(read_report(orjson.dumps(bundle), PACK), PACK))[history["title"]]

    assert again["emptyReason"] == {"coding": [other]}
    assert "Nothing applies." in again["text"]["div"]
    assert "extension" not in again


@pytest.mark.parametrize("report", [ALONE, REPORT], ids=["nothing told", "much told"])
def test_a_report_that_is_written_anew_is_the_same(report: ImagingReport) -> None:
    once = write_report(report, PACK)

    assert write_report(read_report(once, PACK), PACK) == once


@pytest.mark.parametrize(
    ("html", "left"),
    [
        ("<div><p>a</p></div>", "<p>a</p>"),
        ('<div lang="en"><div>a</div></div>', "<div>a</div>"),
        ('<div lang="el"><p>a</p></div>', '<div lang="el"><p>a</p></div>'),
        ("<div>a</div><div>b</div>", "<div>a</div><div>b</div>"),
        ("<p>a</p>", "<p>a</p>"),
    ],
)
def test_only_the_one_div_around_a_whole_narrative_is_taken_away(html: str, left: str) -> None:
    assert inside(html, "en") == left
