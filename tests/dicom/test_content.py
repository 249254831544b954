"""Content: what is written is read back, by us and by pydicom; bounds hold."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from isthmus.dicom import tags
from isthmus.dicom.content import code, content, data_set, element, item, read_content, sequence
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.header import Code
from isthmus.dicom.part10 import file_meta
from isthmus.dicom.syntaxes import EXPLICIT_LE, IMPLICIT_LE
from isthmus.dicom.windows import Bounds

SR = "1.2.840.10008.5.1.4.1.1.88.59"
BOUNDS = Bounds(max_depth=8, max_elements=2000, max_non_pixel_bytes=1 << 20)
TITLE = Code("113000", "DCM", "Of Interest")
FINDING = Code("121071", "DCM", "Finding")


def document(*elements: bytes, syntax: str = EXPLICIT_LE) -> bytes:
    uids = (element(tags.SOP_CLASS_UID, "UI", SR), element(tags.SOP_INSTANCE_UID, "UI", "1.2.3"))
    return file_meta(SR, "1.2.3", syntax) + data_set((*uids, *elements))


def nested(depth: int) -> bytes:
    inner = content("CONTAINS", "TEXT", FINDING, element(tags.TEXT_VALUE, "UT", "deep"))
    for _ in range(depth):
        inner = content("CONTAINS", "CONTAINER", FINDING, children=(inner,))
    return sequence(tags.CONTENT_SEQUENCE, inner)


def test_a_tree_is_read_as_it_was_written() -> None:
    text = content("CONTAINS", "TEXT", FINDING, element(tags.TEXT_VALUE, "UT", "Größe \\ naïve"))
    written = document(
        element(tags.SPECIFIC_CHARACTER_SET, "CS", "ISO_IR 192"),
        code(tags.CONCEPT_NAME_CODE_SEQUENCE, TITLE),
        sequence(tags.CONTENT_SEQUENCE, content("CONTAINS", "CONTAINER", FINDING, children=(text, text))),
    )

    meta, root = read_content(written, BOUNDS)

    assert (meta.syntax.uid, root.concept) == (EXPLICIT_LE, "113000")
    assert root.code(tags.CONCEPT_NAME_CODE_SEQUENCE) == TITLE
    assert [one.text(tags.VALUE_TYPE) for one in root.tree()] == ["CONTAINER", "TEXT", "TEXT"]
    assert [one.text(tags.TEXT_VALUE) for one in root.tree()][1] == "Größe \\ naïve"


def test_pydicom_reads_what_is_written() -> None:
    long_code = Code("a-code-that-is-longer-than-short-ones", "99TEST", "Long")
    written = document(code(tags.CONCEPT_NAME_CODE_SEQUENCE, long_code), element(tags.PATIENT_ID, "LO", "odd"))

    read = pydicom.dcmread(io.BytesIO(written))

    assert read.ConceptNameCodeSequence[0].LongCodeValue == long_code.code
    assert (read.PatientID, read.SOPInstanceUID) == ("odd", "1.2.3")


def test_elements_stand_in_the_order_of_their_tags() -> None:
    written = data_set((element(tags.STUDY_ID, "SH", "1"), element(tags.MODALITY, "CS", "KO")))

    assert written.index(b"KO") < written.index(b"1 ")


def test_items_of_implicit_syntax_are_known_as_items(implicit: Any) -> None:
    inner = implicit.item(implicit.element(tags.CODE_VALUE, "SH", "113000"))
    written = implicit.file(implicit.sequence(tags.CONCEPT_NAME_CODE_SEQUENCE, inner), sop_class=SR)

    meta, root = read_content(written, BOUNDS)

    assert (meta.syntax.uid, root.concept) == (IMPLICIT_LE, "113000")


def test_what_is_not_there_or_of_another_kind_is_empty() -> None:
    _, root = read_content(document(element(tags.CONTENT_SEQUENCE, "UN", "no items")), BOUNDS)

    assert (root.text(tags.PATIENT_ID), root.items(tags.CONTENT_SEQUENCE), root.code(tags.CONTENT_SEQUENCE)) == (
        "",
        [],
        None,
    )
    assert root.first(tags.CONTENT_SEQUENCE).text(tags.CODE_VALUE) == ""


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (document(nested(12)), "too-deep"),
        (document(sequence(tags.CONTENT_SEQUENCE, *(item() for _ in range(3000)))), "too-many-elements"),
        (document(element(tags.TEXT_VALUE, "UT", bytes(2 << 20))), "too-large"),
        (document(nested(3))[:-7], "truncated"),
        (b"\0" * 200, "not-dicom"),
        (document(syntax="1.2.840.10008.1.2.1.99"), "bad-syntax"),
    ],
)
def test_what_is_over_a_bound_is_refused(written: bytes, reason: str) -> None:
    with pytest.raises(DicomFault) as caught:
        read_content(written, BOUNDS)

    assert caught.value.reason == reason


@pytest.mark.fault("F17")
def test_a_private_sequence_of_unknown_vr_and_length_hides_nothing_behind_it(explicit: Any) -> None:
    empty = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + b"\xfe\xff\x0d\xe0\0\0\0\0"
    hidden = explicit.open_sequence(0x00091001, empty, vr="UN")

    _, root = read_content(explicit.file(hidden, explicit.element(tags.TEXT_VALUE, "UT", "behind")), BOUNDS)

    assert root.text(tags.TEXT_VALUE) == "behind"


def test_a_document_of_ihe_is_read(sample: Callable[[str], Path]) -> None:
    _, root = read_content(sample("kos/mado/MADO_KOS_B.dcm").read_bytes(), Bounds())

    kinds = [one.text(tags.VALUE_TYPE) for one in root.tree()]
    assert (kinds.count("CONTAINER"), kinds.count("NUM"), kinds.count("IMAGE")) == (3, 1, 40)
