from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from isthmus.dicom.faults import DicomFault
from isthmus.dicom.tags import ITEM, ITEM_END, SEQUENCE_END
from isthmus.dicom.walker import UNDEFINED, Plan, walk
from isthmus.dicom.windows import AT_IMPORT, Bounds, BytesSource, SourceWindow

if TYPE_CHECKING:
    from tests.dicom.conftest import Writing


def tags_of(
    data: bytes, bounds: Bounds = AT_IMPORT, *, explicit: bool = True, little: bool = True
) -> list[tuple[int, int]]:
    elements = walk(SourceWindow(BytesSource(data)), 0, explicit, little, bounds, Plan())
    return [(element.tag, element.depth) for element in elements if element is not None]


def refusal(data: bytes, bounds: Bounds = AT_IMPORT) -> str:
    with pytest.raises(DicomFault) as refused:
        tags_of(data, bounds)
    return refused.value.reason


def nested(explicit: Writing, depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = explicit.open_sequence(0x00081140, explicit.open_item(data))
    return data


def test_ends_are_given_whether_or_not_they_are_written(explicit: Writing) -> None:
    inner = explicit.short(0x00280010, 1)
    expected = [(0x00081140, 0), (ITEM, 1), (0x00280010, 1), (ITEM_END, 1), (SEQUENCE_END, 0)]

    assert tags_of(explicit.sequence(0x00081140, explicit.item(inner))) == expected
    assert tags_of(explicit.open_sequence(0x00081140, explicit.open_item(inner))) == expected
    assert tags_of(explicit.sequence(0x00081140, explicit.open_item(inner))) == expected


def test_a_big_endian_data_set_is_walked(big_endian: Writing) -> None:
    data = big_endian.open_sequence(0x00081140, big_endian.item(big_endian.short(0x00280010, 1)))

    assert tags_of(data, little=False)[2] == (0x00280010, 1)


def test_an_implicit_public_sequence_of_unknown_name_is_seen_by_its_items(implicit: Writing) -> None:
    data = implicit.sequence(0x300A00B0, implicit.item(implicit.short(0x00280010, 1)))

    assert (0x00280010, 1) in tags_of(data, explicit=False)


@pytest.mark.fault("F17")
def test_what_follows_un_of_undefined_length_is_not_lost(explicit: Writing, implicit: Writing) -> None:
    inner = implicit.open_sequence(0x20051410, implicit.open_item(implicit.short(0x20051411, 1)))
    data = explicit.open_sequence(0x2005140F, implicit.item(inner), vr="UN") + explicit.short(0x20100010, 1)

    found = tags_of(data)

    assert found[-1] == (0x20100010, 0)
    assert (0x20051411, 2) in found


def test_fragments_are_walked_without_their_bytes(explicit: Writing) -> None:
    fragments = [explicit.item(), explicit.item(b"\xff" * 10), explicit.item(b"\xfe\xff\x0d\xe0")]
    data = explicit.open_sequence(0x7FE00010, *fragments, vr="OB") + explicit.element(0xFFFCFFFC, "OB", b"")

    assert tags_of(data) == [(0x7FE00010, 0), (ITEM, 1), (ITEM, 1), (ITEM, 1), (SEQUENCE_END, 0), (0xFFFCFFFC, 0)]


def test_sixteen_levels_are_walked_and_seventeen_refused(explicit: Writing) -> None:
    assert len(tags_of(nested(explicit, 16))) == 64
    assert refusal(nested(explicit, 17)) == "too-deep"


def test_elements_are_counted(explicit: Writing) -> None:
    data = explicit.short(0x00280010, 1) * 10

    assert len(tags_of(data, Bounds(max_elements=10))) == 10
    assert refusal(data, Bounds(max_elements=9)) == "too-many-elements"


def test_items_are_counted_like_elements(explicit: Writing) -> None:
    data = explicit.open_sequence(0x00081140, *([explicit.item()] * 10))

    assert refusal(data, Bounds(max_elements=9)) == "too-many-elements"


def test_bytes_without_pixels_are_counted_and_pixels_are_not(explicit: Writing) -> None:
    small = Bounds(max_non_pixel_bytes=1000)

    assert refusal(explicit.element(0x00420011, "OB", bytes(1000)), small) == "too-large"
    assert tags_of(explicit.element(0x7FE00010, "OW", bytes(5000)) + explicit.short(0xFFFCFFFC, 1), small)
    assert tags_of(explicit.open_sequence(0x7FE00010, explicit.item(bytes(5000)), vr="OB"), small)


@pytest.mark.fault("F20")
def test_pixels_of_an_icon_count_as_what_they_are_not(explicit: Writing) -> None:
    icon = explicit.sequence(0x00880200, explicit.item(explicit.element(0x7FE00010, "OW", bytes(5000))))

    assert refusal(icon, Bounds(max_non_pixel_bytes=1000)) == "too-large"


def test_a_length_beyond_what_holds_it_lies(explicit: Writing) -> None:
    long_value = explicit.head(0x00100010, "PN", 100) + b"short!"
    item_beyond = b"\xfe\xff\x00\xe0" + (100).to_bytes(4, "little") + b"short!"
    padding = explicit.element(0x20100010, "UT", "x" * 200)

    assert refusal(explicit.sequence(0x00081140, explicit.item(long_value)) + padding) == "lying-length"
    assert refusal(explicit.sequence(0x00081140, item_beyond) + padding) == "lying-length"
    assert refusal(long_value) == "truncated"


def test_an_open_sequence_inside_a_closed_item_must_end_there(explicit: Writing) -> None:
    unended = explicit.head(0x00081150, "SQ", UNDEFINED) + explicit.item()
    padding = explicit.element(0x20100010, "UT", "x" * 200)

    assert refusal(explicit.sequence(0x00081140, explicit.item(unended)) + padding) == "lying-length"
    assert refusal(unended) == "truncated"


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("FEFF0DE000000000"),
        bytes.fromhex("FEFF00E000000000"),
        bytes.fromhex("1000100000000400") + b"name",
        bytes.fromhex("E07F1000" + "4F420000" + "FFFFFFFF" + "FEFF00E0FFFFFFFF"),
    ],
)
def test_what_is_no_grammar_is_refused(data: bytes) -> None:
    assert refusal(data) == "bad-structure"


def test_only_zeros_may_be_left_at_the_end(explicit: Writing) -> None:
    data = explicit.short(0x00280010, 1)

    assert tags_of(data + bytes(3)) == tags_of(data)
    assert refusal(data + b"\x01\0\0") == "truncated"


def test_an_empty_element_may_be_the_last_eight_bytes(explicit: Writing) -> None:
    assert tags_of(explicit.element(0x00100010, "PN", "")) == [(0x00100010, 0)]
