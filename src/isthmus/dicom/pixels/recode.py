"""Compressed instances with their pixels decompressed: Explicit VR Little Endian, for those who can take nothing else.

The instance stays what it is, its SOP Instance UID too: decompressing adds no loss, and what says of an earlier loss stays
(0028,2110). Everything but the pixels and their description is copied byte for byte; frames are decoded one at a time.
For a child process alone.

Source: PS3.18 §8.7.3; PS3.5 §8.2, Annex A.4; PS3.3 §C.7.6.1.1.5, §C.7.6.3; field-faults F33.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Any, Final, NamedTuple

import numpy as np

from isthmus.dicom import tags
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.header import finished, read_header
from isthmus.dicom.part10 import file_meta, front
from isthmus.dicom.pixels import attributes
from isthmus.dicom.pixels.decodable import JPEG_BASELINE, JPEG_EXTENDED, MAX_PIXEL_BYTES, decoded_bytes
from isthmus.dicom.pixels.decode import Decoded, decode_frame, little_endian_bytes
from isthmus.dicom.pixels.faults import PixelFault
from isthmus.dicom.pixels.frames import Image, read_image
from isthmus.dicom.recode import gathered
from isthmus.dicom.syntaxes import EXPLICIT_LE
from isthmus.dicom.walker import UNDEFINED, Plan, walk
from isthmus.dicom.windows import AT_IMPORT, Bounds, Source, SourceWindow

PIECE_BYTES: Final = 256 * 1024
_SHORT_HEAD: Final = Struct("<HH2sH").pack
_LONG_HEAD: Final = Struct("<HH2sHL").pack
_SHORT_VRS: Final = frozenset(vr.encode() for vr in tags.VR_SHORT)
_GONE: Final = frozenset({attributes.EXTENDED_OFFSET_TABLE, attributes.EXTENDED_OFFSET_TABLE_LENGTHS})
_ALWAYS_LOSSY: Final = frozenset({JPEG_BASELINE, JPEG_EXTENDED})


class _Part(NamedTuple):
    """An element of the top level: where it begins and ends in the file."""

    tag: int
    start: int
    end: int


def decoded_task(source: Source, options: Mapping[str, object]) -> Iterator[bytes]:
    return gathered(to_explicit_le_decoded(source))


def to_explicit_le_decoded(source: Source, bounds: Bounds = AT_IMPORT) -> Iterator[bytes]:
    """Give a compressed instance as an Explicit VR Little Endian file, piece by piece, holding one frame at a time.

    Raises PixelFault, DicomFault: at once for what can never be decoded, else at the frame that cannot.
    """
    header = read_header(source, bounds)
    decoded_bytes(source, bounds)
    image = read_image(source, bounds)
    first = decode_frame(source, image, 1)
    frame_bytes = first.pixels.nbytes
    if frame_bytes * image.frames > min(MAX_PIXEL_BYTES, bounds.max_image_bytes):
        raise PixelFault("large-frame")
    meta = file_meta(header.sop_class_uid, header.sop_instance_uid, EXPLICIT_LE)
    return _file(source, image, first, meta, _parts(source, bounds))


def _file(source: Source, image: Image, first: Decoded, meta: bytes, parts: list[_Part]) -> Iterator[bytes]:
    yield meta
    changed = _description(image, first, {part.tag for part in parts})
    for part in parts:
        for tag in [one for one in changed if one < part.tag]:
            yield changed.pop(tag)
        if part.tag in changed:
            yield changed.pop(part.tag)
        elif part.tag == tags.PIXEL_DATA:
            yield from _pixels(source, image, first)
        else:
            yield from _copied(source, part)


def _copied(source: Source, part: _Part) -> Iterator[bytes]:
    for start in range(part.start, part.end, PIECE_BYTES):
        yield source.read_at(start, min(PIECE_BYTES, part.end - start))


def _pixels(source: Source, image: Image, first: Decoded) -> Iterator[bytes]:
    size = first.pixels.nbytes * image.frames
    vr = b"OB" if first.pixels.dtype.itemsize == 1 else b"OW"
    yield _LONG_HEAD(0x7FE0, 0x0010, vr, 0, size + size % 2)
    for number in range(1, image.frames + 1):
        decoded = first if number == 1 else decode_frame(source, image, number)
        if (decoded.pixels.shape, decoded.pixels.dtype, decoded.photometric) != _kind(first):
            raise PixelFault("not-decoded", "frames differ in kind")
        yield little_endian_bytes(decoded.pixels)
    yield bytes(size % 2)


def _kind(decoded: Decoded) -> tuple[tuple[int, ...], np.dtype[Any], str]:
    return decoded.pixels.shape, decoded.pixels.dtype, decoded.photometric


def _description(image: Image, first: Decoded, present: set[int]) -> dict[int, bytes]:
    """Write the attributes that decoding changes, in the order of their tags."""
    changed = {tags.PHOTOMETRIC_INTERPRETATION: _text(tags.PHOTOMETRIC_INTERPRETATION, first.photometric)}
    if image.samples > 1:
        changed[attributes.PLANAR_CONFIGURATION] = _short(attributes.PLANAR_CONFIGURATION, 0)
    if 8 * first.pixels.dtype.itemsize != image.bits_allocated:
        changed[tags.BITS_ALLOCATED] = _short(tags.BITS_ALLOCATED, 8 * first.pixels.dtype.itemsize)
    if image.syntax.uid in _ALWAYS_LOSSY and attributes.LOSSY_IMAGE_COMPRESSION not in present:
        changed[attributes.LOSSY_IMAGE_COMPRESSION] = _text(attributes.LOSSY_IMAGE_COMPRESSION, "01")
    return changed


def _short(tag: int, value: int) -> bytes:
    return _SHORT_HEAD(tag >> 16, tag & 0xFFFF, b"US", 2) + value.to_bytes(2, "little")


def _text(tag: int, text: str) -> bytes:
    value = text.encode("ascii") + b" " * (len(text) % 2)
    return _SHORT_HEAD(tag >> 16, tag & 0xFFFF, b"CS", len(value)) + value


def _parts(source: Source, bounds: Bounds) -> list[_Part]:
    """List the elements of the top level that go on: no group lengths, no offset tables, no icon that is compressed.

    A sequence that holds other compressed pixels cannot be written in a native syntax.
    """
    window = SourceWindow(source)
    meta = finished(front(window, bounds, hostile=False))
    starts: list[tuple[int, int]] = []
    compressed_inside: set[int] = set()
    plan = Plan(keep_bytes=0)
    for element in walk(window, meta.dataset_offset, True, True, bounds, plan):
        if element is None:
            continue
        tag, vr, length, offset, depth, _ = element
        if tag in (tags.ITEM, tags.ITEM_END, tags.SEQUENCE_END):
            continue
        if depth == 0:
            starts.append((tag, offset - (8 if vr in _SHORT_VRS else 12)))
        elif length == UNDEFINED and vr != b"SQ":
            compressed_inside.add(starts[-1][0])
    if compressed_inside - {attributes.ICON_IMAGE_SEQUENCE}:
        raise DicomFault("bad-structure", "compressed pixels inside a sequence")
    gone = _GONE | compressed_inside
    ends = [start for _, start in starts[1:]] + [source.size_bytes]
    parts = (_Part(tag, start, end) for (tag, start), end in zip(starts, ends, strict=True))
    return [part for part in parts if part.tag & 0xFFFF and part.tag not in gone]
