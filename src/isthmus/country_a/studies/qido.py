"""The studies by QIDO-RS, with their series and instances.

Source: PS3.18 §10.6; RAD-129; wire.md §1.8 (T6).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from isthmus.country_a.holdings import with_codes
from isthmus.country_a.media import takes
from isthmus.country_a.passes import Admitted
from isthmus.country_a.studies.manifests import read_study, visible_manifests
from isthmus.errors import UnsupportedRequest
from isthmus.model.documents import Document
from isthmus.national.connector import NationalConnector
from isthmus.transport.answers import Answer
from isthmus.transport.inbound import Request
from isthmus.wire.studies import qido as wire


async def find_rows(
    admitted: Admitted,
    request: Request,
    level: wire.Level,
    above: tuple[str, ...],
    national: NationalConnector,
    base: str,
    on_the_grid: Callable[[], Awaitable[None]],
) -> Answer:
    """Answer QIDO-RS at a level, below the study and series that the path names. Nothing found is 204, always.

    Raises UnsupportedRequest, MalformedRequest; ContextMismatch when PatientID is another than the attested.

    Source: PS3.18 §10.6; RAD-129; WAD-19; field-faults F37.
    """
    if not takes(request.accept, wire.MEDIA_TYPE, "application/json"):
        raise UnsupportedRequest(f"this border gives {wire.MEDIA_TYPE}", reason="media")
    query = wire.read_search(request.query, level, above, (admitted.patient.value, admitted.handle))
    rows = [
        row
        for manifest in await visible_manifests(admitted, national)
        if query.study_instance_uid in (None, *manifest.study_instance_uids)
        for row in await _rows(manifest, query, admitted, national)
        if wire.matches(row, query)
    ]
    page = rows[query.offset : query.offset + query.limit]
    if not page:
        await on_the_grid()
        return Answer(204)
    left = len(rows) - query.offset - len(page)
    body = wire.write_found(page, level, base=base, handle=admitted.handle)
    answer = Answer(200, (("Content-Type", wire.MEDIA_TYPE), *_warnings(query, left)), (body,))
    return with_codes(answer, [row.study for row in page])


def _warnings(query: wire.Query, left: int) -> Iterable[tuple[str, str]]:
    """What the asker may not have expected. Source: PS3.18 §8.3.4.4, §8.3.4.2."""
    if query.fuzzy:
        yield (
            "Warning",
            '299 - "The fuzzymatching parameter is not supported. Only literal matching has been performed."',
        )
    if left:
        yield "Warning", f'299 - "There are {left} additional results that can be requested."'


async def _rows(
    manifest: Document, query: wire.Query, admitted: Admitted, national: NationalConnector
) -> list[wire.Row]:
    """The rows of a study at a level; its own row needs nothing but the entry."""
    if query.level == "study":
        return [wire.Row(manifest)]
    study = await read_study(manifest, admitted, national)
    if query.level == "series":
        return [wire.Row(manifest, series) for series in study.series]
    return [wire.Row(manifest, series, instance) for series in study.series for instance in series.instances]
