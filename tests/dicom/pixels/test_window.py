"""Stored values as they are seen, pixel by pixel."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.dicom.pixels.test_decode import rle
from tests.dicom.pixels.writing import element, fragments, item, picture, sequence, shorts

from isthmus.dicom.pixels.faults import PixelFault
from isthmus.dicom.pixels.picture import render
from isthmus.dicom.pixels.window import Window
from isthmus.dicom.windows import BytesSource

PIXELS = 0x7FE00010
CENTER, WIDTH, FUNCTION, INTERCEPT, SLOPE = 0x00281050, 0x00281051, 0x00281056, 0x00281052, 0x00281053
RLE = "1.2.840.10008.1.2.5"


def words(*values: int) -> bytes:
    return element(PIXELS, "OW", struct.pack(f"<{len(values)}{'h' if min(values) < 0 else 'H'}", *values))


def ds(tag: int, text: str) -> bytes:
    return element(tag, "DS", text)


def seen(instance: bytes, frame: int = 1, window: Window | None = None) -> list[Any]:
    return list(render(BytesSource(instance), frame, window).tolist())


def grey(*more: bytes, values: tuple[int, ...] = (0, 1024, 2048, 4095), **kind: Any) -> list[int]:
    kind = {"shape": (1, len(values)), "bits": (16, 16), **kind}
    return list(seen(picture(words(*values), *more, **kind))[0])


RAMP = (ds(CENTER, "2048"), ds(WIDTH, "4096"))


@pytest.mark.fault("F59")
def test_a_window_is_applied_as_the_standard_says() -> None:
    linear = grey(*RAMP)
    exact = grey(*RAMP, element(FUNCTION, "CS", "LINEAR_EXACT"))
    sigmoid = grey(ds(CENTER, "2048"), ds(WIDTH, "1000"), element(FUNCTION, "CS", "SIGMOID"))

    assert linear == [0, 64, 128, 255]
    assert exact == [0, 64, 128, 255]
    assert sigmoid == [0, 4, 128, 255]


@pytest.mark.fault("F59")
def test_a_window_one_wide_is_a_threshold() -> None:
    assert grey(ds(CENTER, "2048"), ds(WIDTH, "1")) == [0, 0, 255, 255]


@pytest.mark.fault("F59")
def test_inversion_comes_last_and_once() -> None:
    by_window = grey(*RAMP, photometric="MONOCHROME1")
    by_shape = grey(*RAMP, element(0x20500020, "CS", "INVERSE"))
    both = grey(*RAMP, element(0x20500020, "CS", "INVERSE"), photometric="MONOCHROME1")

    assert by_window == by_shape == both == [255, 191, 127, 0]


def voi_table(*entries: int, first: int = 0, bits: int = 16) -> bytes:
    size = len(entries) % 65536
    data = element(0x00283006, "OW", struct.pack(f"<{len(entries)}H", *entries))
    return sequence(0x00283010, item(shorts(0x00283002, size, first, bits), data))


@pytest.mark.fault("F59")
def test_a_voi_table_comes_before_windows() -> None:
    ramp = voi_table(*range(0, 65536, 16))
    falling = voi_table(*range(65535, -1, -16))

    assert grey(*RAMP, ramp) == [0, 64, 128, 255]
    assert grey(*RAMP, falling) == [255, 191, 127, 0]
    assert grey(*RAMP, falling, photometric="MONOCHROME1") == [0, 64, 128, 255]


@pytest.mark.fault("F59")
def test_values_beyond_a_voi_table_get_its_ends() -> None:
    table = voi_table(1000, 2000, 65535, first=1023)

    assert grey(table) == [4, 8, 255, 255]


@pytest.mark.fault("F59")
def test_the_first_of_two_windows_is_taken() -> None:
    assert grey(ds(CENTER, "2048\\1"), ds(WIDTH, "4096\\2")) == [0, 64, 128, 255]


@pytest.mark.fault("F59")
def test_the_window_counts_in_modality_values() -> None:
    hounsfield = (ds(INTERCEPT, "-1024"), ds(SLOPE, "2"), ds(CENTER, "0"), ds(WIDTH, "2049"))

    assert grey(*hounsfield, values=(-100, 0, 512, 1024), signed=True) == [0, 0, 128, 255]


@pytest.mark.fault("F59")
def test_a_modality_table_stands_in_place_of_slope_and_intercept() -> None:
    table = sequence(0x00283000, item(shorts(0x00283002, 3, 0, 16), shorts(0x00283006, 0, 4095, 2048)))

    assert grey(table, *RAMP, ds(SLOPE, "9"), values=(0, 1, 2, 9)) == [0, 255, 128, 128]


def test_without_a_window_darkest_to_brightest_is_shown_and_padding_does_not_count() -> None:
    padding = shorts(0x00280120, 0)

    assert grey(values=(100, 200, 300, 400)) == [0, 85, 170, 255]
    assert grey(padding, values=(0, 200, 300, 400)) == [0, 0, 128, 255]


def test_a_window_that_is_asked_for_comes_before_those_of_the_instance() -> None:
    instance = picture(words(0, 1024, 2048, 4095), *RAMP, shape=(1, 4), bits=(16, 16))

    assert seen(instance, window=Window(1024, 2)) == [[0, 255, 255, 255]]


def test_bits_beyond_those_stored_are_not_seen() -> None:
    assert grey(*RAMP, values=(0xF000, 0xF400, 0x0800, 0x1FFF), bits=(16, 12)) == [0, 64, 128, 255]


def test_words_that_are_no_numbers_are_passed_over() -> None:
    assert grey(ds(CENTER, "2048,5"), ds(WIDTH, "wide"), ds(SLOPE, "NaN"), values=(0, 1, 2, 3)) == [0, 85, 170, 255]


@pytest.mark.fault("F61")
def test_every_frame_has_its_own_rules_else_the_shared_else_those_of_the_root() -> None:
    def scale(slope: str) -> bytes:
        return sequence(0x00289145, item(ds(INTERCEPT, "0"), ds(SLOPE, slope)))

    shared = sequence(0x52009229, item(scale("1"), sequence(0x00289132, item(*RAMP))))
    own = sequence(0x52009230, item(scale("1")), item(scale("2")), item(), item(scale("4")))
    instance = picture(words(*(1024,) * 4), ds(SLOPE, "9"), ds(CENTER, "1"), ds(WIDTH, "2"), shared, own, shape=(1, 1), bits=(16, 16), frames=4)  # fmt: skip

    assert [seen(instance, frame) for frame in (1, 2, 3, 4)] == [[[64]], [[128]], [[64]], [[255]]]


def palette(descriptor: tuple[int, int, int], *channels: bytes) -> tuple[bytes, ...]:
    described = [shorts(0x00281101 + n, *descriptor) for n in range(3)]
    return (*described, *(element(0x00281201 + n, "OW", data) for n, data in enumerate(channels)))


RED, GREEN, BLUE = bytes(range(256)), bytes(range(255, -1, -1)), bytes([7] * 256)


@pytest.mark.fault("F60")
def test_a_palette_of_bytes_packed_in_words_is_whole() -> None:
    instance = picture(
        element(PIXELS, "OB", bytes([0, 1, 128, 255])), *palette((256, 0, 8), RED, GREEN, BLUE), photometric="PALETTE COLOR"
    )  # fmt: skip

    assert seen(instance) == [[[0, 255, 7], [1, 254, 7]], [[128, 127, 7], [255, 0, 7]]]


@pytest.mark.fault("F60")
def test_no_entries_means_65536() -> None:
    rising = struct.pack("<65536H", *range(65536))
    instance = picture(
        words(0, 256, 32768, 65535),
        *palette((0, 0, 16), rising, rising[::-1][1:] + b"\xff", rising),
        photometric="PALETTE COLOR",
        bits=(16, 16),
    )

    assert [pixel[0] for row in seen(instance) for pixel in row] == [0, 1, 128, 255]


@pytest.mark.fault("F60")
def test_a_segmented_palette_is_refused_and_not_guessed() -> None:
    described = [shorts(0x00281101 + n, 256, 0, 16) for n in range(3)]
    segments = [element(0x00281221 + n, "OW", bytes(8)) for n in range(3)]

    with pytest.raises(PixelFault, match="colour"):
        seen(picture(element(PIXELS, "OB", bytes(4)), *described, *segments, photometric="PALETTE COLOR"))


PRIMARIES = ([255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255])
IN_YBR = ([76, 85, 255], [150, 44, 21], [29, 255, 107], [255, 128, 128])


@pytest.mark.fault("F60")
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("compressed", [False, True])
def test_colour_is_exact_by_pixel_and_by_plane(planar: int, compressed: bool) -> None:
    by_pixel = b"".join(map(bytes, PRIMARIES))
    planes = [bytes(channel) for channel in zip(*PRIMARIES, strict=True)]
    native = element(PIXELS, "OB", b"".join(planes) if planar else by_pixel)
    pixels, syntax = (fragments(rle(*planes)), RLE) if compressed else (native, "1.2.840.10008.1.2.1")

    instance = picture(pixels, photometric="RGB", samples=3, planar=planar, syntax=syntax)

    assert seen(instance) == [[PRIMARIES[0], PRIMARIES[1]], [PRIMARIES[2], PRIMARIES[3]]]


@pytest.mark.fault("F60")
def test_ybr_full_is_turned_back_to_within_its_rounding() -> None:
    instance = picture(element(PIXELS, "OB", b"".join(map(bytes, IN_YBR))), photometric="YBR_FULL", samples=3)

    assert np.abs(np.array(seen(instance)).reshape(4, 3) - np.array(PRIMARIES)).max() <= 1


@pytest.mark.fault("F60")
def test_subsampled_ybr_is_neither_mosaic_nor_green() -> None:
    stored = bytes([76, 76, 85, 255, 255, 255, 128, 128])

    pixels = np.array(seen(picture(element(PIXELS, "OB", stored), photometric="YBR_FULL_422", samples=3)))

    assert np.abs(pixels - np.array([[[255, 0, 0]] * 2, [[255, 255, 255]] * 2])).max() <= 1


def test_a_colour_space_not_known_here_is_refused() -> None:
    with pytest.raises(PixelFault, match="colour"):
        seen(picture(element(PIXELS, "OB", bytes(12)), photometric="YBR_PARTIAL_420", samples=3))


def test_every_syntax_of_one_image_looks_the_same(sample: Callable[[str], Path]) -> None:
    files = sorted(sample("dicom/mr_transfer_syntaxes").glob("*.dcm"))

    looks = {render(BytesSource(file.read_bytes())).tobytes() for file in files}

    assert len(files) == 9
    assert len(looks) == 1
