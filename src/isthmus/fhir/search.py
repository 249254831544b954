"""Search parameters: splitting and escaping of values, tokens, dates, references.

A comma separates alternatives, a bar separates system and code; `\\,` `\\|` `\\$` `\\\\` are the characters themselves.
Values are split first and unescaped afterwards.

Source: R4 search, escaping; field-faults F07.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from isthmus.errors import MalformedRequest, TooLarge, UnsupportedRequest
from isthmus.model.intervals import DateFilter, Interval

ALTERNATIVES_MAX = 100
_ESCAPED = re.compile(r"\\([,|$\\])")
_SPECIAL = re.compile(r"([,|$\\])")
Token = tuple[str | None, str]


def escape(value: str) -> str:
    return _SPECIAL.sub(r"\\\1", value)


def unescape(value: str) -> str:
    return _ESCAPED.sub(r"\1", value)


def split(value: str, separator: str) -> list[str]:
    """Split at separators that no backslash guards; the parts stay escaped."""
    parts, start, position = [], 0, 0
    while position < len(value):
        if value[position] == "\\":
            position += 2
            continue
        if value[position] == separator:
            parts.append(value[start:position])
            start = position + 1
        position += 1
    return [*parts, value[start:]]


def alternatives(value: str, name: str) -> list[str]:
    """The values of one occurrence, still escaped; an empty one is refused, and more than a hundred."""
    parts = split(value, ",")
    if len(parts) > ALTERNATIVES_MAX:
        raise TooLarge(f"more than {ALTERNATIVES_MAX} values of {name}", reason="too-costly", path=name)
    if not all(parts):
        raise MalformedRequest(f"an empty value of {name}", reason="value", path=name)
    return parts


def read_token(value: str) -> Token:
    """Read `code`, `|code` or `system|code`: None, empty or a system, and the code. Only the first bar separates."""
    first, *rest = split(value, "|")
    if not rest:
        return None, unescape(first)
    return unescape(first), unescape("|".join(rest))


def write_token(system: str | None, code: str) -> str:
    return escape(code) if system is None else f"{escape(system)}|{escape(code)}"


def plain_name(name: str, known: Iterable[str]) -> str:
    """Give the parameter's name back when it is known. Raises UnsupportedRequest, which names it (strict handling).

    No modifier is known: `family:exact` is another name.
    """
    if name not in known:
        shown = re.sub(r"[^A-Za-z0-9_.:\-]", "?", name)[:64]
        raise UnsupportedRequest(f"the parameter {shown} is not known here", reason="param", path=shown)
    return name


def write_date(wanted: DateFilter) -> str:
    """Write a date filter at the precision of its interval; a whole day goes without zone, as a calendar date.

    Source: field-faults F13, F15.
    """
    return wanted.prefix + _written(wanted.interval)


def _written(interval: Interval) -> str:
    start, end = interval.start, interval.end
    midnight = start == start.replace(hour=0, minute=0, second=0, microsecond=0)
    if midnight and (start.month, start.day) == (1, 1) and end == _plus_months(start, 12):
        return f"{start.year:04}"
    if midnight and start.day == 1 and end == _plus_months(start, 1):
        return f"{start.year:04}-{start.month:02}"
    if midnight and end == start + timedelta(days=1):
        return start.date().isoformat()
    precise = "minutes" if end - start == timedelta(minutes=1) else "auto"
    return start.isoformat(timespec=precise)


def _plus_months(start: datetime, months: int) -> datetime:
    month = start.month - 1 + months
    return start.replace(year=start.year + month // 12, month=month % 12 + 1)
