"""The requirements on live traffic: a share of what is said at a border, judged out of the way of the bytes, and counted.

A watch refuses nothing, delays nothing and fails nothing: it looks when an answer has ended, in a thread of its own, and looks away
when it cannot keep up. What it finds is a figure and a line, with the number of the requirement and never a value.

Source: wire.md §5.4; architecture.md §5.6; TOL-10.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock
from typing import Final

from isthmus import telemetry
from isthmus.config import Conformance
from isthmus.conformance.evidence import Exchange
from isthmus.conformance.requirement import Kind, Severity, examine
from isthmus.conformance.requirements import all as groups
from isthmus.wire.packs.pack import Pack

WAITING_MAX: Final = 64
WAITING_BYTES_MAX: Final = 16 << 20
WHOLE_BYTES_MAX: Final = 1 << 20
"""An answer that is larger is held against the cheap requirements alone: the others' cost grows with it."""
assert groups.GROUPS
_GRAVER: Final = {
    Severity.ERROR: {Severity.ERROR},
    Severity.WARNING: {Severity.ERROR, Severity.WARNING},
    Severity.INFORMATION: set(Severity),
}


class Depth(StrEnum):
    """Against what an answer is held: the requirements whose cost does not grow with it, or every one."""

    CHEAP = "cheap"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer that has ended: whose, to what, how much is held of it. Pack and exchange are asked for when it is looked at."""

    country: str
    transaction: str
    size_bytes: int
    pack: Callable[[], Pack]
    exchange: Callable[[], Exchange]
    apart: frozenset[str] = frozenset()  # requirements that are not this one's to fulfil


class Watch:
    """Looks at the shares of answers that the settings name, and tells what is as grave as `severity`, or graver."""

    def __init__(self, settings: Conformance, *, dice: Callable[[], float] = random.random) -> None:
        self._settings, self._dice = settings, dice
        self._told = _GRAVER[Severity(settings.severity)]
        self._lock, self._waiting, self._waiting_bytes = Lock(), 0, 0
        self._worker: ThreadPoolExecutor | None = None

    def chosen(self) -> Depth | None:
        """Whether the next answer is looked at, and how closely; None when it goes by unseen."""
        fell = self._dice()
        if fell < self._settings.whole:
            return Depth.WHOLE
        return Depth.CHEAP if fell < self._settings.sample else None

    def see(self, said: Said, depth: Depth | None) -> None:
        """An answer has ended. Whatever goes wrong in here, nothing is raised."""
        if depth is None or not self._takes(said.size_bytes):
            return
        try:
            if self._worker is None:
                self._worker = ThreadPoolExecutor(1, thread_name_prefix="watch")
            self._worker.submit(self._look, said, depth)
        except Exception as fault:  # a node that ends, or has no thread left
            self._release(said.size_bytes)
            self._tell(said, [_unjudged(fault)])

    def close(self) -> None:
        """Wait for what is being looked at."""
        if self._worker is not None:
            self._worker.shutdown(wait=True)
            self._worker = None

    def _takes(self, size_bytes: int) -> bool:
        """Make room for an answer that waits; False when there is none."""
        with self._lock:
            if self._waiting >= WAITING_MAX or self._waiting_bytes + size_bytes > WAITING_BYTES_MAX:
                return False
            self._waiting += 1
            self._waiting_bytes += size_bytes
            return True

    def _release(self, size_bytes: int) -> None:
        with self._lock:
            self._waiting -= 1
            self._waiting_bytes -= size_bytes

    def _look(self, said: Said, depth: Depth) -> None:
        cheap = depth is Depth.CHEAP or said.size_bytes > WHOLE_BYTES_MAX
        try:
            found = examine(Kind.EXCHANGE, said.exchange(), said.pack(), cheap=cheap)
            told = [one for one in found if one.severity in self._told and one.requirement not in said.apart]
            ids = sorted({(one.requirement, one.severity.value) for one in told})
        except Exception as fault:  # a watch ends nothing; what it could not judge is said
            ids = [_unjudged(fault)]
        finally:
            self._release(said.size_bytes)
        self._tell(said, ids)

    def _tell(self, said: Said, ids: list[tuple[str, str]]) -> None:
        telemetry.unfulfilled(country=said.country, transaction=said.transaction, requirements=ids)


def _unjudged(fault: Exception) -> tuple[str, str]:
    return type(fault).__name__, Severity.WARNING.value
