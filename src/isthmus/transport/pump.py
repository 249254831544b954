"""Moves the pieces of an answer to the asker, untouched, and reports how it ended.

What is handed over is not delivered: a task beside the stream watches for the asker's hang-up, since the server itself swallows
everything sent after it. An answer that cannot be finished is never finished cleanly: the connection closes without the last chunk.

Source: architecture.md §6, §14; stack.md §3.4; field-faults F42, F43.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from isthmus.errors import ContentMismatch, IsthmusError, NationalInfrastructureUnavailable
from isthmus.model.pieces import Arriving, FileRange, Late, Mark, Piece
from isthmus.transport.answers import BODILESS, Answer, Receive, Send, answer_whole
from isthmus.transport.inbound import Request
from isthmus.wire.receipts import Item

READ_BYTES = 512 << 10
STALL_S = 60.0  # how long the asker may take for one piece; the whole has no deadline
ASK_S = 2.0  # how often it is asked whether a transfer may go on, however long one instance takes

MayGoOn = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Sent:
    """What was handed over. `digest` (hex) is that of the instances' digests in order; without instances, of the content.

    `why` when not complete: `hang-up`, `stopped` (no longer allowed), `stalled`, or the reason of the error that cut it.
    """

    status: int
    bytes: int
    instances: int
    digest: str | None
    complete: bool
    why: str | None = None
    items: tuple[Item, ...] = ()  # each instance that was handed over whole


async def pump(
    answer: Answer, request: Request, send: Send, receive: Receive, *, may_go_on: MayGoOn | None = None
) -> Sent:
    """Send an answer. Before each further instance, and every other second, `may_go_on` is asked; False cuts the connection.

    What fails before the first byte is raised, so that an error can still be answered; what fails later is told in `Sent`.
    """
    if (whole := answer.whole) is not None:
        size = await answer_whole(answer, request.method, send)
        return Sent(answer.status, size, 0, hashlib.sha256(whole).hexdigest(), complete=True)
    if request.method == "HEAD" or answer.status in BODILESS:
        await send(answer.start())
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return Sent(answer.status, 0, 0, None, complete=True)
    transfer = _Transfer(answer, send, may_go_on)
    moving = asyncio.create_task(transfer.move())
    beside = {asyncio.create_task(_watch(receive, transfer))}
    if may_go_on is not None:
        beside.add(asyncio.create_task(_stop(may_go_on, transfer)))
    try:
        await asyncio.wait({moving, *beside}, return_when=asyncio.FIRST_COMPLETED)
        if moving.done():
            await moving
    finally:
        for task in (moving, *beside):
            task.cancel()
        await asyncio.gather(moving, *beside, return_exceptions=True)
    if transfer.why in ("stalled", "stopped") and (abort := request.scope.get("extensions", {}).get("isthmus.abort")):
        abort()
    return transfer.sent()


async def _watch(receive: Receive, transfer: _Transfer) -> None:
    """Wait for the asker's hang-up; the end of the answer looks the same."""
    while (await receive())["type"] != "http.disconnect":
        pass
    if not transfer.ending:
        transfer.why = "hang-up"


async def _stop(may_go_on: MayGoOn, transfer: _Transfer) -> None:
    """Wait until the transfer may not go on: who reads slowly does not keep what is no longer for him."""
    while True:
        await asyncio.sleep(ASK_S)
        if not await may_go_on():
            break
    if not transfer.ending:
        transfer.why = "stopped"


