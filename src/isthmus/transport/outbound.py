"""Requests to peers: only to the key the trust list names, with deadlines on connecting, the first byte and silence.

No redirect, no cookie, no proxy, nothing of the environment. The key is compared before a byte leaves. One pool a peer; when its
address, its keys or our TLS context change, the next request opens a new one and the old ends with its last answer.

Source: trust.md §2.8, T55 to T57; stack.md §3.4; field-faults F42, F44.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import ipaddress
import socket
import ssl
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from yarl import URL

from isthmus.errors import (
    ContentMismatch,
    CountryMisanswered,
    CountryTimedOut,
    CountryUnreachable,
    IsthmusError,
    UntrustedCountry,
)

CHUNK_BYTES = 256 << 10
RATIO = 100
RATIO_FROM_BYTES = 1 << 20
POOL = 64
STILL_S = 1.0  # how often it is asked, while an answer arrives, whether its country is still trusted
IDLE_POOL_S = 15.0  # shorter than any server's (listeners.py): F44
_GZIP = 31  # zlib's name for the gzip wrapper


def public_key_digest(der: bytes) -> str:
    """SHA-256 of a certificate's SubjectPublicKeyInfo, base64url without padding: what the trust list pins."""
    key = x509.load_der_x509_certificate(der).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(spki).digest()).rstrip(b"=").decode()


class _Pins(aiohttp.Fingerprint):
    """Compares the server's key; aiohttp asks before it sends."""

    def __init__(self, pins: frozenset[str]) -> None:
        super().__init__(bytes(32))
        self._pins = pins

    def check(self, transport: asyncio.Transport) -> None:
        connection = transport.get_extra_info("ssl_object")
        der = connection.getpeercert(binary_form=True) if connection else None
        if der is None or public_key_digest(der) not in self._pins:
            raise aiohttp.ServerFingerprintMismatch(b"", b"", "", 0)


class _PublicResolver(AbstractResolver):
    """Resolves to public addresses alone; a second line behind the list of origins. Source: trust.md §2.8, T56."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not all(is_public(each["host"]) for each in found):
            raise OSError(None, "not a public address")
        return found

    async def close(self) -> None:
        await self._inner.close()


_TUNNELS = tuple(ipaddress.ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "::ffff:0:0/96"))


def is_public(address: str) -> bool:
    """Whether an address is one of the open internet; the tunnels that lead back inside are not."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    return ip.is_global and not ip.is_multicast and not any(ip in net for net in _TUNNELS if net.version == ip.version)


@dataclass(frozen=True)
class Deadlines:
    """In seconds. There is none on the whole. Source: field-faults F42."""

    connect_s: float = 3.0
    first_byte_s: float = 10.0
    idle_s: float = 30.0


Still = Callable[[bytes | None], bool]


