"""Who writes the trail now, and what lies outside the database: each writer's lock file, and the head.

A writer holds the lock on `writers/<id>.lock` for its life; the kernel lets go of it however the process ends.

Source: trust.md §4.2, §4.3.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from isthmus.audit.verify import Head
from isthmus.errors import AuditUnavailable
from isthmus.storage.replaced import alone, replace_durably


class Writers:
    """The folder `writers/` and the file `trail.head` of a node."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "writers"
        self._head = folder / "trail.head"
        self._held: int | None = None

    def enter(self) -> str:
        """Become a writer; gives its id."""
        writer = secrets.token_hex(8)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._held = os.open(self._lock(writer), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return writer

    def leave(self, writer: str) -> None:
        self.forget(writer)
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def gone(self, writer: str) -> bool:
        """Whether nobody holds this writer's lock any more."""
        try:
            file = os.open(self._lock(writer), os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(file)
        return True

    def forget(self, writer: str) -> None:
        self._lock(writer).unlink(missing_ok=True)

    def at_work(self) -> bool:
        """Whether some process writes the trail now."""
        return any(not self.gone(file.stem) for file in self._folder.glob("*.lock"))

    def put_back(self, head: Head) -> None:
        """Let an earlier or another head count, after a loss that was written down. The one before is kept under its size."""
        with self._alone():
            if self._head.exists():
                before = self._head.with_name(f"{self._head.name}.{secrets.token_hex(4)}")
                self._head.replace(before)
        self.keep(head)

    def head(self) -> Head | None:
        """The head outside the database; None when there is none. Raises AuditUnavailable when it is not one."""
        try:
            return Head.read(self._head.read_text(encoding="ascii"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise AuditUnavailable("the head outside the database cannot be read") from error

    def keep(self, head: Head) -> None:
        """Keep a head durably; it never goes back."""
        with self._alone():
            kept = self.head()
            if kept is not None and kept.size >= head.size:
                return
            replace_durably(self._head, head.write())

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with alone(self._folder / "head"):
            yield

    def _lock(self, writer: str) -> Path:
        return self._folder / f"{os.path.basename(writer)}.lock"
