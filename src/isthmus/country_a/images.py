"""The images: a study, a series or an instance, as they are stored.

Source: RAD-107; PS3.18 §10.4; trust.md §2.6 (M8); WAD-01 to WAD-14.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from isthmus.country_a.holdings import may_give
from isthmus.country_a.passes import Admitted
from isthmus.errors import ImagesNotFound, UnsupportedRequest
from isthmus.model.pieces import Mark, StoredInstance
from isthmus.model.queries import ImagesQuery
from isthmus.national.connector import NationalConnector
from isthmus.transport.answers import Answer
from isthmus.transport.inbound import Request
from isthmus.wire.images import (
    Level,
    Wanted,
    choose,
    content_type,
    part_headers,
    part_type,
    read_accept,
    read_path,
    weave,
)


async def get_images(
    admitted: Admitted, request: Request, segments: Sequence[str], national: NationalConnector
) -> tuple[Answer, ImagesQuery]:
    """Answer the retrieval of what may be given of a study. The study must be the attested patient's.

    Not there, another patient's and restricted are one answer. Raises ImagesNotFound; UnsupportedRequest for a form or a
    path that is not given here; MalformedRequest for what is no UID.
    """
    query = read_path(segments)
    if query is None:
        raise UnsupportedRequest("this border gives studies, series and instances", reason="no-route")
    if request.query:
        raise UnsupportedRequest("retrieval takes no parameters", reason="param", path=request.query[0][0])
    wanted = read_accept(request.accept, level=_level(query))
    if not await may_give(admitted, admitted.decision, query, national):
        raise ImagesNotFound("no such study of this patient")
    instances = await national.get_images(admitted.patient, query)
    sent, missing = choose(instances, wanted)
    if not sent:
        raise ImagesNotFound("nothing of this study is served")
    return _answer(sent, wanted, whole=not missing), query


def _level(query: ImagesQuery) -> Level:
    if query.sop_instance_uid is not None:
        return "instance"
    return "study" if query.series_instance_uid is None else "series"


def _answer(sent: list[StoredInstance], wanted: Wanted, *, whole: bool) -> Answer:
    """One bare instance, or a multipart body; 206 when it is known beforehand that something lacks."""
    if wanted.single_part:
        one = sent[0]
        told = [h for h in part_headers(one) if h[0] not in ("Content-Type", "Content-Length")]
        body = (one.content, Mark(one.sop_instance_uid, one.size_bytes or 0, one.sha256))
        return Answer(200, (("Content-Type", part_type(one)), *told), body)
    boundary = secrets.token_hex(16)
    return Answer(200 if whole else 206, (("Content-Type", content_type(boundary)),), tuple(weave(sent, boundary)))
