from __future__ import annotations

import pytest

from isthmus.dicom.encapsulated import document_bytes

PDF = b"%PDF-1.4" + b"x" * 986 + b"%%EOF\n\n"
CDA = b"<ClinicalDocument></ClinicalDocument>"


@pytest.mark.fault("F24")
@pytest.mark.parametrize("length", [len(PDF), None, 7, 5_000_000])
def test_a_padded_pdf_is_given_as_it_was_whatever_its_length_says(length: int | None) -> None:
    assert len(PDF) == 1001
    assert document_bytes(PDF + b"\0", length, "application/pdf") == PDF


@pytest.mark.fault("F24")
@pytest.mark.parametrize("length", [len(PDF), None])
def test_an_unpadded_pdf_of_odd_length_stays_whole(length: int | None) -> None:
    assert document_bytes(PDF, length, "application/pdf") == PDF


@pytest.mark.fault("F24")
def test_an_xml_document_loses_only_the_pad_after_its_closing_tag() -> None:
    assert document_bytes(CDA + b"\0", None, "text/XML; charset=utf-8") == CDA


@pytest.mark.fault("F24")
def test_a_zero_that_may_belong_to_the_document_stays() -> None:
    assert document_bytes(b"solid\n\0", None, "model/stl") == b"solid\n\0"
    assert document_bytes(b"%PDF-1.4 cut\0", None, "application/pdf") == b"%PDF-1.4 cut\0"
