"""Writes the trail: an intent, durable before any data is asked for; its outcome, after the last byte.

One thread writes; what waits at the same time shares one transaction. An outcome that could not be written stays owed and goes
first in the next one. Exchanges whose writer died are closed as interrupted. Before a process mends, it looks whether the trail's
end is the one it left.

Source: trust.md §4.2, §4.3.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, delete, func, insert, select, update

from isthmus import telemetry
from isthmus.audit.delivery import PART, keep, write_part
from isthmus.audit.events import Intent, Note, Outcome
from isthmus.audit.merkle import Tree
from isthmus.audit.page import MonthKeys, Page, tree_of
from isthmus.audit.verify import Head, canonical
from isthmus.audit.writers import Writers
from isthmus.config import Settings
from isthmus.errors import AuditUnavailable, IsthmusError
from isthmus.model.identifiers import PatientIdentifier
from isthmus.storage.database import Database, open_state
from isthmus.storage.schema.audit import audit_trail, audit_writer
from isthmus.storage.sealed import MasterKey

T = TypeVar("T")
Also = Callable[[Connection], None]
Clock = Callable[[], datetime]

BATCH = 64
HEAD_EVERY_S = 1.0
RENEW_EVERY_S = 10.0
RECOVER_EVERY_S = 20.0
INTERRUPTED = Outcome(outcome="incomplete", reason="interrupted")


@dataclass(frozen=True, slots=True)
class Opened:
    """An exchange that has begun; hand it to `close`."""

    number: int
    exchange_id: str
    at: datetime
    leaf: bytes = b""


@dataclass
class _Job(Generic[T]):
    work: Callable[[Page], T]
    future: Future[T]
    also: Also | None = None
    owed: bool = False  # written later when it cannot be written now


def head_key(master: MasterKey) -> bytes:
    return master.derive("audit head")


def patient_tag(master: MasterKey, patient: PatientIdentifier) -> str:
    """Finds a patient's records without naming the patient."""
    key = master.derive("audit patient")
    return hmac.new(key, canonical({"system": patient.system, "value": patient.value}), hashlib.sha256).hexdigest()


