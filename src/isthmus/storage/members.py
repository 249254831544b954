"""Zip and tar archives read member by member, as streams: nothing is unpacked to disk and no name of a member is ever a path here.

A member whose path leads outside, a link, and what inflates beyond its bound is refused; the rest goes on.

Source: interfaces.md §11; trust.md §2.9; APPNOTE.TXT 4.3 (end of central directory); POSIX.1-2001 pax.
"""

from __future__ import annotations

import gzip
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from struct import Struct
from typing import IO, Final, Protocol

MAX_MEMBERS: Final = 100_000
MAX_RATIO: Final = 100
SLACK_BYTES: Final = 16 << 20
MAX_NAME_BYTES: Final = 64 << 10
PIECE_BYTES: Final = 1 << 20
BLOCK: Final = 512

_ZIP_END: Final = Struct("<4s4H2LH")
_ZIP64_LOCATOR: Final = Struct("<4sLQL")
_ZIP64_END: Final = Struct("<4sQ2H2L4Q")
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,
    NotImplementedError,
    OSError,
    ValueError,
    gzip.BadGzipFile,
)


class Unreadable(Exception):
    """The bytes of one file cannot be had: a reason of a list, and what engineers want to know."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


@dataclass(slots=True)
class Member:
    """One member: its name as written, and its bytes, or why they are not read."""

    name: str
    stream: Bounded | None = None
    reason: str | None = None


class Readable(Protocol):
    """All that is asked of what an archive is read from."""

    def read(self, size: int, /) -> bytes: ...


class Bounded:
    """The bytes of a member, forward, as long as they stay within what the packed bytes allow."""

    def __init__(self, stream: Readable, size: int | None, packed: int | None) -> None:
        self._stream, self._left = stream, size
        self._room = None if packed is None else packed * MAX_RATIO + SLACK_BYTES

    def read(self, size: int, /) -> bytes:
        wanted = min(size, PIECE_BYTES) if self._left is None else min(size, PIECE_BYTES, self._left)
        if wanted <= 0:
            return b""
        try:
            piece = self._stream.read(wanted)
        except _BROKEN as error:
            raise Unreadable("bad-archive", type(error).__name__) from error
        if self._left is not None:
            if not piece:
                raise Unreadable("bad-archive", "the archive ends inside this member")
            self._left -= len(piece)
        if self._room is not None:
            self._room -= len(piece)
            if self._room < 0:
                raise Unreadable("bomb")
        return piece

    def drain(self) -> None:
        while self.read(PIECE_BYTES):
            pass


def leads_outside(name: str) -> bool:
    """Whether a member's name is anything but a plain path below the archive."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return not name or "\0" in name or name.startswith(("/", "\\")) or ".." in parts or name[1:2] == ":"


def zip_members(path: Path) -> Iterator[Member]:
    """The members of a zip file, in the order of its directory. Raises Unreadable when the archive itself is none."""
    with path.open("rb") as file:
        if _entries(file) > MAX_MEMBERS:
            raise Unreadable("too-many-members")
        try:
            archive = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise Unreadable("bad-archive", type(error).__name__) from error
        with archive:
            for info in archive.infolist():
                yield from _zip_member(archive, info)


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[Member]:
    name, mode = info.orig_filename, info.external_attr >> 16
    if leads_outside(name):
        yield Member(name, reason="path-outside")
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        yield Member(name, reason="link")
    elif not name.endswith("/"):
        try:
            stream = archive.open(info)
        except _BROKEN:
            yield Member(name, reason="bad-archive")
            return
        with stream:
            yield Member(name, Bounded(stream, None, info.compress_size))


