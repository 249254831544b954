"""Country AA's border in this process, with people, studies and reports behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isthmus.testing.border import PracticeBorder
from isthmus.testing.register import fill


@pytest.fixture
async def border(tmp_path: Path) -> AsyncIterator[PracticeBorder]:
    async with PracticeBorder(tmp_path / "practice") as made:
        fill(made.register, tmp_path)
        yield made
