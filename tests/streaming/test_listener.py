"""What comes over a real socket: refused where it is hostile, cut where it hangs up, served where it is well."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import pytest

from isthmus.errors import SettingsProblem
from isthmus.model.pieces import Arriving, FileRange, Mark
from isthmus.transport import listeners
from isthmus.transport.answers import Answer, Receive, Send, answer_whole
from isthmus.transport.inbound import Inbound, Request
from isthmus.transport.listeners import Listener
from isthmus.transport.pump import Sent, pump

MIB = 1 << 20
GOOD = b"GET /good HTTP/1.1\r\nHost: node.test\r\n\r\n"


async def good(request: Request, send: Send, receive: Receive) -> None:
    await answer_whole(Answer(200, (), (b"good",)), request.method, send)


async def said(port: int, *raw: bytes, timeout_s: float = 8) -> bytes:
    """What the listener says to raw bytes, until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        for part in raw:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(timeout_s):
            while more := await reader.read(65536):
                answer += more
    except ConnectionError:
        pass
    finally:
        writer.close()
    return answer


async def first_line(port: int, raw: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    line = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    return line


HOSTILE: dict[str, tuple[bytes, bytes]] = {
    "absolute-form target": (b"GET http://node.test/good HTTP/1.1\r\nHost: node.test\r\n\r\n", b"400"),
    "CONNECT": (b"CONNECT node.test:443 HTTP/1.1\r\nHost: node.test\r\n\r\n", b"400"),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: node.test\r\n\r\n", b"400"),
    "WebSocket upgrade": (
        b"GET /good HTTP/1.1\r\nHost: node.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"400",
    ),
    "h2c upgrade": (
        b"GET /good HTTP/1.1\r\nHost: node.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        b"400",
    ),
    "h2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
    "both lengths": (
        b"POST /good HTTP/1.1\r\nHost: node.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"400",
    ),
    "two lengths": (
        b"POST /good HTTP/1.1\r\nHost: node.test\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"400",
    ),
    "two codings": (
        b"POST /good HTTP/1.1\r\nHost: node.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"400",
    ),
    "a line feed alone": (b"GET /good HTTP/1.1\nHost: node.test\n\n", b"400"),
    "a folded header": (b"GET /good HTTP/1.1\r\nHost: node.test\r\nX-A: a\r\n b\r\n\r\n", b"400"),
    "a blank before the colon": (b"GET /good HTTP/1.1\r\nHost : node.test\r\n\r\n", b"400"),
    "no request at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
    "no host": (b"GET /good HTTP/1.1\r\n\r\n", b"400"),
    "two hosts": (b"GET /good HTTP/1.1\r\nHost: node.test\r\nHost: other.test\r\n\r\n", b"400"),
    "another host": (b"GET /good HTTP/1.1\r\nHost: other.test\r\n\r\n", b"421"),
    "an escaped path": (b"GET /good%2f..%2fx HTTP/1.1\r\nHost: node.test\r\n\r\n", b"400"),
    "a header of 100 kB": (b"GET /good HTTP/1.1\r\nHost: node.test\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n", b"431"),
    "an address of 100 kB": (b"GET /good?a=" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: node.test\r\n\r\n", b"431"),
    "a hundred headers": (b"GET /good HTTP/1.1\r\nHost: node.test\r\n" + b"X-A: a\r\n" * 100 + b"\r\n", b"431"),
}


@pytest.mark.threat("T11")
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_request_is_refused_and_the_next_one_served(node: Any, what: str) -> None:
    raw, status = HOSTILE[what]

    async def run() -> None:
        async with node(good) as port:
            assert (await first_line(port, raw)).split()[1] == status
            assert b"200" in await first_line(port, GOOD)

    asyncio.run(run())


@pytest.mark.threat("T11")
def test_trailers_are_refused(node: Any) -> None:
    seen: list[Any] = []

    async def handle(request: Request, send: Send, receive: Receive) -> None:
        seen.append(request.headers)

    async def run() -> bytes:
        async with node(handle) as port:
            head = b"POST /x HTTP/1.1\r\nHost: node.test\r\nTransfer-Encoding: chunked\r\n\r\n"
            return await said(port, head + b"1\r\na\r\n0\r\nAuthorization: Bearer x\r\n\r\n")

    answer = asyncio.run(run())

    assert b" 400 " in answer
    assert seen == []


@pytest.mark.threat("T12")
def test_a_header_without_end_is_refused_early(node: Any) -> None:
    async def run() -> bytes:
        async with node(good) as port:
            return await said(port, b"GET /good HTTP/1.1\r\nHost: node.test\r\nX-A: ", *[b"a" * 65536] * 40)

    assert b" 431 " in asyncio.run(run())


@pytest.mark.threat("T12")
def test_slow_headers_end_the_connection(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "HEAD_S", 0.3)

    async def run() -> tuple[bytes, bytes, bytes]:
        async with node(good) as port:
            never = await said(port)
            partly = await said(port, b"GET /good HTTP/1.1\r\nHost: ")
            second = await said(port, GOOD, b"GET /go")
            return never, partly, second

    never, partly, second = asyncio.run(run())

    assert (never, partly) == (b"", b"")
    assert second.startswith(b"HTTP/1.1 200")


def test_a_body_of_64_mib_is_refused_and_the_next_request_served(node: Any) -> None:
    async def run() -> tuple[bytes, bytes]:
        async with node(good) as port:
            head = b"POST /x HTTP/1.1\r\nHost: node.test\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (
                64 * MIB
            )
            return await said(port, head, *[bytes(MIB)] * 64), await first_line(port, GOOD)

    refused, served = asyncio.run(run())

    assert refused.startswith(b"HTTP/1.1 413")
    assert b" 200 " in served


def test_a_connection_is_used_again_and_carries_the_exchange_id(node: Any) -> None:
    async def run() -> list[bytes]:
        async with node(good) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            answers = []
            for number in range(2):
                writer.write(b"GET /x HTTP/1.1\r\nHost: node.test\r\nX-Request-Id: x-%d\r\n\r\n" % number)
                answers.append(await reader.readuntil(b"good"))
            writer.close()
            return answers

    answers = asyncio.run(run())

    assert [b"x-request-id: x-%d" % n in answer for n, answer in enumerate(answers)] == [True, True]
    assert b"server:" not in answers[0]
    assert b"\r\ndate: " in answers[0]


def test_a_taken_port_is_said() -> None:
    async def run() -> None:
        first = Listener("border", good, "127.0.0.1", 0)
        second = Listener("border", good, "127.0.0.1", await first.start())
        try:
            with pytest.raises(SettingsProblem, match="cannot listen"):
                await second.start()
        finally:
            await first.stop()

    asyncio.run(run())


class Streaming:
    """A node that streams, and remembers how each answer ended."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.sent: list[Sent] = []
        self.ended = asyncio.Event()

    async def handle(self, request: Request, send: Send, receive: Receive) -> None:
        self.sent.append(await pump(self.answer(), request, send, receive))
        self.ended.set()


def large(tmp_path: Path, size: int = 256 * MIB) -> Any:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(size)
    return lambda: Answer(200, (), (FileRange(str(path), 0, size), Mark("1.2", size, "00" * 32)))


async def hang_up_after(port: int, size: int, *, reset: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GOOD)
    await reader.readexactly(size)
    if reset:
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort() if reset else writer.close()


@pytest.mark.fault("F43")
@pytest.mark.parametrize("reset", [False, True])
def test_a_hang_up_in_the_middle_stops_the_sending_within_a_second(node: Any, tmp_path: Path, reset: bool) -> None:
    async def run() -> Sent:
        streaming = Streaming(large(tmp_path))
        async with node(streaming.handle) as port:
            await hang_up_after(port, 2 * MIB, reset=reset)
            await asyncio.wait_for(streaming.ended.wait(), 1)
            return streaming.sent[0]

    sent = asyncio.run(run())

    assert (sent.complete, sent.why) == (False, "hang-up")
    assert sent.bytes < 64 * MIB


@pytest.mark.fault("F43")
def test_a_hang_up_is_noticed_while_the_source_is_silent(node: Any) -> None:
    closed = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.sleep(60)
        finally:
            closed.set()

    async def run() -> Sent:
        streaming = Streaming(lambda: Answer(200, (), (Arriving(source),)))
        async with node(streaming.handle) as port:
            await hang_up_after(port, 20, reset=False)
            await asyncio.wait_for(streaming.ended.wait(), 1)
            await asyncio.wait_for(closed.wait(), 1)
            return streaming.sent[0]

    assert asyncio.run(run()).why == "hang-up"


@pytest.mark.fault("F43")
def test_fifty_who_vanish_leave_no_task_behind(node: Any, tmp_path: Path) -> None:
    async def run() -> tuple[int, int]:
        streaming = Streaming(large(tmp_path))
        before = len(asyncio.all_tasks())
        async with node(streaming.handle) as port:
            await asyncio.gather(*(hang_up_after(port, MIB, reset=bool(n % 2)) for n in range(50)))
            async with asyncio.timeout(5):
                while len(streaming.sent) < 50:
                    await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)
        return before, len(asyncio.all_tasks())

    before, after = asyncio.run(run())

    assert after == before


def test_a_slow_reader_holds_the_sender_back(node: Any, tmp_path: Path) -> None:
    async def run() -> int:
        streaming = Streaming(large(tmp_path))
        reads = 0

        async def counted(request: Request, send: Send, receive: Receive) -> None:
            async def sending(message: Any) -> None:
                nonlocal reads
                reads += len(message.get("body", b""))
                await send(message)

            await streaming.handle(request, sending, receive)

        async with node(counted) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GOOD)
            await reader.readexactly(1000)
            await asyncio.sleep(0.5)
            taken = reads
            writer.close()
        return taken

    assert asyncio.run(run()) < 32 * MIB


@pytest.mark.parametrize("known", [True, False])
def test_an_answer_that_is_cut_is_seen_to_be_incomplete(node: Any, known: bool) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        raise ConnectionError("gone")

    async def run() -> bytes:
        streaming = Streaming(lambda: Answer(200, (("Content-Length", "5000"),) if known else (), (Arriving(source),)))
        async with node(streaming.handle) as port:
            return await said(port, GOOD)

    answer = asyncio.run(run())

    assert b"x" * 1000 in answer
    assert not answer.endswith(b"0\r\n\r\n")


def test_a_stalled_reader_is_cut(node: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.transport.pump.STALL_S", 0.2)

    async def run() -> Sent:
        streaming = Streaming(large(tmp_path))
        async with node(streaming.handle) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GOOD)
            await asyncio.wait_for(streaming.ended.wait(), 5)
            writer.close()
            return streaming.sent[0]

    assert asyncio.run(run()).why == "stalled"


def test_a_second_request_before_the_first_is_answered_does_not_hide_the_hang_up(node: Any, tmp_path: Path) -> None:
    async def run() -> list[Sent]:
        streaming = Streaming(large(tmp_path))
        async with node(streaming.handle) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GOOD + GOOD)
            await reader.readexactly(MIB)
            writer.close()
            await asyncio.wait_for(streaming.ended.wait(), 2)
            return streaming.sent

    sent = asyncio.run(run())

    assert [each.why for each in sent] == ["hang-up"]


def test_a_stopping_listener_lets_an_answer_end(node: Any) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(0.3)
        yield b"last"

    async def run() -> bytes:
        streaming = Streaming(lambda: Answer(200, (), (Arriving(source),)))
        async with node(streaming.handle) as port:
            asking = asyncio.create_task(said(port, GOOD))
            await asyncio.sleep(0.1)
        return await asking

    answer = asyncio.run(run())

    assert b"last" in answer
    assert answer.endswith(b"0\r\n\r\n")


@pytest.mark.requirement("SEC-01")
@pytest.mark.threat("T01")
def test_the_peers_certificate_is_in_hand_and_without_one_nothing_is_said(
    node: Any, authority: Any, ours: Any, theirs: Any
) -> None:
    seen: list[bytes | None] = []

    async def handle(request: Request, send: Send, receive: Receive) -> None:
        seen.append(request.peer_der)
        await good(request, send, receive)

    async def line(port: int, context: ssl.SSLContext) -> bytes:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(GOOD)
            return await reader.readline()
        except (ssl.SSLError, ConnectionError):
            return b""

    async def run() -> tuple[bytes, bytes]:
        async with node(handle, tls=lambda: context) as port:
            return await line(port, authority.client(theirs)), await line(port, authority.client(None))

    context = authority.server(ours)
    known, unknown = asyncio.run(run())

    assert b" 200 " in known
    assert unknown == b""
    assert seen == [theirs.der]


@pytest.mark.threat("T05")
def test_an_authority_that_is_no_longer_ours_is_refused_without_a_restart(
    node: Any, authority: Any, ours: Any, theirs: Any, tmp_path: Path
) -> None:
    other = type(authority)(tmp_path, "other authority")
    contexts = [authority.server(ours)]
    other_only = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    other_only.verify_mode = ssl.CERT_REQUIRED
    other_only.load_verify_locations(other.file)
    other_only.load_cert_chain(ours.pem)

    async def served(port: int) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=authority.client(theirs))
            writer.write(GOOD)
            answered = b" 200 " in await reader.readline()
            writer.close()
            return answered
        except (ssl.SSLError, ConnectionError):
            return False

    async def run() -> tuple[bool, bool]:
        async with node(good, tls=lambda: contexts[-1]) as port:
            before = await served(port)
            contexts.append(other_only)
            return before, await served(port)

    assert asyncio.run(run()) == (True, False)


@pytest.mark.threat("T03")
def test_who_is_not_trusted_any_more_keeps_no_connection_open(
    authority: Any, ours: Any, theirs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "UNWANTED_S", 0.1)
    trusted = [True]
    context = authority.server(ours)

    async def run() -> tuple[list[bytes], list[bytes]]:
        app = Inbound(good, hosts=frozenset({"node.test"}), render=lambda *_: Answer(400))
        listener = listeners.Listener(
            "border", app, "127.0.0.1", 0, tls=lambda: context, may_stay=lambda der: trusted[0] or der != theirs.der
        )
        port = await listener.start()
        opened = [
            await asyncio.open_connection("127.0.0.1", port, ssl=authority.client(who))
            for who in [theirs] * 50 + [ours]
        ]
        for _, writer in opened:
            writer.write(GOOD)
        before = [await reader.readuntil(b"\r\n\r\n") for reader, _ in opened]
        trusted[0] = False
        async with asyncio.timeout(10):
            after = [await reader.read() for reader, _ in opened[:-1]]
        opened[-1][1].write(GOOD)
        await opened[-1][0].readuntil(b"\r\n\r\n")
        await listener.stop(grace_s=1)
        return before, after

    before, after = asyncio.run(run())

    assert all(b" 200 " in answer for answer in before)
    assert len(after) == 50  # each read to its end: closed, the other country's stays
