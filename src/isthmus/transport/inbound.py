"""What every request passes first: its address, its form, its size; and where every error becomes an answer.

The table of trust.md §2.7, rows misdirected, malformed, coding, limit; what no ASGI app can see any more is refused by the
listener, with the same words (`Inbound.refuse`). Forwarded and proxy headers mean nothing here.

Source: trust.md §2.7, T09 to T12, T58; wire.md §1.2; field-faults F67.
"""

from __future__ import annotations

import asyncio
import re
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from isthmus import telemetry
from isthmus.errors import IsthmusError, MalformedRequest, TooLarge, UnsupportedRequest
from isthmus.model.identifiers import is_exchange_id
from isthmus.transport.answers import Answer, Message, Receive, Scope, Send, answer_whole
from isthmus.transport.listeners import peer_certificate

FORM = "application/x-www-form-urlencoded"
FIELDS_MAX = 256
BODY_S = 30.0  # a body of at most a megabyte has this long
DRAIN_BYTES = 96 << 20
DRAIN_S = 5.0
RETRY_S = {503: 5, 429: 10}  # where the error itself does not say

_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,=:@/-]*")
_SINGLE = ("host", "authorization", "content-type", "content-encoding", "dpop")
TWICE = {"host": "no-host"}
_EVERY_ANSWER = (("x-content-type-options", "nosniff"),)

Handle = Callable[["Request", Send, Receive], Awaitable[None]]
Render = Callable[[IsthmusError, "Request | None", str], Answer]


@dataclass(frozen=True)
class Request:
    """A request that is well-formed and addressed to us, its body in hand."""

    method: str
    path: str  # as sent: checked, never decoded
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]  # lower case; several of one name joined by comma
    body: bytes
    exchange_id: str
    peer_der: bytes | None
    client: str | None
    scope: Mapping[str, Any]

    def __repr__(self) -> str:  # never in a log
        return f"Request({self.method}, {self.exchange_id})"

    @property
    def accept(self) -> str | None:
        return self.headers.get("accept")

    @property
    def as_sent(self) -> bytes:
        """The request line and the body, byte for byte. It may name a patient."""
        raw: bytes = self.scope["query_string"]
        line = f"{self.method} {self.path}".encode() + (b"?" + raw if raw else b"")
        return line + (b"\n\n" + self.body if self.body else b"")

    def form(self) -> tuple[tuple[str, str], ...]:
        """The members of a posted form, in order, doubles included. Raises UnsupportedRequest, MalformedRequest."""
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
            raise UnsupportedRequest(f"the body has to be {FORM}", reason="body-media", path="Content-Type")
        return _pairs(self.body, "body")


