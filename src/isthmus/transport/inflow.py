"""From the loop to a worker thread: the body of a request, read as it comes, with never more than a window of it waiting.

The counterpart of `line.py`. Whoever reads blocks a thread, never the loop; a sender that is faster waits in its own buffers.

Source: performance.md §3; field-faults F42.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Executor
from threading import Condition
from typing import Final, TypeVar

from isthmus.errors import MalformedRequest, TooLarge
from isthmus.transport.answers import Receive
from isthmus.transport.inbound import DRAIN_BYTES, DRAIN_S

WINDOW_BYTES: Final = 2 << 20
STALL_S: Final = 60.0  # how long a sender may be silent; the whole has no deadline

T = TypeVar("T")


class Cut(Exception):
    """The sender is gone, or we stop, before the body was whole."""


class Inflow:
    """A body as a thread reads it. `size_bytes` is what came so far."""

    def __init__(self, receive: Receive, limit_bytes: int) -> None:
        self._receive, self._limit_bytes = receive, limit_bytes
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []
        self._waiting = 0
        self._over: BaseException | bool = False
        self._news = Condition()
        self._room = asyncio.Event()
        self._room.set()
        self.size_bytes = 0
        self.whole = False  # every byte has been received

    def read(self) -> bytes:
        """Everything that waits, at least one byte; nothing at the end. Raises Cut, TooLarge, MalformedRequest."""
        with self._news:
            self._news.wait_for(lambda: self._held or self._over is not False)
            if not self._held:
                if isinstance(self._over, BaseException):
                    raise self._over
                return b""
            piece = b"".join(self._held)
            self._held.clear()
            self._waiting = 0
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._room.set)
        return piece

    async def fill(self) -> None:
        """Take what comes until it is over; how it was over is what the reader is told."""
        try:
            while not self.whole:
                await self._room.wait()
                async with asyncio.timeout(STALL_S):
                    message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise Cut
                self.whole = not message.get("more_body", False)
                self._put(message.get("body", b""))
            self._end(True)
        except TimeoutError:
            self._end(MalformedRequest("the body came too slowly", path="body"))
        except asyncio.CancelledError:
            self._end(Cut())
            raise
        except (Cut, TooLarge) as over:
            self._end(over)

    def _put(self, piece: bytes) -> None:
        self.size_bytes += len(piece)
        if self.size_bytes > self._limit_bytes:
            raise TooLarge("the body is too large", limit_bytes=self._limit_bytes)
        if not piece:
            return
        with self._news:
            self._held.append(piece)
            self._waiting += len(piece)
            if self._waiting >= WINDOW_BYTES:
                self._room.clear()
            self._news.notify()

    def _end(self, how: BaseException | bool) -> None:
        with self._news:
            self._over = how
            if isinstance(how, BaseException):
                self._held.clear()  # what is cut is not read to its end
            self._news.notify()


async def in_a_thread(inflow: Inflow, work: Callable[[Inflow], T], executor: Executor) -> T:
    """Let `work` read a body in a thread; gives, or raises, what it does. Cancelled, it waits until the thread has let go."""
    filling = asyncio.create_task(inflow.fill())
    working = asyncio.get_running_loop().run_in_executor(executor, work, inflow)
    try:
        return await asyncio.shield(working)
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
        await asyncio.gather(working, return_exceptions=True)


async def drained(receive: Receive) -> None:
    """Read past what is left of a body for a while, so that the asker hears the answer."""
    size, until, more = 0, time.monotonic() + DRAIN_S, True
    with contextlib.suppress(TimeoutError):
        while more and size < DRAIN_BYTES and (left_s := until - time.monotonic()) > 0:
            async with asyncio.timeout(left_s):
                message = await receive()
            more = message["type"] == "http.request" and message.get("more_body", False)
            size += len(message.get("body", b""))
