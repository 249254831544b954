"""Instances on their way in: each a Part 10 file as it came, growing in a file without a name.

One association, one file: what came is written behind what came before, and the room is used again when nobody needs it any more. The
file has no name from its first byte on, so that nothing is left behind, however we end.

Source: PS3.10 §7.1; PS3.7 §9.1.1; field-faults F47.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from threading import Condition, Lock
from time import monotonic
from typing import Final, Protocol

from isthmus.dicom.part10 import file_meta
from isthmus.errors import ContentMismatch

SUCCESS: Final = 0x0000
OUT_OF_RESOURCES: Final = 0xA700
NOT_ASKED_FOR: Final = 0x0124  # not authorised
CANNOT_UNDERSTAND: Final = 0xC000


class Spool:
    """A file without a name in which the instances of one association lie one after another."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  # as long as anybody needs it
        self._lock = Lock()
        self._end = self._held = 0
        self._over = False

    @property
    def size_bytes(self) -> int:
        """How much of the disk it takes now."""
        return self._end

    def begin(self) -> int:
        """Where the next instance begins."""
        with self._lock:
            if self._held == 0 and self._end:
                self._file.truncate(0)
                self._end = 0
            self._held += 1
            return self._end

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file.fileno(), view, self._end)
            view = view[written:]
            self._end += written

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, offset)

    def release(self) -> None:
        """One instance less is needed."""
        with self._lock:
            self._held -= 1
            self._let_go()

    def close(self) -> None:
        """Nothing more comes: it goes with the last instance that is needed."""
        with self._lock:
            self._over = True
            self._let_go()

    def _let_go(self) -> None:
        if self._over and self._held <= 0:
            self._file.close()


class Arrival:
    """One instance as it arrives: written by the association's thread, read by another one, also while it grows."""

    def __init__(
        self, spool: Spool, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, limit_bytes: int
    ) -> None:
        self.sop_class_uid, self.sop_instance_uid = sop_class_uid, sop_instance_uid
        self.transfer_syntax_uid = transfer_syntax_uid
        self._spool, self._start, self._limit = spool, spool.begin(), limit_bytes
        self._news = Condition()
        self._size = self._read = 0
        self._complete = self._broken = self._released = False
        self.touched_at = monotonic()
        self.add(file_meta(sop_class_uid, sop_instance_uid, transfer_syntax_uid))

    @property
    def size_bytes(self) -> int:
        """How much has come."""
        return self._size

    @property
    def complete(self) -> bool:
        return self._complete

    def add(self, data: bytes | memoryview) -> None:
        """More of it. Raises OSError when the disk is full, ValueError over the limit."""
        if self._size + len(data) > self._limit:
            raise ValueError("larger than what is taken")
        self._spool.write(data)
        with self._news:
            self._size += len(data)
            self._news.notify_all()

    def finish(self) -> None:
        """It is whole."""
        with self._news:
            self._complete = True
            self._news.notify_all()

    def break_off(self) -> None:
        """Nothing more will come, and it is not whole."""
        with self._news:
            self._broken = not self._complete
            self._news.notify_all()

    def read(self, size: int = 1 << 20, /) -> bytes:
        """The next bytes, waited for while it grows; none at its end. Raises ContentMismatch when it broke off."""
        with self._news:
            self._news.wait_for(lambda: self._read < self._size or self._complete or self._broken)
            there = min(size, self._size - self._read)
            if self._broken and not there:
                raise ContentMismatch("an instance broke off on its way from its source")
        self.touched_at = monotonic()
        data = self._spool.read(self._start + self._read, there) if there else b""
        self._read += len(data)
        return data

    def release(self) -> None:
        """It is not needed any more: its room may be used again."""
        if not self._released:
            self._released = True
            self._spool.release()


class Left(Exception):
    """Raised by a receiver that wants nothing more: the association is aborted."""


class Receiver(Protocol):
    """Who takes the instances of an association, and releases each. All are called in a thread of the association."""

    def begun(self, arrival: Arrival) -> None:
        """The first bytes are there. Raises PermissionError for one that nobody asked for. Must not wait."""

    def stored(self, arrival: Arrival) -> tuple[int, str]:
        """It is whole: a status of the C-STORE service, and a comment of at most 64 characters. May wait: until then the peer does.

        Raises Left to hang up.
        """

    def broken(self, arrival: Arrival) -> None:
        """It will not become whole. Must not wait."""
