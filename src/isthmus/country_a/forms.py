"""In which form an instance crosses: as it is stored, in Explicit VR Little Endian, or decoded for who can take nothing else.

Of what lies in the archive this is known before anything is sent. What lies behind a PACS names its syntax with its first bytes, so its
part of an answer is made when its turn comes; what must be written anew first goes through a file of ours, one instance at a time.

Source: RAD-107; PS3.18 §8.7.3, §10.4; wire.md §1.8; field-faults F25, F33, F39.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

from isthmus.dicom.faults import DicomFault
from isthmus.dicom.part10 import file_syntax
from isthmus.dicom.pixels.decodable import DECODABLE, decoded_bytes
from isthmus.dicom.pixels.faults import PixelFault
from isthmus.dicom.recode import to_explicit_le
from isthmus.dicom.syntaxes import EXPLICIT_LE, SYNTAXES, crosses_unchanged
from isthmus.errors import ArrivalRefused, ContentMismatch
from isthmus.model.pieces import Arriving, FileRange, Late, Piece, StoredInstance
from isthmus.sandbox import MIB, Sandbox
from isthmus.storage.ranges import RangeSource
from isthmus.transport.line import Sink, as_it_comes, begun, replayed
from isthmus.wire.images import Wanted, not_made, part_head

LOG = logging.getLogger("isthmus.country_a")
FILE_S, SLOWEST_BYTES_S = 10.0, 8 * MIB  # how long decoding may take: a file, and what its pixels need beyond that
BESIDE_PIXELS_BYTES = 64 * MIB
HEAD_BYTES = 64 << 10  # preamble and group 2 are in it
READ_BYTES = 512 << 10


def decoded(sandbox: Sandbox, instance: StoredInstance) -> StoredInstance | None:
    """The Explicit-LE form of a compressed instance, made while it is sent: neither size nor digest is known before.

    None for what no codec here decodes, as far as its head tells.
    """
    if instance.transfer_syntax_uid not in DECODABLE or not isinstance(instance.content, FileRange):
        return None
    source = RangeSource(instance.content)
    try:
        size = decoded_bytes(source)
    except (PixelFault, DicomFault, OSError):
        return None
    stored = instance.transfer_syntax_uid
    return replace(
        instance, transfer_syntax_uid=EXPLICIT_LE, content=Arriving(partial(_decoding, sandbox, source, size)),
        size_bytes=None, sha256=None, recoded_from=stored,
    )  # fmt: skip


async def _decoding(sandbox: Sandbox, source: RangeSource, size_bytes: int) -> AsyncIterator[bytes]:
    """Decode in a child. Raises UnsupportedRequest when that gives nothing, ContentMismatch when it breaks off."""
    work = partial(
        sandbox.run, "decoded", source, deadline_s=FILE_S + size_bytes / SLOWEST_BYTES_S,
        output_limit_bytes=size_bytes + BESIDE_PIXELS_BYTES,
    )  # fmt: skip
    started = False
    try:
        async with aclosing(as_it_comes(lambda sink: work(into=sink))) as pieces:
            async for piece in pieces:
                started = True
                yield piece
    except ArrivalRefused as refused:
        LOG.warning("an image could not be decoded: %s", refused.facts.get("fault"))
        if started:
            raise ContentMismatch("an image broke off while it was decoded") from refused
        raise not_made() from refused


def is_late(instance: StoredInstance) -> bool:
    """Whether the syntax of an instance shows only when its bytes arrive."""
    return not instance.transfer_syntax_uid and isinstance(instance.content, Arriving)


def late(instance: StoredInstance, wanted: Wanted, sandbox: Sandbox, folder: Path) -> StoredInstance:
    """The same instance, its part of a multipart answer made when its turn comes."""
    return replace(instance, content=Late(partial(_part, instance, wanted, sandbox, folder)))


async def _part(instance: StoredInstance, wanted: Wanted, sandbox: Sandbox, folder: Path) -> AsyncGenerator[Piece]:
    known = await arrived(instance, wanted, sandbox, folder)
    yield part_head(known)
    assert not isinstance(known.content, Late)  # it has just come
    yield known.content


async def arrived(instance: StoredInstance, wanted: Wanted, sandbox: Sandbox, folder: Path) -> StoredInstance:
    """Wait for the first bytes of an instance and say in which form it crosses; its content goes on from there.

    What must be written anew lies in `folder` meanwhile: the system's own may be in memory.
    Raises UnsupportedRequest where no form of it is accepted, ContentMismatch for what is no instance, and what its source raises.
    """
    assert isinstance(instance.content, Arriving)
    stream = instance.content.open()
    try:
        head = await begun(stream, HEAD_BYTES)
        stored = file_syntax(head)
    except DicomFault as fault:
        await _close(stream)
        raise ContentMismatch("a source gave what is no instance") from fault
    except BaseException:
        await _close(stream)
        raise
    whole = replayed(head, stream)
    known = replace(instance, transfer_syntax_uid=stored, video=SYNTAXES[stored].video)
    recodes = not crosses_unchanged(stored)
    explicit = wanted.syntaxes is None or EXPLICIT_LE in wanted.syntaxes
    if not recodes and (wanted.syntaxes is None or stored in wanted.syntaxes):
        return replace(known, content=Arriving(lambda: whole))
    if not explicit and not wanted.default:
        await whole.aclose()
        raise not_made()
    file, place = await _kept(whole, folder)
    if recodes:
        form = replace(known, transfer_syntax_uid=EXPLICIT_LE, recoded_from=stored, content=_poured(place))
    else:
        lies = replace(known, content=place)
        made = await asyncio.to_thread(decoded, sandbox, lies)
        form = lies if made is None else made
    if form.recoded_from is None and not wanted.default:
        raise not_made()
    return replace(form, content=_from(file, form.content))


async def _kept(whole: AsyncGenerator[bytes | memoryview], folder: Path) -> tuple[IO[bytes], FileRange]:
    """An instance in a file that has no name and goes with whoever holds it."""
    file = await asyncio.to_thread(_nameless, folder)  # closed by who reads it
    size = 0
    async with aclosing(whole):
        async for chunk in whole:
            size += await asyncio.to_thread(file.write, chunk)
    file.flush()
    return file, FileRange(f"/dev/fd/{file.fileno()}", 0, size)


def _nameless(folder: Path) -> IO[bytes]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return tempfile.TemporaryFile(dir=folder)


def _from(file: IO[bytes], content: FileRange | Arriving | Late) -> Arriving:
    """What is read of a file without a name; when it has been read the file is gone."""

    async def read() -> AsyncIterator[bytes]:
        with file:
            if isinstance(content, Arriving):
                async for piece in content.open():
                    yield bytes(piece)
            else:
                file.seek(0)
                while piece := await asyncio.to_thread(file.read, READ_BYTES):
                    yield piece

    return Arriving(read)


def _poured(place: FileRange) -> Arriving:
    return Arriving(lambda: as_it_comes(lambda sink: asyncio.to_thread(_pour, place, sink)))


def _pour(place: FileRange, sink: Sink) -> None:
    try:
        for piece in to_explicit_le(RangeSource(place)):
            sink(piece)
    except DicomFault as fault:
        raise ContentMismatch("an image cannot be written in the form that crosses") from fault


async def _close(stream: AsyncIterator[bytes | memoryview]) -> None:
    if (close := getattr(stream, "aclose", None)) is not None:
        await close()
