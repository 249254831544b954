"""Pieces that a thread makes, given to the loop."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing

import pytest

from isthmus.transport.line import WINDOW_BYTES, Sink, as_it_comes

pytestmark = pytest.mark.anyio
PIECE = WINDOW_BYTES // 4


async def test_pieces_come_in_their_order_and_then_the_error() -> None:
    async def work(sink: Sink) -> None:
        await asyncio.to_thread(lambda: [sink(bytes([n])) for n in range(5)])
        raise ValueError("the sixth")

    pieces = as_it_comes(work)
    came = [await anext(pieces) for _ in range(5)]
    with pytest.raises(ValueError, match="the sixth"):
        await anext(pieces)

    assert came == [bytes([n]) for n in range(5)]


async def test_no_more_than_a_window_waits_for_a_slow_taker() -> None:
    made = 0

    async def work(sink: Sink) -> None:
        def make() -> None:
            nonlocal made
            for _ in range(20):
                sink(bytes(PIECE))
                made += 1

        await asyncio.to_thread(make)

    taken = 0
    async with aclosing(as_it_comes(work)) as pieces:
        async for _ in pieces:
            taken += 1
            await asyncio.sleep(0.02)
            assert made - taken <= 5

    assert (made, taken) == (20, 20)


async def test_left_early_the_thread_is_let_go() -> None:
    ended = threading.Event()

    async def work(sink: Sink) -> None:
        def make() -> None:
            try:
                while True:
                    sink(bytes(PIECE))
            except TimeoutError:
                ended.set()

        await asyncio.to_thread(make)

    async with aclosing(as_it_comes(work)) as pieces:
        async for _ in pieces:
            break

    assert await asyncio.to_thread(ended.wait, 5)
