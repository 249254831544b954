"""The cheap requirements on live traffic: a sample of what another country answers, judged out of the way of the bytes, and counted.

A watch refuses nothing and delays nothing: it looks when an answer has ended, in a thread of its own, and looks away when it cannot keep
up. What it finds is a figure and a line, with the number of the requirement and never a value.

Source: wire.md §5.4; TOL-10.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Final

from isthmus import telemetry
from isthmus.conformance.evidence import Exchange
from isthmus.conformance.requirement import Kind, Severity, examine
from isthmus.conformance.requirements import all as groups
from isthmus.wire.packs.pack import Pack

WAITING_MAX: Final = 64
assert groups.GROUPS
_GRAVER: Final = {
    Severity.ERROR: {Severity.ERROR},
    Severity.WARNING: {Severity.ERROR, Severity.WARNING},
    Severity.INFORMATION: set(Severity),
}


class Watch:
    """Looks at a share of the exchanges: `sample` of them, from 0 to 1; tells what is as grave as `severity`, or graver."""

    def __init__(self, sample: float, severity: str, *, dice: Callable[[], float] = random.random) -> None:
        self._sample, self._told, self._dice = sample, _GRAVER[Severity(severity)], dice
        self._room = BoundedSemaphore(WAITING_MAX)
        self._worker: ThreadPoolExecutor | None = None

    def see(self, country: str, transaction: str, pack: Pack, exchange: Callable[[], Exchange]) -> None:
        """An answer of this country has ended; `exchange` gives it, if it is looked at."""
        if self._dice() >= self._sample or not self._room.acquire(blocking=False):
            return
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="watch")
        self._worker.submit(self._look, country, transaction, pack, exchange)

    def close(self) -> None:
        """Wait for what is being looked at."""
        if self._worker is not None:
            self._worker.shutdown(wait=True)
            self._worker = None

    def _look(self, country: str, transaction: str, pack: Pack, exchange: Callable[[], Exchange]) -> None:
        try:
            found = examine(Kind.EXCHANGE, exchange(), pack, cheap=True)
            ids = sorted({(one.requirement, one.severity.value) for one in found if one.severity in self._told})
        except Exception as fault:  # a watch ends nothing; what it could not judge is said
            ids = [(type(fault).__name__, Severity.WARNING.value)]
        finally:
            self._room.release()
        telemetry.unfulfilled(country=country, transaction=transaction, requirements=ids)
