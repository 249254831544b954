"""Zip and tar archives read member by member, as streams: nothing is unpacked to disk and no name of a member is ever a path here.

A member whose path leads outside, a link, what shares its bytes with another member, and what inflates beyond its bound is refused; the
rest goes on. An archive that as a whole inflates beyond its bound, takes too long to inflate, or has too many members ends there.

Source: interfaces.md §11; trust.md §2.9, T98; APPNOTE.TXT 4.3, 4.4.5; POSIX.1-2001 pax.
"""

from __future__ import annotations

import gzip
import io
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from struct import Struct
from time import thread_time
from typing import Final, Protocol

MAX_MEMBERS: Final = 100_000
MAX_RATIO: Final = 100
SLACK_BYTES: Final = 16 << 20
TOTAL_SLACK_BYTES: Final = 64 << 20
FREE_S: Final = 60.0
S_PER_MIB: Final = 2.0
MAX_DIRECTORY_BYTES: Final = 32 << 20
MAX_HEADS: Final = 4 * MAX_MEMBERS  # of a tar: up to three extensions for each member
MAX_NAME_BYTES: Final = 64 << 10
PIECE_BYTES: Final = 1 << 20
BLOCK: Final = 512

_LOCAL: Final = Struct("<4s22x2H")  # of the header before a member: signature, length of its name, of its extra field
_ENTRY: Final = b"PK\1\2"
_PACKED_AS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others may want gigabytes for their dictionary
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


class Allowance:
    """How much a whole archive of so many bytes may inflate to, and how long (time of the processor) that may take."""

    def __init__(
        self, packed: int, clock: Callable[[], float] = thread_time, slack_bytes: int = TOTAL_SLACK_BYTES
    ) -> None:
        self.clock = clock
        self._room = packed * MAX_RATIO + slack_bytes
        self._left_s = FREE_S + S_PER_MIB * packed / (1 << 20)

    def judge(self) -> None:
        """Raises Unreadable when it is used up."""
        if self._room < 0:
            raise Unreadable("bomb", "the archive as a whole")
        if self._left_s < 0:
            raise Unreadable("bomb", "the archive takes too long to inflate")

    def spend(self, size: int, since: float) -> None:
        """Count what one piece took; raises Unreadable when that was too much."""
        self._room -= size
        self._left_s -= self.clock() - since
        self.judge()


class Bounded:
    """The bytes of a member, forward, as long as they stay within what the packed bytes and the archive allow."""

    def __init__(
        self, stream: Readable, size: int | None, packed: int | None, archive: Allowance | None = None
    ) -> None:
        self._stream, self._left, self._archive = stream, size, archive
        self._room = None if packed is None else packed * MAX_RATIO + SLACK_BYTES

    def read(self, size: int, /) -> bytes:
        wanted = min(size, PIECE_BYTES) if self._left is None else min(size, PIECE_BYTES, self._left)
        if wanted <= 0:
            return b""
        began = self._archive.clock() if self._archive is not None else 0.0
        try:
            piece = self._stream.read(wanted)
        except _BROKEN as error:
            raise Unreadable("bad-archive", type(error).__name__) from error
        if self._archive is not None:
            self._archive.spend(len(piece), began)
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


class _Directory(io.BufferedReader):
    """A zip file whose directory is counted before it is believed: what it says of its own size is not."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = MAX_DIRECTORY_BYTES if size is None or size < 0 else size
        if wanted > MAX_DIRECTORY_BYTES:
            raise Unreadable("too-many-members", "a directory of more than 32 MiB")
        data = super().read(wanted)
        if data.count(_ENTRY) > MAX_MEMBERS:
            raise Unreadable("too-many-members")
        return data


def zip_members(path: Path) -> Iterator[Member]:
    """The members of a zip file, in the order of its directory. Raises Unreadable when the archive itself is none."""
    with _Directory(io.FileIO(path)) as file:
        try:
            archive = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise Unreadable("bad-archive", type(error).__name__) from error
        with archive:
            allowance, ends = Allowance(path.stat().st_size), _ends(archive)
            for info, end in zip(archive.infolist(), ends, strict=True):
                allowance.judge()
                yield from _zip_member(archive, info, end, allowance)


def _ends(archive: zipfile.ZipFile) -> list[int]:
    """Where each member has to end: where the next one begins, or the directory."""
    members = archive.infolist()
    end, ends = archive.start_dir, [0] * len(members)
    for at in sorted(range(len(members)), key=lambda at: members[at].header_offset, reverse=True):
        ends[at], end = end, members[at].header_offset
    return ends


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, end: int, allowance: Allowance) -> Iterator[Member]:
    name, mode = info.orig_filename, info.external_attr >> 16
    if leads_outside(name):
        yield Member(name, reason="path-outside")
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        yield Member(name, reason="link")
    elif not name.endswith("/"):
        try:
            overlaps = _end_of(archive, info) > end
            stream = None if overlaps or info.compress_type not in _PACKED_AS else archive.open(info)
        except _BROKEN:
            yield Member(name, reason="bad-archive")
            return
        if stream is None:
            yield Member(name, reason="overlap" if overlaps else "bad-archive")
            return
        with stream:
            yield Member(name, Bounded(stream, None, info.compress_size, allowance))


def _end_of(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Where the packed bytes of a member end. Raises what is in _BROKEN."""
    file = archive.fp
    assert file is not None  # it is open
    file.seek(info.header_offset)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size:
        raise EOFError
    _, name, extra = _LOCAL.unpack(head)
    return int(info.header_offset + _LOCAL.size + name + extra + info.compress_size)


def tar_members(path: Path) -> Iterator[Member]:
    """The members of a tar file, gzipped or not, in one pass."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream: Readable = gzip.GzipFile(fileobj=file) if packed else file
        size = path.stat().st_size
        archive = Allowance(size, slack_bytes=SLACK_BYTES) if packed else None  # a plain one inflates nothing
        yield from _Tar(Bounded(stream, None, None, archive)).members()


class _Tar:
    """A tar read forward. Of its extensions only long names and sizes are read, each within a bound."""

    def __init__(self, stream: Bounded) -> None:
        self._stream = stream
        self._name: str | None = None
        self._size: int | None = None

    def members(self) -> Iterator[Member]:
        count = heads = 0
        while (head := self._exactly(BLOCK)).strip(b"\0"):
            heads += 1
            if heads > MAX_HEADS:
                raise Unreadable("too-many-members")
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
