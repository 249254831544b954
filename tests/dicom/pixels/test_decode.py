"""Frames decoded: as those who made the sample set decoded them, and as small pictures are known to be."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from tests.dicom.pixels.writing import element, fragments, picture

from isthmus.dicom.pixels.decode import decode_frame, frame_task, little_endian_bytes
from isthmus.dicom.pixels.faults import PixelFault
from isthmus.dicom.pixels.frames import read_image
from isthmus.dicom.windows import BytesSource

COMPRESSED = [
    "mr_transfer_syntaxes/4_rle.dcm",
    "mr_transfer_syntaxes/5_jpeg_lossless_sv1_a.dcm",
    "mr_transfer_syntaxes/7_jpegls_a.dcm",
    "mr_transfer_syntaxes/9_j2k_lossless.dcm",
    "transfer_syntaxes_small/JPEGLSNearLossless_16.dcm",
    "transfer_syntaxes_small/HTJ2KLossless_08_RGB.dcm",
    "transfer_syntaxes_small/SC_rgb_jpeg_dcmtk.dcm",
    "transfer_syntaxes_small/SC_rgb_jpeg_gdcm.dcm",
    "transfer_syntaxes_small/SC_rgb_rle_2frame.dcm",
    "transfer_syntaxes_small/MR_small_jpeg_ls_lossless.dcm",
    "cr_wg04_rg3/RG3_J2KI.dcm",
    "us_single_j2k/US1_J2KR.dcm",
    "xa_wg04/XA1_JPLL.dcm",
    "nm_heart/NM-MONO2-16-13x-heart.dcm",
]
RLE = "1.2.840.10008.1.2.5"
JPEG = "1.2.840.10008.1.2.4.50"


def decoded(instance: bytes, number: int = 1) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    source = BytesSource(instance)
    return decode_frame(source, read_image(source), number).pixels


def rle(*segments: bytes) -> bytes:
    """Write a frame of literal runs. Source: PS3.5 §G.3, §G.4."""
    offset, offsets, body = 64, b"", b""
    for segment in segments:
        written = bytes([len(segment) - 1]) + segment
        written += b"\0" * (len(written) % 2)
        offsets += offset.to_bytes(4, "little")
        offset += len(written)
        body += written
    return (len(segments).to_bytes(4, "little") + offsets).ljust(64, b"\0") + body


@pytest.mark.parametrize("name", COMPRESSED)
def test_every_compression_decodes_to_the_pixels_that_others_found(name: str, sample: Callable[[str], Path]) -> None:
    file = sample(f"dicom/{name}")
    with open(sample("index.csv"), newline="", encoding="utf-8") as index:
        expected = next(row["decoded_sha256"] for row in csv.DictReader(index) if row["file"] == f"dicom/{name}")
    source = BytesSource(file.read_bytes())
    image = read_image(source)

    pixels = b"".join(
        little_endian_bytes(decode_frame(source, image, number).pixels) for number in range(1, image.frames + 1)
    )

    assert hashlib.sha256(pixels).hexdigest() == expected


@pytest.mark.parametrize("name", ["us_multiframe_ybr/examples_ybr_color.dcm", "us_multiframe_jpeg/gcp_us_10frames.dcm"])
def test_lossy_jpeg_in_colour_becomes_rgb(name: str, sample: Callable[[str], Path]) -> None:
    file = sample(f"dicom/{name}")
    source = BytesSource(file.read_bytes())

    found = decode_frame(source, read_image(source), 3)

    assert found.photometric == "RGB"
    assert np.array_equal(found.pixels, pydicom.dcmread(file).pixel_array[2])


@pytest.mark.fault("F60")
def test_colour_by_plane_becomes_colour_by_pixel() -> None:
    planes = bytes([10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33])
    native = picture(element(0x7FE00010, "OB", planes), photometric="RGB", samples=3, planar=1)
    run_length = picture(
        fragments(rle(planes[:4], planes[4:8], planes[8:])), photometric="RGB", samples=3, planar=1, syntax=RLE
    )

    for instance in (native, run_length):
        assert decoded(instance).tolist() == [[[10, 20, 30], [11, 21, 31]], [[12, 22, 32], [13, 23, 33]]]


@pytest.mark.fault("F60")
def test_two_pixels_share_their_subsampled_colour() -> None:
    stored = bytes([1, 2, 100, 200, 3, 4, 101, 201])

    pixels = decoded(picture(element(0x7FE00010, "OB", stored), photometric="YBR_FULL_422", samples=3))

    assert pixels.tolist() == [[[1, 100, 200], [2, 100, 200]], [[3, 101, 201], [4, 101, 201]]]


def test_single_bits_become_zeros_and_ones() -> None:
    bits = (0b111_000_101 | 0b010_101_010 << 9).to_bytes(3, "little")

    pixels = decoded(picture(element(0x7FE00010, "OB", bits), shape=(3, 3), bits=(1, 1), frames=2), 2)

    assert pixels.tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]


def test_signed_and_big_endian_values_keep_their_meaning(sample: Callable[[str], Path]) -> None:
    file = sample("dicom/transfer_syntaxes_small/MR_small_bigendian.dcm")

    assert np.array_equal(decoded(file.read_bytes()), pydicom.dcmread(file).pixel_array)


@pytest.mark.fault("F34")
def test_bytes_of_a_frame_are_native_and_little_endian(sample: Callable[[str], Path]) -> None:
    small = "dicom/transfer_syntaxes_small"
    stored_be, stored_rle = (
        BytesSource(sample(f"{small}/{name}").read_bytes()) for name in ("MR_small_bigendian.dcm", "MR_small_RLE.dcm")
    )
    native = pydicom.dcmread(sample(f"{small}/MR_small_implicit.dcm")).PixelData

    assert b"".join(frame_task(stored_be, {"frame": 1})) == native
    assert b"".join(frame_task(stored_rle, {})) == native


def test_twelve_bit_jpeg_is_refused_in_its_own_words(sample: Callable[[str], Path]) -> None:
    with pytest.raises(PixelFault, match="twelve-bit"):
        decoded(sample("dicom/xa_wg04/XA1_JPLY.dcm").read_bytes())


@pytest.mark.parametrize(
    ("syntax", "reason"),
    [(JPEG, "not-decoded"), (RLE, "not-decoded"), ("1.2.840.10008.1.2.4.110", "no-codec")],
)
def test_bytes_that_are_no_compressed_frame_are_a_fault(syntax: str, reason: str) -> None:
    with pytest.raises(PixelFault, match=reason):
        decoded(picture(fragments(b"nothing of the kind "), syntax=syntax))


@pytest.mark.threat("T63")
def test_a_frame_that_would_fill_the_memory_is_refused_before_it_is_read() -> None:
    with pytest.raises(PixelFault, match="large-frame"):
        decoded(picture(fragments(rle(b"\0")), shape=(65535, 65535), bits=(16, 16), syntax=RLE))


@pytest.mark.threat("T63")
def test_a_frame_of_another_size_than_described_is_refused() -> None:
    jpeg = BytesIO()
    Image.new("L", (16, 16), 100).save(jpeg, "JPEG")

    for frame, syntax in ((jpeg.getvalue(), JPEG), (rle(b"\0"), RLE)):
        with pytest.raises(PixelFault, match="not-decoded"):
            decoded(picture(fragments(frame), syntax=syntax))
