"""Pieces are moved as they are, counted, and never ended cleanly when they are not whole."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from isthmus.errors import CountryTimedOut, NationalInfrastructureUnavailable
from isthmus.model.pieces import Arriving, FileRange, Mark, Piece
from isthmus.transport.answers import Answer
from isthmus.transport.inbound import Request
from isthmus.transport.pump import MayGoOn, Sent, pump


class Asker:
    """Takes what comes; hangs up when told."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.gone = asyncio.Event()

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    @property
    def body(self) -> bytes:
        return b"".join(bytes(m.get("body", b"")) for m in self.messages)

    @property
    def ended(self) -> bool:
        return bool(self.messages) and self.messages[-1].get("more_body") is False

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])


def request(method: str = "GET") -> Request:
    return Request(method, "/", (), {}, b"", "x-1", None, None, {})


def moved(body: Iterable[Piece], *, method: str = "GET", may_go_on: MayGoOn | None = None) -> tuple[Asker, Sent]:
    async def move() -> tuple[Asker, Sent]:
        asker = Asker()
        sent = await pump(Answer(200, (), body), request(method), asker.send, asker.receive, may_go_on=may_go_on)
        return asker, sent

    return asyncio.run(move())


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "container"
    path.write_bytes(bytes(range(256)) * 8192)
    return path


def two_instances(stored: Path, digests: tuple[str | None, str | None] = (None, None)) -> list[Piece]:
    return [
        b"--b\r\n\r\n",
        FileRange(str(stored), 5, 1_500_000),
        Mark("1.1", 1_500_000, digests[0]),
        b"\r\n--b\r\n\r\n",
        FileRange(str(stored), 100, 300),
        Mark("1.2", 300, digests[1]),
        b"\r\n--b--",
    ]


def test_pieces_arrive_as_they_are(stored: Path) -> None:
    content = stored.read_bytes()

    asker, sent = moved(iter(two_instances(stored)))

    assert asker.body == b"--b\r\n\r\n" + content[5:1_500_005] + b"\r\n--b\r\n\r\n" + content[100:400] + b"\r\n--b--"
    assert asker.ended
    assert (sent.complete, sent.instances, sent.bytes) == (True, 2, len(asker.body))


def test_the_digest_is_that_of_the_instances_digests(stored: Path) -> None:
    content = stored.read_bytes()
    digests = [hashlib.sha256(part) for part in (content[5:1_500_005], content[100:400])]
    expected = hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()

    _, unknown = moved(two_instances(stored))
    _, known = moved(two_instances(stored, (digests[0].hexdigest(), digests[1].hexdigest())))

    assert unknown.digest == known.digest == expected


def test_a_body_of_known_length_announces_it_and_another_does_not(stored: Path) -> None:
    pieces = two_instances(stored)

    listed, _ = moved(pieces)
    generated, _ = moved(iter(pieces))

    assert listed.headers[b"content-length"] == str(len(listed.body)).encode()
    assert b"content-length" not in generated.headers


@pytest.mark.fault("F45")
def test_a_proxy_is_asked_not_to_keep_a_streamed_answer(stored: Path) -> None:
    asker, _ = moved(two_instances(stored))

    assert asker.headers[b"x-accel-buffering"] == b"no"


def test_head_gets_the_length_and_no_body(stored: Path) -> None:
    asker, sent = moved(two_instances(stored), method="HEAD")

    assert (asker.body, sent.bytes, sent.complete) == (b"", 0, True)
    assert int(asker.headers[b"content-length"]) > 1_500_000


@pytest.mark.threat("T03")
def test_a_peer_suspended_meanwhile_is_cut_between_instances(stored: Path) -> None:
    async def no() -> bool:
        return False

    asker, sent = moved(two_instances(stored), may_go_on=no)

    assert (sent.complete, sent.why, sent.instances) == (False, "stopped", 1)
    assert not asker.ended


@pytest.mark.threat("T03")
def test_a_peer_suspended_meanwhile_is_cut_in_the_middle_of_an_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.transport.pump.ASK_S", 0.02)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"slow"
            await asyncio.sleep(0.005)

    async def no() -> bool:
        return False

    async def within() -> tuple[Asker, Sent]:
        async with asyncio.timeout(5):
            asker = Asker()
            answer = Answer(200, (), [Arriving(endless)])
            return asker, await pump(answer, request(), asker.send, asker.receive, may_go_on=no)

    asker, sent = asyncio.run(within())

    assert (sent.complete, sent.why) == (False, "stopped")
    assert not asker.ended
    assert asker.body.startswith(b"slow")


def test_a_file_that_is_not_there_fails_before_the_first_byte(tmp_path: Path) -> None:
    with pytest.raises(NationalInfrastructureUnavailable):
        moved((b"--b", FileRange(str(tmp_path / "none"), 0, 5)))


def test_a_file_shorter_than_said_is_never_ended_cleanly(stored: Path) -> None:
    asker, sent = moved([FileRange(str(stored), 0, stored.stat().st_size + 1)])

    assert (sent.complete, sent.why, asker.ended) == (False, "incomplete", False)


def test_what_breaks_off_while_arriving_is_told_with_its_reason() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"first"
        raise CountryTimedOut("silence")

    asker, sent = moved([Arriving(source)])

    assert (asker.body, asker.ended) == (b"first", False)
    assert (sent.complete, sent.why) == (False, "timed-out")


def test_what_fails_before_its_first_byte_can_still_be_answered() -> None:
    async def source() -> AsyncIterator[bytes]:
        for _ in range(1):
            raise CountryTimedOut("silence")
        yield b""

    with pytest.raises(CountryTimedOut):
        moved([b"head", Arriving(source)])


@pytest.mark.fault("F43")
def test_a_hang_up_stops_a_silent_source_and_cleans_up() -> None:
    closed = []

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)  # closing takes a moment too
            closed.append(True)

    async def move() -> Sent:
        asker = Asker()
        asyncio.get_running_loop().call_later(0.05, asker.gone.set)
        answer = Answer(200, (), (Arriving(source),))
        return await asyncio.wait_for(pump(answer, request(), asker.send, asker.receive), 1)

    sent = asyncio.run(move())

    assert (sent.complete, sent.why, sent.bytes) == (False, "hang-up", 5)
    assert closed == [True]


def test_a_cancelled_pump_closes_its_source() -> None:
    closed = []

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.sleep(60)
        finally:
            closed.append(True)

    async def move() -> None:
        asker = Asker()
        moving = asyncio.create_task(pump(Answer(200, (), (Arriving(source),)), request(), asker.send, asker.receive))
        await asyncio.sleep(0.05)
        moving.cancel()
        await asyncio.wait({moving})

    asyncio.run(move())

    assert closed == [True]
