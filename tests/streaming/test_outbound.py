"""Asking a peer: only the right key, every deadline but one on the whole, and answers that mean harm."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from isthmus.errors import (
    ContentMismatch,
    CountryMisanswered,
    CountryTimedOut,
    CountryUnreachable,
    IsthmusError,
    UntrustedCountry,
)
from isthmus.transport import listeners
from isthmus.transport.answers import Answer, Receive, Send, answer_whole
from isthmus.transport.inbound import Request
from isthmus.transport.outbound import Deadlines, Outbound, is_public, public_key_digest

MIB = 1 << 20
QUICK = Deadlines(connect_s=0.5, first_byte_s=0.5, idle_s=0.5)
HOST = {"Host": "node.test"}
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A foreign server on a real socket that says whatever a test wants, and counts its connections."""

    def __init__(self, authority: Any, identity: Any, talk: Talk) -> None:
        self._context, self._talk = authority.server(identity), talk
        self.connections = 0
        self.requests: list[bytes] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        try:
            yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (line := await reader.readline()).strip():
                self.requests.append(line)
                while (await reader.readline()).strip():
                    pass
                await self._talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()


def canned(*parts: bytes, pause_s: float = 0.0, close: bool = True) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        if close:
            writer.close()

    return talk


async def read(out: Outbound, url: str, pins: frozenset[str], limit_bytes: int = 20 * MIB, **more: Any) -> bytes:
    async with out.request(more.pop("method", "GET"), url, pins=pins, country="AA", **more) as response:
        return await response.read(limit_bytes)


@pytest.fixture
def asked(authority: Any, ours: Any, theirs: Any) -> Callable[..., bytes]:
    """What our client makes of a peer that talks so."""

    def ask(talk: Talk, deadlines: Deadlines = QUICK, **more: Any) -> bytes:
        async def run() -> bytes:
            out = Outbound(lambda: context, deadlines=deadlines)
            async with Peer(authority, ours, talk).running() as url:
                try:
                    return await read(out, url, ours.pins, **more)
                finally:
                    await out.close()

        context = authority.client(theirs)
        return asyncio.run(run())

    return ask


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK", size: int | None = None) -> bytes:
    length = b"Content-Length: %d" % (len(body) if size is None else size)
    return b"\r\n".join([b"HTTP/1.1 " + status, length, *headers, b"", body])


def test_an_answer_is_read(asked: Callable[..., bytes]) -> None:
    assert asked(canned(answer(b"hello"))) == b"hello"


def test_a_compressed_answer_is_inflated(asked: Callable[..., bytes]) -> None:
    body = b"manifest " * 10_000

    assert asked(canned(answer(gzip.compress(body), b"Content-Encoding: gzip"))) == body


HARMFUL: dict[str, tuple[bytes, type[IsthmusError], str]] = {
    "a redirect": (
        answer(b"", b"Location: https://127.0.0.1/", status=b"302 Found"),
        CountryMisanswered,
        "peer-response",
    ),
    "a gzip bomb": (
        answer(gzip.compress(bytes(300 * MIB), 9), b"Content-Encoding: gzip"),
        CountryMisanswered,
        "peer-limit",
    ),
    "more than the limit": (answer(bytes(21 * MIB)), CountryMisanswered, "peer-limit"),
    "an encoding nobody asked for": (answer(b"x", b"Content-Encoding: br"), CountryMisanswered, "peer-response"),
    "gzip that is none": (answer(b"xxxx", b"Content-Encoding: gzip"), CountryMisanswered, "peer-response"),
    "gzip cut short": (
        answer(gzip.compress(b"x" * 999)[:-9], b"Content-Encoding: gzip"),
        ContentMismatch,
        "incomplete",
    ),
    "something after gzip": (
        answer(gzip.compress(b"x") + b"y", b"Content-Encoding: gzip"),
        CountryMisanswered,
        "peer-response",
    ),
    "fewer bytes than announced": (answer(b"x", size=10), ContentMismatch, "incomplete"),
    "no closing chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ContentMismatch,
        "incomplete",
    ),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", CountryMisanswered, "peer-response"),
    "a head without end": (
        b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n",
        CountryMisanswered,
        "peer-response",
    ),
    "nothing": (b"", CountryUnreachable, "unreachable"),
}


@pytest.mark.threat("T57")
@pytest.mark.parametrize("what", HARMFUL)
def test_a_harmful_answer_is_an_error_of_its_own(asked: Callable[..., bytes], what: str) -> None:
    raw, kind, reason = HARMFUL[what]

    with pytest.raises(kind) as caught:
        asked(canned(raw))

    assert caught.value.reason == reason


def test_silence_before_the_first_byte_times_out(asked: Callable[..., bytes]) -> None:
    with pytest.raises(CountryTimedOut):
        asked(canned(b"", pause_s=3))