class Inbound:
    """An ASGI app around `handle`. `hosts` are the values of Host that are ours, lower case, with port where not the default.

    The body of a method that is `streamed` is left to `handle`, which bounds it; `larger` has the paths that take a larger one.
    """

    def __init__(
        self,
        handle: Handle,
        *,
        hosts: frozenset[str],
        render: Render,
        max_body_bytes: int = 1 << 20,
        methods: tuple[str, ...] = ("GET", "HEAD", "POST"),
        streamed: frozenset[str] = frozenset(),
        larger: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._handle, self._render = handle, render
        self._hosts = frozenset(host.lower() for host in hosts)
        self._max_body_bytes = max_body_bytes
        self._methods, self._streamed, self._larger = methods, streamed, larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange_id = _exchange_id(scope)
        request: Request | None = None
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _stamp(message, exchange_id)
            await send(message)

        try:
            request = await self._read(scope, receive, exchange_id)
            await self._handle(request, sending, receive)
            return
        except _HungUp:
            return
        except IsthmusError as error:
            problem = error
        except Exception as fault:
            telemetry.log().error("internal fault", exchange_id=exchange_id, **_where(fault))
            problem = IsthmusError("internal fault")
        if not started:  # otherwise the listener cuts the connection: never a clean end
            about = request or _unread(scope, exchange_id)
            await answer_whole(self._rendered(problem, about, exchange_id), scope["method"], sending)

    def refuse(self, error: IsthmusError) -> Answer:
        """The answer to what the listener could not make a request of."""
        exchange_id = _new_exchange_id()
        answer = self._rendered(error, None, exchange_id)
        return Answer(answer.status, (*answer.headers, *_headers_for(exchange_id)), answer.body)

    def _rendered(self, error: IsthmusError, request: Request | None, exchange_id: str) -> Answer:
        answer = self._render(error, request, exchange_id)
        more = []
        if (wait_s := error.facts.get("retry_after_s", RETRY_S.get(error.meaning.status))) is not None:
            more.append(("Retry-After", str(int(float(str(wait_s)) + 0.999))))
        if error.meaning.status == 405:
            allowed = error.facts.get("allowed")
            more.append(("Allow", ", ".join(allowed if isinstance(allowed, tuple) else self._methods)))
        said = {name.lower() for name, _ in answer.headers}
        return Answer(answer.status, (*answer.headers, *(h for h in more if h[0].lower() not in said)), answer.body)

    async def _read(self, scope: Scope, receive: Receive, exchange_id: str) -> Request:
        headers = _headers(scope)
        if headers.get("host", "").lower() not in self._hosts:
            raise MalformedRequest("this host is not served here", reason="misdirected", path="Host")
        if scope["method"] not in self._methods:
            raise MalformedRequest("this method is not offered", reason="not-allowed", path="method")
        path = _path(scope)
        query = _pairs(scope["query_string"], "query")
        _codings(headers)
        try:
            body = (
                b""
                if scope["method"] in self._streamed
                else await self._body(headers, receive, self._larger.get(path, self._max_body_bytes))
            )
        except TimeoutError:
            raise MalformedRequest("the body came too slowly", path="body") from None
        client = scope.get("client")
        return Request(
            scope["method"],
            path,
            query,
            headers,
            body,
            exchange_id,
            peer_certificate(scope),
            client[0] if client else None,
            scope,
        )

    async def _body(self, headers: Mapping[str, str], receive: Receive, most: int) -> bytes:
        """The body, bounded. One that is too large is read past for a while, so that the asker hears the answer."""
        announced = _length(headers)
        if announced > most and "expect" in headers:
            raise TooLarge("the body is too large", limit_bytes=most)
        parts, size, more, until = [], 0, True, time.monotonic() + DRAIN_S
        async with asyncio.timeout(BODY_S):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _HungUp
                part, more = message.get("body", b""), message.get("more_body", False)
                size += len(part)
                if size <= most:
                    parts.append(part)
                else:
                    parts.clear()
                    if size > DRAIN_BYTES or time.monotonic() > until:
                        break
        if size > most:
            raise TooLarge("the body is too large", limit_bytes=most)
        return b"".join(parts)


class _HungUp(Exception):
    """The asker left before the request was whole; there is nobody to answer."""


def _new_exchange_id() -> str:
    return str(uuid.uuid4())


def _exchange_id(scope: Scope) -> str:
    """The peer's X-Request-Id where it fits, else ours."""
    said = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"]
    return said[0] if len(said) == 1 and is_exchange_id(said[0]) else _new_exchange_id()


def _headers_for(exchange_id: str) -> tuple[tuple[str, str], ...]:
    return (("x-request-id", exchange_id), ("cache-control", "no-store"), *_EVERY_ANSWER)


def _stamp(message: Message, exchange_id: str) -> None:
    """Who asked which question; and nothing is kept on the way, unless the answer itself says how."""
    said = {name for name, _ in message["headers"]}
    message["headers"] = [
        *message["headers"],
        *((n.encode(), v.encode()) for n, v in _headers_for(exchange_id) if n.encode() not in said),
    ]


def _headers(scope: Scope) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1").strip()
        if name in headers and name in _SINGLE:
            raise MalformedRequest("a header that stands once came twice", path=name, reason=TWICE.get(name))
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if "host" not in headers:
        raise MalformedRequest("a request names its host", reason="no-host", path="Host")
    return headers


def _path(scope: Scope) -> str:
    path = scope["raw_path"].decode("latin-1")
    if _PATH.fullmatch(path) is None or "//" in path or any(part in (".", "..") for part in path.split("/")):
        raise MalformedRequest("the path has what no path of ours has", path="path")
    return str(path)


def _unread(scope: Scope, exchange_id: str) -> Request | None:
    """Of what was refused before it was read, the method and the path: the refusal then has the form of its address."""
    path = scope["raw_path"].decode("latin-1")
    if _PATH.fullmatch(path) is None:
        return None
    return Request(scope["method"], path, (), {}, b"", exchange_id, None, None, scope)


def _length(headers: Mapping[str, str]) -> int:
    """The length a body is announced with. Raises MalformedRequest."""
    said = headers.get("content-length", "0")
    if re.fullmatch(r"[0-9]{1,18}", said) is None:
        raise MalformedRequest("a length is a number", path="Content-Length")
    return int(said)


def _codings(headers: Mapping[str, str]) -> None:
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedRequest("a request body is not encoded", reason="coding", path="Content-Encoding")
    if headers.get("transfer-encoding", "chunked").lower() != "chunked":
        raise UnsupportedRequest("only chunked", reason="transfer-coding", path="Transfer-Encoding")
    if headers.get("expect", "100-continue").lower() != "100-continue":
        raise MalformedRequest("this expectation is not met", path="Expect")


def _pairs(raw: bytes, path: str) -> tuple[tuple[str, str], ...]:
    """The pairs of a query or a form. A name without `=` is a name with nothing."""
    try:
        text = raw.decode("ascii")
        return tuple(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX))
    except ValueError:
        raise MalformedRequest("not a form: wrong bytes, or too many fields", path=path) from None


def _where(fault: Exception) -> dict[str, object]:
    """Enough to find a fault, without a value of anybody's. Source: field-faults F67."""
    frames = traceback.extract_tb(fault.__traceback__)[-4:]
    return {
        "fault": type(fault).__name__,
        "at": [f"{frame.filename.rpartition('isthmus/')[2]}:{frame.lineno} {frame.name}" for frame in frames],
    }


def origin_of(public: str) -> str:
    """Scheme, host and port of an address."""
    parts = urlsplit(public)
    return f"{parts.scheme}://{parts.netloc}"
