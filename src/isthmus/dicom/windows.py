"""Windows onto the bytes of an instance: a piece in hand, moving forward, so that no instance is ever whole in memory.

`hold(pos, count)` brings bytes into hand; it answers False when they are not there (yet): `size` says whether they ever
will be. A window never goes back: what lies before the last `hold` may be gone.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final, Protocol

from isthmus.dicom.faults import DicomFault

PIECE_BYTES: Final = 64 * 1024
RATIO_SLACK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of everything an instance may have."""

    max_depth: int = 16
    max_elements: int = 100_000
    max_fragments: int = 1_000_000
    max_non_pixel_bytes: int = 64 * 1024 * 1024
    max_header_bytes: int = 4 * 1024 * 1024  # of the values that are kept of it while it is looked at
    max_image_bytes: int = 4 * 1024 * 1024 * 1024
    max_inflated_bytes: int = 256 * 1024 * 1024
    max_inflation_ratio: int = 100
    deflated_accepted: bool = True


AT_IMPORT: Final = Bounds()
AT_THE_BORDER: Final = Bounds(deflated_accepted=False)


class Source(Protocol):
    """An instance that can be read anywhere."""

    @property
    def size_bytes(self) -> int: ...

    def read_at(self, offset: int, size: int) -> bytes:
        """Give `size` bytes from `offset`, fewer only where the bytes end."""
        ...


class BytesSource:
    """An instance in memory, or the first bytes of one whose whole size is known."""

    def __init__(self, data: bytes | bytearray | memoryview, size_bytes: int | None = None) -> None:
        self._data = data
        self._size_bytes = len(data) if size_bytes is None else size_bytes

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self._data[offset : offset + size])


class Window(Protocol):
    data: bytes
    base: int
    size: int | None

    def hold(self, pos: int, count: int) -> bool: ...


class SourceWindow:
    """A window onto a source; every byte is there, so nobody ever waits."""

    def __init__(self, source: Source) -> None:
        self.data = b""
        self.base = 0
        self.size: int | None = source.size_bytes
        self._source = source
        self._end = source.size_bytes

    def hold(self, pos: int, count: int) -> bool:
        at = pos - self.base
        if at >= 0 and at + count <= len(self.data):
            return True
        if pos + count > self._end:
            return False
        self.data = self._source.read_at(pos, min(max(PIECE_BYTES, count), self._end - pos))
        self.base = pos
        if len(self.data) < count:
            raise DicomFault("prefix-too-short", f"bytes up to {pos + count} are needed")
        return True


class ArrivingWindow:
    """A window onto bytes as they arrive; keeps only what is asked for and what follows it in the last piece."""

    def __init__(self) -> None:
        self.data = b""
        self.base = 0
        self.size: int | None = None
        self.arrived = 0
        self._floor = 0

    def push(self, view: bytes | bytearray | memoryview) -> None:
        kept = self.data[max(0, self._floor - self.base) :]
        fresh = memoryview(view)[max(0, self._floor - self.arrived) :]
        self.arrived += len(view)
        self.data = kept + bytes(fresh) if kept else bytes(fresh)
        self.base = self.arrived - len(self.data)

    def finish(self) -> None:
        self.size = self.arrived

    def hold(self, pos: int, count: int) -> bool:
        self._floor = pos
        return pos >= self.base and pos + count <= self.arrived


class InflatingWindow:
    """A window onto a deflated data set, inflated piece by piece within the bounds; offsets count inflated bytes.

    What follows the end of the deflate stream (a pad byte) does not count.
    Source: PS3.5 §A.5; RFC 1951.
    """

    def __init__(self, under: Window, start: int, bounds: Bounds) -> None:
        self.data = b""
        self.base = 0
        self.size: int | None = None
        self._under = under
        self._next = start
        self._read = 0
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._pending = b""
        self._bounds = bounds

    def hold(self, pos: int, count: int) -> bool:
        while pos + count > self.base + len(self.data):
            kept = self.data[max(0, pos - self.base) :]
            piece = self._inflate()
            if piece is None:
                return False
            self.base += len(self.data) - len(kept)
            self.data = kept + piece
        return pos >= self.base

    def _inflate(self) -> bytes | None:
        """Give the next inflated piece; None when bytes must arrive first, or none are left."""
        if self.size is not None:
            return None
        raw = self._pending or self._take()
        if raw is None:
            return None
        try:
            piece = self._inflater.decompress(raw, PIECE_BYTES)
        except zlib.error as exc:
            raise DicomFault("bad-structure", "the deflated data set cannot be inflated") from exc
        self._pending = self._inflater.unconsumed_tail
        inflated = self.base + len(self.data) + len(piece)
        if inflated > self._bounds.max_inflated_bytes:
            raise DicomFault("inflation", f"more than {self._bounds.max_inflated_bytes} bytes")
        if inflated > self._bounds.max_inflation_ratio * self._read + RATIO_SLACK_BYTES:
            raise DicomFault("inflation", f"more than {self._bounds.max_inflation_ratio} times its size")
        if self._inflater.eof:
            self.size = inflated
        return piece

    def _take(self) -> bytes | None:
        """Give the next deflated bytes."""
        under, start = self._under, self._next
        if not under.hold(start, 1):
            if under.size is not None:
                raise DicomFault("truncated", "the deflated data set has no end")
            return None
        raw = under.data[start - under.base : start - under.base + PIECE_BYTES]
        self._next += len(raw)
        self._read += len(raw)
        return raw
