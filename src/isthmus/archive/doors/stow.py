"""STOW-RS: a multipart body, instance by instance into the archive as it arrives.

What is answered for is durable. A request that is cut leaves what came whole before the cut, or nothing of it; said again, it changes nothing.

Source: PS3.18 §8.6.1, §10.5; wire.md §1.8; trust.md T69, T98.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from isthmus.archive.doors.answers import Told
from isthmus.archive.intake import Intake
from isthmus.archive.verdicts import REFUSED, Unreadable, held
from isthmus.errors import ContentMismatch, CountryMisanswered, MalformedRequest, TooLarge, UnsupportedRequest
from isthmus.model.identifiers import checked_uid
from isthmus.model.media import read_ranges
from isthmus.transport.inflow import Inflow
from isthmus.wire.images import PartEnd, PartReader, PartStart, boundary_of

MAX_PARTS: Final = 100_000
DICOM, DICOM_JSON = "application/dicom", "application/dicom+json"
_TAKEN: Final = 'multipart/related; type="application/dicom"'
_ANSWERED: Final = frozenset({"*/*", "application/*", DICOM_JSON, "application/json"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to store: where the parts end (None: the body is one instance), and the only study they may belong to."""

    boundary: str | None
    study: str | None


def read_store(segments: list[str], content_type: str | None, accept: str | None) -> Asked | None:
    """Read `studies[/{study}]` and the headers; None when it is another path. Raises MalformedRequest, UnsupportedRequest."""
    if segments[0] != "studies" or len(segments) > 2:
        return None
    study = checked_uid(segments[1], "study") if len(segments) == 2 else None
    if accept and not any(one.media in _ANSWERED for one in read_ranges(accept)):
        raise UnsupportedRequest(f"the answer is {DICOM_JSON}", reason="media", path="Accept")
    try:
        boundary = boundary_of(content_type)
        kind = DICOM if boundary is None else _kind(content_type)
    except MalformedRequest:
        raise UnsupportedRequest(f"instances are taken as {_TAKEN}", reason="body-media", path="Content-Type") from None
    if kind != DICOM:
        raise UnsupportedRequest(
            f"metadata and bulk data are not taken apart here: send whole instances, {_TAKEN}",
            reason="body-media",
            path="Content-Type",
        )
    return Asked(boundary, study)


def _kind(content_type: str | None) -> str:
    """The type of the root part; where it is not said, that of the parts decides."""
    return read_ranges(content_type or "")[0].parameters.get("type", DICOM).strip().lower()


def store(inflow: Inflow, asked: Asked, intake: Intake, told: Told) -> None:
    """Take every part in, in the order of arrival; a thread's work. Raises MalformedRequest, TooLarge, transport.inflow.Cut.

    However it ends, what came whole is made durable before.
    """
    parts: Iterator[_Part | _Whole] = (
        _parts(inflow, asked.boundary) if asked.boundary is not None else iter([_Whole(inflow)])
    )
    try:
        for number, part in enumerate(parts, 1):
            if number > MAX_PARTS:
                raise TooLarge("too many parts in one request", reason="too-costly")
            told.add(
                intake.dicom(part, f"part {number}", study=asked.study)
                if part.dicom
                else [held(REFUSED, f"part {number}", "unknown-form")]
            )
            part.drain()
    except CountryMisanswered as error:
        raise MalformedRequest(error.message, path="multipart") from error
    except ContentMismatch as error:
        raise MalformedRequest("the body ended before its closing boundary", path="multipart") from error
    finally:
        told.add(intake.flush())


class _Whole:
    """A body that is one instance."""

    dicom = True

    def __init__(self, inflow: Inflow) -> None:
        self._inflow = inflow

    def read(self, size: int, /) -> bytes:
        return self._inflow.read()

    def drain(self) -> None:
        while self._inflow.read():
            pass


class _Part:
    """One part, read forward."""

    def __init__(self, events: Iterator[PartStart | memoryview | PartEnd], start: PartStart) -> None:
        self._events, self._ended = events, False
        media = start.headers.get("content-type", DICOM).partition(";")[0].strip().lower()
        self.dicom = media == DICOM

    def read(self, size: int, /) -> bytes:
        if self._ended:
            return b""
        for event in self._events:
            if isinstance(event, memoryview):
                return bytes(event)
            if isinstance(event, PartEnd):
                self._ended = True
                if event.announced_bytes not in (None, event.size_bytes):
                    raise Unreadable("lying-length", "the part's own Content-Length")
                return b""
        return b""

    def drain(self) -> None:
        """Read to the end of the part, so that the next one can begin."""
        with contextlib.suppress(Unreadable):
            while not self._ended:
                self.read(0)


def _parts(inflow: Inflow, boundary: str) -> Iterator[_Part]:
    events = _events(inflow, PartReader(boundary))
    for event in events:
        if isinstance(event, PartStart):
            yield _Part(events, event)


def _events(inflow: Inflow, reader: PartReader) -> Iterator[PartStart | memoryview | PartEnd]:
    while piece := inflow.read():
        yield from reader.feed(piece)
    reader.close()
