"""Instances, CDA documents and PDFs: what is in order has no error; what is cut or lacks what it must have is told with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isthmus.conformance.media import cda_faults, dicom_faults, pdf_faults
from isthmus.conformance.requirement import Finding, Severity
from isthmus.dicom.windows import BytesSource

REPORT = "pdf/de_cct_report_9df9cc92.pdf"
CDA = "cda/ehdsi_orcd/18748-4_3-1234-W7.xml"


def errors(found: list[Finding]) -> set[tuple[str, str]]:
    return {(one.requirement, one.path) for one in found if one.severity is Severity.ERROR}


def test_a_published_pdf_has_no_fault(sample: Callable[[str], Path]) -> None:
    assert pdf_faults(sample(REPORT).read_bytes()) == []


def test_a_pdf_that_is_cut_is_told(sample: Callable[[str], Path]) -> None:
    assert errors(pdf_faults(sample(REPORT).read_bytes()[:2000])) == {("PDF-end", "PDF.trailer")}


def test_a_script_in_a_pdf_is_told(sample: Callable[[str], Path]) -> None:
    found = pdf_faults(sample(REPORT).read_bytes() + b"<< /JavaScript (x) >>\n%%EOF")

    assert ("PDF-active", Severity.WARNING) in {(one.requirement, one.severity) for one in found}


@pytest.mark.parametrize(
    "name", [CDA, "cda/ehdsi_orcd/x-clinical-image_3-1234-W7.xml", "cda/ccda_dir/Diagnostic_Imaging_Report.xml"]
)
def test_published_documents_of_level_1_and_3_have_no_error(name: str, sample: Callable[[str], Path]) -> None:
    assert errors(cda_faults(sample(name).read_bytes())) == set()


def test_what_a_cda_header_lacks_is_named(sample: Callable[[str], Path]) -> None:
    data = sample(CDA).read_bytes().replace(b"<custodian", b"<custodiam").replace(b"</custodian", b"</custodiam")

    assert errors(cda_faults(data)) == {("CDA-header", "ClinicalDocument.custodian")}


def test_a_truncated_instance_is_told_with_the_element(sample: Callable[[str], Path]) -> None:
    header, found = dicom_faults(BytesSource(sample("dicom/odd_files/MR_truncated.dcm").read_bytes()))

    assert header is None
    assert errors(found) == {("DICOM-truncated", "Pixel Data (7FE0,0010)")}


def test_an_instance_in_order_has_no_error(sample: Callable[[str], Path]) -> None:
    folder = sample("dicom/ct_phantom_philips")

    found = [one for path in folder.glob("*.dcm") for one in dicom_faults(BytesSource(path.read_bytes()))[1]]

    assert errors(found) == set()