class _Transfer:
    """One answer on its way."""

    def __init__(self, answer: Answer, send: Send, may_go_on: MayGoOn | None) -> None:
        self._answer, self._send, self._may_go_on = answer, send, may_go_on
        self._started = False
        self._bytes = 0
        self._instances = 0
        self._of_instances = hashlib.sha256()
        self._content = _Content()
        self._items: list[Item] = []
        self._complete = False
        self.ending = False
        self.why: str | None = None

    def sent(self) -> Sent:
        digest = self._of_instances if self._instances else self._content
        complete = self._complete and self.why is None
        return Sent(
            self._answer.status,
            self._bytes,
            self._instances,
            digest.hexdigest(),
            complete,
            self.why,
            tuple(self._items),
        )

    async def move(self) -> None:
        try:
            async with contextlib.aclosing(self._chunks()) as chunks:
                async for chunk in chunks:
                    await self._put(chunk)
            await asyncio.sleep(0)  # a hang-up that is already known counts
            if self.why is None:
                self.ending = True
                await self._put(b"", last=True)
                self._complete = True
        except TimeoutError:
            self.why = "stalled"
        except IsthmusError as error:
            if not self._started:
                raise
            self.why = error.reason
        except OSError as error:
            if not self._started:
                raise NationalInfrastructureUnavailable("a stored file cannot be read") from error
            self.why = NationalInfrastructureUnavailable.default_reason

    async def _put(self, chunk: bytes | memoryview, *, last: bool = False) -> None:
        async with asyncio.timeout(STALL_S):
            if not self._started:
                self._started = True
                start = self._answer.start()
                start["headers"].append((b"x-accel-buffering", b"no"))  # a proxy's file is no place for a study: F45
                await self._send(start)
            await self._send({"type": "http.response.body", "body": chunk, "more_body": not last})
        self._bytes += len(chunk)

    async def _chunks(self) -> AsyncGenerator[bytes | memoryview]:
        """The body, piece by piece. A small piece waits for the next one, so that a part's head goes out with its bytes."""
        held = b""
        for piece, following in _with_next(self._answer.body):
            if isinstance(piece, Mark):
                if held:
                    yield held
                    held = b""
                self._instances += 1
                digest = piece.sha256 or self._content.hexdigest()
                size = piece.size_bytes if piece.sha256 else self._content.size_bytes
                self._of_instances.update(bytes.fromhex(digest))
                self._items.append(Item(piece.sop_instance_uid, size, digest))
                self._content = _Content()
                if following is not None and self._may_go_on is not None and not await self._may_go_on():
                    self.why = "stopped"
                    return
            elif isinstance(piece, bytes):
                held += piece
            else:
                known = isinstance(following, Mark) and following.sha256 is not None
                source = _content(piece, None if known else self._content)
                async with contextlib.aclosing(source):
                    async for chunk in source:
                        yield b"".join((held, chunk)) if held else chunk
                        held = b""
        if held:
            yield held


class _Content:
    """What crosses of one instance: its digest and its length, without the heads around it."""

    def __init__(self) -> None:
        self._digest, self.size_bytes = hashlib.sha256(), 0

    def update(self, chunk: bytes | memoryview) -> None:
        self._digest.update(chunk)
        self.size_bytes += len(chunk)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _with_next(pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Piece | None]]:
    iterator = iter(pieces)
    piece = next(iterator, None)
    while piece is not None:
        following = next(iterator, None)
        yield piece, following
        piece = following


def _content(piece: FileRange | Arriving | Late, digest: Any) -> AsyncGenerator[bytes | memoryview]:
    if isinstance(piece, FileRange):
        return _file(piece, digest)
    return _arriving(piece, digest) if isinstance(piece, Arriving) else _late(piece, digest)


async def _late(piece: Late, digest: Any) -> AsyncGenerator[bytes | memoryview]:
    """What turns out to be there: heads as they are, content with its digest."""
    source = piece.open()
    try:
        async for inner in source:
            if isinstance(inner, bytes):
                yield inner
            elif not isinstance(inner, Mark):
                async with contextlib.aclosing(_content(inner, digest)) as chunks:
                    async for chunk in chunks:
                        yield chunk
    finally:
        if (close := getattr(source, "aclose", None)) is not None:
            await close()


async def _file(piece: FileRange, digest: Any) -> AsyncGenerator[bytes | memoryview]:
    """Read a range in a worker thread, one read ahead of the sending. Raises ContentMismatch when the file is shorter."""
    loop = asyncio.get_running_loop()
    opening = loop.run_in_executor(None, os.open, piece.path, os.O_RDONLY)
    try:
        file = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise
    offset, end = piece.offset, piece.offset + piece.size_bytes
    reading: asyncio.Future[bytes] | None = None

    def read(offset: int) -> bytes:
        chunk = os.pread(file, min(READ_BYTES, end - offset), offset)
        if digest is not None:
            digest.update(chunk)
        return chunk

    try:
        if offset < end:
            reading = loop.run_in_executor(None, read, offset)
        while reading is not None:
            chunk = await reading
            reading = None
            if not chunk:
                raise ContentMismatch("a stored file is shorter than its row says")
            offset += len(chunk)
            if offset < end:
                reading = loop.run_in_executor(None, read, offset)
            yield chunk
    finally:
        if reading is None or reading.done():
            os.close(file)
        else:  # the thread still reads
            reading.add_done_callback(lambda _: os.close(file))


def _close(opened: asyncio.Future[int]) -> None:
    """The asker left while the file was being opened."""
    if not opened.cancelled() and opened.exception() is None:
        os.close(opened.result())


async def _arriving(piece: Arriving, digest: Any) -> AsyncGenerator[bytes | memoryview]:
    source = piece.open()
    try:
        async for chunk in source:
            if digest is not None:
                digest.update(chunk)
            yield chunk
    finally:
        if (close := getattr(source, "aclose", None)) is not None:
            await close()
