"""Hands the trail to national repositories, in its order: what has ended, each event at least once, nothing left out.

A position in the trail, kept beside it, says how far each repository is; it moves when events were taken, so that neither a restart nor an
outage loses one. What a repository refuses for good (a 4xx about the event itself) is put aside, said, and given again every hour.
One process forwards to a repository at a time.

Source: trust.md §4.1, §4.6; ITI-20.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from sqlalchemy import Connection, delete, func, insert, select, update

from isthmus import telemetry
from isthmus.audit.atna.event import Site, write_event
from isthmus.audit.atna.message import framed, write_syslog
from isthmus.audit.page import MonthKeys, rows
from isthmus.audit.verify import Row, Unseal, opened
from isthmus.config import Settings
from isthmus.errors import NationalInfrastructureUnavailable, TrustListStale, Unavailable
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.amounts import amount
from isthmus.sections import Forward
from isthmus.sources import Source
from isthmus.storage.database import Database
from isthmus.storage.schema.audit import audit_head, audit_trail
from isthmus.storage.schema.audit_forward import audit_aside, audit_position
from isthmus.storage.sealed import MasterKey
from isthmus.transport.syslog import SyslogLine
from isthmus.transport.tls import asking_context
from isthmus.transport.upstream import Upstream
from isthmus.trust.directory import Directory

LOOK_EVERY_S = 1.0
AGAIN_S, AGAIN_MAX_S = 1.0, 60.0
ALARM_S = 600.0
ASIDE_EVERY_S = 3600.0
_ITS_OWN_FAULT = (400, 413, 422)  # of the event; any other status is about the way to the repository


@dataclass(frozen=True, slots=True)
class Told:
    """An event that is due: the number of the row that ended it, and the event."""

    number: int
    event: Node


class Repository(Protocol):
    """Where events go. `each_counts`: what `give` has given is taken; else it is after `settle`. `batch`: records looked at together."""

    each_counts: bool
    batch: int

    async def give(self, told: Told) -> int | None:
        """None, or the status of what is refused for good. Raises Unavailable."""
        ...

    async def settle(self) -> None:
        """Raises Unavailable when what was given since the last time does not count."""
        ...

    async def close(self) -> None: ...


class FhirFeed:
    """POST AuditEvent, one after the other. Source: ITI-20."""

    each_counts, batch = True, 200

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def give(self, told: Told) -> int | None:
        body = el.write_object({name: value for name, value in told.event.items() if name != "id"})
        reply = await self._upstream.post("AuditEvent", body, content_type=el.MEDIA_TYPE, accept=el.MEDIA_TYPE)
        if 200 <= reply.status < 300:
            return None
        if reply.status in _ITS_OWN_FAULT:
            return reply.status
        raise NationalInfrastructureUnavailable(
            f"{self._upstream.source.name} answers {reply.status} to an audit event"
        )

    async def settle(self) -> None:
        return None

    async def close(self) -> None:
        await self._upstream.close()


class SyslogFeed:
    """DICOM audit messages in syslog over TLS: a batch counts when all of it has arrived. Source: ITI-20; RFC 5425."""

    each_counts, batch = False, 4000  # each batch takes a second to settle

    def __init__(self, line: SyslogLine, host: str) -> None:
        self._line, self._host = line, host
        self._frames: list[bytes] = []

    async def give(self, told: Told) -> int | None:
        self._frames.append(framed(write_syslog(told.event, self._host, os.getpid())))
        return None

    async def settle(self) -> None:
        frames, self._frames = self._frames, []
        if frames:
            await self._line.give(frames)

    async def close(self) -> None:
        await self._line.close()


class Outbox:
    """The way of one repository along the trail."""

    def __init__(
        self, name: str, repository: Repository, db: Database, master: MasterKey, site: Callable[[], Site], clock: Callable[[], datetime]
    ) -> None:  # fmt: skip
        self.name, self._repository, self._db = name, repository, db
        self._keys, self._site, self._clock = MonthKeys(master), site, clock
        self._troubled_at: float | None = None
        self._refused = 0

    def alarms(self) -> dict[tuple[str, str], str]:
        """What an operator has to know now: that nothing was taken for ten minutes, or that something was refused for good."""
        found = {}
        if self._troubled_at is not None and time.monotonic() - self._troubled_at >= ALARM_S:
            found["audit-forward", self.name] = f"the audit repository {self.name} has taken nothing for ten minutes"
        if self._refused:
            found["audit-refused", self.name] = (
                f"the audit repository {self.name} refuses {amount(self._refused, 'event')}"
            )
        return found

    async def run(self, folder: Path) -> None:
        """Forward while this process holds the repository's turn; waits longer after each failure, up to a minute."""
        lock = folder / f"forward-{Path(self.name).name}.lock"
        while (turn := _turn(lock)) is None:  # noqa: ASYNC110  # another process has it: the kernel tells nobody
            await asyncio.sleep(LOOK_EVERY_S)
        try:
            await self._on_and_on()
        finally:
            os.close(turn)

    async def _on_and_on(self) -> None:
        clock = asyncio.get_running_loop().time
        wait_s, aside_at = AGAIN_S, clock()
        while True:
            try:
                while await self.step():
                    pass
                if clock() >= aside_at:
                    aside_at = clock() + ASIDE_EVERY_S
                    await self.aside()
                if self._troubled_at is not None:
                    telemetry.forwarding(self.name, "it takes events again")
                wait_s, self._troubled_at = AGAIN_S, None
                await asyncio.sleep(LOOK_EVERY_S)
            except Unavailable as error:
                if self._troubled_at is None:
                    telemetry.forwarding(self.name, str(error))
                    self._troubled_at = time.monotonic()
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, AGAIN_MAX_S)

    async def step(self) -> int:
        """Give what is due next, at most a batch of records; gives how many records that were. Raises Unavailable."""
        position, due, after = await self._db.read(self._due)
        done, refused = position, []
        try:
            for told in due:
                status = await self._repository.give(told)
                if status is not None:
                    refused.append((told.number, status))
                if self._repository.each_counts:
                    done = told.number + 1
            await self._repository.settle()
            done = after
        finally:
            if done > position:
                await self._db.write(lambda connection: self._move(connection, done, refused))
                telemetry.forwarded(self.name, sum(told.number < done for told in due) - len(refused), len(refused))
            size, self._refused = await self._db.read(self._standing)
            telemetry.waiting(self.name, size - done)
        return after - position

    async def aside(self) -> None:
        """Give again what was refused; what is refused again stays."""
        mine = select(audit_aside.c.number).where(audit_aside.c.repository == self.name).order_by(audit_aside.c.number)
        for number in await self._db.read(lambda connection: connection.execute(mine).scalars().all()):
            await self._once_more(number)

    async def _once_more(self, number: int) -> None:
        due, _ = await self._db.read(lambda connection: self._told(connection, number, number + 1))
        if any([await self._repository.give(told) for told in due]):
            return
        await self._repository.settle()
        gone = delete(audit_aside).where(audit_aside.c.repository == self.name, audit_aside.c.number == number)
        await self._db.write(lambda connection: connection.execute(gone) and None)

    def _due(self, connection: Connection) -> tuple[int, list[Told], int]:
        at = select(audit_position.c.number).where(audit_position.c.repository == self.name)
        position = connection.execute(at).scalar() or 0
        due, after = self._told(connection, position, position + self._repository.batch)
        return position, due, after

    def _told(self, connection: Connection, first: int, end: int) -> tuple[list[Told], int]:
        """The events that ended with a row from `first` up to `end`, and the number after the last row there is."""
        unseal, site, due, after = self._keys.unsealer(connection), self._site(), [], first
        for row in rows(connection, audit_trail.c.number >= first, audit_trail.c.number < end):
            after = row.number + 1
            event = _event(connection, row, unseal, site)
            if event is not None:
                due.append(Told(row.number, event))
        return due, after

    def _standing(self, connection: Connection) -> tuple[int, int]:
        """How long the trail is, and how much of it was refused."""
        size = connection.execute(select(audit_head.c.size)).scalar() or 0
        mine = select(func.count()).select_from(audit_aside).where(audit_aside.c.repository == self.name)
        return size, connection.execute(mine).scalar() or 0

    def _move(self, connection: Connection, number: int, refused: list[tuple[int, int]]) -> None:
        values = {"number": number, "moved": self._clock()}
        mine = audit_position.c.repository == self.name
        if not connection.execute(update(audit_position).where(mine).values(**values)).rowcount:
            connection.execute(insert(audit_position).values(repository=self.name, **values))
        for at, status in refused:
            row = {"repository": self.name, "number": at, "status": status, "since": self._clock()}
            connection.execute(insert(audit_aside).prefix_with("OR REPLACE").values(row))


