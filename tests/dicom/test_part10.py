from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pydicom
import pytest

from isthmus.dicom.faults import REASONS, DicomFault
from isthmus.dicom.part10 import file_meta, zeroed_preamble
from isthmus.dicom.syntaxes import EXPLICIT_LE

if TYPE_CHECKING:
    from tests.dicom.conftest import Writing


def test_pydicom_reads_the_front_that_is_written() -> None:
    meta = pydicom.dcmread(io.BytesIO(file_meta("1.2.840.10008.5.1.4.1.1.2", "1.2.3", EXPLICIT_LE))).file_meta

    assert meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert meta.TransferSyntaxUID == EXPLICIT_LE
    assert meta.ImplementationClassUID.is_valid


def test_a_served_copy_has_an_empty_preamble(explicit: Writing) -> None:
    data = b"II*\0" + explicit.file()[4:]

    assert zeroed_preamble(memoryview(data)) + data[132:] == explicit.file()


def test_what_has_no_prefix_gets_no_preamble() -> None:
    with pytest.raises(DicomFault):
        zeroed_preamble(bytes(200))


def test_a_reason_is_a_word_of_the_list() -> None:
    with pytest.raises(KeyError):
        DicomFault("something else")
    assert all(sentence.endswith(".") for sentence in REASONS.values())
