"""Dates at their precision, as half-open intervals: what `ge2024`, `le2024-01-15` and `2024-01-15T10:00Z` mean.

Every value is an interval at its precision and both sides are compared as intervals. A value without zone is read in the
national zone of the answering country, given as an argument, never the machine's.

Source: R4 search, date; field-faults F13–F15.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from isthmus.errors import MalformedRequest

_FORM = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)?)?)?)?")
PREFIXES = ("eq", "ge", "gt", "le", "lt")


@dataclass(frozen=True, slots=True)
class Interval:
    """From `start` (included) to `end` (excluded), aware."""

    start: datetime
    end: datetime


def read_interval(text: str, zone: tzinfo, path: str = "date") -> Interval:
    """Read a FHIR date or dateTime as the interval it covers. Raises MalformedRequest (reason value)."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise MalformedRequest("not a date", reason="value", path=path)
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        zoned = zone if offset is None else datetime.fromisoformat(f"2000-01-01T00:00:00{offset}").tzinfo
        start = datetime(
            int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]), tzinfo=zoned,
        )  # fmt: skip
        end = _end(start, month, day, hour, second, fraction)
    except (ValueError, OverflowError):
        raise MalformedRequest("a date that the calendar does not have", reason="value", path=path) from None
    return Interval(start, end)


def _end(start: datetime, month: object, day: object, hour: object, second: object, fraction: object) -> datetime:
    if month is None:
        return start.replace(year=start.year + 1)
    if day is None:
        return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    if hour is None:
        return start + timedelta(days=1)
    if second is None:
        return start + timedelta(minutes=1)
    return start + (timedelta(microseconds=1) if fraction is not None else timedelta(seconds=1))


@dataclass(frozen=True, slots=True)
class DateFilter:
    """One search value: a prefix and the interval it names."""

    prefix: str
    interval: Interval

    @classmethod
    def read(cls, text: str, zone: tzinfo, path: str = "date") -> DateFilter:
        prefix = text[:2] if text[:2].isalpha() else "eq"
        if prefix not in PREFIXES:
            raise MalformedRequest(f"the prefix is not one of {', '.join(PREFIXES)}", reason="value", path=path)
        return cls(prefix, read_interval(text[2:] if text[:2].isalpha() else text, zone, path))

    def holds(self, start: datetime, end: datetime) -> bool:
        """True when the value from `start` to `end` (half-open) passes. Periods overlap.

        `eq`: the value lies within, or overlaps for a period; `ge`/`gt`: some of it is at or after / after; `le`/`lt` alike.
        """
        mine = self.interval
        return {
            "eq": start < mine.end and end > mine.start,
            "ge": end > mine.start,
            "gt": end > mine.end,
            "le": start < mine.end,
            "lt": start < mine.start,
        }[self.prefix]
