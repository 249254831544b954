"""The structural scan of an instance that nobody has reason to trust, before any parser of others sees it.

Every element is walked, no pixel is read, memory is bounded. `scan` reads a source, `Scanner` is fed as bytes arrive.
Source: PS3.5 §7, §8, Annex A.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

from isthmus.dicom.faults import DicomFault
from isthmus.dicom.header import Collected, Header, collect, finished, header_of
from isthmus.dicom.tags import name_of
from isthmus.dicom.walker import UNDEFINED
from isthmus.dicom.windows import AT_IMPORT, ArrivingWindow, Bounds, Source, SourceWindow

# Samples stored for each pixel when colour is subsampled, of three. Source: PS3.3 §C.7.6.3.1.2.
_STORED_SAMPLES: Final = {"YBR_FULL_422": 2.0, "YBR_PARTIAL_422": 2.0, "YBR_PARTIAL_420": 1.5}


@dataclass(frozen=True, slots=True)
class ScanResult:
    header: Header
    size_bytes: int


def scan(source: Source, bounds: Bounds = AT_IMPORT) -> ScanResult:
    """Scan a whole file; raises DicomFault."""
    found = finished(collect(SourceWindow(source), bounds, whole=True))
    return ScanResult(_judged(found, bounds), source.size_bytes)


class Scanner:
    """Scans an instance as it arrives: feed it views, then close it.

    `feed` and `close` raise DicomFault; after one, nothing more may be fed. Views are not kept, the pixels in them not
    even copied.
    """

    def __init__(self, bounds: Bounds = AT_IMPORT) -> None:
        self._bounds = bounds
        self._window = ArrivingWindow()
        self._run: Generator[None, None, Collected] = collect(self._window, bounds, whole=True)
        self._found: Collected | None = None

    def feed(self, view: bytes | bytearray | memoryview) -> None:
        if self._found is None:
            self._window.push(view)
            self._advance()
        else:
            self._window.arrived += len(view)  # behind the end of a deflated data set

    def close(self) -> ScanResult:
        """Say that all bytes came, and give the result."""
        self._window.finish()
        self._advance()
        if self._found is None:
            raise DicomFault("truncated", "the scan did not end")
        return ScanResult(_judged(self._found, self._bounds), self._window.arrived)

    def _advance(self) -> None:
        if self._found is None:
            try:
                next(self._run)
            except StopIteration as done:
                self._found = done.value


def _judged(found: Collected, bounds: Bounds) -> Header:
    header = header_of(found)
    _judge_image(header, found, bounds)
    return header


def _judge_image(header: Header, found: Collected, bounds: Bounds) -> None:
    """Compare what rows, columns and frames declare with the cap, and with the pixels that are there.

    Video has no cap here: its frames are bounded by its fragments.
    """
    pixel, syntax = found.pixel, found.meta.syntax
    declared = _declared_bytes(header)
    if declared > bounds.max_image_bytes and not syntax.video:
        raise DicomFault("too-large", f"the image is more than {bounds.max_image_bytes} bytes")
    if pixel is None:
        return
    if (pixel.length == UNDEFINED) != syntax.encapsulated:
        raise DicomFault("bad-structure", f"{name_of(pixel.tag)} is not as its transfer syntax wants it")
    if not syntax.encapsulated and pixel.length < declared:
        raise DicomFault("short-pixels", f"{name_of(pixel.tag)} holds {pixel.length} of {declared} bytes")


def _declared_bytes(header: Header) -> int:
    samples: float = header.samples_per_pixel or 1
    if samples == 3:
        samples = _STORED_SAMPLES.get(header.photometric_interpretation or "", samples)
    frames = 1 if header.number_of_frames is None else max(0, header.number_of_frames)
    pixels = (header.rows or 0) * (header.columns or 0) * frames
    return -(-int(pixels * (header.bits_allocated or 0) * samples) // 8)
