from __future__ import annotations

import io
import random
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy
import pydicom
import pytest
from pydicom.dataset import Dataset

from isthmus.dicom.faults import DicomFault
from isthmus.dicom.header import read_header
from isthmus.dicom.part10 import file_meta
from isthmus.dicom.recode import to_explicit_le
from isthmus.dicom.scan import scan
from isthmus.dicom.syntaxes import DEFLATED_LE, EXPLICIT_LE, crosses_unchanged
from isthmus.dicom.windows import BytesSource

if TYPE_CHECKING:
    from tests.dicom.conftest import Writing

pytestmark = pytest.mark.filterwarnings("ignore")


def recoded(data: bytes) -> bytes:
    return b"".join(to_explicit_le(BytesSource(data)))


def is_recoded(data: bytes) -> bool:
    try:
        return not crosses_unchanged(read_header(BytesSource(data)).transfer_syntax_uid)
    except DicomFault:
        return False


def judged(data: bytes) -> Dataset:
    """Read by pydicom, without the group lengths that recoding drops."""
    found = pydicom.dcmread(io.BytesIO(data))
    for tag in [element.tag for element in found if element.tag.element == 0]:
        del found[tag]
    return found


def test_a_sample_is_recoded_to_an_equal_one_or_not_at_all(dicom_file: Path, tmp_path: Path) -> None:
    data = dicom_file.read_bytes()
    if not is_recoded(data):
        with pytest.raises(DicomFault):
            to_explicit_le(BytesSource(data))
        return
    original = judged(data)

    out = recoded(data)

    copy = judged(out)
    assert copy.file_meta.TransferSyntaxUID == EXPLICIT_LE
    assert scan(BytesSource(out)).header.sop_instance_uid == original.SOPInstanceUID
    if "PixelData" in original:
        assert numpy.array_equal(original.pixel_array, copy.pixel_array)
    if not original.original_encoding[1]:
        del original["PixelData"], copy["PixelData"]  # compared above; big-endian bytes differ
    assert copy == original
    if shutil.which("dcmdump"):
        path = tmp_path / "recoded.dcm"
        path.write_bytes(out)
        read = subprocess.run(["dcmdump", "-q", str(path)], capture_output=True, check=False)
        assert (read.returncode, read.stderr) == (0, b"")


def test_what_crosses_unchanged_is_not_recoded(explicit: Writing) -> None:
    with pytest.raises(DicomFault) as refused:
        recoded(explicit.file())

    assert refused.value.reason == "bad-syntax"


@pytest.mark.fault("F18")
def test_a_value_over_64_kib_becomes_un_and_keeps_its_bytes(implicit: Writing) -> None:
    numbers = b"\\".join(b"%d.5" % number for number in range(12_000))[:70_000]
    private = bytes(range(256)) * 20_480
    data = implicit.file(
        implicit.element(0x00290010, "LO", "SOMEBODY"),
        implicit.element(0x00291001, "UN", private),
        implicit.element(0x30040058, "DS", numbers),
        implicit.element(0x30060050, "DS", "1"),
    )

    out = recoded(data)

    assert struct.pack("<HH2sHL", 0x3004, 0x0058, b"UN", 0, 70_000) + numbers in out
    assert struct.pack("<HH2sHL", 0x0029, 0x1001, b"UN", 0, len(private)) + private in out
    copy = judged(out)
    assert copy[0x00290010].VR == "LO"
    assert copy[0x30060050].value == 1


@pytest.mark.fault("F17")
def test_private_sequences_keep_their_nesting(implicit: Writing) -> None:
    inner = implicit.open_sequence(0x20051410, implicit.open_item(implicit.short(0x00280010, 7)))
    data = implicit.file(implicit.open_sequence(0x2005140F, implicit.item(inner)), implicit.short(0x20100010, 9))

    copy = judged(recoded(data))

    assert copy == judged(data)
    assert copy[0x2005140F].value[0][0x20051410].value[0].Rows == 7


@pytest.mark.parametrize(("signed", "vr"), [(0, "US"), (1, "SS")])
def test_pixel_representation_decides_wherever_it_lies(signed: int, vr: str, implicit: Writing) -> None:
    early = implicit.sequence(0x00221450, implicit.item(implicit.short(0x00221452, 0xFFFF)))
    lut = implicit.item(implicit.element(0x00283002, "US", struct.pack("<3H", 2, 0xFFFF, 16)))
    own = implicit.item(implicit.short(0x00280103, 1 - signed), implicit.short(0x00280106, 0xFFFF))
    data = implicit.file(
        early,
        implicit.short(0x00280103, signed),
        implicit.short(0x00280120, 0xFFFF),
        implicit.sequence(0x00283000, lut),
        implicit.sequence(0x00880200, own),
    )

    copy = judged(recoded(data))

    assert [vr, vr] == [copy[0x00280120].VR, copy[0x00221450].value[0][0x00221452].VR]
    assert vr == copy[0x00283000].value[0][0x00283002].VR
    assert {"US": "SS", "SS": "US"}[vr] == copy[0x00880200].value[0][0x00280106].VR