class Response:
    """A peer's answer, its head read, its body still arriving."""

    def __init__(self, answer: aiohttp.ClientResponse, country: str, still: Still | None = None) -> None:
        self._answer, self._country, self._still = answer, country, still
        self._shown = _certificate(answer)
        self.status = answer.status
        self.headers: Mapping[str, str] = {
            name.lower(): ", ".join(answer.headers.getall(name)) for name in answer.headers
        }

    def __repr__(self) -> str:
        return f"Response({self.status}, {self._country})"

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body, inflated. Raises CountryMisanswered (peer-limit), ContentMismatch (incomplete), CountryTimedOut."""
        parts, size = [], 0
        async with contextlib.aclosing(self._plain()) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit_bytes:
                    raise self._too_much("the answer is too large")
                parts.append(chunk)
        return b"".join(parts)

    async def stream(self) -> AsyncGenerator[bytes]:
        """The body as it arrives, in chunks of at most 256 KiB. Left early, the connection is closed and not used again."""
        async with contextlib.aclosing(self._plain()) as chunks:
            async for chunk in chunks:
                for start in range(0, len(chunk), CHUNK_BYTES):
                    yield chunk[start : start + CHUNK_BYTES] if len(chunk) > CHUNK_BYTES else chunk

    async def _plain(self) -> AsyncGenerator[bytes]:
        coding = self.headers.get("content-encoding", "identity").strip().lower()
        with _told(self._country, begun=True):
            if coding == "identity":
                async for chunk in self._chunks():
                    yield chunk
            elif coding in ("gzip", "x-gzip"):
                async with contextlib.aclosing(self._inflated()) as chunks:
                    async for chunk in chunks:
                        yield chunk
            else:
                raise CountryMisanswered("an encoding nobody asked for", country=self._country, path="Content-Encoding")

    async def _chunks(self) -> AsyncGenerator[bytes]:
        """What arrives, while it may: a country that is suspended, or whose key is revoked, meanwhile is heard no further."""
        due = 0.0
        async for chunk in self._answer.content.iter_any():
            now = asyncio.get_running_loop().time()
            if self._still is not None and now >= due:
                due = now + STILL_S
                if not self._still(self._shown):
                    raise UntrustedCountry("the country is not trusted any more", country=self._country)
            yield chunk

    async def _inflated(self) -> AsyncGenerator[bytes]:
        inflater, came, made = zlib.decompressobj(_GZIP), 0, 0
        async for chunk in self._chunks():
            came += len(chunk)
            while chunk and not inflater.eof:
                plain = inflater.decompress(chunk, CHUNK_BYTES)
                chunk = inflater.unconsumed_tail
                made += len(plain)
                if made > RATIO_FROM_BYTES and made > RATIO * came:
                    raise self._too_much("the answer inflates beyond measure")
                yield plain
            if inflater.unused_data:
                raise CountryMisanswered("bytes after the end", country=self._country, path="Content-Encoding")
        if not inflater.eof:
            raise ContentMismatch("the answer broke off", country=self._country)

    def _too_much(self, words: str) -> CountryMisanswered:
        return CountryMisanswered(words, reason="peer-limit", country=self._country)


class _Pool:
    """One peer's connections, for one address, set of keys and TLS context."""

    def __init__(self, pins: frozenset[str] | None, public_only: bool) -> None:
        self.users = 0
        self.retired = False
        resolver = _PublicResolver() if public_only else None
        checked = True if pins is None else _Pins(pins)
        connector = aiohttp.TCPConnector(ssl=checked, limit=POOL, keepalive_timeout=IDLE_POOL_S, resolver=resolver)
        self.session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            read_bufsize=CHUNK_BYTES,
            skip_auto_headers=("User-Agent", "Content-Type", "Accept-Encoding"),
        )

    async def retire(self) -> None:
        """No request enters any more; it ends with its last answer."""
        self.retired = True
        if not self.users:
            await self.session.close()

    async def leave(self) -> None:
        self.users -= 1
        if self.retired and not self.users:
            await self.session.close()


