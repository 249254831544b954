"""From a worker thread to the loop: what a thread makes, given as it comes, with never more than a window of it waiting."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from threading import Condition
from typing import Any, Final

WINDOW_BYTES: Final = 4 << 20
TAKEN_S: Final = 60.0  # how long what is there may wait for being taken

Sink = Callable[[bytes], object]


async def as_it_comes(work: Callable[[Sink], Coroutine[Any, Any, object]]) -> AsyncGenerator[bytes]:
    """Give the pieces that `work` puts into a sink of ours from its thread. Left early, the work is cancelled.

    Raises what the work raises, also in the middle; TimeoutError, inside the work, when nobody takes what is made.
    """
    line = _Line()
    working = asyncio.ensure_future(work(line.put))
    working.add_done_callback(lambda _: line.news.set())
    try:
        while True:
            ended = working.done()
            if (piece := line.take()) is not None:
                yield piece
            elif ended:
                break
            else:
                await line.news.wait()
        await working
    finally:
        line.close()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


class _Line:
    """The pieces on their way."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._closed = False
        self._room = Condition()
        self.news = asyncio.Event()

    def put(self, piece: bytes) -> None:
        with self._room:
            free = self._room.wait_for(lambda: self._closed or self._size < WINDOW_BYTES, TAKEN_S)
            if self._closed or not free:
                raise TimeoutError("nobody takes what is made")
            self._pieces.append(piece)
            self._size += len(piece)
            self._loop.call_soon_threadsafe(self.news.set)

    def take(self) -> bytes | None:
        with self._room:
            self.news.clear()
            if not self._pieces:
                return None
            piece = self._pieces.popleft()
            self._size -= len(piece)
            self._room.notify()
            return piece

    def close(self) -> None:
        """Whoever waits for room is let go, with an error."""
        with self._room:
            self._closed = True
            self._pieces.clear()
            self._room.notify()


async def begun(source: AsyncIterator[bytes | memoryview], size_bytes: int) -> bytes:
    """The first bytes of a stream: as many as asked for, unless it ends before. What is left still comes from the stream."""
    parts: list[bytes | memoryview] = []
    held = 0
    while held < size_bytes and (chunk := await anext(source, None)) is not None:
        parts.append(chunk)
        held += len(chunk)
    return b"".join(parts)


async def replayed(head: bytes, rest: AsyncIterator[bytes | memoryview]) -> AsyncGenerator[bytes | memoryview]:
    """A stream that was begun, from its first byte; left early, what is behind it is closed."""
    try:
        if head:
            yield head
        async for chunk in rest:
            yield chunk
    finally:
        if (close := getattr(rest, "aclose", None)) is not None:
            await close()
