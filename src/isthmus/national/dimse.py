"""A PACS by DIMSE: C-FIND for what it holds, C-GET or C-MOVE for images.

The first instance that an asker wants comes alone, since its first byte is waited for; with the second of a series the rest of that series
is retrieved in one association. Values that a PACS would read as patterns are never sent.

Source: PS3.4 Annex C; interfaces.md §7; trust.md T52, T100; field-faults F38, F47.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary, WeakSet, finalize

from isthmus.archive.studies import Told
from isthmus.config import Settings
from isthmus.errors import (
    ContentMismatch,
    ImagesNotFound,
    IsthmusError,
    NationalInfrastructureUnavailable,
    SettingsProblem,
)
from isthmus.model.identifiers import PatientIdentifier
from isthmus.national import told as words
from isthmus.national.classes import Classes, Learning, Rows
from isthmus.national.retrievals import Discarded, Expecting, Moved, Retrieval
from isthmus.national.told import Held, HeldSeries
from isthmus.sections import AE_TITLE
from isthmus.sources import Source
from isthmus.storage.database import Database
from isthmus.transport.dimse.arrivals import Arrival
from isthmus.transport.dimse.contexts import guessed
from isthmus.transport.dimse.inbound import ASSOCIATIONS_MAX, Listener, Sender
from isthmus.transport.dimse.outbound import Asked, Outcome, Peer, Questions, get, get_as, move
from isthmus.transport.tls import answering_context, asking_context

LOG = logging.getLogger("isthmus.national")
READERS: Final = 64  # askers who wait for bytes at a time
RECALLED_S: Final = 600.0  # a near-line study is asked for again after this long
COME_BACK_S: Final = 60.0
_PATTERN: Final = re.compile(r"[*?\\\x00-\x1f\x7f]")

T = TypeVar("T")


@dataclass(slots=True)
class _Asker:
    """One answer on its way: what it has of a series already, and the retrieval that brings the rest."""

    series: str = ""
    given: set[str] = field(default_factory=set)
    retrieval: Retrieval | None = None

    def leave(self) -> None:
        if self.retrieval is not None:
            self.retrieval.leave()


class DimsePacs:
    """A `Pacs` that speaks DIMSE. Nothing here waits on the loop: questions, images and readers have threads of their own."""

    def __init__(self, settings: Settings, index: Database, source: Source) -> None:
        _check(source)
        self._source, self._folder = source, settings.folder / "arriving"
        self._peer = Peer(
            source.host, source.port, source.peer_ae_title, source.ae_title, source.timeout_s,
            partial(asking_context, source, settings.path) if source.tls else None, source.search_s,
        )  # fmt: skip
        self._giving = replace(self._peer, silence_s=source.images_timeout_s)
        asking = max(1, source.parallel // 2)
        self._asking = ThreadPoolExecutor(asking, "dimse-find")
        self._getting = ThreadPoolExecutor(max(1, source.parallel - asking), "dimse-get")
        self._reading = ThreadPoolExecutor(READERS, "dimse-read")
        self._askers: WeakKeyDictionary[Any, _Asker] = WeakKeyDictionary()
        self._closed = False
        self._running: WeakSet[Retrieval] = WeakSet()
        self._recalled: dict[str, float] = {}
        self._moved = Moved()
        self._classes = Classes(index, source.name, self._receive)
        self._listener = self._for_moves(settings) if source.retrieve == "move" else None
        self._listening = Lock()

    def _for_moves(self, settings: Settings) -> Listener:
        """Where the PACS moves to: opened with the first retrieval, since who only asks needs no port."""
        sender = Sender(
            self._source.peer_ae_title, partial(_is_at, self._source.host), parallel=ASSOCIATIONS_MAX, per_s=1000
        )
        return Listener(
            "0.0.0.0", self._source.move_port, self._source.ae_title, [sender], lambda _: self._moved, self._folder,  # noqa: S104  # the PACS must reach it; anybody else is hung up on
            silence_s=self._source.images_timeout_s, tls=partial(answering_context, self._source, settings.path) if self._source.tls else None,
        )  # fmt: skip

    async def find_studies(self, patient: PatientIdentifier, study_instance_uid: str | None = None) -> Sequence[Held]:
        keys = {} if _PATTERN.search(patient.value) or not patient.value else {words.PATIENT_ID: patient.value}
        if study_instance_uid is not None:
            keys[words.STUDY_UID] = study_instance_uid
        if not keys:
            LOG.warning("%s is not asked for an identifier that it would read as a pattern", self._source.name)
            return ()
        return await self._in(self._asking, partial(self._find, patient, keys))

    def _find(self, patient: PatientIdentifier, keys: Mapping[str, str]) -> list[Held]:
        with Questions.open(self._peer, self._folder) as questions:
            rows = questions.find(Asked("STUDY", keys, words.STUDY_KEYS))
            found = [held for row in rows if (held := self._series_of(questions, row, patient)) is not None]
        return list({held.study_instance_uid: held for held in found}.values())

    def _series_of(self, questions: Questions, row: Mapping[str, Any], patient: PatientIdentifier) -> Held | None:
        """A study with its series; of a stranger's no more is asked."""
        alone = words.held_study(row, (), self._source)
        if alone is None or alone.patient.identifier != patient:
            return alone
        keys = {words.PATIENT_ID: patient.value, words.STUDY_UID: alone.study_instance_uid}
        return words.held_study(row, questions.find(Asked("SERIES", keys, words.SERIES_KEYS)), self._source)

    @property
    def has_learnt(self) -> bool:
        return self._classes.needed

    async def list_instances(self, held: Held) -> Sequence[Told]:
        rows = await self._in(self._asking, partial(self._rows, held))
        told = await self._classes.completed(held, rows)
        return [one for series, some in told for one in words.told_instances(some, held, series)]

    def _rows(self, held: Held) -> list[Rows]:
        if len(held.series) < (held.counts[0] or 0):
            raise NationalInfrastructureUnavailable("the PACS lists fewer series than it counts")
        with Questions.open(self._peer, self._folder) as questions:
            return [
                (
                    series,
                    questions.find(Asked("IMAGE", _keys(held, series.series_instance_uid), words.INSTANCE_KEYS)),
                )
                for series in held.series
            ]

    def _receive(self, held: Held, series: HeldSeries, learning: Learning) -> None:
        """A series, for the sake of its classes alone: by C-MOVE whatever they are, by C-GET as far as they are of the standard."""
        asked = Asked("SERIES", _keys(held, series.series_instance_uid))
        if self._listener is not None:
            self._move(asked, learning)
            return
        for classes in guessed(series.modality):
            if learning.awaited and not learning.left:
                get_as(self._giving, self._folder, asked, classes, learning)

    async def make_ready(self, held: Held) -> float:
        """Ask for one instance of each series: that has a PACS fetch a study, and little is sent for nothing."""
        now = monotonic()
        self._recalled = {study: at for study, at in self._recalled.items() if now - at < RECALLED_S}
        if self._recalled.setdefault(held.study_instance_uid, now) == now:
            listed = await self.list_instances(held)
            self._getting.submit(self._recall, held, listed)
        return COME_BACK_S

    def _recall(self, held: Held, listed: Sequence[Told]) -> None:
        with suppress(IsthmusError):
            firsts = {one.series_instance_uid: one for one in reversed(listed)}
            for one in firsts.values():
                asked = Asked("IMAGE", _keys(held, one.series_instance_uid, one.sop_instance_uid))
                if self._listener is not None:
                    move(self._giving, self._folder, asked, self._source.ae_title)
                else:
                    get(self._giving, self._folder, asked, _classes([one]), Discarded())

    async def fetch(self, held: Held, told: Told, listed: Sequence[Told]) -> AsyncGenerator[bytes]:
        arrival, retrieval = await self._arrival(held, told, listed)
        whole = False
        try:
            while piece := await self._in(self._reading, arrival.read):
                yield piece
            whole = True
        finally:
            arrival.release()
            if not whole:
                retrieval.leave()

    async def close(self) -> None:
        self._closed = True
        await asyncio.to_thread(self._classes.close)
        for retrieval in list(self._running):
            retrieval.leave()
        for threads in (self._asking, self._getting, self._reading):
            threads.shutdown(wait=False, cancel_futures=True)
        if self._listener is not None:
            await asyncio.to_thread(self._listener.stop)

    async def _arrival(self, held: Held, told: Told, listed: Sequence[Told]) -> tuple[Arrival, Retrieval]:
        """The instance as it begins to arrive: with its series when that is on its way or worth asking for, else alone."""
        asker, sop = self._asker(), told.sop_instance_uid
        rest = [one for one in listed if one.series_instance_uid == told.series_instance_uid]
        rest = [one for one in rest if one.sop_instance_uid not in asker.given - {sop}]
        if asker.series != told.series_instance_uid:
            asker.leave()
            asker.series, asker.given, asker.retrieval = told.series_instance_uid, set(), None
        elif len(rest) > 1 and (asker.retrieval is None or not asker.retrieval.has(sop)):
            asker.leave()
            asked = Asked("SERIES", _keys(held, told.series_instance_uid))
            asker.retrieval = self._begin(
                asked, [one for one in listed if one.series_instance_uid == asker.series], rest
            )
        asker.given.add(sop)
        coming = asker.retrieval
        if coming is None or not coming.has(sop):
            return await self._alone(held, told)
        arrival = await self._in(self._reading, partial(coming.take, sop))
        return (arrival, coming) if arrival is not None else await self._alone(held, told)

    async def _alone(self, held: Held, told: Told) -> tuple[Arrival, Retrieval]:
        """One instance by itself; where the PACS cannot send it as proposed, once more with every syntax by itself."""
        asked = Asked("IMAGE", _keys(held, told.series_instance_uid, told.sop_instance_uid))
        for apart in (False, True):
            retrieval = self._begin(asked, [told], [told], apart=apart)
            try:
                arrival = await self._in(self._reading, partial(retrieval.take, told.sop_instance_uid))
            except asyncio.CancelledError:
                retrieval.leave()
                raise
            if arrival is not None:
                return arrival, retrieval
            if retrieval.error is not None:
                raise retrieval.error
            if all(outcome.claims_success and not outcome.completed for outcome in retrieval.outcomes):
                raise ImagesNotFound("the PACS lists an instance that it does not have")
            if self._listener is not None:
                break
        statuses = ", ".join(f"0x{outcome.status:04X}" for outcome in retrieval.outcomes)
        LOG.error("%s does not give an instance that it lists: %s", self._source.name, statuses)
        raise ContentMismatch("the PACS does not give an instance that it lists")

    def _begin(self, asked: Asked, known: Sequence[Told], awaited: Sequence[Told], *, apart: bool = False) -> Retrieval:
        retrieval = Retrieval((one.sop_instance_uid for one in known), (one.sop_instance_uid for one in awaited))
        work = partial(self._retrieve, asked, _classes(known), apart)
        self._running.add(retrieval)
        done = self._getting.submit(retrieval.run, work)
        done.add_done_callback(lambda ended: retrieval.leave() if ended.cancelled() else None)
        return retrieval

    def _retrieve(
        self, asked: Asked, classes: Mapping[str, str], apart: bool, retrieval: Retrieval
    ) -> Sequence[Outcome]:
        if self._listener is None:
            return get(self._giving, self._folder, asked, classes, retrieval, apart=apart)
        return [self._move(asked, retrieval)]

    def _move(self, asked: Asked, expecting: Expecting) -> Outcome:
        """C-MOVE to where we listen; what comes there goes to who expects it."""
        assert self._listener is not None
        try:
            with self._listening:
                self._listener.start()
        except SettingsProblem as error:
            raise NationalInfrastructureUnavailable(str(error)) from error
        self._moved.add(expecting)
        try:
            outcome = move(self._giving, self._folder, asked, self._source.ae_title)
            if outcome.completed or outcome.claims_success:
                expecting.settle()
            return outcome
        finally:
            self._moved.remove(expecting)

    def _asker(self) -> _Asker:
        task = asyncio.current_task()
        if (found := self._askers.get(task)) is None:
            found = self._askers[task] = _Asker()
            finalize(task, found.leave)
        return found

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except (asyncio.CancelledError, RuntimeError) as error:
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                raise
            raise NationalInfrastructureUnavailable("the connection to the PACS is being closed") from error


