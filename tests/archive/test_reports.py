"""What becomes of a report document.

Source: interfaces.md §11; wire.md §2.4 (new version).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.archive.conftest import ISSUER, NOW, SANDBOX, Node, dicom

from isthmus.archive import register
from isthmus.archive.reports import NO_STUDY, SEVERAL_STUDIES, Envelope, Reports
from isthmus.archive.verdicts import Verdict
from isthmus.demo import reports as demo_reports
from isthmus.demo.people import PEOPLE
from isthmus.errors import DocumentNotFound
from isthmus.model.documents import Document
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.model.queries import DocumentQuery, PatientQuery
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.header import Header
from isthmus.national.files import Files
from isthmus.national.opening import open_sources
from isthmus.sandbox import Sandbox
from isthmus.sources import Source
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import write_report

EVA = Patient(
    PatientIdentifier(f"urn:oid:{ISSUER}", "1234567"), (HumanName("Testova", ("Eva",)),), "1970-01-01", "female"
)
PDF = b"%PDF-1.7\n%%EOF\n"


def _report(patient: Patient = EVA, **header: Any) -> bytes:
    said: dict[str, Any] = {"title": "CT report", "date": "2026-03-01T09:00:00+02:00", "version": "1", **header}
    identifier = said.pop(
        "identifier", Identifier("urn:ietf:rfc:3986", "urn:uuid:5f0c1e10-0000-4000-8000-000000000001")
    )
    return write_report(ImagingReport(Header(identifier, patient, **said)), load_pack())


def _take(
    node: Node, body: bytes, form: str = "json", patient: PatientIdentifier | None = None, studies: tuple[str, ...] = ()
) -> Verdict:
    intake = node.intake()
    reports = Reports(node.database, intake.container, lambda: NOW, load_pack(), SANDBOX)
    verdict = reports.take(body, form, "r", Envelope(patient, studies))
    intake.close()
    return verdict


def _listed(node: Node, patient: PatientIdentifier = EVA.identifier) -> list[Document]:
    country = open_sources(node.settings, node.database, lambda: NOW)
    return list(asyncio.run(country.find_documents(DocumentQuery(patient=patient))))


def _body(node: Node, id: str) -> bytes:
    files = Files(node.settings, node.database, lambda: NOW)
    return asyncio.run(files.get_document(EVA.identifier, id)).body


def test_a_report_registers_its_patient_and_is_given_as_it_came(node: Node) -> None:
    body = _report()

    verdict = _take(node, body)

    assert (verdict.outcome, verdict.kind, verdict.state) == ("accepted", "report-fhir", "served")
    found = asyncio.run(
        Files(node.settings, node.database, lambda: NOW).find_patients(PatientQuery((EVA.identifier,), "testova"))
    )
    assert [patient.birth_date for patient in found] == ["1970-01-01"]
    (document,) = _listed(node)
    assert (document.title, document.status, document.report_version, document.size_bytes) == (
        "CT report",
        "current",
        "1",
        len(body),
    )
    assert _body(node, document.id) == body


def test_a_report_for_an_unknown_patient_without_birth_date_is_refused(node: Node) -> None:
    body = _report().replace(b'"birthDate":"1970-01-01"', b'"birthDate":""')

    assert _take(node, body).outcome == "refused"
    assert _listed(node) == []


def test_a_report_that_contradicts_the_register_is_quarantined_once(node: Node) -> None:
    node.bring(dicom())
    body = _report(replace(EVA, names=(HumanName("Other", ("One",)),), birth_date="1931-01-31"))

    verdicts = [_take(node, body), _take(node, body)]

    assert [(v.outcome, v.reason) for v in verdicts] == [("quarantined", "contradicts-register")] * 2
    assert [document.kind.value for document in _listed(node)] == ["manifest-fhir", "manifest-kos"]


def test_the_same_report_again_is_unchanged(node: Node) -> None:
    _take(node, _report())

    verdict = _take(node, _report())

    assert verdict.outcome == "unchanged"
    assert len(_listed(node)) == 1


@pytest.mark.parametrize(
    ("version", "reason"), [("1", "other-document"), ("0", "older-version"), (None, "other-document")]
)
def test_other_bytes_that_are_no_newer_version_are_refused(node: Node, version: str | None, reason: str) -> None:
    _take(node, _report())

    verdict = _take(node, _report(version=version, title="Other"))

    assert (verdict.outcome, verdict.reason) == ("refused", reason)
    assert [document.title for document in _listed(node)] == ["CT report"]


def test_a_new_version_replaces_the_old_which_stays_readable(node: Node) -> None:
    bodies = [_report(version=version) for version in ("2", "9", "10")]
    for body in bodies:
        assert _take(node, body).outcome == "accepted"

    listed = _listed(node)

    assert [d.status for d in listed] == ["superseded", "superseded", "current"]
    assert [d.replaces for d in listed] == [None, listed[0].id, listed[1].id]
    assert len({d.unique_id for d in listed}) == 3
    assert [_body(node, d.id) for d in listed] == bodies


def test_two_patients_may_have_reports_of_one_identifier(node: Node) -> None:
    other = Patient(PatientIdentifier(EVA.identifier.system, "2"), (HumanName("B", ("C",)),), "1980-01-01", "male")
    _take(node, _report())

    verdict = _take(node, _report(other, version="7"))

    assert verdict.outcome == "accepted"
    assert [document.status for document in _listed(node)] == ["current"]
    with pytest.raises(DocumentNotFound):
        _body(node, _listed(node, other.identifier)[0].id)


def test_a_report_of_another_than_the_operator_says_is_refused(node: Node) -> None:
    verdict = _take(node, _report(), patient=PatientIdentifier("urn:oid:2.999.4.1", "9"))

    assert (verdict.outcome, verdict.reason) == ("refused", "contradicts-assignment")


@pytest.mark.parametrize(
    "body", [b"{}", b"{", b'{"resourceType": "Bundle"}', b'{"resourceType": "Patient", "id": "1"}']
)
def test_json_that_is_no_report_is_refused(node: Node, body: bytes) -> None:
    assert _take(node, body).reason == "not-a-report"


def test_a_pdf_is_told_as_its_study_and_can_be_had_as_issued(node: Node) -> None:
    node.bring(dicom())

    verdicts = [_take(node, PDF, "pdf", EVA.identifier, ("2.25.10",)) for _ in range(2)]

    assert [(v.outcome, v.state, v.kind) for v in verdicts] == [
        ("accepted", "served", "report-pdf"), ("unchanged", "served", "report-pdf"),
    ]  # fmt: skip
    report, fhir, _ = _listed(node)
    files = Files(node.settings, node.database, lambda: NOW)
    assert (report.issued, asyncio.run(files.get_issued(EVA.identifier, report.id)).body) == ("application/pdf", PDF)
    assert report.study_instance_uids == ("2.25.10",)
    assert (report.modalities, report.regions, report.period_start) == (("CT",), fhir.regions, fhir.period_start)
    assert (report.custodian, report.accession_numbers) == (fhir.custodian, fhir.accession_numbers)


def _by_accession(node: Node, *numbers: Identifier, studies: tuple[str, ...] = ()) -> Verdict:
    intake = node.intake()
    source = node.settings.sources.reports[0]
    reports = Reports(node.database, intake.container, lambda: NOW, load_pack(), SANDBOX, source)
    verdict = reports.take(PDF, "pdf", "r", Envelope(EVA.identifier, studies, numbers))
    intake.close()
    return verdict


OURS = "urn:oid:2.999.5.1"


@pytest.mark.parametrize("system", [OURS, None], ids=["with its issuer", "the source's own issuer"])
def test_an_accession_number_ties_a_pdf_to_the_one_study_that_carries_it(node: Node, system: str | None) -> None:
    node.bring(dicom(), dicom(2, study="2.25.20", series="2.25.21", AccessionNumber="A2"))
    _listed(node)

    verdict = _by_accession(node, Identifier(system, "A2"))

    assert (verdict.outcome, verdict.study_instance_uid, verdict.warnings) == ("accepted", "2.25.20", ())
    (report,) = [d for d in _listed(node) if not d.kind.is_manifest]
    assert (report.study_instance_uids, report.accession_numbers) == (("2.25.20",), (Identifier(OURS, "A2"),))


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (Identifier(OURS, "A9"), NO_STUDY),
        (Identifier("urn:oid:2.999.9", "A1"), NO_STUDY),  # the same letters of another issuer
        (Identifier(OURS, "B1"), NO_STUDY),  # another patient's
        (Identifier(OURS, "A1"), SEVERAL_STUDIES),
    ],
    ids=["nobody's", "of another issuer", "of another patient", "of two studies"],
)
def test_an_accession_number_that_names_no_single_study_of_the_patient_ties_nothing_and_says_why(
    node: Node, number: Identifier, why: str
) -> None:
    node.bring(
        dicom(),
        dicom(2, study="2.25.20", series="2.25.21"),
        dicom(3, study="2.25.30", series="2.25.31", PatientID="2", PatientName="B^C", AccessionNumber="B1"),
    )
    _listed(node)
    _listed(node, PatientIdentifier(f"urn:oid:{ISSUER}", "2"))

    verdict = _by_accession(node, number)

    assert (verdict.outcome, verdict.study_instance_uid, verdict.warnings) == ("accepted", None, (why,))


def test_a_study_that_is_named_needs_no_accession_number(node: Node) -> None:
    node.bring(dicom(), dicom(2, study="2.25.20", series="2.25.21", AccessionNumber="A2"))
    _listed(node)

    verdict = _by_accession(node, Identifier(OURS, "A2"), studies=("2.25.10",))

    assert (verdict.study_instance_uid, verdict.warnings) == ("2.25.10", ())


def test_a_pdf_about_anothers_study_is_refused(node: Node) -> None:
    node.bring(dicom(), dicom(2, study="2.25.20", series="2.25.21", PatientID="2", PatientName="B^C"))

    verdict = _take(node, PDF, "pdf", EVA.identifier, ("2.25.10", "2.25.20"))

    assert (verdict.outcome, verdict.reason) == ("refused", "contradicts-study")


CDA = (Path(demo_reports.__file__).parent / "data" / "reports" / "us-ottilie.xml").read_bytes()
OTTILIE = PatientIdentifier("urn:oid:2.999.1.2.1", "4710260190")


def test_a_cda_registers_its_patient_and_can_be_had_as_it_came(node: Node) -> None:
    verdict = _take(node, CDA, "xml")

    assert (verdict.outcome, verdict.kind, verdict.state) == ("accepted", "report-cda", "served")
    (document,) = _listed(node, OTTILIE)
    assert (document.title, document.issued, document.language) == ("Stressechokardiographie", "text/xml", "de")
    assert document.unique_id.value == "urn:uuid:c304f90f-cadc-554d-a2d9-af454a8f706a"
    files = Files(node.settings, node.database, lambda: NOW)
    assert asyncio.run(files.get_issued(OTTILIE, document.id)).body == CDA
    assert _take(node, CDA, "xml").outcome == "unchanged"


def test_a_later_version_of_a_cda_replaces_the_earlier(node: Node) -> None:
    later = CDA.replace(b'<id root="C304F90F', b'<id root="C304F90E', 1).replace(
        b'Number value="1"', b'Number value="2"'
    )
    _take(node, CDA, "xml")

    verdicts = [
        _take(node, later, "xml"),
        _take(node, CDA.replace(b"N\xc3\xa4", b"Na").replace(b"Befund", b"Fund"), "xml"),
    ]

    assert [(v.outcome, v.reason) for v in verdicts] == [("accepted", None), ("refused", "older-version")]
    old, new = _listed(node, OTTILIE)
    assert (old.status, new.status, new.replaces) == ("superseded", "current", old.id)


def test_xml_is_parsed_in_one_child_for_all_of_an_import(node: Node) -> None:
    intake, sandbox = node.intake(), Sandbox()
    reports = Reports(node.database, intake.container, lambda: NOW, load_pack(), sandbox)

    seen = []
    for body in (CDA, CDA[:500], CDA):
        reports.take(body, "xml", "r")
        seen.append(sandbox.children)
    sandbox.close()
    intake.close()

    assert len(set(seen)) == len(seen[0]) == 1


def test_a_cda_takes_the_accession_number_that_the_source_issues(node: Node) -> None:
    intake = node.intake()
    source = Source(accession_issuer="2.999.1.2.2")
    Reports(node.database, intake.container, lambda: NOW, load_pack(), SANDBOX, source).take(CDA, "xml", "r")
    intake.close()

    (document,) = _listed(node, OTTILIE)

    assert document.accession_numbers == (Identifier("urn:oid:2.999.1.2.2", "AA26-031260"),)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (CDA.replace(b"urn:hl7-org:v3", b"urn:hl7-org:v2"), "unknown-form"),
        (CDA[:500], "not-a-report"),
        (CDA.replace(b'extension="4710260190"', b""), "not-a-report"),
        (b"<!DOCTYPE a>" + CDA.partition(b"?>")[2], "unknown-form"),
    ],
    ids=["another namespace", "cut", "nobody", "document type"],
)
def test_xml_that_is_no_cda_is_refused(node: Node, body: bytes, reason: str) -> None:
    verdict = _take(node, body, "xml")

    assert (verdict.outcome, verdict.reason) == ("refused", reason)


def test_a_cda_of_another_than_the_operator_says_is_refused(node: Node) -> None:
    assert _take(node, CDA, "xml", EVA.identifier).reason == "contradicts-assignment"


def test_a_cda_that_names_two_known_people_is_refused_until_one_is_named(node: Node) -> None:
    _take(node, CDA, "xml")
    _take(node, _report())
    both = CDA.replace(b"<patient>", f'<id root="{ISSUER}" extension="1234567" /><patient>'.encode(), 1)

    assert _take(node, both, "xml").reason == "several-patients"
    assert _take(node, both.replace(b'Number value="1"', b'Number value="2"'), "xml", OTTILIE).outcome == "accepted"


def test_a_pdf_of_nobody_known_is_refused(node: Node) -> None:
    assert _take(node, PDF, "pdf").reason == "no-patient"
    assert _take(node, PDF, "pdf", EVA.identifier).reason == "unknown-patient"


def test_the_reports_of_the_demo_are_all_taken(node: Node) -> None:
    from isthmus.demo.stories import report_files

    forms = {".json": "json", ".pdf": "pdf", ".xml": "xml"}
    files = sorted(report_files(), key=lambda one: one[0].suffix == ".pdf")  # whose a PDF is has to be known by then
    node.database.write_now(lambda c: [register.put(c, one, _traits(one)) for _, one, _ in files] and None)

    verdicts = [
        _take(node, path.read_bytes(), forms[path.suffix], patient, studies) for path, patient, studies in files
    ]

    assert verdicts
    assert {verdict.outcome for verdict in verdicts} == {"accepted"}
    assert all(_listed(node, patient) for _, patient, _ in report_files())


def _traits(identifier: PatientIdentifier) -> register.Traits:
    patient = next(one for one in PEOPLE.values() if one.identifier == identifier)
    return register.Traits(patient.names, patient.birth_date, patient.gender)


def test_a_manifest_of_others_is_no_report(node: Node, sample: Callable[[str], Path]) -> None:
    body = sample("fhir/ihe_mado_study_b/mado-1.2.250.1.59.40211.22756022.2.1.102-bundle.json").read_bytes()

    assert _take(node, body).outcome == "refused"