@pytest.mark.fault("F42")
def test_silence_in_the_middle_times_out(asked: Callable[..., bytes]) -> None:
    with pytest.raises(CountryTimedOut):
        asked(canned(answer(b"x" * 100, size=1000), b"y", pause_s=3))


@pytest.mark.fault("F42")
def test_a_slow_body_longer_than_every_deadline_arrives(asked: Callable[..., bytes]) -> None:
    parts = [b"x" * 1000] * 20
    began = time.perf_counter()

    body = asked(canned(answer(b"", size=20_000), *parts, pause_s=0.1))

    assert len(body) == 20_000
    assert time.perf_counter() - began > 1.5


def test_an_address_where_nobody_listens_is_unreachable(authority: Any, ours: Any, theirs: Any) -> None:
    async def run() -> None:
        out = Outbound(lambda: context, deadlines=QUICK)
        try:
            await read(out, "https://127.0.0.1:9/x", ours.pins)
        finally:
            await out.close()

    context = authority.client(theirs)
    with pytest.raises(CountryUnreachable):
        asyncio.run(run())


@pytest.mark.threat("T02")
def test_a_server_with_another_key_hears_not_one_byte(authority: Any, ours: Any, theirs: Any) -> None:
    peer = Peer(authority, ours, canned(answer(b"x")))

    async def run() -> None:
        out = Outbound(lambda: context)
        async with peer.running() as url:
            try:
                await read(out, url, theirs.pins)
            finally:
                await out.close()

    context = authority.client(theirs)
    with pytest.raises(UntrustedCountry):
        asyncio.run(run())

    assert peer.requests == []


def test_a_server_of_another_authority_is_untrusted(authority: Any, ours: Any, theirs: Any, tmp_path: Any) -> None:
    stranger = type(authority)(tmp_path, "stranger")
    rogue = stranger.issue("rogue")

    async def run() -> None:
        out = Outbound(lambda: context)
        async with Peer(stranger, rogue, canned(answer(b"x"))).running() as url:
            try:
                await read(out, url, rogue.pins)
            finally:
                await out.close()

    context = authority.client(theirs)
    with pytest.raises(UntrustedCountry):
        asyncio.run(run())


@pytest.mark.threat("T01")
def test_a_server_that_refuses_our_certificate_is_explained(authority: Any, ours: Any) -> None:
    async def run() -> None:
        out = Outbound(lambda: context)
        async with Peer(authority, ours, canned(answer(b"x"))).running() as url:
            try:
                await read(out, url, ours.pins)
            finally:
                await out.close()

    context = authority.client(None)
    with pytest.raises(CountryUnreachable, match="refused client certificate"):
        asyncio.run(run())


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x", "https://aa@127.0.0.1/x", "https:///x", "ftp://127.0.0.1/x", "https://127.0.0.1/x#y"]
)
def test_an_address_that_is_no_peers_is_not_asked(authority: Any, ours: Any, theirs: Any, url: str) -> None:
    context = authority.client(theirs)

    with pytest.raises(UntrustedCountry):
        asyncio.run(read(Outbound(lambda: context), url, ours.pins))


def test_without_a_key_in_the_list_nobody_is_asked(authority: Any, theirs: Any) -> None:
    context = authority.client(theirs)

    with pytest.raises(UntrustedCountry):
        asyncio.run(read(Outbound(lambda: context), "https://127.0.0.1:9/x", frozenset()))


@pytest.mark.threat("T56")
@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fe80::1%eth0", "64:ff9b::7f00:1", "2002:7f00:1::", "fc00::1"],
)
def test_an_address_inside_is_not_public(authority: Any, ours: Any, theirs: Any, address: str) -> None:
    context = authority.client(theirs)
    host = f"[{address.partition('%')[0]}]" if ":" in address else address

    assert not is_public(address)
    with pytest.raises(UntrustedCountry):
        asyncio.run(read(Outbound(lambda: context, public_only=True), f"https://{host}/x", ours.pins))


def test_an_address_of_the_open_internet_is_public() -> None:
    assert is_public("2606:4700::1111")
    assert is_public("9.9.9.9")


def test_a_name_that_leads_inside_is_not_connected_to(authority: Any, ours: Any, theirs: Any) -> None:
    context = authority.client(theirs)

    async def run() -> None:
        out = Outbound(lambda: context, public_only=True)
        try:
            await read(out, "https://localhost:9/x", ours.pins)
        finally:
            await out.close()

    with pytest.raises(CountryUnreachable):
        asyncio.run(run())


