"""A fresh portal for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.country_b.portal.fakes import FakePortal, portal_in


@pytest.fixture
def portal(tmp_path: Path) -> FakePortal:
    return portal_in(tmp_path)
