"""Dates at their precision, in the zone of the country that answers."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from isthmus.errors import MalformedRequest
from isthmus.model.intervals import DateFilter, read_interval

ATHENS = ZoneInfo("Europe/Athens")
MIDNIGHT, LATE = "2024-01-15T00:00:00+02:00", "2024-01-15T23:59:59+02:00"


@pytest.mark.fault("F15")
@pytest.mark.parametrize("zone", [UTC, ATHENS, ZoneInfo("America/Los_Angeles")])
@pytest.mark.parametrize(
    ("asked", "value", "passes"),
    [
        ("ge2024-01-15T00:00:00+02:00", MIDNIGHT, True),
        ("le2024-01-15T23:59:59+02:00", LATE, True),
        ("lt2024-01-15T00:00:00+02:00", MIDNIGHT, False),
        ("gt2024-01-15T23:59:59+02:00", LATE, False),
    ],
)
def test_instants_compare_as_instants_in_every_zone(zone: ZoneInfo, asked: str, value: str, passes: bool) -> None:
    interval = read_interval(value, zone)

    assert DateFilter.read(asked, zone).holds(interval.start, interval.end) is passes


@pytest.mark.fault("F15")
@pytest.mark.parametrize(
    ("asked", "passes"),
    [
        ("2024-01-15", True),
        ("eq2024-01", True),
        ("2024", True),
        ("ge2024-01-15", True),
        ("le2024-01-15", True),
        ("gt2024-01-15", False),
        ("lt2024-01-15", False),
        ("ge2024-01-16", False),
        ("le2024-01-14", False),
        ("2024-01-16", False),
    ],
)
@pytest.mark.parametrize("value", [MIDNIGHT, LATE, "2024-01-15"])
def test_a_day_is_all_of_that_day_where_the_study_was_made(asked: str, passes: bool, value: str) -> None:
    interval = read_interval(value, ATHENS)

    assert DateFilter.read(asked, ATHENS).holds(interval.start, interval.end) is passes


@pytest.mark.parametrize(
    "text", ["2026-13-45", "yesterday", "20240115", "2024-02-30", "ne2024-01-01", "", "2024-1-1", "ge"]
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(MalformedRequest):
        DateFilter.read(text, UTC)


def test_the_month_after_december_is_january() -> None:
    assert read_interval("2024-12", UTC).end == datetime(2025, 1, 1, tzinfo=UTC)
