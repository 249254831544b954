"""What one question to a source behind Country A may cost, over all its requests: time under way, and bytes.

Silence alone is no bound: a source that drips bytes, or always has another page, is never silent.

Source: field-faults F42; trust.md T83.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

from isthmus.errors import NationalInfrastructureUnavailable

QUESTION_BYTES: Final = 128 << 20


@dataclass(slots=True)
class Allowance:
    """What is left of it. Waiting for a turn costs nothing."""

    name: str  # of the source
    left_s: float
    left_bytes: int = QUESTION_BYTES

    @property
    def spent(self) -> bool:
        return self.left_s <= 0 or self.left_bytes <= 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """A request is under way for as long as the block lasts. Raises NationalInfrastructureUnavailable when time is up."""
        began = monotonic()
        try:
            async with asyncio.timeout(self.left_s):
                yield
        except TimeoutError as error:
            raise NationalInfrastructureUnavailable(
                f"{self.name} takes too long for one question; search_s in the settings says how long it may"
            ) from error
        finally:
            self.left_s -= monotonic() - began

    def took(self, size_bytes: int) -> None:
        """So many bytes came."""
        self.left_bytes -= size_bytes
