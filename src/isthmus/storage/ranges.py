"""Ranges of files of ours, read anywhere: what parsers are given of a stored instance."""

from __future__ import annotations

import os

from isthmus.model.pieces import FileRange


class RangeSource:
    """The bytes of a range. Raises OSError when the file is not there."""

    def __init__(self, of: FileRange) -> None:
        self._of = of

    @property
    def size_bytes(self) -> int:
        return self._of.size_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        file = os.open(self._of.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(file, max(0, min(size, self._of.size_bytes - offset)), self._of.offset + offset)
        finally:
            os.close(file)
