"""A clock that is told, and a fresh state database, for every test of sign-in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from isthmus.storage.database import Database
from isthmus.storage.schema import signin as _tables  # noqa: F401
from isthmus.storage.schema.metadata import STATE


class Clock:
    """Says what it was told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 10, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "state.sqlite", STATE)
    database.create()
    yield database
    database.close()