def _check(source: Source) -> None:
    where = f"sources.images {source.name!r}"
    if source.retrieve not in ("get", "move"):
        raise SettingsProblem(f'{where}: retrieve is "get" or "move"', key="sources.images.retrieve")
    if source.retrieve == "move" and not source.move_port:
        raise SettingsProblem(f"{where}: C-MOVE needs move_port, a port of ours", key="sources.images.move_port")
    for key in ("ae_title", "peer_ae_title"):
        if AE_TITLE.fullmatch(getattr(source, key)) is None:
            raise SettingsProblem(f"{where}: {key} has 1 to 16 characters of ASCII", key=f"sources.images.{key}")


def _is_at(host: str, address: str) -> bool:
    """Whether an address is one of a host's, as its name is looked up now."""
    try:
        return address in {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False


def _keys(held: Held, series: str = "", sop: str = "") -> dict[str, str]:
    keys = {
        words.PATIENT_ID: held.patient.identifier.value, words.STUDY_UID: held.study_instance_uid,
        words.SERIES_UID: series, words.SOP_UID: sop,
    }  # fmt: skip
    return {tag: value for tag, value in keys.items() if value and not _PATTERN.search(value)}


def _classes(told: Sequence[Told]) -> dict[str, str]:
    return {one.sop_instance_uid: one.sop_class_uid for one in told}
