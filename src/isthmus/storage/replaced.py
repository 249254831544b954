"""A small file that is replaced whole and durably, and a turn at it that one process has at a time.

Source: trust.md §4.3; stack.md §3.2.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def replace_durably(file: Path, text: str) -> None:
    """The file holds this text, whole, when it returns, and after a power cut; or what it held before. Raises OSError."""
    fresh = file.with_suffix(f".{os.getpid()}")
    with fresh.open("w", encoding="utf-8") as writing:
        writing.write(text)
        writing.flush()
        os.fsync(writing.fileno())
    fresh.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold a lock file; the kernel lets go of it however the process ends."""
    file = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
