"""Small pictures made in the test that looks at them."""

from __future__ import annotations

import struct

from isthmus.dicom.part10 import file_meta
from isthmus.dicom.syntaxes import EXPLICIT_LE

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
UNDEFINED = 0xFFFFFFFF
LONG = ("OB", "OW", "OV", "OF", "SQ")


def element(tag: int, vr: str, value: bytes | str) -> bytes:
    raw = value.encode("ascii") if isinstance(value, str) else value
    raw += (b"\0" if vr in ("UI", "OB") else b" ") * (len(raw) % 2)
    return head(tag, vr, len(raw)) + raw


def head(tag: int, vr: str, length: int) -> bytes:
    group, number = tag >> 16, tag & 0xFFFF
    if vr in LONG:
        return struct.pack("<HH2sHL", group, number, vr.encode(), 0, length)
    return struct.pack("<HH2sH", group, number, vr.encode(), length)


def shorts(tag: int, *values: int, vr: str = "US") -> bytes:
    return element(tag, vr, struct.pack(f"<{len(values)}{'h' if min(values) < 0 else 'H'}", *values))


def item(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(body)) + body


def sequence(tag: int, *items: bytes) -> bytes:
    return element(tag, "SQ", b"".join(items))


def fragments(*parts: bytes, table: bytes = b"", tag: int = 0x7FE00010) -> bytes:
    return (
        head(tag, "OB", UNDEFINED) + item(table) + b"".join(map(item, parts)) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    )


def tag_of(written: bytes) -> tuple[int, ...]:
    return struct.unpack("<HH", written[:4])


def picture(
    pixels: bytes,
    *more: bytes,
    shape: tuple[int, int] = (2, 2),
    bits: tuple[int, int] = (8, 8),
    photometric: str = "MONOCHROME2",
    samples: int = 1,
    planar: int = 0,
    signed: bool = False,
    frames: int | None = None,
    syntax: str = EXPLICIT_LE,
) -> bytes:
    """Write an instance: its shape by name, its pixels as an element, further elements as they are."""
    elements: tuple[bytes, ...] = (
        element(0x00080016, "UI", CT_IMAGE),
        element(0x00080018, "UI", "1.2.3.4"),
        element(0x0020000D, "UI", "1.2"),
        element(0x0020000E, "UI", "1.2.3"),
        shorts(0x00280002, samples),
        element(0x00280004, "CS", photometric),
        *([shorts(0x00280006, planar)] if samples > 1 else []),
        *([element(0x00280008, "IS", str(frames))] if frames is not None else []),
        shorts(0x00280010, shape[0]),
        shorts(0x00280011, shape[1]),
        shorts(0x00280100, bits[0]),
        shorts(0x00280101, bits[1]),
        shorts(0x00280102, bits[1] - 1),
        shorts(0x00280103, int(signed)),
        *more,
        pixels,
    )
    ordered: list[bytes] = sorted(elements, key=tag_of)
    return file_meta(CT_IMAGE, "1.2.3.4", syntax) + b"".join(ordered)
