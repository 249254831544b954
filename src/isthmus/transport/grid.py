"""A grid of time on which answers leave that say "nothing": how long the search took then tells nothing of what was held back.

A floor alone would leak in the tail.

Source: trust.md F14.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import anyio

SEARCHED_MS = 150  # a patient search, an empty list
ABSENT_MS = 50  # a 404
STEP_MS = 50


@dataclass(frozen=True, slots=True)
class Grid:
    """How fine the grid is. What a border says is all one has to know of it: only a test, which waits for nobody, makes it finer."""

    searched_ms: int = SEARCHED_MS
    absent_ms: int = ABSENT_MS
    step_ms: int = STEP_MS

    async def searched(self, began: float) -> None:
        """Wait until an empty answer to what `began` then (the loop's clock) may leave."""
        await self._leave(began, self.searched_ms)

    async def absent(self, began: float) -> None:
        """Wait until a 404 may leave."""
        await self._leave(began, self.absent_ms)

    async def _leave(self, began: float, first_ms: int) -> None:
        passed_ms = (anyio.current_time() - began) * 1000
        leaves_ms = max(first_ms, math.ceil(passed_ms / self.step_ms) * self.step_ms)
        await anyio.sleep((leaves_ms - passed_ms) / 1000)
