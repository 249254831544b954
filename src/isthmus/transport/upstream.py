"""HTTP requests to what lies behind Country A: a PACS, a FHIR repository, a national repository of audit
events. Inside the country, named in the settings, never by a peer.

No redirect is followed, no cookie kept, no proxy taken from the environment. What an answer was packed with is unpacked here and none of
its headers is passed on. Back-pressure is the socket's: nothing is read that nobody takes.

Source: interfaces.md §7; trust.md T56, T83; field-faults F42, F46.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
from yarl import URL

from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.sources import Source
from isthmus.transport.allowance import Allowance
from isthmus.transport.tls import asking_context

CHUNK_BYTES = 256 << 10
CONNECT_S, ATTEMPTS = 3.0, 2
MAX_BODY_BYTES = 64 << 20
RETRY_MAX_S = 3600.0

Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was read whole. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Streaming:
    """An answer whose body is still arriving."""

    def __init__(self, answer: aiohttp.ClientResponse, name: str) -> None:
        self._answer, self._name = answer, name
        self.status = answer.status
        self.headers: Mapping[str, str] = {key.lower(): value for key, value in answer.headers.items()}

    @property
    def delimited(self) -> bool:
        """Whether the end of the body shows; else a body that broke off looks like a whole one."""
        return "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "").lower()

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body in pieces. Raises NationalInfrastructureUnavailable when it breaks off."""
        try:
            async for chunk in self._answer.content.iter_chunked(CHUNK_BYTES):
                yield chunk
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise NationalInfrastructureUnavailable(f"{self._name} broke off its answer") from error

    async def read(self, allowance: Allowance, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
        """The whole body. Raises NationalInfrastructureUnavailable over the limit, and over what the question may still cost."""
        parts, size, limit = [], 0, min(limit_bytes, allowance.left_bytes)
        async with contextlib.aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    what = "an answer" if limit == limit_bytes else "a question, over all its answers"
                    raise NationalInfrastructureUnavailable(
                        f"{self._name} sends more bytes than are taken for {what}", limit_bytes=limit
                    )
                parts.append(chunk)
        allowance.took(size)
        return b"".join(parts)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """After how many seconds to come back, as an answer says: a number, or a date beside its own. Source: RFC 9110 §10.2.3."""
    said = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", said):
        return min(float(said), RETRY_MAX_S)
    try:
        wait = parsedate_to_datetime(said) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return min(max(wait.total_seconds(), 0.0), RETRY_MAX_S)


class Upstream:
    """One source by HTTP: at most `source.parallel` requests at a time, each with deadlines on connecting, on its head and on silence."""

    def __init__(self, source: Source, path: Callable[[str], Path]) -> None:
        self.source = source
        self._path = path
        self._turns = asyncio.Semaphore(max(1, source.parallel))
        self._session: aiohttp.ClientSession | None = None

    def allowance(self) -> Allowance:
        """What one question to this source may cost."""
        return Allowance(self.source.name, self.source.search_s)

    async def get(
        self, path: str, parameters: Parameters = (), *, accept: str, allowance: Allowance | None = None
    ) -> Reply:
        """Ask and read the whole answer; a connection that broke before an answer is tried once more, silence is not.

        `allowance`: of a question that takes more than this one request.
        """
        cost = self.allowance() if allowance is None else allowance
        for attempt in range(ATTEMPTS):
            try:
                async with self.stream(path, parameters, accept=accept, allowance=cost) as answer:
                    return Reply(answer.status, answer.headers, await answer.read(cost))
            except NationalInfrastructureUnavailable as error:
                silent = isinstance(error.__cause__, TimeoutError)
                if attempt + 1 == ATTEMPTS or silent or cost.spent or "limit_bytes" in error.facts:
                    raise
        raise AssertionError("unreachable")

    async def post(self, path: str, body: bytes, *, content_type: str, accept: str) -> Reply:
        """Hand something over, once, and read what is said to it. Raises NationalInfrastructureUnavailable."""
        cost, headers = self.allowance(), {"Accept": accept, "Content-Type": content_type}
        async with self._turns, cost.running():
            try:
                async with asyncio.timeout(self.source.search_s):
                    answer = await self._entered().post(
                        self._url(path, ()), data=body, headers=headers, allow_redirects=False
                    )
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                raise NationalInfrastructureUnavailable(f"{self.source.name} does not answer: {_why(error)}") from error
            try:
                reply = Streaming(answer, self.source.name)
                return Reply(reply.status, reply.headers, await reply.read(cost))
            finally:
                answer.close() if not answer.content.at_eof() else answer.release()

    @contextlib.asynccontextmanager
    async def stream(
        self,
        path: str,
        parameters: Parameters = (),
        *,
        accept: str,
        plain: bool = False,
        allowance: Allowance | None = None,
    ) -> AsyncIterator[Streaming]:
        """Ask, and have the body as it arrives; leaving closes the connection. Raises NationalInfrastructureUnavailable.

        `plain` asks for it unpacked: of images packing takes a source longer than sending. Without an `allowance` the body may take as
        long as it takes, while it is not silent; its head may not.
        """
        headers = {"Accept": accept, **({"Accept-Encoding": "identity"} if plain else {})}
        whole = allowance.running() if allowance is not None else contextlib.nullcontext()
        async with self._turns, whole:
            try:
                async with asyncio.timeout(self.source.search_s):
                    answer = await self._entered().get(
                        self._url(path, parameters), headers=headers, allow_redirects=False
                    )
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                raise NationalInfrastructureUnavailable(f"{self.source.name} does not answer: {_why(error)}") from error
            try:
                yield Streaming(answer, self.source.name)
            finally:
                answer.close() if not answer.content.at_eof() else answer.release()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _url(self, path: str, parameters: Parameters) -> URL:
        """An address below the base, or a whole one of the same origin: a source leads nobody elsewhere."""
        base = self.source.url.rstrip("/")
        url = URL(path) if "://" in path else URL(f"{base}/{path}" if path else base)
        if url.origin() != URL(base).origin():
            raise NationalInfrastructureUnavailable(f"{self.source.name} names an address that is not its own")
        if not parameters:
            return url
        query = urlencode(parameters, quote_via=quote, safe="")  # a blank as %20: not everybody reads a plus as one
        return URL(f"{url}{'&' if url.raw_query_string else '?'}{query}", encoded=True)

    def _entered(self) -> aiohttp.ClientSession:
        """The session, made in the loop that uses it."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=self.source.timeout_s)
            headers = {"Authorization": self.source.authorization} if self.source.authorization else {}
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=max(1, self.source.parallel), ssl=self._context()),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=timeout,
                headers=headers,
                trust_env=False,
            )
        return self._session

    def _context(self) -> ssl.SSLContext | bool:
        if urlsplit(self.source.url).scheme != "https":
            return True
        return asking_context(self.source, self._path)


def _why(error: Exception) -> str:
    """Why there was no answer, in words of ours: an error's own may hold the address, and with it a patient's number."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not accepted; authority in the settings names who issued it"
    if isinstance(error, aiohttp.ClientSSLError):
        return "no TLS connection; look at the port, and whether url is https there"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known"
    if isinstance(error, TimeoutError):
        return "silent for too long"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be reached ({os.strerror(error.errno)})" if error.errno else "it cannot be reached"
    return "it broke off the connection"
