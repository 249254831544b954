"""The images: a study, a series or an instance, as they are stored, or decoded for who cannot take that.

What lacks is told before the first byte where it can be known: 206. What turns out later cuts the answer.

Source: RAD-107; PS3.18 §8.7.3, §10.4; trust.md §2.6 (M8), §2.9; WAD-01 to WAD-14; field-faults F25, F33, F39.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from isthmus.country_a.forms import arrived, decoded, is_late, late
from isthmus.country_a.holdings import may_give, steady
from isthmus.country_a.passes import Admitted
from isthmus.errors import (
    ImagesNotFound,
    IsthmusError,
    NationalInfrastructureUnavailable,
    UnsupportedRequest,
)
from isthmus.model.identifiers import plain_uid
from isthmus.model.pieces import FileRange, Mark, StoredInstance
from isthmus.model.queries import ImagesQuery
from isthmus.national.connector import NationalConnector
from isthmus.sandbox import Sandbox
from isthmus.transport.answers import Answer
from isthmus.transport.inbound import Request
from isthmus.trust.directory import Directory
from isthmus.wire.images import (
    Level,
    Wanted,
    choose,
    content_type,
    part_headers,
    part_type,
    read_accept,
    read_location_path,
    read_path,
    weave,
)


@dataclass(frozen=True, slots=True)
class Given:
    """The answer, what it is about, and the SOP Instance UIDs of what was asked for and lacks."""

    answer: Answer
    query: ImagesQuery
    missing: tuple[str, ...]
    unchanged: Callable[[], Awaitable[bool]] | None  # whether nothing of it has been taken away since it was looked up


async def get_images(
    admitted: Admitted,
    request: Request,
    segments: Sequence[str],
    national: NationalConnector,
    sandbox: Sandbox,
    folder: Path,
) -> Given:
    """Answer the retrieval of what may be given of a study. The study must be the attested patient's.

    Not there, another patient's and restricted are one answer. Raises ImagesNotFound; UnsupportedRequest for a form or a
    path that is not given here; MalformedRequest for what is no UID.
    """
    query = read_path(segments)
    if query is None:
        raise no_route()
    if request.query:
        raise UnsupportedRequest("retrieval takes no parameters", reason="param", path=request.query[0][0])
    wanted = read_accept(request.accept, level=_level(query))
    unchanged = await steady(query, national)
    if not await may_give(admitted, admitted.decision, query, national):
        raise ImagesNotFound("no such study of this patient")
    instances = await national.get_images(admitted.patient, query)
    if not instances:
        raise ImagesNotFound("nothing of this study is served")
    there = [late(one, wanted, sandbox, folder) if is_late(one) else one for one in instances]
    if wanted.single_part and is_late(instances[0]):
        there = [await arrived(instances[0], wanted, sandbox, folder)]
    sent, missing = await asyncio.to_thread(_chosen, there, wanted, sandbox)
    return Given(
        _answer(sent, wanted, whole=not missing), query, tuple(one.sop_instance_uid for one in missing), unchanged
    )


def by_location(request: Request, path: str, directory: Directory) -> tuple[Request, str]:
    """A retrieval in the form of XC-WADO is one in the form of WADO-RS, when it names our community; where else to ask, we know ourselves.

    Any other path stays as it is, and so does this one while the trust list does not say who we are: the gate answers then.
    Source: RAD-160; WAD-17.
    """
    named = read_location_path(path)
    if named is None:
        return request, path
    try:
        ours = plain_uid(directory.ours.home_community_id)
    except IsthmusError:
        return request, path
    if not ours or named[0] != ours:
        return request, path
    query = tuple(pair for pair in request.query if pair[0].lower() != "retrieveurl")
    return replace(request, query=query), f"/dicom-web/studies/{named[1]}"


def no_route() -> UnsupportedRequest:
    return UnsupportedRequest("this border gives studies, series and instances", reason="no-route")


def _level(query: ImagesQuery) -> Level:
    if query.sop_instance_uid is not None:
        return "instance"
    return "study" if query.series_instance_uid is None else "series"


def _chosen(
    instances: Sequence[StoredInstance], wanted: Wanted, sandbox: Sandbox
) -> tuple[list[StoredInstance], list[StoredInstance]]:
    """What is sent and what lacks, a blob that is gone among it. Reads heads of files: for a worker thread."""
    files = {one.content.path for one in instances if isinstance(one.content, FileRange)}
    gone = {file for file in files if not Path(file).exists()}
    there = [one for one in instances if not (isinstance(one.content, FileRange) and one.content.path in gone)]
    if not there:
        raise NationalInfrastructureUnavailable("the stored files are not there")
    sent, missing = choose(there, wanted, partial(decoded, sandbox))
    lost = [one for one in instances if isinstance(one.content, FileRange) and one.content.path in gone]
    return sent, missing + lost


def _answer(sent: list[StoredInstance], wanted: Wanted, *, whole: bool) -> Answer:
    """One bare instance, or a multipart body; 206 when it is known beforehand that something lacks."""
    if wanted.single_part:
        one = sent[0]
        told = [h for h in part_headers(one) if h[0] not in ("Content-Type", "Content-Length")]
        body = (one.content, Mark(one.sop_instance_uid, one.size_bytes or 0, one.sha256))
        return Answer(200, (("Content-Type", part_type(one)), *told), body)
    boundary = secrets.token_hex(16)
    return Answer(200 if whole else 206, (("Content-Type", content_type(boundary)),), tuple(weave(sent, boundary)))
