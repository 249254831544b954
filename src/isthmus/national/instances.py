"""One instance out of an answer by WADO-RS: the bare file, or the one part of a multipart body.

Source: PS3.18 §8.6.1.2, §10.4; field-faults F35, F36, F46.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from isthmus.errors import ContentMismatch, CountryMisanswered, MalformedRequest, NationalInfrastructureUnavailable
from isthmus.transport.upstream import Streaming
from isthmus.wire.images import PartReader, PartStart, boundary_of

DICOM = "application/dicom"


async def instance_in(answer: Streaming) -> AsyncGenerator[bytes | memoryview]:
    """The bytes of the one instance that an answer holds, as they arrive.

    Raises ContentMismatch when there is none, when there are several, and when the end is missing or could not be known.
    """
    try:
        boundary = boundary_of(answer.headers.get("content-type"))
    except MalformedRequest as error:
        raise ContentMismatch("the PACS answers with what is no instance") from error
    if boundary is None and not answer.delimited:
        raise ContentMismatch("the PACS does not say where an instance ends")
    try:
        async with aclosing(answer.chunks()) as chunks, aclosing(_of(chunks, boundary)) as pieces:
            async for piece in pieces:
                yield piece
    except NationalInfrastructureUnavailable as error:
        raise ContentMismatch("the PACS broke off an instance") from error
    except CountryMisanswered as error:
        raise ContentMismatch("the PACS answers with what is no multipart") from error


async def _of(chunks: AsyncGenerator[bytes], boundary: str | None) -> AsyncGenerator[bytes | memoryview]:
    if boundary is None:
        async for chunk in chunks:
            yield chunk
        return
    reader, given, taken = PartReader(boundary), 0, False
    async for chunk in chunks:
        for event in reader.feed(chunk):
            if isinstance(event, PartStart):
                taken = event.headers.get("content-type", DICOM).partition(";")[0].strip().lower() in (DICOM, "")
                given += taken
                if given > 1:
                    raise ContentMismatch("the PACS gives several instances where one was asked for")
            elif isinstance(event, memoryview) and taken:
                yield event
    reader.close()
    if not given:
        raise ContentMismatch("the PACS gives no instance")
