"""Refusals in a flood are counted instead of written one by one: the first twenty of each subject, then one every ten seconds.

Source: trust.md T81.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 20
EVERY_S = 10.0
FORGOTTEN_S = 600.0
SUBJECTS_MAX = 10_000


@dataclass
class _Flood:
    written: int
    unwritten: int
    last: float
    seen: float


class Floods:
    """Counts by subject, in memory."""

    def __init__(self) -> None:
        self._floods: dict[str, _Flood] = {}

    def count(self, subject: str, now: float) -> int | None:
        """How many refusals the record to be written now stands for; None when none is to be written."""
        flood = self._floods.get(subject)
        if flood is None or now - flood.seen > FORGOTTEN_S:
            if len(self._floods) >= SUBJECTS_MAX:
                self._floods = {name: f for name, f in self._floods.items() if now - f.seen <= EVERY_S}
            flood = self._floods[subject] = _Flood(0, 0, now, now)
        flood.seen = now
        flood.unwritten += 1
        if flood.written >= FIRST and now - flood.last < EVERY_S:
            return None
        stands_for, flood.unwritten = flood.unwritten, 0
        flood.written += 1
        flood.last = now
        return stands_for