class Outbound:
    """Our client. `context` gives the TLS context of now: our certificate, the list's authorities, TLS 1.3.

    `public_only` (prod) refuses addresses that are not of the open internet. `pinned=False` is for what is signed itself, the
    trust list: its server needs a certificate that `context` verifies, and no pin.
    """

    def __init__(
        self,
        context: Callable[[], ssl.SSLContext],
        *,
        public_only: bool = False,
        pinned: bool = True,
        deadlines: Deadlines = Deadlines(),
    ) -> None:
        self._context, self._public_only, self._deadlines = context, public_only, deadlines
        self._pinned = pinned
        self._pools: dict[str, tuple[frozenset[str], ssl.SSLContext, _Pool]] = {}

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        pins: frozenset[str],
        country: str,
        retry_once: bool = False,
        first_byte_s: float | None = None,
        still: Still | None = None,
    ) -> AsyncIterator[Response]:
        """Ask, and give the answer with its head read. `still` says of the server's certificate whether its body may be read on.

        `retry_once`: a request that got no byte back on a kept connection is repeated once on a new one; only for what may be
        asked twice. Raises CountryUnreachable, CountryTimedOut, UntrustedCountry, CountryMisanswered.
        """
        target = self._checked(url, pins, country)
        sending = {"Accept-Encoding": "gzip", **{name.title(): value for name, value in (headers or {}).items()}}
        wait_s = first_byte_s or self._deadlines.first_byte_s
        pool = await self._enter(target, pins)
        try:
            try:
                answer = await self._ask(pool, method, target, sending, body, wait_s, country)
            except _NoByte as error:
                if not retry_once:
                    raise error.problem from error
                await self._retire(str(target.origin()))
                await pool.leave()
                pool = await self._enter(target, pins)
                try:
                    answer = await self._ask(pool, method, target, sending, body, wait_s, country)
                except _NoByte as again:
                    raise again.problem from again
            try:
                unchanged = answer.status == 304 and "If-None-Match" in sending
                if 300 <= answer.status < 400 and not unchanged:
                    raise CountryMisanswered("the answer points elsewhere", country=country, path="status")
                yield Response(answer, country, still)
            finally:
                if answer.content.at_eof() and answer.content.exception() is None:
                    answer.release()
                else:
                    answer.close()
        finally:
            await pool.leave()

    async def close(self) -> None:
        for origin in list(self._pools):
            await self._retire(origin)

    async def _ask(
        self,
        pool: _Pool,
        method: str,
        target: URL,
        headers: Mapping[str, str],
        body: bytes | None,
        wait_s: float,
        country: str,
    ) -> aiohttp.ClientResponse:
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=self._deadlines.connect_s, sock_read=max(wait_s, self._deadlines.idle_s)
        )
        with _told(country, begun=False):
            async with asyncio.timeout(self._deadlines.connect_s + wait_s):
                return await pool.session.request(
                    method,
                    target,
                    headers=headers,
                    data=body,
                    ssl=self._context(),
                    allow_redirects=False,
                    timeout=limits,
                )

    def _checked(self, url: str, pins: frozenset[str], country: str) -> URL:
        target = URL(url, encoded=True)
        if target.scheme != "https" or not target.host or target.user is not None or target.fragment:
            raise UntrustedCountry("not an address of a peer", country=country)
        if not pins and self._pinned:
            raise UntrustedCountry("the trust list names no key for this server", country=country)
        if self._public_only:
            with contextlib.suppress(ValueError):
                if not is_public(target.host):
                    raise UntrustedCountry("not a public address", country=country)
        return target

    async def _enter(self, target: URL, pins: frozenset[str]) -> _Pool:
        origin, context = str(target.origin()), self._context()
        held = self._pools.get(origin)
        if held is None or held[0] != pins or held[1] is not context:
            old = self._pools.pop(origin, None)
            context.set_alpn_protocols(["http/1.1"])
            held = self._pools[origin] = (pins, context, _Pool(pins if self._pinned else None, self._public_only))
            held[2].users += 1  # before anything waits: another request may come meanwhile
            if old is not None:
                await old[2].retire()
            return held[2]
        held[2].users += 1
        return held[2]

    async def _retire(self, origin: str) -> None:
        held = self._pools.pop(origin, None)
        if held is not None:
            await held[2].retire()


def _certificate(answer: aiohttp.ClientResponse) -> bytes | None:
    """What the server showed; None when the connection is gone already, with a body that came whole."""
    transport = answer.connection.transport if answer.connection is not None else None
    connection = transport.get_extra_info("ssl_object") if transport is not None else None
    shown: bytes | None = connection.getpeercert(binary_form=True) if connection is not None else None
    return shown


class _NoByte(Exception):
    """The connection ended before a byte of the answer came."""

    def __init__(self, problem: IsthmusError) -> None:
        super().__init__(str(problem))
        self.problem = problem


@contextlib.contextmanager
def _told(country: str, *, begun: bool) -> Iterator[None]:
    """The library's errors as ours; `begun`: the answer's head has come."""
    try:
        yield
    except (aiohttp.ServerFingerprintMismatch, aiohttp.ClientSSLError) as error:
        raise UntrustedCountry("the server does not show a key of this country", country=country) from error
    except aiohttp.ConnectionTimeoutError as error:
        raise CountryUnreachable("no connection in time", country=country) from error
    except aiohttp.ClientConnectorError as error:
        raise CountryUnreachable("no connection", country=country) from error
    except TimeoutError as error:
        raise CountryTimedOut("connected, then silence", country=country) from error
    except aiohttp.ClientPayloadError as error:
        raise ContentMismatch("the answer broke off", country=country) from error
    except (aiohttp.ClientConnectionError, OSError) as error:
        if begun:
            raise ContentMismatch("the answer broke off", country=country) from error
        raise _NoByte(
            CountryUnreachable(
                "the connection ended without an answer (a refused client certificate looks like this)", country=country
            )
        ) from error
    except zlib.error as error:
        raise CountryMisanswered("not gzip", country=country, path="Content-Encoding") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise CountryMisanswered("not an answer", country=country) from error
