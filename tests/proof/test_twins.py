"""The long run of time: what was hidden against what was never there, a thousand pairs for each way to ask, as the border really answers.

Run it on a machine that does nothing else: it measures by the clock.

Source: trust.md F14, T33.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.hostile.test_twins import MEDIAN_MS, TIMED, difference_ms
from tests.hostile.worlds import HIDDEN, KINDS, SHOWN, hide, world

from isthmus.transport.grid import Grid

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(7200)]
PAIRS = 1000


@pytest.mark.threat("T33")
@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_hidden_takes_as_long_as_what_was_never_there(tmp_path: Path, kind: str, name: str) -> None:
    grid = Grid()
    async with (
        world(tmp_path / "hiding", kind, SHOWN, HIDDEN, grid=grid) as hiding,
        world(tmp_path / "other", kind, SHOWN, grid=grid) as other,
    ):
        await hide(hiding, "restrict-study", HIDDEN)
        median_ms = await difference_ms(hiding, other, name, PAIRS, time.perf_counter)

    print(f"{kind}, {name}: median {median_ms:+.2f} ms over {PAIRS} pairs")
    assert abs(median_ms) < MEDIAN_MS
