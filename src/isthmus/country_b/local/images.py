"""WADO-RS: a study, a series, an instance, out of the spool; what is not there yet is fetched from the country meanwhile.

As stored where that is accepted. Otherwise Explicit VR Little Endian, decoded in a child process, kept beside the original.

Source: PS3.18 §10.4, §8.7.3; field-faults F25, F33, F39.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, closing, nullcontext
from dataclasses import dataclass

from isthmus.consent.roles import Act
from isthmus.country_b.fetch import Wanted
from isthmus.country_b.local.asked import Asked, Spooled
from isthmus.country_b.local.holdings import listed
from isthmus.country_b.recent import LIST_AGE
from isthmus.dicom.pixels.attributes import syntax_of
from isthmus.dicom.syntaxes import EXPLICIT_LE, TransferSyntax
from isthmus.errors import ArrivalRefused, ContentMismatch, ImagesNotFound, UnsupportedRequest
from isthmus.model.amounts import amount
from isthmus.model.pieces import Arriving
from isthmus.model.queries import ImagesQuery
from isthmus.storage.sealed import SealedReader
from isthmus.transport.answers import Answer
from isthmus.wire.images import Level, content_type, read_accept
from isthmus.wire.images import Wanted as Accepted

CHUNK_BYTES = 512 << 10
LOOK_EVERY_S = 1.0
DECODE_S = 300.0
DECODED_MAX_BYTES = 4 << 30
ENDED = "the visit ended"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The instances of a study that the path names, without those that the country was just seen not to send."""

    study: str
    everything: tuple[Wanted, ...]
    wanted: tuple[Wanted, ...]
    gone: frozenset[str]

    @property
    def status(self) -> int:
        return 206 if self.gone else 200


async def choose(asked: Asked) -> Chosen:
    """What the manifest lists of study, series or instance. Raises ImagesNotFound; InsufficientRights by role."""
    asked.reader.visit.require(Act.PIXELS)
    query = asked.query
    everything = listed(await asked.local.holdings.study(asked.reader, query.study_instance_uid))
    gone: frozenset[str] = _gone(asked, query.study_instance_uid)
    named = [one for one in everything if _is_named(one, query)]
    wanted = tuple(one for one in named if one.sop_instance_uid not in gone)
    if not wanted:
        raise ImagesNotFound("this patient has no such images here", country=asked.reader.country)
    return Chosen(query.study_instance_uid, everything, wanted, frozenset({o.sop_instance_uid for o in named} & gone))


def _is_named(one: Wanted, query: ImagesQuery) -> bool:
    return query.series_instance_uid in (None, one.series_instance_uid) and query.sop_instance_uid in (
        None,
        one.sop_instance_uid,
    )


def _gone(asked: Asked, study: str) -> frozenset[str]:
    return asked.local.holdings.recent.get(asked.reader.visit.id, f"gone {study}", LIST_AGE) or frozenset()


async def each(asked: Asked, chosen: Chosen) -> AsyncGenerator[tuple[Wanted, Spooled]]:
    """The chosen instances, one by one, as they are there. It does not end cleanly when one did not come, or the visit ended.

    Raises ContentMismatch: the answer is cut then; asked again, it is partial from the start (206).
    """
    local, reader, missing, looked = asked.local, asked.reader, set[str](), time.monotonic()
    flights = local.holdings.flights.each(reader.visit, reader.country, chosen.study, chosen.wanted, chosen.everything)
    async with aclosing(flights) as found:
        async for one, held in found:
            if held is None:
                missing.add(one.sop_instance_uid)
                continue
            with closing(held):
                if time.monotonic() - looked > LOOK_EVERY_S:
                    looked = time.monotonic()
                    if not await local.access.lives(reader):
                        raise ContentMismatch(ENDED)
                yield one, Spooled(held)
    if missing:
        local.holdings.recent.put(reader.visit.id, f"gone {chosen.study}", _gone(asked, chosen.study) | missing)
        raise ContentMismatch(f"{amount(len(missing), 'instance')} did not come", country=reader.country)


