"""Where requests come in: uvicorn with its defaults undone.

Closed here, since no ASGI app can: headers without end, slow headers and handshakes, trailers (they would join the headers),
upgrades, absolute-form targets, pipelining (uvicorn would not notice the hang-up), forwarded addresses. Added: the peer's
certificate in the scope.

Source: stack.md §3.1; trust.md §2.2, §2.10, T01 to T12.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Protocol

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from isthmus.errors import IsthmusError, MalformedRequest, SettingsProblem, TooLarge
from isthmus.transport.answers import Answer

HEAD_BYTES = 64 << 10
HEAD_FIELDS = 64
HANDSHAKE_S = 5.0
HEAD_S = 10.0
IDLE_S = 75  # longer than any client of ours waits (outbound.py): F44
LINGER_S = 1.0
PEER_CONNECTIONS = 200
UNWANTED_S = 5.0  # long enough for who is refused to read why

_SILENT = logging.getLogger("isthmus.transport.uvicorn")  # its tracebacks and request lines name patients
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_SILENT.setLevel(logging.CRITICAL + 1)


def peer_certificate(scope: Mapping[str, Any]) -> bytes | None:
    """The certificate the peer showed, DER; None without TLS or certificate."""
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", ())
    return ssl.PEM_cert_to_DER_cert(chain[0]) if chain else None


class Listening(Protocol):
    """What listens on an address of a node, whatever is spoken there."""

    name: str

    async def start(self) -> int: ...
    async def stop(self) -> None: ...


class Listener:
    """One address, one app. `tls` gives the current context: a changed one serves every new handshake.

    An app with a method `refuse(error) -> Answer` (`Inbound`) words what is refused before it is asked. `may_stay` says of a
    certificate whether a connection on which nothing is being answered may stay open.
    """

    def __init__(
        self,
        name: str,
        app: Any,
        host: str,
        port: int,
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
        may_stay: Callable[[bytes], bool] | None = None,
    ) -> None:
        self.name, self._app, self._host, self._port, self._tls = name, app, host, port, tls
        self._may_stay = may_stay
        self._state = ServerState()
        self._peers: Counter[bytes] = Counter()
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen; gives the port. Raises SettingsProblem when the address is taken."""
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            date_header=False,
            access_log=False,
            log_config=None,
            timeout_keep_alive=IDLE_S,
        )
        config.load()
        context = self._tls() if self._tls else None
        if context is not None:
            context.set_alpn_protocols(["http/1.1"])
            context.sni_callback = self._current
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Protocol(config, self._state, self._peers, getattr(self._app, "refuse", _plain)),
                self._host,
                self._port,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_S if context else None,
                ssl_shutdown_timeout=LINGER_S if context else None,
                backlog=2048,
            )
        except OSError as error:
            raise SettingsProblem(
                f"{self.name}: cannot listen on {self._host}:{self._port} ({error.strerror})", key=f"{self.name}.port"
            ) from error
        self._ticking = asyncio.create_task(self._tick())
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self, grace_s: float = 5.0) -> None:
        """Take no more; let what runs end for `grace_s`, then cut it."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks), timeout=grace_s)
        for task in (running := set(self._state.tasks)):
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=grace_s)
        for connection in list(self._state.connections):
            if isinstance(connection, _Protocol):
                connection.transport.abort()
        if self._ticking is not None:
            self._ticking.cancel()
        self._server = None

    def _current(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> int | None:
        if self._tls is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        try:
            connection.context = self._tls()
        except (IsthmusError, OSError):
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        return None

    async def _tick(self) -> None:
        while True:
            self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
            if self._may_stay is not None:
                self._send_away(self._may_stay)
            await asyncio.sleep(1)

    def _send_away(self, may_stay: Callable[[bytes], bool]) -> None:
        """Close what is kept open by those who are not trusted any more. Source: trust.md T03."""
        known: dict[bytes, bool] = {}
        for connection in list(self._state.connections):
            if isinstance(connection, _Protocol) and (peer := connection.idle_peer(UNWANTED_S)) is not None:
                if peer not in known:
                    known[peer] = may_stay(peer)
                if not known[peer]:
                    connection.transport.close()


class _Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        peers: Counter[bytes],
        refuse: Callable[[IsthmusError], Answer],
    ) -> None:
        super().__init__(config, state, {})
        self.logger = self.access_logger = _SILENT
        self.access_log = False
        self._peers, self._refuse = peers, refuse
        self._peer: bytes | None = None
        self._extensions: dict[str, Any] = {}
        self._late: asyncio.TimerHandle | None = None
        self._in_head = True
        self._head_bytes = self._fields = self._unparsed = self._whole = 0
        self._problem: IsthmusError | None = None
        self._deaf = False
        self._since = self.loop.time()

    def idle_peer(self, for_s: float) -> bytes | None:
        """Who has this connection open that long, when nothing is being answered on it."""
        busy = self.cycle is not None and not self.cycle.response_complete
        return None if busy or self.loop.time() - self._since < for_s else self._peer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._extensions = {"isthmus.abort": transport.abort}
        connection = transport.get_extra_info("ssl_object")
        if connection is not None:
            self._peer = connection.getpeercert(binary_form=True)
            chain = [ssl.DER_cert_to_PEM_cert(self._peer)] if self._peer else []
            self._extensions["tls"] = {"client_cert_chain": chain, "tls_version": 0x0304}
        if self._peer is not None:
            self._peers[self._peer] += 1
            if self._peers[self._peer] > PEER_CONNECTIONS:
                transport.abort()
                return
        self._late = self.loop.call_later(HEAD_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        if self._peer is not None:
            self._peers[self._peer] -= 1
            if not self._peers[self._peer]:
                del self._peers[self._peer]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf or self.transport.is_closing():
            return
        if self._in_head and self._late is None:
            self._late = self.loop.call_later(HEAD_S, self.transport.abort)
        in_head, whole = self._in_head, self._whole
        super().data_received(data)
        if in_head and self._in_head and whole == self._whole and not self._deaf:  # no request ended in it
            self._unparsed += len(data)
            if self._unparsed > HEAD_BYTES:
                self._problem = TooLarge("the head is too large", reason="header-limit")
                self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not a request, then stop listening; the connection ends when the asker has had time to read."""
        if self._deaf:
            return
        self._deaf = True
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:
                self.transport.close()
                return
            self.cycle.disconnected = True  # its app reads the body still, and hears that nobody is there
            self.cycle.message_event.set()
        answer = self._refuse(self._problem or MalformedRequest("not a request"))
        self.transport.write(_written(answer))
        self._in_time()
        self.loop.call_later(LINGER_S, self.transport.close)

    def on_message_begin(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            self._deaf = True
            raise _Refused
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # a TypedDict without our extension
        scope["extensions"] = dict(self._extensions)

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            self._problem = MalformedRequest("trailers are not taken", path="Trailer")
            raise _Refused
        self._fields += 1
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._in_time()
        if not self.url.startswith(b"/") or b"#" in self.url:
            self._problem = MalformedRequest("the target begins with a slash and has no fragment", path="target")
            raise _Refused
        if self.parser.get_http_version() not in _VERSIONS:
            self._problem = MalformedRequest("HTTP/1.1 is spoken here", path="version")
            raise _Refused
        if self.parser.should_upgrade() or any(name.lower() in _UPGRADES for name, _ in self.headers):
            self._problem = MalformedRequest("there is nothing to upgrade to", path="Upgrade")
            raise _Refused
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = self._fields = self._unparsed = 0
        self._whole += 1

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES or self._fields > HEAD_FIELDS:
            self._problem = TooLarge("the head is too large", reason="header-limit", limit_bytes=HEAD_BYTES)
            raise _Refused

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


_VERSIONS = ("1.0", "1.1")
_UPGRADES = (b"upgrade", b"http2-settings")


class _Refused(Exception):
    """Stops the parser; `send_400_response` says the rest."""


def _plain(error: IsthmusError) -> Answer:
    return Answer(
        error.meaning.status, (("Content-Type", "text/plain; charset=utf-8"),), (error.meaning.words.encode(),)
    )


def _written(answer: Answer) -> bytes:
    start = answer.start()
    lines = [b"HTTP/1.1 %d %s" % (answer.status, HTTPStatus(answer.status).phrase.encode())]
    lines += [name + b": " + value for name, value in start["headers"]]
    return b"\r\n".join([*lines, b"connection: close", b"", answer.whole or b""])
