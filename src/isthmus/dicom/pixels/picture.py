"""Pictures: a frame as it is seen, as PNG or JPEG, whole or small. For a child process alone.

A picture is never enlarged. It is for a quick look: what is left out stands in `window.py`. Source: PS3.18 §8.7.4, §10.4.1.1.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import PIL.Image
import PIL.JpegImagePlugin
import PIL.PngImagePlugin

from isthmus.dicom.pixels import attributes
from isthmus.dicom.pixels.decode import decode_frame
from isthmus.dicom.pixels.faults import PixelFault
from isthmus.dicom.pixels.frames import image_of
from isthmus.dicom.pixels.window import Bytes8, GreyRules, Window, grey_rules, stored_values, to_grey, to_rgb
from isthmus.dicom.recode import to_explicit_le
from isthmus.dicom.syntaxes import RECODED
from isthmus.dicom.walker import BytesSource, Source

FORMS: Final = {"image/png": "PNG", "image/jpeg": "JPEG"}
MAX_EDGE: Final = 8192
QUALITY: Final = 90
FUNCTIONS: Final = (None, "LINEAR", "LINEAR_EXACT", "SIGMOID")


def picture_task(source: Source, options: Mapping[str, object]) -> Iterator[bytes]:
    """Options: `frame` (from 1), `media_type`, `quality` of a JPEG, `edge` (the longest side at most), or `box` (columns and
    rows at most); `center`, `width` and `function` of a window."""
    frame, edge, quality = (
        _whole(options, name, otherwise) for name, otherwise in (("frame", 1), ("edge", MAX_EDGE), ("quality", QUALITY))
    )
    media_type = options.get("media_type", "image/jpeg")
    center, width = options.get("center"), options.get("width")
    window = None
    if isinstance(center, int | float) and isinstance(width, int | float) and width > 0:
        window = Window(float(center), float(width))
    box, function = options.get("box"), options.get("function")
    if media_type not in FORMS or not 0 < edge <= MAX_EDGE or not 0 < quality <= 100 or function not in FUNCTIONS:
        raise PixelFault("option")
    pixels = render(source, frame, window, str(function or ""))
    if isinstance(box, list | tuple):
        rows, columns = pixels.shape[:2]
        edge = max(1, min(edge, int(max(rows, columns) * min(box[0] / columns, box[1] / rows, 1))))
    yield write_picture(pixels, str(media_type), edge, quality)


def _whole(options: Mapping[str, object], name: str, otherwise: int) -> int:
    value = options.get(name, otherwise)
    if not isinstance(value, int):
        raise PixelFault("option")
    return value


def render(source: Source, frame: int = 1, window: Window | None = None, function: str = "") -> Bytes8:
    """Give a frame as it is seen: rows × columns of grey, or of red, green and blue.

    A window that is given comes before those of the instance, and so does a function. Raises PixelFault, DicomFault.
    """
    source = _native_explicit(source)
    told = attributes.read(source, looks=True)
    image = image_of(told, source)
    decoded = decode_frame(source, image, frame)
    if image.samples > 1 or decoded.photometric == "PALETTE COLOR":
        return to_rgb(decoded.pixels, decoded.photometric, image, told.values)
    rules = grey_rules(told.values, image, frame)
    return to_grey(stored_values(decoded.pixels, image), _chosen(rules, window, function))


def _chosen(rules: GreyRules, window: Window | None, function: str) -> GreyRules:
    if window is None:
        return rules
    return GreyRules(
        rules.slope,
        rules.intercept,
        rules.modality_table,
        None,
        function or rules.voi_function,
        (window,),
        rules.inverse,
    )


def _native_explicit(source: Source) -> Source:
    """Give the form that crosses the border: what stored it otherwise is recoded, in memory and within bounds."""
    syntax = attributes.syntax_of(source)
    return BytesSource(b"".join(to_explicit_le(source))) if syntax.uid in RECODED else source


class _Written:
    """What Pillow writes, in memory."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self.parts.append(bytes(part))
        return len(part)


def write_picture(pixels: Bytes8, media_type: str, edge: int = MAX_EDGE, quality: int = QUALITY) -> bytes:
    """Write a picture, its longest side at most `edge` pixels."""
    picture = PIL.Image.fromarray(np.ascontiguousarray(pixels))
    longest = max(picture.size)
    if longest > edge:
        width, height = (max(1, round(side * edge / longest)) for side in picture.size)
        picture = picture.resize((width, height), PIL.Image.Resampling.LANCZOS, reducing_gap=2.0)
    written = _Written()
    options: dict[str, int] = {"quality": quality} if media_type == "image/jpeg" else {"compress_level": 3}
    picture.save(written, FORMS[media_type], **options)  # type: ignore[arg-type]  # writing is all that Pillow asks
    return b"".join(written.parts)