class Trail:
    """The trail of a node, as one process writes it. `start` before the first record, `stop` after the last.

    Whatever cannot be written raises AuditUnavailable: no audit, no data.
    """

    def __init__(self, db: Database, master: MasterKey, clock: Clock, folder: Path) -> None:
        self._db, self._clock = db, clock
        self._master, self._keys, self._head_key = master, MonthKeys(master), head_key(master)
        self._writers = Writers(folder)
        self._writer = ""
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._owed: list[_Job[Any]] = []
        self._head: Head | None = None  # the newest that is not yet kept outside
        self._due = dict.fromkeys(("head", "renew", "recover"), 0.0)
        self._thread: threading.Thread | None = None
        self.healthy = True  # whether the last transaction went through

    def start(self) -> None:
        """Look whether the trail's end holds, become a writer, close what dead writers left."""
        if self._thread is not None:
            return
        try:
            witness = self._writers.head()  # before the rows: it may lag behind them, not run ahead
            self._db.read_now(lambda connection: self._check_end(connection, witness))
            self._writer = self._writers.enter()
            self._db.write_now(self._enter)
            self._keep_head()
            self.recover_now()
        except OSError as error:
            raise AuditUnavailable(f"the trail's folder cannot be written: {error.strerror}") from error
        self._thread = threading.Thread(target=self._run, name="trail", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, close what this process left open, and leave."""
        if self._thread is None:
            return
        self._jobs.put(None)
        self._thread.join()
        self._thread = None
        while not self._jobs.empty():
            if (late := self._jobs.get()) is not None:
                late.future.set_exception(AuditUnavailable("the trail is stopped"))
        with contextlib.suppress(AuditUnavailable, OSError):  # else the next process mends it
            self._transact(self._leave)
            self._keep_head()
            self._writers.leave(self._writer)

    async def open(self, intent: Intent, also: Also | None = None) -> Opened:
        """Write an intent. `also` runs first, in the same transaction; its error undoes both and is raised."""
        future = self._submit(lambda page: self._intent(page, intent), also)
        try:
            return await asyncio.shield(asyncio.wrap_future(future))
        except asyncio.CancelledError:  # nobody is left who would close it
            future.add_done_callback(self._close_orphan)
            raise

    async def close(self, opened: Opened, outcome: Outcome) -> None:
        """Write the outcome, once; it is written also when the caller is cancelled meanwhile."""
        future = self._submit(lambda page: self._outcome(page, opened, outcome), owed=True)
        await asyncio.shield(asyncio.wrap_future(future))

    async def record(self, intent: Intent, outcome: Outcome, also: Also | None = None) -> Opened:
        """Both at once: a refusal."""
        future = self._submit(lambda page: self._both(page, intent, outcome), also)
        return await asyncio.shield(asyncio.wrap_future(future))

    async def note(self, note: Note, also: Also | None = None) -> None:
        await asyncio.shield(asyncio.wrap_future(self._submit(lambda page: _noted(page, note), also)))

    async def recover(self) -> int:
        """Close the exchanges of writers that are gone; gives their number. The trail's own thread does it every 20 s."""
        return await asyncio.to_thread(self.recover_now)

    def open_now(self, intent: Intent, also: Also | None = None) -> Opened:
        return self._submit(lambda page: self._intent(page, intent), also).result()

    def close_now(self, opened: Opened, outcome: Outcome) -> None:
        self._submit(lambda page: self._outcome(page, opened, outcome), owed=True).result()

    def record_now(self, intent: Intent, outcome: Outcome, also: Also | None = None) -> Opened:
        return self._submit(lambda page: self._both(page, intent, outcome), also).result()

    def note_now(self, note: Note, also: Also | None = None) -> None:
        self._submit(lambda page: _noted(page, note), also).result()

    def recover_now(self) -> int:
        dead, count = self._transact(self._mend)
        for writer in dead:
            self._writers.forget(writer)
        return count

    # what is written

    def _intent(self, page: Page, intent: Intent) -> Opened:
        tag = patient_tag(self._master, intent.patient) if intent.patient else None
        record = intent.record(page.now)
        number, leaf = page.add(
            "intent", record, intent.exchange_id, patient_tag=tag, theirs=intent.theirs, parts=intent.parts
        )
        return Opened(number, intent.exchange_id, page.now, leaf)

    def _outcome(self, page: Page, opened: Opened, outcome: Outcome) -> None:
        if page.closed(opened.number):
            return
        delivery = outcome.delivery if outcome.delivery is not None and outcome.delivery.items else None
        if delivery is not None:
            outcome = replace(outcome, parts={**outcome.parts, PART: write_part(delivery)})
        record = outcome.record(page.now, round((page.now - opened.at).total_seconds() * 1000))
        tag = patient_tag(self._master, outcome.patient) if outcome.patient else None
        number, _ = page.add(
            "outcome", record, opened.exchange_id, closes=opened.number, patient_tag=tag, theirs=outcome.theirs, parts=outcome.parts
        )  # fmt: skip
        if delivery is not None:
            keep(
                page.connection, self._master, delivery, number=number, opened=opened.number,
                exchange_id=opened.exchange_id, whole=outcome.outcome == "complete", now=page.now,
            )  # fmt: skip

    def _both(self, page: Page, intent: Intent, outcome: Outcome) -> Opened:
        opened = self._intent(page, intent)
        self._outcome(page, opened, outcome)
        return opened

    def _close_orphan(self, future: Future[Opened]) -> None:
        if not future.cancelled() and future.exception() is None:
            opened = future.result()
            self._put(_Job(lambda page: self._outcome(page, opened, INTERRUPTED), Future(), owed=True))

    # the thread that writes

    def _submit(self, work: Callable[[Page], T], also: Also | None = None, *, owed: bool = False) -> Future[T]:
        if self._thread is None or not self._thread.is_alive():
            raise AuditUnavailable("the trail is not started, or its thread is gone")
        return self._put(_Job(work, Future(), also, owed))

    def _put(self, job: _Job[T]) -> Future[T]:
        self._jobs.put(job)
        return job.future

    def _run(self) -> None:
        while True:
            jobs, over = self._waiting()
            if jobs or self._owed:
                self._write([*self._owed, *jobs])
            self._tend()
            if over:
                return

    def _waiting(self) -> tuple[list[_Job[Any]], bool]:
        """What waits now, at least for a moment; and whether it is the end."""
        jobs: list[_Job[Any]] = []
        with contextlib.suppress(queue.Empty):
            while len(jobs) < BATCH:
                job = self._jobs.get(block=not jobs, timeout=HEAD_EVERY_S)
                if job is None:
                    return jobs, True
                jobs.append(job)
        return jobs, False

    def _write(self, jobs: list[_Job[Any]]) -> None:
        """Write all in one transaction; one whose `also` refuses is left out of it."""
        self._owed = []
        try:
            results = self._transact(lambda page: [_tried(page, job) for job in jobs])
        except Exception as error:
            problem = error if isinstance(error, AuditUnavailable) else AuditUnavailable("the trail cannot be written")
            self.healthy = False
            telemetry.log().error("the trail cannot be written", fault=type(error).__name__)
            self._owed = [job for job in jobs if job.owed]
            results = [problem] * len(jobs)
        else:
            self.healthy = True
        for job, result in zip(jobs, results, strict=True):
            if job.future.done():
                continue
            if isinstance(result, Exception):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)

    def _transact(self, work: Callable[[Page], T]) -> T:
        def writing(connection: Connection) -> tuple[T, Head | None]:
            page = Page(connection, self._keys, self._head_key, self._writer, self._clock())
            result = work(page)
            return result, page.end()

        result, head = self._db.write_now(writing)
        if head is not None and (self._head is None or self._head.size < head.size):
            self._head = head
        return result

    def _tend(self) -> None:
        """What comes round: the head outside, the lease, other writers' ends."""
        now = time.monotonic()
        for name, every_s, work in (
            ("head", HEAD_EVERY_S, self._keep_head),
            ("renew", RENEW_EVERY_S, self._renew),
            ("recover", RECOVER_EVERY_S, self.recover_now),
        ):
            if now >= self._due[name]:
                self._due[name] = now + every_s
                try:
                    work()
                except Exception as error:  # a thread that dies would leave every exchange waiting
                    telemetry.log().error("the trail cannot be tended", what=name, fault=type(error).__name__)

    def _keep_head(self) -> None:
        head, self._head = self._head, None
        if head is not None:
            try:
                self._writers.keep(head)
            except OSError:
                self._head = head
                raise

    # writers

    def _check_end(self, connection: Connection, witness: Head | None) -> None:
        """Raises AuditUnavailable when the trail was cut, or is another than the one the head outside saw."""
        tree = tree_of(connection, self._head_key)
        last, count = connection.execute(select(func.max(audit_trail.c.number), func.count(audit_trail.c.number))).one()
        if count != tree.size or (count and last != tree.size - 1):
            raise AuditUnavailable("records of the trail are missing: see audit verify")
        if witness is None:
            if tree.size:
                raise AuditUnavailable(
                    "the trail's head outside the database is missing: see audit verify; after a restore, audit recover"
                )
        elif not witness.genuine(self._head_key) or witness.root != _root_at(connection, tree, witness.size):
            behind = f"the trail is behind: {tree.size} records are here, {witness.size} were seen by its head outside the database"
            other = "the trail is not the one its head outside the database saw"
            what = behind if witness.genuine(self._head_key) and tree.size < witness.size else other
            raise AuditUnavailable(f"{what}: see audit verify; after a restore, audit recover")
        self._head = Head.of(tree, self._head_key)

    def _enter(self, connection: Connection) -> None:
        now = self._clock()
        row = {"id": self._writer, "pid": os.getpid(), "started": now, "renewed": now}
        connection.execute(insert(audit_writer).values(row))

    def _renew(self) -> None:
        query = update(audit_writer).where(audit_writer.c.id == self._writer).values(renewed=self._clock())
        self._db.write_now(lambda connection: connection.execute(query) and None)

    def _mend(self, page: Page) -> tuple[list[str], int]:
        writers = page.connection.execute(select(audit_writer.c.id)).scalars().all()
        dead = [writer for writer in writers if writer != self._writer and self._writers.gone(writer)]
        return dead, self._close_left(page, dead)

    def _leave(self, page: Page) -> None:
        self._close_left(page, [self._writer])

    def _close_left(self, page: Page, writers: Iterable[str]) -> int:
        count = 0
        for writer in writers:
            for number, exchange_id in page.left_open(writer):
                page.add("outcome", INTERRUPTED.record(page.now, None), exchange_id, closes=number)
                count += 1
            page.connection.execute(delete(audit_writer).where(audit_writer.c.id == writer))
        return count


