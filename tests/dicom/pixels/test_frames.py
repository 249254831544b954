"""Frames found in the file: tables believed when they fit, nothing guessed."""

from __future__ import annotations

import struct

import pytest
from tests.dicom.pixels.writing import element, fragments, item, picture, sequence, shorts

from isthmus.dicom.pixels.faults import PixelFault
from isthmus.dicom.pixels.frames import read_frame, read_image
from isthmus.dicom.windows import BytesSource

JPEG = "1.2.840.10008.1.2.4.50"
J2K = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"
VIDEO = "1.2.840.10008.1.2.4.102"


def frames_of(instance: bytes) -> list[bytes]:
    source = BytesSource(instance)
    image = read_image(source)
    return [read_frame(source, image, number) for number in range(1, image.frames + 1)]


def fault_of(instance: bytes, number: int = 1) -> str:
    source = BytesSource(instance)
    with pytest.raises(PixelFault) as caught:
        read_frame(source, read_image(source), number)
    return caught.value.reason


def start(text: bytes) -> bytes:
    return b"\xff\xd8\xff" + text


def table(*offsets: int) -> bytes:
    return struct.pack(f"<{len(offsets)}L", *offsets)


@pytest.mark.fault("F21")
@pytest.mark.parametrize("basic", [b"", table(0), table(8)])
def test_all_fragments_of_one_frame_are_that_frame(basic: bytes) -> None:
    instance = picture(fragments(b"one ", b"two ", b"three ", table=basic), syntax=JPEG)

    assert frames_of(instance) == [b"one two three "]


@pytest.mark.fault("F21")
@pytest.mark.parametrize("syntax", [JPEG, RLE])
def test_as_many_fragments_as_frames_are_one_each(syntax: str) -> None:
    instance = picture(fragments(b"1111", b"22", b"333333"), frames=3, syntax=syntax)

    assert frames_of(instance) == [b"1111", b"22", b"333333"]


FIVE = (start(b"1"), b"1111", start(b"2"), b"22", start(b"3"))
SPLIT = [start(b"1") + b"1111", start(b"2") + b"22", start(b"3")]


@pytest.mark.fault("F21")
@pytest.mark.parametrize(
    "basic",
    [b"", table(0, 24, 46), table(8, 32, 54), table(0, 24), table(0, 46, 24)],
    ids=["empty", "filled", "wrong by 8", "short", "not rising"],
)
def test_split_frames_are_found_by_a_table_that_fits_or_by_their_beginnings(basic: bytes) -> None:
    instance = picture(fragments(*FIVE, table=basic), frames=3, syntax=JPEG)

    assert frames_of(instance) == SPLIT


@pytest.mark.fault("F21")
def test_what_stays_unclear_is_said_and_not_guessed() -> None:
    unclear = [
        picture(fragments(b"11", b"11", b"22", b"22", b"33"), frames=3, syntax=J2K),
        picture(fragments(b"11", b"11", b"22"), frames=2, syntax=RLE),
        picture(fragments(start(b"1"), b"11"), frames=3, syntax=JPEG),
        picture(fragments(), syntax=JPEG),
    ]

    assert [fault_of(instance) for instance in unclear] == ["frames-unclear"] * 4


@pytest.mark.fault("F21")
@pytest.mark.parametrize(
    ("offsets", "lengths", "frames"),
    [
        ((0, 24, 38), (8, 6, 5), [b"11111111", b"222222", b"22333"]),
        ((8, 32, 46), (8, 6, 5), None),
        ((0, 24, 38), (8, 6, 3), None),
    ],
    ids=["fits", "wrong by 8", "lengths that lie"],
)
def test_an_extended_table_is_used_when_it_fits(
    offsets: tuple[int, ...], lengths: tuple[int, ...], frames: list[bytes] | None
) -> None:
    instance = picture(
        fragments(b"1111", b"1111", b"222222", b"2233", b"3\0"),
        element(0x7FE00001, "OV", struct.pack("<3Q", *offsets)),
        element(0x7FE00002, "OV", struct.pack("<3Q", *lengths)),
        frames=3,
        syntax=J2K,
    )

    assert frames_of(instance) == frames if frames else fault_of(instance) == "frames-unclear"


@pytest.mark.fault("F20")
def test_an_icon_is_not_the_image() -> None:
    icon = sequence(
        0x00880200, item(shorts(0x00280010, 8), shorts(0x00280011, 8), element(0x7FE00010, "OW", bytes(64)))
    )
    with_icon = picture(fragments(b"frame "), icon, syntax=JPEG)
    icon_alone = picture(icon)

    source = BytesSource(with_icon)
    image = read_image(source)

    assert (image.rows, image.columns, read_frame(source, image, 1)) == (2, 2, b"frame ")
    with pytest.raises(PixelFault, match="no-image"):
        read_image(BytesSource(icon_alone))


def test_native_frames_lie_one_after_another() -> None:
    instance = picture(element(0x7FE00010, "OB", b"111122223333"), frames=3)

    assert frames_of(instance) == [b"1111", b"2222", b"3333"]


def test_single_bit_frames_begin_within_a_byte() -> None:
    bits = 0b111_000_101 | 0b010_101_010 << 9
    instance = picture(element(0x7FE00010, "OB", bits.to_bytes(3, "little")), shape=(3, 3), bits=(1, 1), frames=2)

    assert [int.from_bytes(frame, "little") for frame in frames_of(instance)] == [0b111_000_101, 0b010_101_010]


def test_native_pixels_too_few_for_a_frame_are_a_fault() -> None:
    assert fault_of(picture(element(0x7FE00010, "OB", b"1111"), frames=2), 2) == "short-pixels"


def test_a_frame_that_is_not_there_is_a_fault() -> None:
    instance = picture(element(0x7FE00010, "OB", b"1111"))

    assert [fault_of(instance, number) for number in (0, 2)] == ["no-frame", "no-frame"]


@pytest.mark.fault("F25")
def test_no_frame_is_taken_out_of_video() -> None:
    assert fault_of(picture(fragments(b"stream"), frames=25, syntax=VIDEO)) == "video"


@pytest.mark.parametrize("bits", [(0, 0), (12, 12)])
def test_a_shape_that_is_none_is_a_fault(bits: tuple[int, int]) -> None:
    with pytest.raises(PixelFault, match="bad-shape"):
        read_image(BytesSource(picture(element(0x7FE00010, "OB", b"1111"), bits=bits)))
