"""What a child process is asked about a CDA document of others: all of it, or its header alone. The parser runs nowhere else.

Source: trust.md §2.9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
import orjson

from isthmus.errors import IsthmusError, MalformedRequest
from isthmus.model.documents import DocumentKind
from isthmus.originals.cda.body import read_body
from isthmus.originals.cda.header import CdaDocument, read_cda
from isthmus.originals.cda.tree import MAX_BYTES
from isthmus.originals.recognise import recognise


class Bytes(Protocol):
    """Bytes that are read by range."""

    @property
    def size_bytes(self) -> int: ...
    def read_at(self, offset: int, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Told:
    """What a child says of a document: its header; or why there is none, where it is CDA at all."""

    header: CdaDocument | None = None
    fault: str | None = None


def body_task(source: Bytes, options: Mapping[str, object]) -> Iterator[bytes]:
    """For the child: what a document says, as JSON. Raises MalformedRequest, TooLarge."""
    yield orjson.dumps(read_body(_all_of(source)))


def header_task(source: Bytes, options: Mapping[str, object]) -> Iterator[bytes]:
    """For the child: whether this is CDA, and its header, as JSON."""
    data, told = _all_of(source), Told()
    if recognise(data) is DocumentKind.REPORT_CDA:
        try:
            told = Told(read_cda(data))
        except IsthmusError as error:
            told = Told(fault=error.message)
    yield msgspec.json.encode(told)


def told_header(given: bytes) -> CdaDocument | None:
    """What `header_task` gave; None for what is no CDA. Raises MalformedRequest for CDA that cannot be read."""
    told = msgspec.json.decode(given, type=Told)
    if told.fault is not None:
        raise MalformedRequest(told.fault)
    return told.header


def _all_of(source: Bytes) -> bytes:
    return source.read_at(0, min(source.size_bytes, MAX_BYTES + 1))