def forwarded_to(connection: Connection, repositories: tuple[str, ...]) -> int | None:
    """The first record that some repository has not been given yet; None when there is no repository."""
    if not repositories:
        return None
    kept = audit_position.c
    done = {row.repository: row.number for row in connection.execute(select(kept.repository, kept.number))}
    waiting = connection.execute(select(func.min(audit_aside.c.number)).where(audit_aside.c.repository.in_(repositories))).scalar()  # fmt: skip
    first = min(done.get(name, 0) for name in repositories)
    return first if waiting is None else int(min(first, waiting))


def site_of(settings: Settings, directory: Directory | None) -> Site:
    """This node as its events name it, and the others as the trust list does; without a list they have their countries' names."""
    faces = [face.public for face in (settings.border, settings.portal) if face is not None]
    address = urlsplit(faces[0]).hostname if faces else None
    peers: dict[str, str] = {}
    with contextlib.suppress(TrustListStale):
        listed = directory.current.participants if directory is not None else ()
        peers = {one.country: one.ncp_id for one in listed}
    return Site(settings.country, settings.ncp_id, address or settings.ncp_id, peers)


def open_outboxes(
    settings: Settings, db: Database, master: MasterKey, directory: Directory, clock: Callable[[], datetime]
) -> list[tuple[Outbox, Repository]]:
    """One for each repository that the settings name."""
    site = partial(site_of, settings, directory)
    return [open_outbox(forward, settings, db, master, site, clock) for forward in settings.audit.forward]


