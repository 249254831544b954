"""What a verb gives back: a status, headers, and pieces that somebody else moves.

Source: architecture.md §6; trust.md T58.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.pieces import FileRange, Mark, Piece

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
Scope = MutableMapping[str, Any]

BODILESS = (204, 304)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Answer:
    """An answer. When `body` is a sequence of known sizes its length is announced, otherwise it goes out chunked."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: Iterable[Piece] = ()
    unmapped: int = 0  # for the record of the exchange alone
    mapped_by: tuple[str, ...] = ()
    as_issued: int = 0
    about: PatientIdentifier | None = field(default=None, repr=False)  # whom a search found

    @property
    def size_bytes(self) -> int | None:
        """The length of the body, when every piece says its own."""
        if not isinstance(self.body, Sequence):
            return None
        total = 0
        for piece in self.body:
            if isinstance(piece, bytes):
                total += len(piece)
            elif isinstance(piece, FileRange):
                total += piece.size_bytes
            elif not isinstance(piece, Mark):
                return None
        return total

    @property
    def whole(self) -> bytes | None:
        """The body, when it is nothing but bytes in hand."""
        if isinstance(self.body, Sequence) and all(isinstance(piece, bytes) for piece in self.body):
            return b"".join(piece for piece in self.body if isinstance(piece, bytes))
        return None

    def start(self) -> Message:
        """The ASGI message that begins it. Control characters in header values are dropped."""
        headers = [(name.lower().encode("ascii"), _clean(value)) for name, value in self.headers]
        size = self.size_bytes
        if size is not None and self.status not in BODILESS:
            headers.append((b"content-length", b"%d" % size))
        return {"type": "http.response.start", "status": self.status, "headers": headers}


def _clean(value: str) -> bytes:
    return _CONTROL.sub("", value).encode("latin-1", "replace")


def json_answer(
    status: int, body: bytes, media_type: str = "application/json", headers: tuple[tuple[str, str], ...] = ()
) -> Answer:
    return Answer(status, (("Content-Type", media_type), *headers), (body,))


async def answer_whole(answer: Answer, method: str, send: Send) -> int:
    """Send an answer whose body is in hand; gives the bytes sent."""
    body = answer.whole
    if body is None:
        raise TypeError("this answer has to be pumped")
    if method == "HEAD" or answer.status in BODILESS:
        body = b""
    await send(answer.start())
    await send({"type": "http.response.body", "body": body, "more_body": False})
    return len(body)
