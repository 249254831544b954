"""Containers: files of ours in which instances lie end to end, untouched.

A container has one writer ever: each intake opens its own, under a name never used before, so nothing is ever written over. What the
index does not name is not there: bytes are made durable before their row is committed, and a tail nobody names is harmless.

Source: performance.md §3; field-faults F11, F12.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROLL_OVER_BYTES = 256 << 20
PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Slice:
    """Where one run of bytes lies, and its digest."""

    container: str
    offset: int
    size: int
    sha256: str


class Container:
    """The containers one process writes: appends, takes back, makes durable.

    `begin` … `add` … `end` writes one slice; `take_back` undoes it while nothing else follows.
    """

    def __init__(self, folder: Path, roll_over_bytes: int = ROLL_OVER_BYTES) -> None:
        self.folder = folder
        self._roll_over_bytes = roll_over_bytes
        self._fd = -1
        self._name = ""
        self._end = 0
        self._start = 0
        self._digest = hashlib.sha256()
        self._dirty: list[int] = []

    def begin(self, *, stay: bool = False) -> None:
        """Start a slice; `stay` keeps it in the container that is open, however full."""
        if self._fd < 0 or (self._end >= self._roll_over_bytes and not stay):
            self._open()
        self._start, self._digest = self._end, hashlib.sha256()

    def add(self, view: bytes | memoryview) -> None:
        self._digest.update(view)
        left = memoryview(view)
        while left:
            written = os.pwrite(self._fd, left, self._end)
            self._end += written
            left = left[written:]

    def end(self) -> Slice:
        return Slice(self._name, self._start, self._end - self._start, self._digest.hexdigest())

    def append(self, pieces: Iterable[bytes], *, stay: bool = False) -> Slice:
        """Write one slice whole; an error on the way takes it back."""
        self.begin(stay=stay)
        try:
            for piece in pieces:
                self.add(piece)
        except BaseException:
            self.take_back()
            raise
        return self.end()

    def take_back(self, offset: int | None = None) -> None:
        """Forget what was written since the last `begin`, or since an offset of this container."""
        self._end = self._start if offset is None else offset
        os.ftruncate(self._fd, self._end)

    def give_back(self, slices: Iterable[Slice]) -> None:
        """Forget the last slices again, durable or not, which nothing names; they are told from the last one on."""
        for slice_ in slices:
            if slice_.container != self._name or slice_.offset + slice_.size != self._end:
                return
            self.take_back(slice_.offset)

    def read_at(self, offset: int, size: int) -> bytes:
        """Read back what was just written, durable or not."""
        return os.pread(self._fd, size, offset)

    def flush(self) -> None:
        """Make everything appended so far durable."""
        for fd in self._dirty:
            os.fsync(fd)
            os.close(fd)
        self._dirty.clear()
        if self._fd >= 0:
            os.fdatasync(self._fd)

    def close(self) -> None:
        self.flush()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            if self._end == 0:
                (self.folder / self._name).unlink()

    def _open(self) -> None:
        if self._fd >= 0:
            self._dirty.append(self._fd)
        name = secrets.token_hex(16)
        self._name = f"{name[:2]}/{name}"
        path = self.folder / self._name
        for made in [p for p in (path.parent, self.folder) if not p.exists()]:
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._end = self._start = 0
        for folder in (path.parent, self.folder):
            _sync_folder(folder)


class Written:
    """A slice of the open container, read as the DICOM rooms read: anywhere, in pieces."""

    def __init__(self, container: Container, slice_: Slice) -> None:
        self._container, self._slice = container, slice_

    @property
    def size_bytes(self) -> int:
        return self._slice.size

    def read_at(self, offset: int, size: int) -> bytes:
        return self._container.read_at(self._slice.offset + offset, max(0, min(size, self._slice.size - offset)))


def read_slice(folder: Path, container: str, offset: int, size: int) -> bytes:
    """A small slice, whole: documents only."""
    with (folder / container).open("rb") as file:
        file.seek(offset)
        return file.read(size)


def erase(folder: Path, container: str, offset: int, size: int) -> None:
    """Write noughts over one slice. What a file system or a disk keeps of it elsewhere is beyond us."""
    with (folder / container).open("r+b") as file:
        for start in range(0, size, PIECE_BYTES):
            os.pwrite(file.fileno(), bytes(min(PIECE_BYTES, size - start)), offset + start)
        os.fdatasync(file.fileno())


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
