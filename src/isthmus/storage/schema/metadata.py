"""The databases, and the one way a moment is kept.

State and trail are one file, the archive's index another, imported terminology a third: a long import must not lock the trail out.

Source: stack.md §3.2.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, MetaData
from sqlalchemy.types import TypeDecorator

STATE = MetaData()
INDEX = MetaData()
TERMS = MetaData()


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: aware in, aware and UTC out. SQLite itself would give naive ones back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without time zone is not kept")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