@contextlib.contextmanager
def trail_of(settings: Settings, clock: Clock) -> Iterator[Trail]:
    """The node's trail for a command, started and stopped; the node itself may run or not. Raises AuditUnavailable, SettingsProblem."""
    master = MasterKey.load(settings.path(settings.keys.env))
    state = open_state(settings)
    try:
        trail = Trail(state, master, clock, settings.folder)
        try:
            trail.start()
            yield trail
        finally:
            trail.stop()
    finally:
        state.close()


def _noted(page: Page, note: Note) -> None:
    page.add("event", note.record(page.now), note.exchange_id)


def _tried(page: Page, job: _Job[T]) -> T | Exception:
    """Do a job; when its `also` refuses, nothing of it stays."""
    if job.also is None:
        return job.work(page)
    savepoint = page.connection.begin_nested()
    try:
        job.also(page.connection)
    except Exception as error:
        savepoint.rollback()
        return (
            error
            if isinstance(error, IsthmusError)
            else AuditUnavailable("what belongs to the record cannot be written")
        )
    result = job.work(page)
    savepoint.commit()
    return result


def _root_at(connection: Connection, tree: Tree, size: int) -> bytes | None:
    """The root when the trail had `size` records; None when it has fewer."""
    if size >= tree.size:
        return tree.root if size == tree.size else None
    earlier = Tree()
    leaves = select(audit_trail.c.leaf).order_by(audit_trail.c.number).limit(size)
    for leaf in connection.execute(leaves).scalars():
        earlier = earlier.with_leaf(leaf)
    return earlier.root
