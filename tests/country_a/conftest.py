"""Country AA's border in this process, with people, studies and reports behind it; whatever it said fulfils every requirement."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isthmus.conformance.overheard import OF_THE_ASKER
from isthmus.conformance.requirement import Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.testing.border import PracticeBorder
from isthmus.testing.register import fill
from isthmus.wire.packs.pack import load_pack

assert groups.GROUPS


@pytest.fixture
async def border(tmp_path: Path) -> AsyncIterator[PracticeBorder]:
    async with PracticeBorder(tmp_path / "practice") as made:
        fill(made.register, tmp_path)
        yield made
    found = [finding for one in made.conversation for finding in examine(Kind.EXCHANGE, one, load_pack())]
    assert [finding for finding in found if finding.requirement not in OF_THE_ASKER] == []
