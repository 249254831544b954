"""Pictures for a quick look: a frame as it is seen, as JPEG or PNG, made in a child process; and small ones of a whole study.

Source: PS3.18 §10.4.1.1.3, §8.3.5; WAD-11.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

from isthmus.country_b.local.asked import Asked, Spooled
from isthmus.country_b.local.images import choose, opened
from isthmus.dicom.pixels.faults import REASONS
from isthmus.errors import ArrivalRefused, ImagesNotFound, IsthmusError, MalformedRequest, UnsupportedRequest
from isthmus.transport.answers import Answer

FORMS = ("image/jpeg", "image/png")
THUMBNAIL_EDGE = 256
PICTURE_S = 30.0
EDGE_MAX = 8192
FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}
Options = dict[str, object]


async def get_rendered(asked: Asked) -> Answer:
    """An instance, or one frame of it, as a picture. Raises UnsupportedRequest when there is none to be made."""
    return await _picture(asked, read_options(asked.request.query))


async def get_thumbnail(asked: Asked) -> Answer:
    """A small picture: of the frame or instance named, else of one in the middle of the first series named."""
    options: Options = {"edge": THUMBNAIL_EDGE} | read_options(asked.request.query)
    if "instance" not in asked.parts:
        wanted = (await choose(asked)).wanted
        first = [one for one in wanted if one.series_instance_uid == wanted[0].series_instance_uid]
        middle = first[len(first) // 2]
        places = {"series": middle.series_instance_uid, "instance": middle.sop_instance_uid}
        asked = replace(asked, parts={**asked.parts, **places})
    return await _picture(asked, options)


async def _picture(asked: Asked, options: Options) -> Answer:
    media_type = asked.accepts(*FORMS)
    number = asked.parts.get("frames", "1")
    if not re.fullmatch(r"[1-9][0-9]{0,8}", number):
        raise MalformedRequest("one frame at a time, from 1", reason="value", path="frames")
    with closing(await opened(asked)) as held:
        body = await in_child(
            asked, "picture", Spooled(held), {**options, "frame": int(number), "media_type": media_type}
        )
    return Answer(200, (("Content-Type", media_type),), (body,))


def read_options(query: tuple[tuple[str, str], ...]) -> Options:
    """Read `window`, `viewport`, `quality`, `charset`; `accept` is read with the header it stands for (`Asked.accept`).

    Raises MalformedRequest, and UnsupportedRequest for what is not done here.
    """
    options: Options = {}
    for name, value in query:
        if [other for other, _ in query].count(name) > 1:
            raise MalformedRequest(f"{name[:64]} is given twice", reason="value", path=name[:64])
        if name == "window":
            options |= _window(value)
        elif name == "viewport":
            options |= _viewport(value)
        elif name == "quality":
            options["quality"] = _whole(name, value, 100)
        elif name == "charset":
            _check_charset(value)
        elif name != "accept":
            raise UnsupportedRequest(
                "pictures know window, viewport, quality, accept and charset", reason="param", path=name[:64]
            )
    return options


def _check_charset(value: str) -> None:
    """No text is drawn into a picture, so any list with the one character set that is written here will do.

    Source: PS3.18 §8.3.3.2, §8.8.
    """
    if "utf-8" not in (one.partition(";")[0].strip().lower() for one in value.split(",")):
        raise MalformedRequest("the character set here is utf-8", reason="value", path="charset")


def _window(value: str) -> Options:
    """Centre, width and function, all three. Source: PS3.18 §8.3.5.1.4."""
    parts = value.split(",")
    try:
        center, width, function = float(parts[0]), float(parts[1]), FUNCTIONS[parts[2].lower()]
    except (ValueError, IndexError, KeyError):
        raise MalformedRequest("window is centre, width, function", reason="value", path="window") from None
    if len(parts) > 3 or not abs(center) < 1e9 or not 0 < width < 1e9:
        raise MalformedRequest("window is centre, width, function", reason="value", path="window")
    return {"center": center, "width": width, "function": function}


def _viewport(value: str) -> Options:
    """Columns and rows at most; a part of the image is not cut out. Source: PS3.18 §8.3.5.1.3."""
    parts = value.split(",")
    if any(parts[2:]):
        raise UnsupportedRequest("a part of an image is not cut out here", reason="param", path="viewport")
    if len(parts) < 2:
        raise MalformedRequest("viewport is columns, rows", reason="value", path="viewport")
    return {"box": [_whole("viewport", part, EDGE_MAX) for part in parts[:2]]}


def _whole(name: str, text: str, most: int) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 6 or not 0 < int(text) <= most:
        raise MalformedRequest(f"{name} goes from 1 to {most}", reason="value", path=name)
    return int(text)


async def in_child(asked: Asked, task: str, source: Spooled, options: Mapping[str, object]) -> bytes:
    """What a child process makes of an instance. Raises what the fault means to whoever asked."""
    try:
        return await asked.local.sandbox.run(task, source, options, deadline_s=PICTURE_S)
    except ArrivalRefused as error:
        raise fault_of(str(error.facts.get("fault", ""))) from error


def fault_of(reason: str) -> IsthmusError:
    """What a fault of pixels means here: a frame that is not there, a form that cannot be given, or an object that is put aside."""
    if reason == "no-frame":
        return ImagesNotFound("the image has no such frame")
    if reason in REASONS:
        return UnsupportedRequest(f"{REASONS[reason]} The whole instance can be had.", reason="media", path="Accept")
    return ArrivalRefused("an instance could not be read")
