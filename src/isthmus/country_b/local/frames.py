"""Frames: native pixels for whoever names no compression, or the frame as it is stored under its own media type.

`application/octet-stream` is native pixels, always; what is compressed says so.

Source: PS3.18 §10.4.1.1.6, §8.7.3; field-faults F34.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Mapping
from contextlib import closing

from isthmus.country_b.local.asked import Asked, Spooled
from isthmus.country_b.local.images import opened
from isthmus.country_b.local.rendered import fault_of, in_child
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.pixels.faults import PixelFault
from isthmus.dicom.pixels.frames import Image, read_frame, read_image
from isthmus.dicom.syntaxes import EXPLICIT_LE
from isthmus.dicom.windows import AT_THE_BORDER
from isthmus.errors import MalformedRequest, UnsupportedRequest
from isthmus.model.media import read_ranges
from isthmus.transport.answers import Answer

NATIVE = "application/octet-stream"
FRAMES_MAX = 64
MOST_BYTES = 256 << 20
_OF_4 = {
    "image/jpeg": ("50", "51", "53", "55", "57", "70"),
    "image/jls": ("80", "81"),
    "image/jp2": ("90", "91"),
    "image/jpx": ("92", "93"),
    "image/jphc": ("201", "202", "203"),
    "image/jxl": ("110", "111", "112"),
}
MEDIA_TYPES: Mapping[str, str] = {
    f"1.2.840.10008.1.2.4.{last}": media for media, lasts in _OF_4.items() for last in lasts
} | {"1.2.840.10008.1.2.5": "image/dicom-rle"}
"""The media type of a frame as it is stored. Source: PS3.18 §8.7.3.3."""


async def get_frames(asked: Asked) -> Answer:
    """The frames of an instance, in the order asked. Raises ImagesNotFound, MalformedRequest, UnsupportedRequest."""
    numbers = read_numbers(asked.parts["frames"])
    with closing(await opened(asked)) as held:
        source = Spooled(held)
        try:
            image = await asyncio.to_thread(read_image, source, AT_THE_BORDER)
        except (PixelFault, DicomFault) as fault:
            raise fault_of(fault.reason) from fault
        media, single = _choose(asked.accept, image)
        syntax = EXPLICIT_LE if media == NATIVE else image.syntax.uid
        if any(number > image.frames for number in numbers):
            raise fault_of("no-frame")
        if image.frame_bytes * len(numbers) > MOST_BYTES:
            raise UnsupportedRequest(
                "so many frames at once are too large; ask for fewer", reason="param", path="frames"
            )
        frames = [await _frame(asked, source, image, number, as_stored=media != NATIVE) for number in numbers]
    named = f"{media}; transfer-syntax={syntax}"
    if single and len(frames) == 1:
        return Answer(200, (("Content-Type", named),), (frames[0],))
    boundary, body = secrets.token_hex(16), list[bytes]()
    for frame in frames:
        body += [
            f"--{boundary}\r\nContent-Type: {named}\r\nContent-Length: {len(frame)}\r\n\r\n".encode("ascii"),
            frame,
            b"\r\n",
        ]
    body.append(f"--{boundary}--\r\n".encode("ascii"))
    return Answer(200, (("Content-Type", f'multipart/related; type="{media}"; boundary={boundary}'),), tuple(body))


def read_numbers(text: str) -> list[int]:
    """Frame numbers, from 1, parted by commas. Raises MalformedRequest."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*", text):
        raise MalformedRequest("frames are numbers from 1, parted by commas", reason="value", path="frames")
    numbers = [int(one) for one in text.split(",")]
    if len(numbers) > FRAMES_MAX:
        raise MalformedRequest(f"at most {FRAMES_MAX} frames at once", reason="value", path="frames")
    return numbers


def _choose(accept: str, image: Image) -> tuple[str, bool]:
    """The media type of the frames, and whether one comes without envelope. Raises UnsupportedRequest."""
    stored = MEDIA_TYPES.get(image.syntax.uid)
    for one in read_ranges(accept):
        multipart = one.media in ("multipart/related", "multipart/*", "*/*")
        media = one.parameters.get("type", "*/*").lower() if multipart else one.media
        syntax = one.parameters.get("transfer-syntax", "*")
        if media in (NATIVE, "application/*", "*/*") and syntax in ("*", EXPLICIT_LE):
            return NATIVE, not multipart
        if stored is not None and media in (stored, "image/*", "*/*") and syntax in ("*", image.syntax.uid):
            return stored, not multipart
    forms = NATIVE if stored is None else f"{NATIVE} or {stored}; transfer-syntax={image.syntax.uid}"
    raise UnsupportedRequest(f"frames of this instance are given as {forms}", reason="media", path="Accept")


async def _frame(asked: Asked, source: Spooled, image: Image, number: int, *, as_stored: bool) -> bytes:
    if image.native is not None or as_stored:
        try:
            return await asyncio.to_thread(read_frame, source, image, number)
        except PixelFault as fault:
            raise fault_of(fault.reason) from fault
    return await in_child(asked, "frame", source, {"frame": number})
