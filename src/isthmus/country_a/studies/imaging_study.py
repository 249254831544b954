"""The studies as FHIR ImagingStudy: found, and read one by one.

Source: R4 ImagingStudy; wire.md §1.9 (T5); WAD-20.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson

from isthmus.country_a.handles import Handles
from isthmus.country_a.holdings import with_codes
from isthmus.country_a.media import check_fhir, fhir_answer
from isthmus.country_a.passes import Admitted
from isthmus.country_a.studies.manifests import read_study, visible_manifests
from isthmus.errors import DocumentNotFound
from isthmus.model.documents import Document
from isthmus.model.imaging import Study
from isthmus.model.queries import StudyQuery
from isthmus.national.connector import NationalConnector
from isthmus.transport.answers import Answer
from isthmus.transport.inbound import Request
from isthmus.wire.studies import imaging_study as wire
from isthmus.wire.studies.imaging_study import Listed


async def find_studies(
    admitted: Admitted,
    request: Request,
    national: NationalConnector,
    handles: Handles,
    base: str,
    on_the_grid: Callable[[], Awaitable[None]],
) -> Answer:
    """Answer a search for ImagingStudy, by GET or POST. Raises ContextMismatch when another patient is named.

    Source: R4 ImagingStudy; WAD-20.
    """
    check_fhir(request.accept)
    pairs = request.query if request.method != "POST" else (*request.query, *request.form())
    query = admitted.confine(wire.read_search(pairs, national.zone, admitted.pack, base=base))
    binding = orjson.dumps(["ImagingStudy", admitted.peer, admitted.sub, admitted.handle, query.asked])
    position = None if query.cursor is None else handles.read_cursor(query.cursor, binding)
    manifests = await visible_manifests(admitted, national)
    described = [await _describe(m, admitted, national, handles) for m in manifests]
    found = wire.newest_first(
        (one for one in described if wire.matches(one, query, admitted.pack, national.zone)), national.zone, query.order
    )
    start = 0 if position is None else _after(position, found, query, national)
    page = found[start : start + query.count]
    more = start + query.count < len(found) and not query.counted
    if not found:
        await on_the_grid()
    body = wire.write_found(
        page, query, total=len(found), next_cursor=handles.write_cursor(_position(page[-1]), binding) if more else None,
        base=base, handle=admitted.handle, pack=admitted.pack,
    )  # fmt: skip
    given = {one.study.study_instance_uid for one in page}
    return with_codes(fhir_answer(body), [m for m in manifests if m.study_instance_uids[0] in given])


async def get_study(
    admitted: Admitted, request: Request, id_: str, national: NationalConnector, handles: Handles
) -> Answer:
    """Answer the reading of one ImagingStudy. Not there, another patient's and restricted are one: DocumentNotFound."""
    check_fhir(request.accept)
    for manifest in await visible_manifests(admitted, national):
        if id_ == handles.study_id(admitted.peer, manifest.study_instance_uids[0]):
            one = await _describe(manifest, admitted, national, handles)
            body = orjson.dumps(wire.write_study(one, handle=admitted.handle, pack=admitted.pack))
            return with_codes(fhir_answer(body), [manifest])
    raise DocumentNotFound("no such study of this patient")


async def _describe(manifest: Document, admitted: Admitted, national: NationalConnector, handles: Handles) -> Listed:
    study = await read_study(manifest, admitted, national)
    return Listed(handles.study_id(admitted.peer, study.study_instance_uid), study)


def _position(one: Listed) -> tuple[str, ...]:
    return one.study.started or "", one.study.study_instance_uid


def _after(position: tuple[str, ...], found: list[Listed], query: StudyQuery, national: NationalConnector) -> int:
    """Where the page after this position begins, also when what stood there is gone."""
    if not found:
        return 0
    started, uid = position
    last = Listed("", Study(uid, found[0].study.patient, (), started=started))
    return wire.newest_first([*found, last], national.zone, query.order).index(last)
