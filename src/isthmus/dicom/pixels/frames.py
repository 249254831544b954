"""Frames: where each one lies in the file, without decoding anything.

Only Pixel Data at the top level counts, an icon is another image (F20). Source: PS3.5 §8.2, §A.4; PS3.3 §C.7.6.3; field-faults F21.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from struct import unpack_from
from typing import Final, NamedTuple

from isthmus.dicom import tags
from isthmus.dicom.pixels import attributes
from isthmus.dicom.pixels.attributes import Told, Values
from isthmus.dicom.pixels.faults import PixelFault
from isthmus.dicom.syntaxes import TransferSyntax
from isthmus.dicom.walker import UNDEFINED, Element
from isthmus.dicom.windows import AT_IMPORT, Bounds, Source

_JPEG: Final = b"\xff\xd8\xff"
_JPEG_2000: Final = b"\xff\x4f\xff\x51"
_STARTS: Final[dict[str, bytes]] = dict.fromkeys(
    ("50", "51", "53", "55", "57", "70", "80", "81"), _JPEG
) | dict.fromkeys(("90", "91", "92", "93", "201", "202", "203"), _JPEG_2000)
_SUBSAMPLED: Final = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})


class Run(NamedTuple):
    """Bytes of the file that lie together."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Image:
    """What the attributes say of the pixels, and where these lie.

    `compressed` has one tuple of runs a frame; it is None in a native image, and where it cannot be told.
    """

    syntax: TransferSyntax
    rows: int
    columns: int
    samples: int
    photometric: str
    planar: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    frames: int
    pixel_tag: int
    native: Run | None
    compressed: tuple[tuple[Run, ...], ...] | None

    @property
    def stored_samples(self) -> int:
        """How many samples a native pixel takes; subsampled colour has two, halves of three shared by two."""
        return 2 if self.photometric in _SUBSAMPLED and self.samples == 3 else self.samples

    @property
    def frame_bits(self) -> int:
        return self.rows * self.columns * self.stored_samples * self.bits_allocated

    @property
    def frame_bytes(self) -> int:
        return -(-self.frame_bits // 8)


def read_image(source: Source, bounds: Bounds = AT_IMPORT) -> Image:
    """Find the frames of an instance; raises PixelFault, DicomFault.

    Where it cannot be told where frames begin that is no fault yet: it is one when a frame is asked for.
    """
    return image_of(attributes.read(source, looks=False, bounds=bounds), source)


def image_of(told: Told, source: Source) -> Image:
    values, syntax = told.values, told.meta.syntax
    pixel = next((one for one in told.elements if one.tag in tags.PIXELS), None)
    if pixel is None:
        raise PixelFault("no-image")
    frames = _frame_count(values)
    bits = values.short(tags.BITS_ALLOCATED, 0)
    stored = values.short(attributes.BITS_STORED, bits)
    image = Image(
        syntax=syntax,
        rows=values.short(tags.ROWS, 0),
        columns=values.short(tags.COLUMNS, 0),
        samples=values.short(tags.SAMPLES_PER_PIXEL, 1),
        photometric=values.text(tags.PHOTOMETRIC_INTERPRETATION) or "MONOCHROME2",
        planar=values.short(attributes.PLANAR_CONFIGURATION, 0),
        bits_allocated=bits,
        bits_stored=stored,
        high_bit=values.short(attributes.HIGH_BIT, stored - 1),
        signed=values.short(tags.PIXEL_REPRESENTATION, 0) == 1,
        frames=frames,
        pixel_tag=pixel.tag,
        native=None if pixel.length == UNDEFINED else Run(pixel.offset, pixel.length),
        compressed=_compressed(told, source, frames) if pixel.length == UNDEFINED else None,
    )
    if not (image.rows and image.columns and image.samples in (1, 3, 4) and bits in (1, 8, 16, 32, 64)):
        raise PixelFault("bad-shape")
    return image


def read_frame(source: Source, image: Image, number: int) -> bytes:
    """Give the bytes of a frame (the first is 1) as they are stored: compressed, or native and whole bytes.

    Raises PixelFault; never gives a guessed frame.
    """
    if not 1 <= number <= image.frames:
        raise PixelFault("no-frame")
    if image.native is not None:
        return _native_frame(source, image, image.native, number)
    if image.syntax.video:
        raise PixelFault("video")
    if image.compressed is None:
        raise PixelFault("frames-unclear")
    return b"".join(source.read_at(*run) for run in image.compressed[number - 1])


def _native_frame(source: Source, image: Image, pixels: Run, number: int) -> bytes:
    start = image.frame_bits * (number - 1)
    end = start + image.frame_bits
    if end > 8 * pixels.size:
        raise PixelFault("short-pixels")
    first, last = start // 8, -(-end // 8)
    data = source.read_at(pixels.offset + first, last - first)
    if len(data) < last - first:
        raise PixelFault("short-pixels")
    if start % 8 == 0 and end % 8 == 0:
        return data
    bits = int.from_bytes(data, "little") >> (start % 8)  # single bits, the first one lowest: PS3.5 §8.1.1
    return (bits & ((1 << image.frame_bits) - 1)).to_bytes(image.frame_bytes, "little")


def _frame_count(values: Values) -> int:
    """Read Number of Frames; what is no number of frames means one."""
    text = values.text(tags.NUMBER_OF_FRAMES)
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def _compressed(told: Told, source: Source, frames: int) -> tuple[tuple[Run, ...], ...] | None:
    """Share the fragments out among the frames; None when nothing says for certain how."""
    runs = [Run(one.offset, one.length) for one in told.elements if one.tag == tags.ITEM]
    if not runs or told.meta.syntax.video:
        return None
    table, fragments = runs[0], runs[1:]
    if frames == 1:
        return (tuple(fragments),) if fragments else None
    if len(fragments) < frames:
        return None
    extended = _by_extended_table(told.elements, source, fragments, frames) if not table.size else None
    return (
        extended
        or _by_basic_table(source, table, fragments, frames)
        or (tuple((one,) for one in fragments) if len(fragments) == frames else None)
        or _by_markers(told.meta.syntax, source, fragments, frames)
    )


def _by_basic_table(
    source: Source, table: Run, fragments: list[Run], frames: int
) -> tuple[tuple[Run, ...], ...] | None:
    if table.size != 4 * frames:
        return None
    return _cut(fragments, unpack_from(f"<{frames}L", source.read_at(*table)))


def _by_extended_table(
    elements: list[Element], source: Source, fragments: list[Run], frames: int
) -> tuple[tuple[Run, ...], ...] | None:
    """Cut by (7FE0,0001), and take the padding off by (7FE0,0002), if both agree with the fragments."""
    tables = {one.tag: one for one in elements}
    offsets, lengths = (
        _whole_table(source, tables.get(tag), frames)
        for tag in (attributes.EXTENDED_OFFSET_TABLE, attributes.EXTENDED_OFFSET_TABLE_LENGTHS)
    )
    if offsets is None or lengths is None:
        return None
    cut = _cut(fragments, offsets)
    if cut is None:
        return None
    trimmed = []
    for runs, length in zip(cut, lengths, strict=True):
        surplus = sum(run.size for run in runs) - length
        last = runs[-1]
        if surplus not in (0, 1) or last.size < surplus:
            return None
        trimmed.append((*runs[:-1], Run(last.offset, last.size - surplus)))
    return tuple(trimmed)


def _whole_table(source: Source, element: Element | None, frames: int) -> tuple[int, ...] | None:
    if element is None or element.length != 8 * frames:
        return None
    return unpack_from(f"<{frames}Q", source.read_at(element.offset, element.length))


def _cut(fragments: list[Run], offsets: Sequence[int]) -> tuple[tuple[Run, ...], ...] | None:
    """Cut the fragments at offsets that count from the first one; None if one of them is no beginning of a fragment."""
    base = fragments[0].offset
    index = {run.offset - base: number for number, run in enumerate(fragments)}
    starts = [index.get(offset) for offset in offsets]
    if starts[0] != 0 or any(one is None for one in starts):
        return None
    known = [one for one in starts if one is not None]
    if any(after <= before for before, after in pairwise(known)):
        return None
    return _at(fragments, known)


def _by_markers(
    syntax: TransferSyntax, source: Source, fragments: list[Run], frames: int
) -> tuple[tuple[Run, ...], ...] | None:
    """Cut where a fragment begins as a compressed image does, if there are as many of these as frames."""
    start = _STARTS.get(syntax.uid.removeprefix("1.2.840.10008.1.2.4."))
    if start is None:
        return None
    starts = [n for n, run in enumerate(fragments) if source.read_at(run.offset, len(start)) == start]
    return _at(fragments, starts) if len(starts) == frames and starts[0] == 0 else None


def _at(fragments: list[Run], starts: list[int]) -> tuple[tuple[Run, ...], ...]:
    ends = [*starts[1:], len(fragments)]
    return tuple(tuple(fragments[start:end]) for start, end in zip(starts, ends, strict=True))
