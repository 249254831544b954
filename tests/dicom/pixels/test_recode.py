"""Whole instances decompressed: other pixels bytes, the same image, and nothing else changed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from tests.dicom.pixels.test_decode import JPEG, RLE, rle
from tests.dicom.pixels.writing import element, fragments, item, picture, sequence, shorts

from isthmus.dicom.faults import DicomFault
from isthmus.dicom.pixels.faults import PixelFault
from isthmus.dicom.pixels.recode import to_explicit_le_decoded
from isthmus.dicom.scan import scan
from isthmus.dicom.windows import BytesSource

SAMPLES = [
    "mr_transfer_syntaxes/4_rle.dcm",
    "mr_transfer_syntaxes/6_jpeg_lossless_sv1_b.dcm",
    "mr_transfer_syntaxes/8_jpegls_b.dcm",
    "mr_transfer_syntaxes/9_j2k_lossless.dcm",
    "transfer_syntaxes_small/SC_rgb_jpeg_dcmtk.dcm",
    "transfer_syntaxes_small/SC_rgb_rle_2frame.dcm",
    "us_multiframe_jpeg/gcp_us_10frames.dcm",
    "us_single_j2k/US1_J2KR.dcm",
    "ct_mado_study_b/Series_B_1/I0.dcm",
]
PIXELS, PHOTOMETRIC, PLANAR = 0x7FE00010, 0x00280004, 0x00280006


def recoded(instance: bytes) -> bytes:
    return b"".join(to_explicit_le_decoded(BytesSource(instance)))


def frame(value: int) -> bytes:
    return rle(bytes([value] * 4))


@pytest.mark.fault("F33")
@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_but_the_pixels_and_their_description_changes(name: str, sample: Callable[[str], Path]) -> None:
    file = sample(f"dicom/{name}")
    before = pydicom.dcmread(file)

    written = recoded(file.read_bytes())

    after = pydicom.dcmread(BytesIO(written))
    scan(BytesSource(written))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(before.pixel_array, after.pixel_array)
    changed = {int(one.tag) for one in before if one.tag not in after or after[one.tag] != one}
    assert changed <= {PIXELS, PHOTOMETRIC, PLANAR}
    assert {int(one.tag) for one in after} - {int(one.tag) for one in before} == set()
    assert after.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert after.file_meta.MediaStorageSOPInstanceUID == before.SOPInstanceUID


def test_frames_are_written_one_by_one_in_their_order() -> None:
    instance = picture(fragments(frame(1), frame(2), frame(3)), frames=3, syntax=RLE)

    pieces = list(to_explicit_le_decoded(BytesSource(instance)))

    assert [piece for piece in pieces if len(piece) == 4] == [bytes([n] * 4) for n in (1, 2, 3)]


def test_offset_tables_and_group_lengths_go_and_padding_stays_even() -> None:
    instance = picture(
        fragments(rle(b"\1\2\3")),
        element(0x7FE00001, "OV", bytes(8)),
        element(0x7FE00002, "OV", bytes(8)),
        element(0x00280000, "UL", bytes(4)),
        shape=(1, 3),
        syntax=RLE,
    )

    after = pydicom.dcmread(BytesIO(recoded(instance)))

    assert [int(one.tag) for one in after if one.tag.group == 0x7FE0 or one.tag.element == 0] == [PIXELS]
    assert after.PixelData == b"\1\2\3\0"


@pytest.mark.fault("F20")
@pytest.mark.parametrize("compressed", [True, False])
def test_an_icon_stays_unless_it_is_compressed(compressed: bool) -> None:
    pixels = fragments(rle(bytes(4))) if compressed else element(PIXELS, "OB", bytes(4))
    icon = sequence(0x00880200, item(shorts(0x00280010, 2), shorts(0x00280011, 2), pixels))

    after = pydicom.dcmread(BytesIO(recoded(picture(fragments(frame(7)), icon, syntax=RLE))))

    assert ("IconImageSequence" in after) is not compressed
    assert after.PixelData == bytes([7] * 4)


def test_compressed_pixels_elsewhere_inside_are_refused() -> None:
    inside = sequence(0x00081140, item(fragments(rle(bytes(4)))))

    with pytest.raises(DicomFault, match="bad-structure"):
        recoded(picture(fragments(frame(7)), inside, syntax=RLE))


def test_an_image_that_was_lossy_says_so_afterwards() -> None:
    jpeg = BytesIO()
    Image.new("L", (2, 2), 100).save(jpeg, "JPEG")

    after = pydicom.dcmread(BytesIO(recoded(picture(fragments(jpeg.getvalue()), syntax=JPEG))))

    assert after.LossyImageCompression == "01"


def test_what_cannot_be_decoded_is_refused_before_a_byte_is_given(sample: Callable[[str], Path]) -> None:
    twelve = sample("dicom/xa_wg04/XA1_JPLY.dcm").read_bytes()
    native = picture(element(PIXELS, "OB", bytes(4)))
    unclear = picture(fragments(frame(1), frame(1), frame(2)), frames=2, syntax=RLE)

    for instance, reason in ((twelve, "twelve-bit"), (native, "not-compressed"), (unclear, "frames-unclear")):
        with pytest.raises(PixelFault, match=reason):
            to_explicit_le_decoded(BytesSource(instance))
