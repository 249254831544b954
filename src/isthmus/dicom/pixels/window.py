"""Stored values to what is seen: grey by modality, then VOI, inversion last; colour by its space or palette.

The same rules as the viewer's (`web/viewer/grey.ts`, `colour.ts`), so that a picture made here and there is the same:
a VOI table before the windows, of the windows the first, without either from the darkest to the brightest value.
Overlays and presentation states are not drawn.

Source: PS3.3 §C.7.6.3.1.2 to §C.7.6.3.1.6, §C.7.6.16, §C.11.1, §C.11.2; field-faults F59, F60, F61.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from isthmus.dicom import tags
from isthmus.dicom.pixels import attributes
from isthmus.dicom.pixels.attributes import Values
from isthmus.dicom.pixels.faults import PixelFault
from isthmus.dicom.pixels.frames import Image

Array = npt.NDArray[Any]
Bytes8 = npt.NDArray[np.uint8]

MOST_TABLE_VALUES: Final = 65536
_LARGEST: Final = 65536  # what 0 means as a number of entries


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A lookup table; values below its first entry get that one, values above its last the last."""

    first: int
    bits: int
    entries: Array

    def look_up(self, values: Array) -> Array:
        index = np.clip(np.floor(values + 0.5).astype(np.int64) - self.first, 0, len(self.entries) - 1)
        return self.entries[index]


@dataclass(frozen=True, slots=True)
class Window:
    center: float
    width: float


@dataclass(frozen=True, slots=True, eq=False)
class GreyRules:
    """How the stored values of one frame become grey. `windows` are all that are offered; the first is taken."""

    slope: float = 1.0
    intercept: float = 0.0
    modality_table: Table | None = None
    voi_table: Table | None = None
    voi_function: str = "LINEAR"
    windows: tuple[Window, ...] = ()
    inverse: bool = False
    padding: tuple[int, int] | None = None


def grey_rules(values: Values, image: Image, frame: int) -> GreyRules:
    """Read the rules of a frame: each group is its own, else the shared one, else the data set's."""
    voi = values.group(attributes.FRAME_VOI_LUT_SEQUENCE, frame)
    scale = values.group(attributes.PIXEL_VALUE_TRANSFORMATION_SEQUENCE, frame)
    centers, widths = voi.numbers(attributes.WINDOW_CENTER), voi.numbers(attributes.WINDOW_WIDTH)
    pairs = zip(centers, widths, strict=False)
    intercept = scale.number(attributes.RESCALE_INTERCEPT, 0.0)
    return GreyRules(
        slope=scale.number(attributes.RESCALE_SLOPE, 1.0),
        intercept=intercept,
        modality_table=_sequence_table(values, attributes.MODALITY_LUT_SEQUENCE, signed=image.signed),
        voi_table=_sequence_table(voi, attributes.VOI_LUT_SEQUENCE, signed=image.signed or intercept < 0),
        voi_function=voi.text(attributes.VOI_LUT_FUNCTION) or "LINEAR",
        windows=tuple(Window(center, width) for center, width in pairs if width > 0),
        inverse=image.photometric == "MONOCHROME1" or values.text(attributes.PRESENTATION_LUT_SHAPE) == "INVERSE",
        padding=_padding(values, signed=image.signed),
    )


def stored_values(pixels: Array, image: Image) -> Array:
    """Cut off the bits beyond those stored (old overlays), and carry the sign on."""
    bits, stored = 8 * pixels.dtype.itemsize, image.bits_stored
    if pixels.dtype.kind == "f" or image.samples > 1 or not 0 < stored < min(bits, image.bits_allocated):
        return pixels
    left = bits - 1 - image.high_bit if stored - 1 <= image.high_bit < bits else bits - stored
    return np.right_shift(np.left_shift(pixels, left), bits - stored)


def to_grey(pixels: Array, rules: GreyRules) -> Bytes8:
    """Turn stored values into grey of eight bits."""
    if pixels.dtype.kind == "f":
        low, high = _extent(np.nan_to_num(pixels, posinf=0.0, neginf=0.0), None)
        return _shaded(np.nan_to_num(pixels, nan=low, posinf=high, neginf=low), pixels, rules)
    low, high = int(pixels.min()), int(pixels.max())
    if high - low >= MOST_TABLE_VALUES or pixels.size < high - low:
        return _shaded(pixels, pixels, rules)
    greys = _shaded(np.arange(low, high + 1, dtype=np.int64), pixels, rules)
    return np.asarray(greys[pixels.astype(np.int64) - low])