def open_outbox(
    forward: Forward, settings: Settings, db: Database, master: MasterKey, site: Callable[[], Site], clock: Callable[[], datetime]
) -> tuple[Outbox, Repository]:  # fmt: skip
    """The outbox of one repository of the settings, and the repository, to be closed."""
    source = Source(
        kind="fhir", name=forward.name, url=forward.url, authorization=forward.authorization, authority=forward.authority,
        tls_certificate=forward.tls_certificate, tls_key=forward.tls_key, parallel=1,
    )  # fmt: skip
    parts = urlsplit(forward.url)
    repository: Repository
    if forward.kind == "syslog":
        line = SyslogLine(forward.name, parts.hostname or "", parts.port or 6514, lambda: asking_context(source, settings.path))  # fmt: skip
        repository = SyslogFeed(line, site().address)
    else:
        repository = FhirFeed(Upstream(source, settings.path))
    return Outbox(forward.name, repository, db, master, site, clock), repository


def _event(connection: Connection, row: Row, unseal: Unseal, site: Site) -> Node | None:
    """The event that this row ends, if any. A record that does not open cannot be told: `audit verify` names it."""
    if row.kind == "intent":
        return None
    record, _ = opened(row, unseal)
    if record is None:
        telemetry.forwarding("trail", f"record {row.number} does not open: see audit verify")
        return None
    if row.kind == "event":
        return write_event(record, None, row.number, site)
    for begun in rows(connection, audit_trail.c.number == row.closes):
        intent, _ = opened(begun, unseal)
        return None if intent is None else write_event(intent, record, begun.number, site)
    return None


def _turn(path: Path) -> int | None:
    """The lock that lets this process forward; None while another does."""
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
