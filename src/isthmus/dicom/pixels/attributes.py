"""The attributes that say what pixels mean: a small tree, read by the bounded walker. Source: PS3.3 §C.7.6.3, §C.7.6.16, §C.11."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator
from typing import Final, NamedTuple

from isthmus.dicom import tags
from isthmus.dicom.header import finished
from isthmus.dicom.part10 import FileMeta, front
from isthmus.dicom.pixels.faults import PixelFault
from isthmus.dicom.syntaxes import TransferSyntax
from isthmus.dicom.walker import Element, Plan, walk
from isthmus.dicom.windows import AT_IMPORT, Bounds, Source, SourceWindow

ICON_IMAGE_SEQUENCE: Final = 0x00880200
PLANAR_CONFIGURATION: Final = 0x00280006
BITS_STORED: Final = 0x00280101
HIGH_BIT: Final = 0x00280102
PADDING_VALUE: Final = 0x00280120
PADDING_RANGE_LIMIT: Final = 0x00280121
WINDOW_CENTER: Final = 0x00281050
WINDOW_WIDTH: Final = 0x00281051
RESCALE_INTERCEPT: Final = 0x00281052
RESCALE_SLOPE: Final = 0x00281053
VOI_LUT_FUNCTION: Final = 0x00281056
PALETTE_DESCRIPTORS: Final = (0x00281101, 0x00281102, 0x00281103)
PALETTE_DATA: Final = (0x00281201, 0x00281202, 0x00281203)
SEGMENTED_PALETTE_DATA: Final = (0x00281221, 0x00281222, 0x00281223)
LOSSY_IMAGE_COMPRESSION: Final = 0x00282110
MODALITY_LUT_SEQUENCE: Final = 0x00283000
VOI_LUT_SEQUENCE: Final = 0x00283010
FRAME_VOI_LUT_SEQUENCE: Final = 0x00289132
PIXEL_VALUE_TRANSFORMATION_SEQUENCE: Final = 0x00289145
PRESENTATION_LUT_SHAPE: Final = 0x20500020
SHARED_FUNCTIONAL_GROUPS: Final = 0x52009229
PER_FRAME_FUNCTIONAL_GROUPS: Final = 0x52009230
EXTENDED_OFFSET_TABLE: Final = 0x7FE00001
EXTENDED_OFFSET_TABLE_LENGTHS: Final = 0x7FE00002

SHAPE: Final = frozenset(
    {tags.SAMPLES_PER_PIXEL, tags.PHOTOMETRIC_INTERPRETATION, PLANAR_CONFIGURATION, tags.NUMBER_OF_FRAMES, tags.ROWS}
    | {tags.COLUMNS, tags.BITS_ALLOCATED, BITS_STORED, HIGH_BIT, tags.PIXEL_REPRESENTATION}
)
LOOK: Final = frozenset(
    {
        PADDING_VALUE,
        PADDING_RANGE_LIMIT,
        WINDOW_CENTER,
        WINDOW_WIDTH,
        RESCALE_INTERCEPT,
        RESCALE_SLOPE,
        VOI_LUT_FUNCTION,
    }
    | {MODALITY_LUT_SEQUENCE, VOI_LUT_SEQUENCE, FRAME_VOI_LUT_SEQUENCE, PIXEL_VALUE_TRANSFORMATION_SEQUENCE}
    | {
        tags.LUT_DESCRIPTOR,
        tags.LUT_DATA,
        PRESENTATION_LUT_SHAPE,
        SHARED_FUNCTIONAL_GROUPS,
        PER_FRAME_FUNCTIONAL_GROUPS,
    }
    | {*PALETTE_DESCRIPTORS, *PALETTE_DATA, *SEGMENTED_PALETTE_DATA}
)
_LOOK_DEPTH: Final = 6
_TABLE_BYTES: Final = 256 * 1024  # 65 536 entries of two bytes, and room


class Values:
    """Attributes of one data set or item, as bytes; sequences as lists of the same."""

    def __init__(self, *, little_endian: bool = True) -> None:
        self.raw: dict[int, bytes] = {}
        self.sequences: dict[int, list[Values]] = {}
        self._order: Final = "little" if little_endian else "big"

    def shorts(self, tag: int, *, signed: bool = False) -> tuple[int, ...]:
        raw = self.raw.get(tag, b"")
        step = range(0, len(raw) - 1, 2)
        return tuple(int.from_bytes(raw[at : at + 2], self._order, signed=signed) for at in step)

    def short(self, tag: int, otherwise: int, *, signed: bool = False) -> int:
        return next(iter(self.shorts(tag, signed=signed)), otherwise)

    def text(self, tag: int) -> str:
        """Give the first value of a text attribute."""
        return self.raw.get(tag, b"").decode("latin-1").split("\\")[0].strip(" \0")

    def numbers(self, tag: int) -> tuple[float, ...]:
        """Give the values of a DS that are finite numbers."""
        texts = self.raw.get(tag, b"").decode("latin-1").split("\\")
        return tuple(number for number in map(_number, texts) if number is not None)

    def number(self, tag: int, otherwise: float) -> float:
        return next(iter(self.numbers(tag)), otherwise)

    def item(self, tag: int, index: int = 0) -> Values | None:
        items = self.sequences.get(tag, [])
        return items[index] if index < len(items) else None

    def group(self, tag: int, frame: int) -> Values:
        """Give what a functional group says of a frame: its own, else the shared one, else the data set itself.

        Source: PS3.3 §C.7.6.16; field-faults F61.
        """
        own = self.item(PER_FRAME_FUNCTIONAL_GROUPS, frame - 1)
        shared = self.item(SHARED_FUNCTIONAL_GROUPS)
        said = (own and own.item(tag)) or (shared and shared.item(tag))
        return said or self


class Told(NamedTuple):
    meta: FileMeta
    values: Values
    elements: list[Element]  # pixel data, offset tables and fragments of the top level


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def syntax_of(source: Source, bounds: Bounds = AT_IMPORT) -> TransferSyntax:
    return finished(front(SourceWindow(source), bounds, hostile=False)).syntax


def read(source: Source, *, looks: bool, bounds: Bounds = AT_IMPORT) -> Told:
    """Read what the shape of the pixels is, with `looks` also how they are to be shown, and where they lie.

    Raises DicomFault where the file breaks, PixelFault where its offsets mean nothing (deflated).
    """
    window = SourceWindow(source)
    meta = finished(front(window, bounds, hostile=False))
    if meta.syntax.deflated:
        raise PixelFault("recode-first")
    top = frozenset({EXTENDED_OFFSET_TABLE, EXTENDED_OFFSET_TABLE_LENGTHS, *tags.PIXELS})
    want = SHAPE | top | (LOOK if looks else frozenset())
    plan = Plan(want, _LOOK_DEPTH if looks else 0, _TABLE_BYTES, skim=True, implicit_vr=_implicit_vr)
    syntax = meta.syntax
    elements = walk(window, meta.dataset_offset, syntax.explicit, syntax.little_endian, bounds, plan)
    values = Values(little_endian=syntax.little_endian)
    return Told(meta, values, list(_filled(values, window, (one for one in elements if one is not None), top)))


def _filled(root: Values, window: SourceWindow, elements: Iterator[Element], top: Container[int]) -> Iterator[Element]:
    """Put values where they belong, give the elements of the pixels."""
    levels, opened = [root], list[list[Values]]()
    in_pixels = False
    for element in elements:
        tag, vr, length, offset, depth, little = element
        if tag == tags.ITEM and vr == b"":
            levels[depth:] = [Values(little_endian=little)]
            opened[depth - 1].append(levels[depth])
        elif tag == tags.ITEM:
            if in_pixels:
                yield element
        elif vr == b"SQ":
            opened[depth:] = [levels[depth].sequences.setdefault(tag, [])]
        elif tag in top:
            in_pixels = depth == 0 and tag in tags.PIXELS
            if depth == 0:
                yield element
        elif tag not in (tags.ITEM_END, tags.SEQUENCE_END) and length <= _TABLE_BYTES:
            at = offset - window.base
            levels[depth].raw[tag] = window.data[at : at + length]
        elif tag == tags.SEQUENCE_END and depth == 0:
            in_pixels = False


def _implicit_vr(tag: int, unknown: bytes) -> bytes:
    return b"SQ" if tag in _SEQUENCES else unknown


_SEQUENCES: Final = tags.SEQUENCES | {
    MODALITY_LUT_SEQUENCE,
    VOI_LUT_SEQUENCE,
    FRAME_VOI_LUT_SEQUENCE,
    PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
    SHARED_FUNCTIONAL_GROUPS,
    PER_FRAME_FUNCTIONAL_GROUPS,
}
