"""Metadata of images, where this country offers them; where not, the border has no such path.

Source: PS3.18 §10.4.1.1.2; wire.md §1.8 (WAD-14); trust.md §2.6.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Sequence
from functools import partial

from isthmus.country_a.holdings import may_give
from isthmus.country_a.media import takes, weights_of
from isthmus.country_a.passes import Admitted
from isthmus.errors import ImagesNotFound, UnsupportedRequest
from isthmus.model.pieces import Arriving
from isthmus.model.queries import ImagesQuery
from isthmus.national.connector import DescribesImages, NationalConnector
from isthmus.transport.answers import Answer
from isthmus.transport.inbound import Request
from isthmus.wire.studies.metadata import MEDIA_TYPE, SERVICE, read_uids

_GZIP, _PIECE_BYTES = 31, 256 << 10


async def get_metadata(
    admitted: Admitted, request: Request, uids: Sequence[str], national: NationalConnector, services: frozenset[str]
) -> tuple[Answer, ImagesQuery]:
    """Answer metadata of what may be given of a study. Not there, another patient's and restricted are one answer.

    Raises UnsupportedRequest (no-route) where it is not offered, and for a form that is not given; ImagesNotFound.
    """
    if SERVICE not in services or not isinstance(national, DescribesImages):
        raise UnsupportedRequest("this border gives studies, series and instances", reason="no-route")
    query = read_uids(uids)
    if request.query:
        raise UnsupportedRequest("metadata take no parameters", reason="param", path=request.query[0][0])
    if not takes(request.accept, MEDIA_TYPE, "application/json"):
        raise UnsupportedRequest(f"this border gives {MEDIA_TYPE}", reason="media")
    if not await may_give(admitted, admitted.decision, query, national):
        raise ImagesNotFound("no such study of this patient")
    packed = await national.get_metadata(admitted.patient, query)
    headers = (("Content-Type", MEDIA_TYPE), ("Vary", "Accept-Encoding"))
    if _takes_gzip(request.headers.get("accept-encoding")):
        return Answer(200, (*headers, ("Content-Encoding", "gzip")), (packed,)), query
    return Answer(200, headers, (Arriving(partial(_inflated, packed)),)), query


def _takes_gzip(accepted: str | None) -> bool:
    """Source: RFC 9110 §12.5.3."""
    weights = {} if accepted is None else dict(weights_of(accepted))
    return max((weights[name] for name in ("gzip", "x-gzip") if name in weights), default=weights.get("*", 0.0)) > 0


async def _inflated(packed: bytes) -> AsyncIterator[bytes]:
    """The plain text, a piece at a time: a study of thousands is many megabytes."""
    inflater = zlib.decompressobj(_GZIP)
    while packed and not inflater.eof:
        yield inflater.decompress(packed, _PIECE_BYTES)
        packed = inflater.unconsumed_tail
