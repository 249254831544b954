"""Metadata of spooled instances as DICOM JSON, with bulk values by address, and those values.

Metadata say what frames are as they are given natively: where decoding changes how pixels are written, the attributes tell the changed way.

Source: PS3.18 §10.4.1.1.2, §8.7.3, Annex F; field-faults F23, F34.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing, closing

import orjson

from isthmus.country_b.fetch import Wanted
from isthmus.country_b.local.asked import Asked, Spooled
from isthmus.country_b.local.images import CHUNK_BYTES, choose, each, opened
from isthmus.dicom import dicomjson
from isthmus.dicom.pixels.attributes import syntax_of
from isthmus.dicom.syntaxes import EXPLICIT_LE, TransferSyntax
from isthmus.dicom.walker import UNDEFINED
from isthmus.dicom.windows import AT_THE_BORDER
from isthmus.errors import ImagesNotFound, UnsupportedRequest
from isthmus.model.media import read_ranges
from isthmus.model.pieces import Arriving
from isthmus.transport.answers import Answer

DICOM_JSON, OCTETS = "application/dicom+json", "application/octet-stream"
SAMPLES, PHOTOMETRIC, PLANAR = "00280002", "00280004", "00280006"
LOSSY_JPEG = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})


async def get_metadata(asked: Asked) -> Answer:
    """Metadata of a study, a series or an instance, one instance after another."""
    asked.accepts(DICOM_JSON, "application/json")
    chosen = await choose(asked)

    async def pieces() -> AsyncIterator[bytes]:
        lead = b"["
        async with aclosing(each(asked, chosen)) as instances:
            async for one, source in instances:
                address = f"{_address(asked, chosen.study, one)}/bulkdata/"
                yield lead + await asyncio.to_thread(_described, source, address)
                lead = b","
        yield b"]"

    return Answer(chosen.status, (("Content-Type", DICOM_JSON),), (Arriving(pieces),))


def _address(asked: Asked, study: str, one: Wanted) -> str:
    return f"{asked.dicomweb}/studies/{study}/series/{one.series_instance_uid}/instances/{one.sop_instance_uid}"


def _described(source: Spooled, address: str) -> bytes:
    said = dicomjson.instance_json(source, lambda path: address + path, AT_THE_BORDER)
    as_given(said, syntax_of(source))
    return orjson.dumps(said)


def as_given(said: dicomjson.Json, syntax: TransferSyntax) -> None:
    """Tell of compressed colour what its decoded frames are (`dicom/pixels/decode.py`): their space, and colour by pixel."""
    if not syntax.encapsulated or _first(said, SAMPLES) != 3:
        return
    space = str(_first(said, PHOTOMETRIC) or "")
    if syntax.uid in LOSSY_JPEG or space in ("YBR_ICT", "YBR_RCT"):
        space = "RGB"
    said[PHOTOMETRIC] = {"vr": "CS", "Value": [space.removesuffix("_422")]}
    said[PLANAR] = {"vr": "US", "Value": [0]}


def _first(said: dicomjson.Json, tag: str) -> object:
    element = said.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _in_an_envelope(accept: str) -> bool:
    """Whether plain bytes are wanted as a part, rather than bare. Raises UnsupportedRequest when they are not wanted."""
    for one in read_ranges(accept):
        envelope = one.media in ("multipart/related", "multipart/*")
        media = one.parameters.get("type", OCTETS).lower() if envelope else one.media
        if media in (OCTETS, "application/*", "*/*") and one.parameters.get("transfer-syntax", "*") in (
            "*",
            EXPLICIT_LE,
        ):
            return envelope
    raise UnsupportedRequest(f"bulk values are given as {OCTETS}", reason="media", path="Accept")


async def get_bulk(asked: Asked) -> Answer:
    """A value that metadata give by address, its bytes as they lie. Compressed pixels are given by frame instead."""
    media_type, multipart = OCTETS, _in_an_envelope(asked.accept)
    with closing(await opened(asked)) as held:
        found = await asyncio.to_thread(dicomjson.bulk_value, Spooled(held), asked.parts["path"], AT_THE_BORDER)
    if found is None:
        raise ImagesNotFound("this instance has no such bulk value", country=asked.reader.country)
    if found.size_bytes == UNDEFINED:
        raise UnsupportedRequest("these pixels are compressed: ask for frames", reason="media", path="Accept")
    boundary = secrets.token_hex(16)
    lead, end = (
        (f"--{boundary}\r\nContent-Type: {media_type}\r\n\r\n", f"\r\n--{boundary}--\r\n") if multipart else ("", "")
    )

    async def pieces() -> AsyncIterator[bytes]:
        with closing(await opened(asked)) as held:
            yield lead.encode("ascii")
            offset, last = found.offset, found.offset + found.size_bytes
            while offset < last:
                chunk = await asyncio.to_thread(held.read, offset, min(CHUNK_BYTES, last - offset))
                yield chunk
                offset += len(chunk)
        yield end.encode("ascii")

    named = f'multipart/related; type="{media_type}"; boundary={boundary}' if multipart else media_type
    return Answer(200, (("Content-Type", named),), (Arriving(pieces),))
