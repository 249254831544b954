"""What a visit asked for lately, in this process: so that a filter, the original beside a report, or a second look asks nobody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

LIST_AGE, DOCUMENT_AGE = timedelta(minutes=1), timedelta(minutes=10)
FRESH_AGE = timedelta(seconds=10)  # of the list, before something that is here already is shown once more
LIMIT_BYTES = 64 << 20


class Recent:
    """Values by visit and name, bounded in time and size; they go with the visit."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._held: dict[tuple[str, str], tuple[datetime, int, Any]] = {}

    def get(self, visit: str, name: str, age: timedelta) -> Any:
        """The value, or None when there is none that is fresh enough."""
        at, _, value = self._held.get((visit, name), (None, 0, None))
        return value if at is not None and self._clock() - at < age else None

    def put(self, visit: str, name: str, value: Any, size_bytes: int = 10_000) -> None:
        now = self._clock()
        self._held = {key: held for key, held in self._held.items() if now - held[0] < DOCUMENT_AGE}
        self._held.pop((visit, name), None)
        self._held[visit, name] = (now, size_bytes, value)
        while len(self._held) > 1 and sum(size for _, size, _ in self._held.values()) > LIMIT_BYTES:
            del self._held[next(iter(self._held))]

    def drop(self, visit: str, *names: str) -> None:
        """What was taken back meanwhile goes."""
        for name in names:
            self._held.pop((visit, name), None)

    def forget(self, *visits: str) -> None:
        self._held = {key: held for key, held in self._held.items() if key[0] not in visits}