def dying_once(peer: list[Peer]) -> Talk:
    """The second request finds its connection gone; the others are answered."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(3)
        if len(peer[0].requests) == 2:
            writer.transport.abort()
            return
        writer.write(answer(b"found"))
        await writer.drain()

    return talk


@pytest.mark.fault("F44")
@pytest.mark.parametrize("retry", [True, False])
def test_a_search_that_met_a_dying_connection_is_repeated_once(
    authority: Any, ours: Any, theirs: Any, retry: bool
) -> None:
    peers: list[Peer] = []
    peers.append(Peer(authority, ours, dying_once(peers)))

    async def run() -> bytes:
        out = Outbound(lambda: context)
        async with peers[0].running() as url:
            try:
                await read(out, url, ours.pins, method="POST", body=b"a=1", headers=HOST)
                return await read(out, url, ours.pins, method="POST", body=b"a=1", headers=HOST, retry_once=retry)
            finally:
                await out.close()

    context = authority.client(theirs)
    if retry:
        assert asyncio.run(run()) == b"found"
        assert (len(peers[0].requests), peers[0].connections) == (3, 2)
    else:
        with pytest.raises(CountryUnreachable):
            asyncio.run(run())
        assert len(peers[0].requests) == 2


@pytest.mark.fault("F44")
def test_our_client_lets_go_of_a_connection_before_our_server_does() -> None:
    from isthmus.transport import outbound

    assert outbound.IDLE_POOL_S + 30 < listeners.IDLE_S


def test_a_connection_is_used_again_and_a_stream_left_early_is_not(
    node: Any, authority: Any, ours: Any, theirs: Any
) -> None:
    clients: list[Any] = []

    async def handle(request: Request, send: Send, receive: Receive) -> None:
        clients.append(request.scope["client"])
        await answer_whole(Answer(200, (), (bytes(4 * MIB),)), request.method, send)

    async def run() -> list[int]:
        out = Outbound(lambda: client)
        sizes = []
        async with node(handle, tls=lambda: server) as port:
            url = f"https://127.0.0.1:{port}/x"
            for _ in range(2):
                await read(out, url, ours.pins, headers=HOST)
            async with out.request("GET", url, headers=HOST, pins=ours.pins, country="AA") as response:
                async for chunk in response.stream():
                    sizes.append(len(chunk))
                    break
            async with out.request("GET", url, headers=HOST, pins=ours.pins, country="AA") as response:
                sizes += [len(chunk) async for chunk in response.stream()]
            await out.close()
        return sizes

    client, server = authority.client(theirs), authority.server(ours)
    sizes = asyncio.run(run())

    assert max(sizes) <= 256 << 10
    assert clients[0] == clients[1] == clients[2]
    assert clients[3] != clients[2]


def test_no_cookie_is_carried_into_the_next_request(authority: Any, ours: Any, theirs: Any) -> None:
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"x", b"Set-Cookie: session=professional"))

    class Listening(Peer):
        async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in range(2):
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                await talk(reader, writer)

    async def run() -> None:
        out = Outbound(lambda: context)
        async with Listening(authority, ours, talk).running() as url:
            for _ in range(2):
                await read(out, url, ours.pins)
            await out.close()

    context = authority.client(theirs)
    asyncio.run(run())

    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()
    assert b"user-agent" not in heads[1].lower()


def test_a_key_taken_from_the_list_ends_the_kept_connections(authority: Any, ours: Any, theirs: Any) -> None:
    async def run() -> None:
        out = Outbound(lambda: context)
        async with Peer(authority, ours, canned(answer(b"x"), close=False)).running() as url:
            try:
                await read(out, url, ours.pins)
                await read(out, url, theirs.pins)
            finally:
                await out.close()

    context = authority.client(theirs)
    with pytest.raises(UntrustedCountry):
        asyncio.run(run())


def test_the_pin_is_that_of_the_key_and_not_of_the_certificate(authority: Any, ours: Any) -> None:
    assert len(public_key_digest(ours.der)) == 43
    assert public_key_digest(ours.der) == next(iter(ours.pins))


@pytest.mark.threat("T03")
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_an_answer_is_read_no_further_when_its_country_is_not_trusted_any_more(
    packed: bool, authority: Any, ours: Any, theirs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.transport.outbound.STILL_S", 0.0)
    seen: list[bytes | None] = []

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        coding = b"Content-Encoding: gzip\r\n" if packed else b""
        writer.write(b"HTTP/1.1 200 OK\r\n" + coding + b"Content-Length: 1000000\r\n\r\n")
        body = gzip.compress(os.urandom(1000000), 1) if packed else bytes(1000000)
        for start in range(0, len(body), 1000):
            writer.write(body[start : start + 1000])
            await writer.drain()
            await asyncio.sleep(0.002)

    def still(der: bytes | None) -> bool:
        seen.append(der)
        return len(seen) < 3

    async def run() -> None:
        async with Peer(authority, theirs, trickle).running() as url:
            outbound = Outbound(lambda: authority.client(ours))
            try:
                async with outbound.request("GET", url, pins=theirs.pins, country="AA", still=still) as answer:
                    await answer.read(2_000_000)
            finally:
                await outbound.close()

    with pytest.raises(UntrustedCountry):
        asyncio.run(run())
    assert seen == [theirs.der] * 3