async def get_images(level: Level, asked: Asked) -> Answer:
    """A study or a series. Raises UnsupportedRequest when its first instance cannot be given as accepted."""
    accepted, chosen = read_accept(asked.accept, level=level), await choose(asked)
    boundary = secrets.token_hex(16)

    async def pieces() -> AsyncIterator[bytes]:
        lead = f"--{boundary}\r\n"
        async with aclosing(each(asked, chosen)) as instances:
            async for one, source in instances:
                async with aclosing(_part(asked, chosen.study, one, source, accepted, lead)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                lead = f"\r\n--{boundary}\r\n"
        yield f"\r\n--{boundary}--\r\n".encode("ascii")

    return Answer(chosen.status, (("Content-Type", content_type(boundary)),), (Arriving(pieces),))


async def get_instance(asked: Asked) -> Answer:
    """One instance, bare or in an envelope. Raises ImagesNotFound, UnsupportedRequest."""
    accepted = read_accept(asked.accept, level="instance")
    query, boundary = asked.query, secrets.token_hex(16)
    one = Wanted(query.series_instance_uid or "", query.sop_instance_uid or "")
    with closing(await opened(asked)) as held:
        syntax, form = await _formed(asked, query.study_instance_uid, one, Spooled(held), accepted)
        if form is not None:
            form.close()
    lead = None if accepted.single_part else f"--{boundary}\r\n"

    async def pieces() -> AsyncIterator[bytes]:
        with closing(await opened(asked)) as held:
            async with aclosing(_part(asked, query.study_instance_uid, one, Spooled(held), accepted, lead)) as chunks:
                async for chunk in chunks:
                    yield chunk
        if lead is not None:
            yield f"\r\n--{boundary}--\r\n".encode("ascii")

    named = f"application/dicom; transfer-syntax={syntax}" if lead is None else content_type(boundary)
    return Answer(200, (("Content-Type", named),), (Arriving(pieces),))


async def opened(asked: Asked) -> SealedReader:
    """The instance that the path names, fetched when it is not there yet. Raises ImagesNotFound and what fetching raises."""
    asked.reader.visit.require(Act.PIXELS)
    everything = listed(await asked.local.holdings.study(asked.reader, asked.query.study_instance_uid))
    if not any(_is_named(one, asked.query) for one in everything):  # never was there, or was taken back
        raise ImagesNotFound("this patient has no such image here", country=asked.reader.country)
    return await asked.local.holdings.flights.instance(asked.reader.visit, asked.reader.country, asked.query)


async def _part(
    asked: Asked, study: str, one: Wanted, source: Spooled, accepted: Accepted, lead: str | None
) -> AsyncGenerator[bytes]:
    """One instance in a form that is accepted; behind a boundary, its head comes first."""
    syntax, form = await _formed(asked, study, one, source, accepted)
    with closing(form) if form is not None else nullcontext():
        given = source if form is None else Spooled(form)
        if lead is not None:
            head = f"Content-Type: application/dicom; transfer-syntax={syntax}\r\nContent-Length: {given.size_bytes}"
            yield f"{lead}{head}\r\n\r\n".encode("ascii")
        async for chunk in chunks_of(given):
            yield chunk


async def chunks_of(source: Spooled) -> AsyncIterator[bytes]:
    offset = 0
    while offset < source.size_bytes:
        chunk = await asyncio.to_thread(source.read_at, offset, CHUNK_BYTES)
        yield chunk
        offset += len(chunk)


async def _formed(
    asked: Asked, study: str, one: Wanted, source: Spooled, accepted: Accepted
) -> tuple[str, SealedReader | None]:
    """The syntax in which an instance is given, and its decoded form when it is not as stored.

    What cannot be decoded travels as it is when no syntax was named. Raises UnsupportedRequest when one was.
    """
    syntax = await asyncio.to_thread(syntax_of, source)
    if accepted.syntaxes is None or syntax.uid in accepted.syntaxes or (syntax.video and accepted.default):
        return syntax.uid, None
    if EXPLICIT_LE in accepted.syntaxes and not syntax.video:
        try:
            return EXPLICIT_LE, await _decoded(asked, study, one, source)
        except ArrivalRefused as error:
            if accepted.default:
                return syntax.uid, None
            raise _unacceptable(syntax) from error
    raise _unacceptable(syntax)


def _unacceptable(syntax: TransferSyntax) -> UnsupportedRequest:
    return UnsupportedRequest(
        f"this is stored as {syntax.name} and is not given otherwise; ask for what is stored, with transfer-syntax=*",
        reason="media",
        path="Accept",
    )


async def _decoded(asked: Asked, study: str, one: Wanted, source: Spooled) -> SealedReader:
    """The form in Explicit VR Little Endian, made once in a visit. Raises ArrivalRefused when that cannot be."""
    spool, visit = asked.local.spool, asked.reader.visit.id
    item = ("decoded", study, one.series_instance_uid, one.sop_instance_uid)
    if (held := await spool.find(visit, *item)) is not None:
        return held
    arriving = spool.begin()
    try:
        await asked.local.sandbox.run(
            "decoded", source, deadline_s=DECODE_S, output_limit_bytes=DECODED_MAX_BYTES, into=arriving.write
        )
    except BaseException:
        arriving.drop()
        raise
    await spool.keep(visit, arriving, *item)
    if (held := await spool.find(visit, *item)) is None:
        raise ContentMismatch(ENDED)
    return held
