from __future__ import annotations

import random
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from isthmus.dicom.faults import DicomFault
from isthmus.dicom.part10 import file_meta
from isthmus.dicom.scan import Scanner, ScanResult, scan
from isthmus.dicom.syntaxes import DEFLATED_LE
from isthmus.dicom.windows import AT_IMPORT, AT_THE_BORDER, Bounds, BytesSource

if TYPE_CHECKING:
    from tests.dicom.conftest import Writing

JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"


def fed(data: bytes, size: int, bounds: Bounds = AT_IMPORT) -> ScanResult:
    scanner = Scanner(bounds)
    for start in range(0, len(data), size):
        scanner.feed(memoryview(data)[start : start + size])
    return scanner.close()


def outcome(call: Callable[[], ScanResult]) -> ScanResult | str:
    try:
        return call()
    except DicomFault as fault:
        return fault.reason


def refusal(data: bytes, bounds: Bounds = AT_IMPORT) -> str:
    result = outcome(lambda: scan(BytesSource(data), bounds))
    assert isinstance(result, str)
    assert outcome(lambda: fed(data, 1000, bounds)) == result
    return result


def deflated(pieces: Iterator[bytes]) -> bytes:
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    body = b"".join(deflater.compress(piece) for piece in pieces) + deflater.flush()
    return file_meta("1.2", "1.2.3.4", DEFLATED_LE) + body


def image(explicit: Writing, pixels: bytes, rows: int = 4, **numbers: int) -> bytes:
    named = {"samples": 1, "columns": 4, "bits": 16} | numbers
    return explicit.file(
        explicit.short(0x00280002, named["samples"]),
        explicit.element(0x00280008, "IS", str(named.get("frames", 1))),
        explicit.short(0x00280010, rows),
        explicit.short(0x00280011, named["columns"]),
        explicit.short(0x00280100, named["bits"]),
        pixels,
    )


@pytest.mark.parametrize("size", [13, 4096, 262_144])
def test_every_sample_scans_the_same_as_it_arrives(dicom_file: Path, size: int) -> None:
    data = dicom_file.read_bytes()

    at_once = outcome(lambda: scan(BytesSource(data)))

    assert outcome(lambda: fed(data, size)) == at_once
    if isinstance(at_once, ScanResult):
        assert at_once.size_bytes == len(data)


def test_pixels_are_never_kept(explicit: Writing) -> None:
    front = explicit.file(explicit.head(0x7FE00010, "OW", 256 * 1024 * 1024))
    piece = memoryview(bytes(256 * 1024))
    scanner = Scanner()
    tracemalloc.start()

    scanner.feed(front)
    for _ in range(1024):
        scanner.feed(piece)
    result = scanner.close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert result.header.pixel_length == 256 * 1024 * 1024
    assert peak < 2 * 1024 * 1024


@pytest.mark.parametrize("last", [1, 4, 100])
def test_a_file_cut_short_is_refused(last: int, explicit: Writing) -> None:
    whole = image(explicit, explicit.element(0x7FE00010, "OW", bytes(100)))

    assert refusal(whole[:-last]) == "truncated"


