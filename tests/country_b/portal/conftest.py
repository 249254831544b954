"""A fresh portal for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.country_b.portal.fakes import FakePortal, portal_in


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[FakePortal]:
    made = portal_in(tmp_path)
    yield made
    made.desk.sandbox.close()