def _entries(file: IO[bytes]) -> int:
    """How many members a zip file announces, before its directory is read into memory."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _ZIP_END.size - 0xFFFF))
    tail_at, tail = file.tell(), file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _ZIP_END.size:
        raise Unreadable("bad-archive", "no end of central directory")
    entries = int(_ZIP_END.unpack_from(tail, at)[4])
    locator_at = tail_at + at - _ZIP64_LOCATOR.size
    if locator_at >= 0:
        file.seek(locator_at)
        signature, _, end_at, _ = _ZIP64_LOCATOR.unpack(file.read(_ZIP64_LOCATOR.size))
        if signature == b"PK\6\7" and end_at < size - _ZIP64_END.size:
            file.seek(end_at)
            entries = max(entries, int(_ZIP64_END.unpack(file.read(_ZIP64_END.size))[7]))
    file.seek(0)
    return entries


def tar_members(path: Path) -> Iterator[Member]:
    """The members of a tar file, gzipped or not, in one pass."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream: Readable = gzip.GzipFile(fileobj=file) if packed else file
        yield from _Tar(Bounded(stream, None, path.stat().st_size if packed else None)).members()


class _Tar:
    """A tar read forward. Of its extensions only long names and sizes are read, each within a bound."""

    def __init__(self, stream: Bounded) -> None:
        self._stream = stream
        self._name: str | None = None
        self._size: int | None = None

    def members(self) -> Iterator[Member]:
        count = 0
        while (head := self._exactly(BLOCK)).strip(b"\0"):
            kind = head[156:157]
            size = _number(head[124:136])
            if kind in (b"x", b"L", b"g", b"K"):
                self._extend(kind, size)
                continue
            size = self._size if self._size is not None else size
            name = self._name if self._name is not None else _name(head)
            self._name = self._size = None
            count += 1
            if count > MAX_MEMBERS:
                raise Unreadable("too-many-members")
            yield from self._member(kind, name, size)

    def _member(self, kind: bytes, name: str, size: int) -> Iterator[Member]:
        if kind not in (b"0", b"\0", b"7", b"5"):
            size = 0 if kind in b"12346" else size
            yield Member(name, reason="link")
        elif leads_outside(name):
            yield Member(name, reason="path-outside")
        elif kind != b"5":
            body = Bounded(self._stream, size, None)
            yield Member(name, body)
            body.drain()
            self._skip(-size % BLOCK)
            return
        self._skip(size + -size % BLOCK)

    def _extend(self, kind: bytes, size: int) -> None:
        if size > MAX_NAME_BYTES:
            raise Unreadable("bad-archive", "an extended header is too long")
        body = self._exactly(size)
        self._skip(-size % BLOCK)
        if kind == b"L":
            self._name = body.rstrip(b"\0").decode("utf-8", "replace")
        elif kind == b"x":
            records = _pax(body)
            self._name = records.get("path", self._name)
            size_said = records.get("size", "")
            self._size = int(size_said) if size_said.isdecimal() and len(size_said) < 20 else self._size

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            piece = self._stream.read(size - len(parts))
            if not piece:
                raise Unreadable("bad-archive", "the archive ends early")
            parts += piece
        return bytes(parts)

    def _skip(self, size: int) -> None:
        while size > 0:
            piece = self._stream.read(size)
            if not piece:
                raise Unreadable("bad-archive", "the archive ends early")
            size -= len(piece)


def _name(head: bytes) -> str:
    name = head[:100].split(b"\0")[0]
    prefix = head[345:500].split(b"\0")[0] if head[257:262] == b"ustar" and head[263:265] == b"00" else b""
    return (prefix + b"/" + name if prefix else name).decode("utf-8", "replace")


def _number(field: bytes) -> int:
    """A size: octal, or base 256 where it is larger than that."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    text = field.strip(b" \0")
    if text and not all(48 <= digit < 56 for digit in text):
        raise Unreadable("bad-archive", "a size is not a number")
    return int(text or b"0", 8)


def _pax(body: bytes) -> dict[str, str]:
    records: dict[str, str] = {}
    while body:
        length, _, _ = body.partition(b" ")
        if not length.isdigit() or len(length) > 5 or not 0 < int(length) <= len(body):
            break
        key, _, value = body[len(length) + 1 : int(length) - 1].decode("utf-8", "replace").partition("=")
        records[key] = value
        body = body[int(length) :]
    return records
