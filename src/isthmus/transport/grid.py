"""A grid of time on which answers leave that say "nothing": how long the search took then tells nothing of what was held back.

A floor alone would leak in the tail.

Source: trust.md F14.
"""

from __future__ import annotations

import math

import anyio

SEARCHED_MS = 150  # a patient search, an empty list
ABSENT_MS = 50  # a 404
STEP_MS = 50


async def on_the_grid(began: float, first_ms: int) -> None:
    """Wait until `first_ms` after `began` (the loop's clock), or the next step after that."""
    passed_ms = (anyio.current_time() - began) * 1000
    leaves_ms = max(first_ms, math.ceil(passed_ms / STEP_MS) * STEP_MS)
    await anyio.sleep((leaves_ms - passed_ms) / 1000)
