"""What is on its way from a PACS to one asker: a series in one association, taken instance by instance in the asker's order.

The PACS sends in an order of its own and as fast as it can; the asker takes in ours, as fast as the border lets it. Between them lies a
file, with a bound: over it the PACS waits, unless the very instance that is asked for has not come yet. What arrived is counted against
what was listed, whatever the PACS says at the end.

Source: field-faults F47; architecture.md §6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import Condition, Lock
from time import monotonic
from typing import Final, Protocol

from isthmus.errors import IsthmusError, NationalInfrastructureUnavailable
from isthmus.transport.dimse.arrivals import NOT_ASKED_FOR, SUCCESS, Arrival, Left, Receiver
from isthmus.transport.dimse.outbound import Outcome

WAITING_BYTES: Final = 64 << 20  # what may wait for being taken
WAITING_MAX_BYTES: Final = 2 << 30  # the same, while what is asked for has not come
ABANDONED_S: Final = 90.0  # nobody takes: longer than the border waits for one piece
BEGUN_S: Final = 60.0  # how long a retrieval may wait for an association
SETTLE_S: Final = 2.0  # for what is sent beside the association that says it is done


class Retrieval:
    """One retrieval. The association's thread calls `begun`, `stored` and `broken`, the asker's `take` and `leave`."""

    def __init__(self, known: Iterable[str], awaited: Iterable[str]) -> None:
        self.known, self.awaited = frozenset(known), set(awaited)
        self.outcomes: Sequence[Outcome] = ()
        self.error: IsthmusError | None = None
        self._there: dict[str, Arrival] = {}
        self._news = Condition()
        self._taken: Arrival | None = None
        self._touched_at = monotonic()
        self._begun = self._over = self._left = False
        self._wanted: str | None = None

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self._over or self._left

    def has(self, sop_instance_uid: str) -> bool:
        """Whether an instance is there, or may still come."""
        with self._news:
            return sop_instance_uid in self._there or (sop_instance_uid in self.awaited and not self.over)

    def run(self, work: Callable[[Retrieval], Sequence[Outcome]]) -> None:
        """Do the work, in a thread for it; how it ends is kept."""
        with self._news:
            self._begun = True
            self._touched_at = monotonic()
        try:
            if not self._left:
                self.outcomes = work(self)
        except IsthmusError as error:
            self.error = error
        except Exception as error:
            self.error = NationalInfrastructureUnavailable(f"a retrieval failed: {type(error).__name__}")
        finally:
            with self._news:
                self._over = True
                self._news.notify_all()

    def settle(self) -> None:
        with self._news:
            self._news.wait_for(lambda: not self.awaited or self._left, SETTLE_S)

    def begun(self, arrival: Arrival) -> None:
        with self._news:
            if self._left:
                raise PermissionError
            if arrival.sop_instance_uid in self.awaited:
                self.awaited.discard(arrival.sop_instance_uid)
                self._there[arrival.sop_instance_uid] = arrival
                self._news.notify_all()

    def stored(self, arrival: Arrival) -> tuple[int, str]:
        with self._news:
            if self._there.get(arrival.sop_instance_uid) is not arrival and self._taken is not arrival:
                arrival.release()  # nobody needs it (any more)
            while not self._left and not self._room():
                self._news.wait(1.0)
                if monotonic() - self._touched() > ABANDONED_S:
                    self._leave()
            if self._left:
                raise Left
        return SUCCESS, ""

    def broken(self, arrival: Arrival) -> None:
        with self._news:
            if self._there.get(arrival.sop_instance_uid) is not arrival and self._taken is not arrival:
                arrival.release()
            self._news.notify_all()

    def take(self, sop_instance_uid: str) -> Arrival | None:
        """Wait for an instance to begin; None when it will not come. Raises NationalInfrastructureUnavailable when none is free."""
        with self._news:
            self._wanted = sop_instance_uid
            self._touched_at = monotonic()
            self._news.notify_all()
            if not self._news.wait_for(lambda: self._begun or self.over, BEGUN_S):
                self._leave()
                raise NationalInfrastructureUnavailable("every association with the PACS is in use")
            self._news.wait_for(lambda: sop_instance_uid in self._there or self.over)
            self._wanted = None
            self._taken = self._there.pop(sop_instance_uid, None)
            self._touched_at = monotonic()
            self._news.notify_all()
            return self._taken

    def leave(self) -> None:
        """Nobody takes any more: the PACS is hung up on at its next instance."""
        with self._news:
            self._leave()

    def _leave(self) -> None:
        self._left = True
        for arrival in self._there.values():
            arrival.release()
        self._there.clear()
        self._news.notify_all()

    def _room(self) -> bool:
        waiting = sum(arrival.size_bytes for arrival in self._there.values())
        if waiting >= WAITING_MAX_BYTES:
            self._leave()
        return waiting < WAITING_BYTES or self._wanted in self.awaited

    def _touched(self) -> float:
        return max(self._touched_at, self._taken.touched_at if self._taken else 0.0)


class Expecting(Receiver, Protocol):
    """A receiver that has asked for instances by their UIDs."""

    known: frozenset[str]
    awaited: set[str]

    def settle(self) -> None:
        """Wait a little for what comes over other associations than the one that has just said it is done."""


class Moved:
    """What comes by C-MOVE, given to the retrieval that asked for it; what nobody asked for is refused."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: list[Expecting] = []
        self._whose: dict[int, Expecting] = {}

    def add(self, retrieval: Expecting) -> None:
        with self._lock:
            self._running.append(retrieval)

    def remove(self, retrieval: Expecting) -> None:
        with self._lock:
            self._running.remove(retrieval)

    def begun(self, arrival: Arrival) -> None:
        uid = arrival.sop_instance_uid
        with self._lock:
            asked = [one for one in self._running if uid in one.known]
            whose = next((one for one in asked if uid in one.awaited), asked[0] if asked else None)
            if whose is None:
                raise PermissionError
            self._whose[id(arrival)] = whose
        whose.begun(arrival)

    def stored(self, arrival: Arrival) -> tuple[int, str]:
        whose = self._whose.pop(id(arrival), None)
        return whose.stored(arrival) if whose is not None else (NOT_ASKED_FOR, "")

    def broken(self, arrival: Arrival) -> None:
        if (whose := self._whose.pop(id(arrival), None)) is not None:
            whose.broken(arrival)


class Discarded:
    """A receiver that needs nothing: to have a PACS fetch from its slow archive is all that is wanted."""

    def begun(self, arrival: Arrival) -> None:
        pass

    def stored(self, arrival: Arrival) -> tuple[int, str]:
        arrival.release()
        return SUCCESS, ""

    def broken(self, arrival: Arrival) -> None:
        arrival.release()
