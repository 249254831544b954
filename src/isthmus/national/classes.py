"""What a PACS does not say of its instances, of which SOP class they are: learnt by receiving a series once.

Each instance is announced with its class; that is kept beside what the PACS told, and the bytes are let go as they come, one instance at
a time. Series are learnt one after the other, in a thread of their own, and go on being learnt when who asked has gone: meanwhile the
question fails, for a shorter list would fool.

Source: PS3.7 §9.1.1.1; PS3.4 §C.4.3, Table C.6-4; field-faults F47.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from threading import Condition
from time import monotonic
from typing import Final

from isthmus.archive import index
from isthmus.dicom.uids import is_uid
from isthmus.errors import IsthmusError, NationalInfrastructureUnavailable
from isthmus.national import told as words
from isthmus.national.retrievals import SETTLE_S
from isthmus.national.told import DicomJson, Held, HeldSeries
from isthmus.storage.database import Database
from isthmus.transport.dimse.arrivals import SUCCESS, Arrival, Left

LOG = logging.getLogger("isthmus.national")
WAIT_S: Final = 4.0  # for what is being learnt: a question at the border is answered within ten
LEARNING_S: Final = 1800.0  # one series
CLOSING_S: Final = 2.0
AGAIN_S: Final = 600.0  # a series that could not be learnt whole is received again after this long

Rows = tuple[HeldSeries, Sequence[DicomJson]]


class Learning:
    """A receiver that keeps of what comes the class of each instance that it awaits."""

    def __init__(self, awaited: Iterable[str]) -> None:
        self.known = frozenset(awaited)
        self.awaited = set(self.known)
        self.classes: dict[str, str] = {}
        self._until = monotonic() + LEARNING_S
        self._news = Condition()
        self._left = False

    @property
    def left(self) -> bool:
        """Whether nothing more is wanted."""
        return self._left or monotonic() > self._until

    def begun(self, arrival: Arrival) -> None:
        if self.left:
            raise PermissionError

    def stored(self, arrival: Arrival) -> tuple[int, str]:
        arrival.release()
        with self._news:
            if arrival.sop_instance_uid in self.awaited and is_uid(arrival.sop_class_uid):
                self.awaited.discard(arrival.sop_instance_uid)
                self.classes[arrival.sop_instance_uid] = arrival.sop_class_uid
                self._news.notify_all()
        if self.left:
            raise Left
        return SUCCESS, ""

    def broken(self, arrival: Arrival) -> None:
        arrival.release()

    def settle(self) -> None:
        with self._news:
            self._news.wait_for(lambda: not self.awaited or self._left, SETTLE_S)

    def leave(self) -> None:
        """Nothing more is wanted: the PACS is hung up on at its next instance."""
        with self._news:
            self._left = True
            self._news.notify_all()


Receive = Callable[[Held, HeldSeries, Learning], None]


class Classes:
    """The SOP classes of what one PACS holds, where it does not tell them. `receive` retrieves a series."""

    def __init__(self, database: Database, source: str, receive: Receive) -> None:
        self._database, self._source, self._receive = database, source, receive
        self._thread = ThreadPoolExecutor(1, "dimse-learn")
        self._running: dict[tuple[str, str], tuple[Learning, Future[None]]] = {}
        self._failed: dict[tuple[str, str], tuple[frozenset[str], float]] = {}
        self.needed = False  # whether anything was not told so far

    async def completed(self, held: Held, rows: Sequence[Rows]) -> list[Rows]:
        """Rows of instances, each with its class; where one could not be learnt, without. What was told is not asked.

        Raises NationalInfrastructureUnavailable while there is more to learn. It says nothing of when to come back: no other failure of a
        source does, and this one shall not show that a patient has something.
        """
        if not any(_untold(some) for _, some in rows):
            return list(rows)
        self.needed = True
        known = await self._known(held)
        jobs = [job for series, some in rows if (job := self._job(held, series, _untold(some) - known.keys()))]
        if jobs:
            _, missing = await asyncio.wait([asyncio.wrap_future(job) for job in jobs], timeout=WAIT_S)
            if missing:
                raise NationalInfrastructureUnavailable(
                    "the PACS does not tell the SOP class of every instance; a series is being received once to learn it"
                )
            known = await self._known(held)
        return [(series, [_with(row, known) for row in some]) for series, some in rows]

    def close(self) -> None:
        """What was learnt so far is kept. Waits a little for that."""
        running = list(self._running.values())
        for learning, _ in running:
            learning.leave()
        self._thread.shutdown(wait=False, cancel_futures=True)
        wait((job for _, job in running), timeout=CLOSING_S)

    async def _known(self, held: Held) -> dict[str, str]:
        return await self._database.read(
            partial(index.learnt_classes, source=self._source, study_instance_uid=held.study_instance_uid)
        )

    def _job(self, held: Held, series: HeldSeries, untold: set[str]) -> Future[None] | None:
        """The learning of a series, which may be under way; None where there is nothing to learn, or was nothing a moment ago."""
        key = held.study_instance_uid, series.series_instance_uid
        if not untold:
            return None
        if key not in self._running:
            now = monotonic()
            self._failed = {one: last for one, last in self._failed.items() if now - last[1] < AGAIN_S}
            if untold <= self._failed.get(key, (frozenset(), 0.0))[0]:
                return None
            learning = Learning(untold)
            self._running[key] = learning, self._thread.submit(self._learn, held, series, learning)
        return self._running[key][1]

    def _learn(self, held: Held, series: HeldSeries, learning: Learning) -> None:
        key = held.study_instance_uid, series.series_instance_uid
        try:
            self._received(held, series, learning)
        finally:
            if learning.awaited:
                self._failed[key] = frozenset(learning.awaited), monotonic()
                lacking, all_of_it = len(learning.awaited), len(learning.known)
                LOG.warning("%s: of %d of %d instances the SOP class was not learnt", self._source, lacking, all_of_it)
            self._running.pop(key, None)

    def _received(self, held: Held, series: HeldSeries, learning: Learning) -> None:
        """Have a series received, and keep what was learnt of it, also where it breaks off."""
        LOG.info("%s does not tell SOP classes: a series is received once to learn them", self._source)
        try:
            self._receive(held, series, learning)
        except IsthmusError as error:
            LOG.warning("%s broke off what was to be learnt: %s", self._source, error)
        except Exception as error:  # whatever a library makes of what a PACS sends
            LOG.error("%s: what was to be learnt failed: %s", self._source, type(error).__name__)
        study, classes = held.study_instance_uid, learning.classes
        self._database.write_now(lambda c: index.learn_classes(c, self._source, study, classes))


def _untold(rows: Iterable[DicomJson]) -> set[str]:
    """The instances whose rows name no class."""
    named = ((words.uid(row, words.SOP_UID), words.uid(row, words.SOP_CLASS)) for row in rows)
    return {sop for sop, sop_class in named if sop is not None and sop_class is None}


def _with(row: DicomJson, known: dict[str, str]) -> DicomJson:
    sop_class = known.get(words.uid(row, words.SOP_UID) or "")
    if sop_class is None or words.uid(row, words.SOP_CLASS) is not None:
        return row
    return {**row, words.SOP_CLASS: {"vr": "UI", "Value": [sop_class]}}
