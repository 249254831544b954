"""Media ranges: what an asker accepts, in any spelling that HTTP allows, and which of the offered forms he wants most.

Source: RFC 9110 §5.6.1, §12.4.2, §12.5.1; PS3.18 §8.4.1.1, §8.7.5; field-faults F32.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from isthmus.errors import UnsupportedRequest

_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~\-]+"
_PARAMETER = re.compile(rf'\s*;\s*({_WORD})\s*=\s*("(?:[^"\\]|\\.)*"|[^;,"\s]+)')
_RANGE = re.compile(rf"\s*(\*/\*|{_WORD}/{_WORD})")
_END = re.compile(r"\s*(,|$)")
_NOTHING = re.compile(r"[\s,]*")  # elements of a list that hold nothing


@dataclass(frozen=True, slots=True)
class Range:
    """One element of a list of media ranges."""

    media: str
    parameters: dict[str, str]
    quality: float


def every_range(value: str, *, hint: str = "") -> list[Range]:
    """Read a header of media ranges in its own order, those that are not wanted (q=0) among them.

    Raises UnsupportedRequest, with the hint, when it cannot be read.
    """
    unreadable = UnsupportedRequest(f"the Accept header cannot be read{hint}", reason="media", path="Accept")
    ranges, position = [], _past(value, 0)
    while position < len(value):
        start = _RANGE.match(value, position)
        if start is None:
            raise unreadable
        position, parameters = start.end(), dict[str, str]()
        while (found := _PARAMETER.match(value, position)) is not None:
            parameters.setdefault(found[1].lower(), _unquoted(found[2]))
            position = found.end()
        ranges.append(Range(start[1].lower(), parameters, _quality(parameters.pop("q", "1"))))
        rest = _END.match(value, position)
        if rest is None:
            raise unreadable
        position = _past(value, rest.end())
    return ranges


def read_ranges(value: str, *, hint: str = "") -> list[Range]:
    """Read a header of media ranges: those that are wanted, best first. Raises UnsupportedRequest."""
    return sorted((r for r in every_range(value, hint=hint) if r.quality > 0), key=lambda r: -r.quality)


def quality(media_type: str, weights: Iterable[tuple[str, float]]) -> float:
    """How much a media type is wanted: what the most particular range says that covers it; 0 when none does."""
    known = list(weights)
    for name in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        said = [weight for media, weight in known if media == name]
        if said:
            return max(said)
    return 0.0


def best(value: str, offered: Iterable[str]) -> str | None:
    """The offered media type that is wanted most, of equal wishes the first that is asked for; None when none is wanted.

    Raises UnsupportedRequest when the header cannot be read.
    """
    ranges, offered = every_range(value), tuple(offered)
    weights = [(one.media, one.quality) for one in ranges]
    for one in sorted((r for r in ranges if r.quality > 0), key=lambda r: -r.quality):
        for name in offered:
            if quality(name, [(one.media, 1.0)]) and quality(name, weights) > 0:
                return name
    return None


def _past(value: str, position: int) -> int:
    found = _NOTHING.match(value, position)
    return found.end() if found is not None else position


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _quality(text: str) -> float:
    """A weight; what is written otherwise counts as if nothing was said."""
    return min(float(text), 1.0) if re.fullmatch(r"[01](\.[0-9]{0,3})?", text) else 1.0
