"""Requests to services of our own country that the settings name, such as an identity service: https, at the listed origins alone.

No redirect is followed, no cookie kept, no proxy taken from the environment; an answer is read whole, under a limit. What a service says
of itself (its addresses, its keys) is asked for at those origins or not at all.

Source: trust.md §2.13, T56, T57; RFC 9700 §4.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.providers import origin
from isthmus.transport.upstream import Reply

CONNECT_S, WHOLE_S = 3.0, 10.0
LIMIT_BYTES = 1 << 18


class Services:
    """Our way to one service. `authority` is the file of the certificate that vouches for its server; None: those of the system."""

    def __init__(self, name: str, origins: frozenset[str], authority: Path | None) -> None:
        self._name, self._origins, self._authority = name, origins, authority
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self,
        url: str,
        *,
        form: Sequence[tuple[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Get, or post a form; the whole answer. Raises NationalInfrastructureUnavailable, without the address in its words."""
        target = URL(url, encoded=True)
        if target.scheme != "https" or target.user is not None or origin(url) not in self._origins:
            raise NationalInfrastructureUnavailable(f"{self._name} names an address that is not among its origins")
        said = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
        if form is not None:
            said["Content-Type"] = "application/x-www-form-urlencoded"
        body = None if form is None else urlencode(form).encode()
        try:
            async with asyncio.timeout(WHOLE_S):
                async with self._entered().request(
                    "GET" if form is None else "POST", target, data=body, headers=said, allow_redirects=False
                ) as answer:
                    content = await answer.content.read(LIMIT_BYTES + 1)
                    while len(content) <= LIMIT_BYTES and (more := await answer.content.read(LIMIT_BYTES + 1)):
                        content += more
                    head = {key.lower(): value for key, value in answer.headers.items()}
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise NationalInfrastructureUnavailable(f"{self._name} does not answer ({type(error).__name__})") from error
        if len(content) > LIMIT_BYTES or head.get("content-encoding", "identity") != "identity":
            raise NationalInfrastructureUnavailable(f"{self._name} answers with too much", limit_bytes=LIMIT_BYTES)
        return Reply(answer.status, head, content)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _entered(self) -> aiohttp.ClientSession:
        """The session, made in the loop that uses it."""
        if self._session is None:
            context = ssl.create_default_context(cafile=str(self._authority) if self._authority else None)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=16, ssl=context),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                trust_env=False,
                auto_decompress=False,
            )
        return self._session
