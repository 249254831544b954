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
from tests.archive.conftest import ISSUER, NOW, Node, dicom

from isthmus.archive.reports import Reports
from isthmus.archive.verdicts import Verdict
from isthmus.errors import DocumentNotFound
from isthmus.model.documents import Document
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.model.queries import DocumentQuery, PatientQuery
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.header import Header
from isthmus.national.files import Files
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
    verdict = Reports(node.database, intake.container, lambda: NOW, load_pack()).take(body, form, "r", patient, studies)
    intake.close()
    return verdict


def _listed(node: Node, patient: PatientIdentifier = EVA.identifier) -> list[Document]:
    files = Files(node.settings, node.database, lambda: NOW)
    return list(asyncio.run(files.find_documents(DocumentQuery(patient=patient))))


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


def test_a_pdf_is_kept_and_not_offered_yet(node: Node) -> None:
    node.bring(dicom())

    verdicts = [_take(node, PDF, "pdf", EVA.identifier, ("2.25.10",)) for _ in range(2)]

    assert [(v.outcome, v.state, v.kind) for v in verdicts] == [
        ("accepted", "stored", "report-pdf"), ("unchanged", "stored", "report-pdf"),
    ]  # fmt: skip
    assert [document.kind.value for document in _listed(node)] == ["manifest-fhir", "manifest-kos"]


def test_a_pdf_of_nobody_known_is_refused(node: Node) -> None:
    assert _take(node, PDF, "pdf").reason == "no-patient"
    assert _take(node, PDF, "pdf", EVA.identifier).reason == "unknown-patient"


def test_the_reports_of_the_demo_are_all_taken(node: Node) -> None:
    from isthmus.demo.stories import report_files

    verdicts = [_take(node, path.read_bytes()) for path, _, _ in report_files()]

    assert verdicts
    assert {verdict.outcome for verdict in verdicts} == {"accepted"}
    assert all(_listed(node, patient) for _, patient, _ in report_files())


def test_a_manifest_of_others_is_no_report(node: Node, sample: Callable[[str], Path]) -> None:
    body = sample("fhir/ihe_mado_study_b/mado-1.2.250.1.59.40211.22756022.2.1.102-bundle.json").read_bytes()

    assert _take(node, body).outcome == "refused"
