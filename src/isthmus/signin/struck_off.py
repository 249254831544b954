"""Professionals who may not ask any more, whatever their identity service says: the national register's word, as a file that is followed.

One identifier a line (`national:4711`, or an account's login); what follows `#` is a remark. A line counts at the next request, in a
session that runs too. A file that is named and cannot be read closes: nobody could say who is in it.

Source: trust.md §2.13.
"""

from __future__ import annotations

from pathlib import Path

from isthmus.errors import NationalInfrastructureUnavailable


class StruckOff:
    """Who is in the file, as it is now. Without a file nobody is."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._read: tuple[tuple[int, int, int], frozenset[str]] | None = None

    def names(self, sub: str) -> bool:
        """Whether this professional is in it. Raises NationalInfrastructureUnavailable when it cannot be read."""
        if self._file is None:
            return False
        try:
            told = self._file.stat()
            version = (told.st_mtime_ns, told.st_size, told.st_ino)
            if self._read is None or self._read[0] != version:
                lines = self._file.read_text(encoding="utf-8").splitlines()
                self._read = version, frozenset(line.partition("#")[0].strip() for line in lines)
        except (OSError, UnicodeDecodeError) as error:
            raise NationalInfrastructureUnavailable("the list of who was struck off cannot be read") from error
        return sub in self._read[1]