@pytest.mark.parametrize(
    "start",
    [b"MZ\x90", b"\x7fELF", b"#!/bin/sh", b"<html>", b"\n <SCRIPT>", b"<!DOCTYPE", b"%PDF-1.7", b"PK\x03\x04"]
    + [b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xef\xbb\xbf<?xml"],
)
def test_a_preamble_that_is_something_else_is_refused(start: bytes, explicit: Writing) -> None:
    data = explicit.file()

    assert refusal(start + data[len(start) :]) == "active-preamble"


@pytest.mark.parametrize("start", [b"", b"II*\0", b"MM\0*"])
def test_a_tiff_may_be_a_dicom_file_too(start: bytes, explicit: Writing) -> None:
    data = explicit.file()

    assert scan(BytesSource(start + data[len(start) :])).size_bytes == len(data)


def test_pixels_must_be_as_many_as_declared_and_may_be_padded(explicit: Writing) -> None:
    assert refusal(image(explicit, explicit.element(0x7FE00010, "OW", bytes(30)))) == "short-pixels"
    assert scan(BytesSource(image(explicit, explicit.element(0x7FE00010, "OW", bytes(32)))))
    assert scan(BytesSource(image(explicit, explicit.element(0x7FE00010, "OW", bytes(40)))))


def test_a_declared_image_over_the_cap_is_refused(explicit: Writing) -> None:
    huge = image(explicit, explicit.element(0x7FE00010, "OW", bytes(32)), rows=65535, columns=65535, frames=9999)

    assert refusal(huge) == "too-large"


@pytest.mark.threat("T63")
def test_many_values_to_be_read_are_bounded_in_all_and_none_is_passed_over(explicit: Writing) -> None:
    said = explicit.element(0x0040A160, "UT", bytes(60_000))
    whose = explicit.element(0x00100020, "LO", "1234")
    full = explicit.file(whose, explicit.sequence(0x0040A730, *[explicit.item(said)] * 60))
    beyond = explicit.file(whose, explicit.sequence(0x0040A730, *[explicit.item(said)] * 1000))
    tracemalloc.start()

    why = outcome(lambda: scan(BytesSource(beyond)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (why, peak < 6 * 1024 * 1024) == ("too-large", True)
    assert refusal(beyond, AT_THE_BORDER) == "too-large"
    assert scan(BytesSource(full)).header.patient_id == "1234"


def test_a_value_too_long_to_be_read_is_told_once(explicit: Writing) -> None:
    item = explicit.item(explicit.element(0x0040A160, "UT", bytes(70_000)))

    warnings = scan(BytesSource(explicit.file(explicit.sequence(0x0040A730, *[item] * 100)))).header.warnings

    assert len(warnings) == 1


def test_encapsulation_must_be_as_the_syntax_says(explicit: Writing) -> None:
    native = explicit.element(0x7FE00010, "OW", bytes(32))
    fragments = explicit.open_sequence(0x7FE00010, explicit.item(), explicit.item(b"\xff\xd8"), vr="OB")

    assert refusal(image(explicit, fragments)) == "bad-structure"
    explicit.syntax = JPEG_LOSSLESS
    assert refusal(image(explicit, native)) == "bad-structure"
    span = scan(BytesSource(image(explicit, fragments))).header.pixel_length
    assert span == len(fragments) - 12


def test_the_border_takes_no_deflated_file(explicit: Writing) -> None:
    data = deflated(iter((explicit.data_set(),)))

    assert scan(BytesSource(data)).header.sop_instance_uid == "1.2.3.4"
    assert refusal(data, AT_THE_BORDER) == "bad-syntax"


@pytest.mark.fault("F19")
def test_a_deflate_bomb_stops_without_memory(explicit: Writing) -> None:
    size = 64 * 1024 * 1024
    head = explicit.data_set() + explicit.head(0x7FE00010, "OW", size)
    bomb = deflated(iter((head, *([bytes(1024 * 1024)] * 64))))
    tracemalloc.start()

    by_ratio = refusal(bomb)
    by_size = refusal(bomb, Bounds(max_inflation_ratio=10_000, max_inflated_bytes=8 * 1024 * 1024))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (by_ratio, by_size) == ("inflation", "inflation")
    assert peak < 4 * 1024 * 1024


@pytest.mark.fault("F19")
def test_what_follows_a_deflated_data_set_is_counted_and_not_kept(explicit: Writing) -> None:
    data = deflated(iter((explicit.data_set(),)))
    scanner = Scanner()
    tracemalloc.start()

    scanner.feed(data)
    for _ in range(100):
        scanner.feed(bytes(256 * 1024))
    result = scanner.close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert result.size_bytes == len(data) + 100 * 256 * 1024
    assert peak < 2 * 1024 * 1024


@pytest.mark.fault("F19")
def test_a_deflated_data_set_cut_short_or_damaged_is_refused(explicit: Writing) -> None:
    data = deflated(iter((explicit.data_set(explicit.element(0x00100010, "PN", bytes(range(32, 122)))),)))

    assert refusal(data[:-10]) == "truncated"
    assert refusal(data[:-30] + b"\xff" * 30) in ("bad-structure", "truncated")


@pytest.mark.parametrize(
    "name", ["MR_small_implicit.dcm", "MR_small_RLE.dcm", "image_dfl.dcm"], ids=["implicit", "fragments", "deflated"]
)
def test_corrupted_files_end_soon_and_only_in_a_fault(name: str, sample: Callable[[str], Path]) -> None:
    whole = sample(f"dicom/transfer_syntaxes_small/{name}").read_bytes()
    dice = random.Random(20260924)
    slowest = 0.0

    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(dice.randint(1, 12)):
            at = dice.randrange(min(len(damaged), dice.choice((2000, len(damaged)))))
            if dice.random() < 0.2:
                del damaged[at : at + dice.randint(1, 40)]
            else:
                damaged[at] = dice.choice((0, 0xFF, 0xFE, 0x7F, dice.randrange(256)))
        started = time.process_time()
        at_once = outcome(lambda data=damaged: scan(BytesSource(data)))  # type: ignore[misc]  # bound now
        slowest = max(slowest, time.process_time() - started)
        arrived = outcome(lambda data=damaged: fed(bytes(data), 500))  # type: ignore[misc]  # bound now
        assert isinstance(arrived, str) == isinstance(at_once, str)

    assert slowest < 0.05
