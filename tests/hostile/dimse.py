"""A sender by C-STORE that says what it likes, byte by byte, and hears what it is answered.

Source: PS3.8 §9.3 (PDUs); PS3.7 §6.3, §9.3.1 (commands).
"""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Iterable, Iterator
from struct import pack, unpack

from pydicom import dcmread
from tests.hostile.corpus import CT, DEFLATED, EXPLICIT, JPEG

VERIFICATION = "1.2.840.10008.1.1"
CONTEXTS = {1: EXPLICIT, 3: DEFLATED, 5: JPEG}
COMMAND, LAST = 1, 2
PDU_BYTES = 100_000
"""Flags of a PDV."""


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    return pack(">BxL", kind, len(body) if length is None else length) + body


def pdv(data: bytes, flags: int, context: int = 1, length: int | None = None) -> bytes:
    return pack(">LBB", len(data) + 2 if length is None else length, context, flags) + data


def item(kind: int, body: bytes) -> bytes:
    return pack(">BxH", kind, len(body)) + body


def asking(contexts: Iterable[tuple[int, str]] = CONTEXTS.items(), more: bytes = b"") -> bytes:
    """A request for an association with these presentation contexts."""
    told = b"".join(
        item(0x20, pack(">B3x", number) + item(0x30, CT.encode()) + item(0x40, syntax.encode()))
        for number, syntax in contexts
    )
    user = item(0x50, item(0x51, pack(">L", 1 << 17)) + item(0x52, b"2.25.999") + more)
    head = pack(">H2x16s16s32x", 1, b"ARCHIVE".ljust(16), b"CT1".ljust(16))
    return pdu(1, head + item(0x10, b"1.2.840.10008.3.1.1.1") + told + user)


def said(number: int, value: bytes, length: int | None = None) -> bytes:
    """An element of a command."""
    return pack("<HHL", 0, number, len(value) if length is None else length) + value


def storing(sop: bytes = b"2.25.661\0", *, data_set: int = 0, group: int | None = None, more: bytes = b"") -> bytes:
    """The command of a C-STORE."""
    told = said(2, CT.encode() + b"\0" * (len(CT) % 2)) + said(0x100, pack("<H", 1)) + said(0x110, pack("<H", 7))
    told += said(0x700, pack("<H", 0)) + said(0x800, pack("<H", data_set)) + (said(0x1000, sop) if sop else b"") + more
    return said(0, pack("<L", len(told) if group is None else group)) + told


def data_set_of(body: bytes) -> tuple[int, bytes]:
    """What of a file goes over the line, and in which context: its data set where it has a good head, else all of it."""
    if body[:4] != bytes(4) or body[128:136] != b"DICM\2\0\0\0" or len(body) < 144:
        return 1, body
    start = 144 + unpack("<L", body[140:144])[0]
    with contextlib.suppress(Exception):
        syntax = str(dcmread(io.BytesIO(body[:start]), force=True).file_meta.TransferSyntaxUID)
        return next((number for number, one in CONTEXTS.items() if one == syntax), 1), body[start:]
    return 1, body


def fragments(data: bytes, context: int) -> Iterator[bytes]:
    """The data set in PDUs."""
    for start in range(0, len(data) or 1, PDU_BYTES):
        last = LAST if start + PDU_BYTES >= len(data) else 0
        yield pdu(4, pdv(data[start : start + PDU_BYTES], last, context))


class Peer:
    """One connection."""

    def __init__(self, port: int, *, asks: bytes | None = None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=15)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if asks is not None:
            self.say(asks)

    def say(self, *parts: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # it has hung up: heard in `hears`
            for part in parts:
                self._socket.sendall(part)

    def hears(self) -> tuple[int, bytes]:
        """The next PDU: its kind and body; (0, b"") when it was hung up. Raises TimeoutError."""
        try:
            head = self._exactly(6)
            return (head[0], self._exactly(unpack(">L", head[2:])[0])) if head else (0, b"")
        except ConnectionError:
            return 0, b""

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (piece := self._socket.recv(size - len(data))):
            data += piece
        return data if len(data) == size else b""

    def stores(self, body: bytes, *, as_it_is: bool = False) -> tuple[int, str]:
        """Send a file, its head too if `as_it_is`; its status and comment, (0, "hung up") when there is no answer."""
        context, data = (1, body) if as_it_is else data_set_of(body)
        self.say(pdu(4, pdv(storing(), COMMAND | LAST, context)), *fragments(data, context))
        return self.told()

    def told(self) -> tuple[int, str]:
        kind, body = self.hears()
        if kind != 4:
            return 0, "hung up"
        answer = dcmread(io.BytesIO(body[6:]), force=True)
        return int(answer.Status), str(answer.get("ErrorComment", ""))

    def left(self) -> bool:
        """Whether it was hung up, as far as is known now."""
        try:
            return self._socket.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
