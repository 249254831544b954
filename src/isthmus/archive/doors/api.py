"""The intake's listener: STOW-RS at /dicom-web/studies (and /studies), FHIR documents at /fhir. Never the border.

Who sends is known before a byte of the body is read; one line is written for each exchange, without anybody's identifiers.

Source: interfaces.md §8, §11; trust.md T83, T99; PS3.18 §10.5; ITI-105.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import orjson

from isthmus import __version__, telemetry
from isthmus.archive.doors.answers import Told
from isthmus.archive.doors.desk import Desk
from isthmus.archive.doors.publish import BODY_LIMIT_BYTES, MEDIA_TYPE, Result, answer_of, is_publication, publish
from isthmus.archive.doors.senders import Senders
from isthmus.archive.doors.stow import DICOM_JSON, Asked, read_store, store
from isthmus.errors import InsufficientRights, IsthmusError, RequestProblem, UnsupportedRequest
from isthmus.originals.publish import write_capability
from isthmus.sections import MIB, Sender
from isthmus.sources import Source
from isthmus.transport.answers import Answer, Receive, Send, answer_whole, json_answer
from isthmus.transport.inbound import Inbound, Request
from isthmus.transport.inflow import Cut, Inflow, drained, in_a_thread
from isthmus.wire.outcomes import outcome_headers, write_outcome

THREADS_MAX: Final = 64
PUBLICATIONS_AT_ONCE: Final = 2  # each holds its document several times over
MADE: Final = "2026-11-25"  # of the capability statement
UNKNOWN: Final = "unknown"


@dataclass
class Exchange:
    """One request as the log tells it."""

    transaction: str
    sender: str = UNKNOWN
    source: str = ""
    outcome: str = "complete"
    size_bytes: int = 0
    verdicts: Mapping[str, int] = field(default_factory=Counter)
    reasons: Mapping[str, int] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)

    def tell(self, exchange_id: str) -> None:
        telemetry.brought(
            exchange_id=exchange_id,
            sender=self.sender,
            source=self.source,
            transaction=self.transaction,
            outcome=self.outcome,
            verdicts=self.verdicts,
            reasons=self.reasons,
            size_bytes=self.size_bytes,
            duration_ms=(time.monotonic() - self.began) * 1000,
        )


class Doors:
    """What the listener does with a request of a known sender."""

    def __init__(self, senders: Senders, desk: Desk, base: str) -> None:
        self._senders, self._desk, self._base = senders, desk, base
        self._executor = ThreadPoolExecutor(max(1, min(THREADS_MAX, senders.most_at_once)), "intake")
        self._publications = asyncio.Semaphore(PUBLICATIONS_AT_ONCE)

    def app(self, hosts: frozenset[str]) -> Inbound:
        return Inbound(self.handle, hosts=hosts, render=_render, streamed=frozenset({"POST"}))

    async def close(self) -> None:
        """Wait for what is being written, then let go of it."""
        await asyncio.to_thread(self._executor.shutdown)
        await asyncio.to_thread(self._desk.close)

    async def handle(self, request: Request, send: Send, receive: Receive) -> None:
        segments = request.path.strip("/").split("/")
        if request.method != "POST":
            await answer_whole(self._told(segments), request.method, send)
            return
        exchange = Exchange("publish" if segments[0] == "fhir" else "stow")
        try:
            answer = await self._taken(request, segments, receive, exchange)
        except Cut:
            exchange.outcome = "cut"
            return
        except IsthmusError as error:
            exchange.outcome = error.reason
            raise
        except BaseException:
            exchange.outcome = "failed"
            raise
        finally:
            exchange.tell(request.exchange_id)
        await answer_whole(answer, request.method, send)

    def _told(self, segments: list[str]) -> Answer:
        if segments != ["fhir", "metadata"]:
            raise UnsupportedRequest("things are brought here, and not shown", reason="no-route")
        return json_answer(200, write_capability(self._base, __version__, MADE), MEDIA_TYPE)

    async def _taken(self, request: Request, segments: list[str], receive: Receive, exchange: Exchange) -> Answer:
        """Take what a request brings. What is left of a refused body is read past, unless its sender waits to be asked for it."""
        inflow: Inflow | None = None
        try:
            client = request.client
            sender = self._senders.known(request.peer_der, request.headers.get("authorization"), client)
            exchange.sender, exchange.source = sender.name, sender.source
            with self._senders.within_limits(sender):
                work, limit_bytes = self._work(request, segments, sender, exchange)
                inflow = Inflow(receive, limit_bytes)
                return await work(inflow)
        except IsthmusError:
            if not (inflow.whole if inflow is not None else "expect" in request.headers):
                await drained(receive)
            raise
        finally:
            exchange.size_bytes = inflow.size_bytes if inflow is not None else 0

    def _work(
        self, request: Request, segments: list[str], sender: Sender, exchange: Exchange
    ) -> tuple[Callable[[Inflow], Awaitable[Answer]], int]:
        """What is to be done with the body, and how long it may be."""
        content_type, rest = request.headers.get("content-type"), segments[segments[0] == "dicom-web" :]
        asked = read_store(rest, content_type, request.accept) if rest else None
        if asked is not None:
            source = _allowed(self._desk.images_source(sender.source), "images")
            return partial(self._store, asked, source, exchange), sender.request_limit_mib * MIB
        if is_publication(segments, content_type):
            source = _allowed(self._desk.reports_source(sender.source), "reports")
            return partial(self._publish, source, exchange), BODY_LIMIT_BYTES
        raise UnsupportedRequest("images go to /dicom-web/studies, documents to /fhir", reason="no-route")

    async def _store(self, asked: Asked, source: Source, exchange: Exchange, inflow: Inflow) -> Answer:
        told = Told()
        exchange.verdicts, exchange.reasons = told.outcomes, told.reasons

        def work(inflow: Inflow) -> bytes:
            with self._desk.images(source) as intake:
                store(inflow, asked, intake, told)
            return told.body()

        written = await in_a_thread(inflow, work, self._executor)
        return json_answer(told.status, written, DICOM_JSON)

    async def _publish(self, source: Source, exchange: Exchange, inflow: Inflow) -> Answer:
        def work(inflow: Inflow) -> Result:
            with self._desk.reports(source) as reports:
                return publish(inflow, reports, source)

        async with self._publications:
            result = await in_a_thread(inflow, work, self._executor)
        verdict = result.verdict
        exchange.verdicts = Counter([verdict.outcome])
        exchange.reasons = Counter([verdict.reason] if verdict.reason else [])
        return answer_of(result, self._base)


def _allowed(source: Source | None, what: str) -> Source:
    if source is None:
        raise InsufficientRights(f"the source of this sender takes no {what}", reason="scope")
    return source


def _render(error: IsthmusError, request: Request | None, exchange_id: str) -> Answer:
    """Every refusal, in the words of the side that was asked; the connection ends with it, its body may be unread."""
    more = outcome_headers(error) + ((("Connection", "close"),) if request is not None else ())
    if request is not None and request.path.startswith("/fhir"):
        return json_answer(error.meaning.status, write_outcome(error), MEDIA_TYPE, more)
    said = {"error": error.meaning.code} | ({"message": error.message} if isinstance(error, RequestProblem) else {})
    return json_answer(error.meaning.status, orjson.dumps(said), headers=more)
