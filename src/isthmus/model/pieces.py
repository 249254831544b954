"""Pieces: what is to be moved. A verb names them; `transport/pump.py` moves them; nobody holds a study.

Source: architecture.md §6.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileRange:
    """A range of a file of ours, as it lies."""

    path: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Arriving:
    """Bytes still arriving: opened when their turn comes."""

    open: Callable[[], AsyncIterator[bytes | memoryview]]


@dataclass(frozen=True, slots=True)
class Mark:
    """Nothing to send: says that one instance is now complete. The pump counts it and keeps its digest.

    `sha256` is that of the bytes that crossed, when it is known before sending; otherwise the pump's own stands.
    """

    sop_instance_uid: str
    size_bytes: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Late:
    """Pieces that are known only when their turn comes: what lies behind a PACS names its syntax with its first bytes."""

    open: Callable[[], AsyncIterator[Piece]]


Piece = bytes | FileRange | Arriving | Mark | Late


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """One instance as its source would send it: where its bytes lie, and what is known of them.

    `transfer_syntax_uid` "" says that it shows only when the bytes arrive.
    `recoded_from` names the stored transfer syntax when what crosses is the Explicit-LE form.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str  # of what crosses
    content: FileRange | Arriving | Late
    size_bytes: int | None
    sha256: str | None  # hex, of what crosses
    recoded_from: str | None = None
    video: bool = False
