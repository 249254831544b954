"""What a border of ours says, overheard beside the bytes and handed to a watch.

Stands around the border's app: it passes every message on first, and keeps of the chosen answers what `HELD_BYTES` allows. Of a larger
one, and of images, the head alone is judged; of one that did not end, nothing.

Source: architecture.md §5.6; wire.md §5.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final, Protocol
from urllib.parse import parse_qsl

from isthmus.conformance.evidence import Exchange
from isthmus.conformance.watch import Said, Watch
from isthmus.errors import IsthmusError, TrustProblem
from isthmus.transport.answers import Answer, Message, Receive, Scope, Send
from isthmus.transport.listeners import peer_certificate
from isthmus.trust.certificates import x5t_s256
from isthmus.trust.directory import Directory
from isthmus.wire.packs.pack import Pack, agreed_pack

HELD_BYTES: Final = 4 << 20
OF_THE_ASKER: Final = frozenset({"DRS-03"})  # to name a status


class App(Protocol):
    """An app that also words what its listener could not make a request of (`transport/inbound.py`)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def refuse(self, error: IsthmusError) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Asker:
    """Who stood at the other end, as far as the border knows them: thumbprint of the certificate, and whether the list has it."""

    peer: str
    trusted: bool
    pack: Pack


@dataclass(frozen=True, slots=True)
class Our:
    """What is known at the border of a request: our country, the transaction of a path, the asker of a connection, the time."""

    country: str
    origin: str
    path: Callable[[str], str]  # as sent → below the listener
    transaction: Callable[[str, str], str]
    asker: Callable[[Scope], Asker]
    clock: Callable[[], datetime]


class Overheard:
    """An app, and who listens to what it says."""

    def __init__(self, app: App, watch: Watch, our: Our) -> None:
        self._app, self._our = app, our
        self.watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        depth = self.watch.chosen() if scope["type"] == "http" else None
        if depth is None:
            await self._app(scope, receive, send)
            return
        heard = _Heard(scope)
        await self._app(scope, heard.asking(receive), heard.answering(send))
        if heard.ended:
            self.watch.see(self._said(heard), depth)

    def refuse(self, error: IsthmusError) -> Answer:
        return self._app.refuse(error)

    def _said(self, heard: _Heard) -> Said:
        """Everything but counting bytes waits until it is looked at."""
        our, method = self._our, str(heard.scope["method"])
        path = our.path(heard.scope["raw_path"].decode("latin-1"))
        asker = partial(our.asker, heard.scope)
        return Said(
            country=our.country,
            transaction=our.transaction(path, method),
            size_bytes=len(heard.body) + len(heard.answer),
            pack=lambda: asker().pack,
            exchange=partial(_exchange, heard, our, path, our.clock()),
            apart=OF_THE_ASKER,
        )


@dataclass(slots=True)
class _Heard:
    """One question and its answer, while they pass."""

    scope: Scope
    body: bytearray = field(default_factory=bytearray)
    answer: bytearray = field(default_factory=bytearray)
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    too_much: bool = False
    ended: bool = False

    def asking(self, receive: Receive) -> Receive:
        async def received() -> Message:
            message = await receive()
            if message["type"] == "http.request" and len(self.body) < HELD_BYTES:
                self.body += message.get("body", b"")
            return message

        return received

    def answering(self, send: Send) -> Send:
        async def sent(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {n.decode("latin-1").lower(): v.decode("latin-1") for n, v in message["headers"]}
                self.too_much = self.headers.get("content-type", "").startswith("multipart/")
                return
            self.ended = not message.get("more_body", False)
            part = message.get("body", b"")
            if self.too_much or len(self.answer) + len(part) > HELD_BYTES:
                self.too_much, self.answer = True, bytearray()
            else:
                self.answer += part

        return sent


def _exchange(heard: _Heard, our: Our, path: str, at: datetime) -> Exchange:
    asker = our.asker(heard.scope)
    return Exchange(
        method=str(heard.scope["method"]),
        path=path,
        origin=our.origin,
        query=tuple(parse_qsl(heard.scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        sent={n.decode("latin-1").lower(): v.decode("latin-1") for n, v in heard.scope["headers"]},
        body=bytes(heard.body),
        status=heard.status,
        headers=heard.headers,
        answer=bytes(heard.answer),
        peer=asker.peer,
        trusted=asker.trusted,
        at=at,
    )


def asker_of(directory: Directory, scope: Scope) -> Asker:
    """Who is at the other end of a connection, for who watches; a stranger is judged by our own drafts."""
    der = peer_certificate(scope)
    try:
        peer = directory.peer(der) if der is not None else None
    except TrustProblem:
        peer = None
    ours = directory.ours.pack
    return Asker(x5t_s256(der) if der else "", peer is not None, agreed_pack(ours, peer.pack if peer else ours))