def _shaded(values: Array, frame: Array, rules: GreyRules) -> Bytes8:
    """Give the grey of each value; the frame says how wide the window opens when none was sent."""
    seen = _modality(values, rules)
    if rules.voi_table is not None:
        share = rules.voi_table.look_up(seen) / (2**rules.voi_table.bits - 1)
    else:
        share = windowed(seen, _opening(frame, rules), rules.voi_function)
    grey = np.floor(255 * np.clip(share, 0, 1) + 0.5).astype(np.uint8)
    return np.asarray(255 - grey if rules.inverse else grey, np.uint8)


def _modality(values: Array, rules: GreyRules) -> Array:
    if rules.modality_table is not None:
        return rules.modality_table.look_up(values)
    return values * rules.slope + rules.intercept


def windowed(values: Array, window: Window, function: str) -> Array:
    """Apply a window, to shares of full brightness. Source: PS3.3 §C.11.2.1.2, §C.11.2.1.3."""
    if function == "SIGMOID":
        power = np.clip(-4 * (values - window.center) / window.width, -700, 700)
        return np.asarray(1 / (1 + np.exp(power)))
    exact = function == "LINEAR_EXACT"
    middle = window.center if exact else window.center - 0.5
    span = window.width if exact else window.width - 1
    if span <= 0:
        return np.asarray(values > middle, dtype=np.float64)
    return np.clip((values - middle) / span + 0.5, 0, 1)


def _opening(frame: Array, rules: GreyRules) -> Window:
    """Give the first window, else one from the darkest to the brightest value, padding left out."""
    if rules.windows:
        return rules.windows[0]
    ends = _modality(np.array(_extent(frame, rules.padding)), rules)
    bottom, width = float(ends.min()), float(ends.max() - ends.min())
    return Window(bottom + width / 2 + 0.5, width + 1)


def _extent(frame: Array, padding: tuple[int, int] | None) -> tuple[float, float]:
    shown = frame[np.isfinite(frame)] if frame.dtype.kind == "f" else frame
    if padding is not None:
        shown = shown[(shown < padding[0]) | (shown > padding[1])]
    return (shown.min().item(), shown.max().item()) if shown.size else (0, 0)


def _padding(values: Values, *, signed: bool) -> tuple[int, int] | None:
    found = values.shorts(attributes.PADDING_VALUE, signed=signed)
    if not found:
        return None
    limit = values.short(attributes.PADDING_RANGE_LIMIT, found[0], signed=signed)
    return min(found[0], limit), max(found[0], limit)


def _sequence_table(values: Values, sequence: int, *, signed: bool) -> Table | None:
    item = values.item(sequence)
    return None if item is None else read_table(item, tags.LUT_DESCRIPTOR, tags.LUT_DATA, signed=signed)


def read_table(values: Values, descriptor: int, data: int, *, signed: bool) -> Table | None:
    """Read a table; 0 entries mean 65 536, and entries of eight bits may lie two in a word."""
    said = values.shorts(descriptor)
    raw = values.raw.get(data, b"")
    if len(said) < 3 or not raw:
        return None
    size, bits = said[0] or _LARGEST, said[2]
    first = values.shorts(descriptor, signed=signed)[1]
    if len(raw) < 2 * size:
        entries: Array = np.frombuffer(raw[:size], np.uint8)
        return Table(first, 8, entries) if len(entries) == size else None
    return Table(first, min(max(bits, 1), 16), np.array(values.shorts(data)[:size], np.uint16))


def to_rgb(pixels: Array, photometric: str, image: Image, values: Values) -> Bytes8:
    """Turn stored colour into red, green and blue of eight bits; raises PixelFault for a space not known here."""
    if photometric == "PALETTE COLOR":
        return _by_palette(pixels, image, values)
    if pixels.dtype.kind == "f" or image.samples < 3:
        raise PixelFault("colour")
    eight = (pixels[..., :3] >> max(0, image.bits_stored - 8)).astype(np.uint8)
    if photometric == "RGB":
        return eight
    if photometric == "YBR_FULL":
        return _from_ybr(eight)
    raise PixelFault("colour")


def _from_ybr(pixels: Bytes8) -> Bytes8:
    """Source: PS3.3 §C.7.6.3.1.2, YBR_FULL."""
    y, cb, cr = (pixels[..., index].astype(np.float64) for index in range(3))
    red = y + 1.402 * (cr - 128)
    green = y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128)
    blue = y + 1.772 * (cb - 128)
    return np.clip(np.floor(np.stack((red, green, blue), axis=-1) + 0.5), 0, 255).astype(np.uint8)


def _by_palette(pixels: Array, image: Image, values: Values) -> Bytes8:
    channels = []
    for descriptor, data in zip(attributes.PALETTE_DESCRIPTORS, attributes.PALETTE_DATA, strict=True):
        table = read_table(values, descriptor, data, signed=image.signed)
        if table is None:
            raise PixelFault("colour", "no palette, or a segmented one")
        channels.append((table.look_up(pixels) >> max(0, table.bits - 8)).astype(np.uint8))
    return np.stack(channels, axis=-1)