def test_big_endian_values_are_swapped_by_their_vr(big_endian: Writing, explicit: Writing) -> None:
    def values(order: str) -> dict[tuple[int, str], bytes]:
        return {
            (0x00080005, "CS"): b"ISO_IR 100",
            (0x00189810, "SS"): struct.pack(order + "h", -2),
            (0x00209165, "AT"): struct.pack(order + "2H", 0x0018, 0x9810),
            (0x00221452, "US"): struct.pack(order + "2H", 1, 2),
            (0x00280008, "IS"): b"1 ",
            (0x0040A130, "UL"): struct.pack(order + "L", 3),
            (0x00411001, "FL"): struct.pack(order + "f", 1.5),
            (0x00411002, "FD"): struct.pack(order + "d", 2.5),
            (0x00411003, "SV"): struct.pack(order + "q", -5),
            (0x00411004, "OD"): struct.pack(order + "2d", 1, 2),
            (0x00411005, "OB"): b"\1\2\3\4",
            (0x00411006, "OL"): struct.pack(order + "L", 7),
            (0x7FE00010, "OW"): struct.pack(order + "3H", 1, 2, 3) * 100_000,
        }

    data = big_endian.file(*(big_endian.element(tag, vr, value) for (tag, vr), value in values(">").items()))
    expected = explicit.data_set(*(explicit.element(tag, vr, value) for (tag, vr), value in values("<").items()))

    out = recoded(data)

    assert out[-len(expected) :] == expected


@pytest.mark.fault("F17")
def test_un_of_undefined_length_is_little_endian_in_a_big_endian_file(big_endian: Writing, implicit: Writing) -> None:
    hidden = big_endian.head(0x2005140F, "UN", 0xFFFFFFFF) + implicit.item(implicit.short(0x00280010, 7))
    data = big_endian.file(hidden + bytes.fromhex("FEFFDDE000000000"), big_endian.short(0x20100010, 9))

    copy = judged(recoded(data))

    assert copy[0x2005140F].value[0].Rows == 7
    assert copy[0x20100010].value == 9


@pytest.mark.fault("F19")
@pytest.mark.parametrize("pad", [b"", b"\0"])
def test_a_deflated_file_is_inflated_without_its_pad(pad: bytes, explicit: Writing) -> None:
    data_set = explicit.data_set(
        explicit.sequence(0x00400275, explicit.item()), explicit.element(0x00420011, "OB", bytes(300_000))
    )
    deflater = zlib.compressobj(0, wbits=-zlib.MAX_WBITS)
    raw = deflater.compress(data_set) + deflater.flush()

    out = recoded(file_meta("1.2", "1.2.3.4", DEFLATED_LE) + raw + pad)

    assert out.endswith(data_set)
    assert len(out) == len(data_set) + len(file_meta("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4", EXPLICIT_LE))


def test_fragments_in_a_native_syntax_are_refused(implicit: Writing) -> None:
    data = implicit.file(implicit.open_sequence(0x7FE00010, implicit.item(b"\xff\xd8"), vr="OB"))

    with pytest.raises(DicomFault) as refused:
        recoded(data)

    assert refused.value.reason == "bad-structure"


def test_pixels_are_recoded_in_pieces(sample: Callable[[str], Path], implicit: Writing) -> None:
    data = implicit.file(implicit.element(0x7FE00010, "OW", bytes(5_000_000)))

    pieces = list(to_explicit_le(BytesSource(data)))

    assert max(len(piece) for piece in pieces) < 600_000
    assert sum(len(piece) for piece in pieces) > 5_000_000


@pytest.mark.parametrize("name", ["MR_small_implicit.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm"])
def test_recoding_a_corrupted_file_ends_only_in_a_fault(name: str, sample: Callable[[str], Path]) -> None:
    whole = sample(f"dicom/transfer_syntaxes_small/{name}").read_bytes()
    dice = random.Random(20260925)
    refused = 0

    for _ in range(100):
        damaged = bytearray(whole)
        for _ in range(dice.randint(1, 8)):
            damaged[dice.randrange(132, 2000)] = dice.choice((0, 0xFF, 0xFE, dice.randrange(256)))
        try:
            recoded(bytes(damaged))
        except DicomFault:
            refused += 1

    assert 0 < refused <= 100
