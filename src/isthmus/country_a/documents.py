"""Which studies and reports, and this one, please.

Everything the patient has is asked for, what may not be given drops out, and only then is anything counted, sorted or paged.

Source: ITI-67; ITI-68; MADO; trust.md §2.6 (M6, M7).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import orjson

from isthmus.country_a.handles import Handles
from isthmus.country_a.holdings import all_documents, with_codes
from isthmus.country_a.media import accepted, check_fhir, fhir_answer, wants_fhir
from isthmus.country_a.passes import Admitted
from isthmus.errors import DocumentNotFound
from isthmus.model.documents import Document, DocumentContent, DocumentKind
from isthmus.model.identifiers import Identifier
from isthmus.model.queries import DocumentQuery, Page
from isthmus.national.connector import GivesIssued, NationalConnector
from isthmus.transport.answers import Answer
from isthmus.transport.inbound import Request
from isthmus.wire import documents as wire
from isthmus.wire.entries import write_entry

_NATIVE = frozenset({DocumentKind.REPORT_FHIR, DocumentKind.MANIFEST_FHIR})


async def find_documents(
    admitted: Admitted,
    request: Request,
    national: NationalConnector,
    handles: Handles,
    base: str,
    on_the_grid: Callable[[], Awaitable[None]],
) -> Answer:
    """Answer a search for imaging studies and reports of the admitted patient.

    Finding nothing is an answer like any other, and leaves `on_the_grid` of time; a restricted record
    leaves no gap. Raises ContextMismatch when the query
    names another patient than the one attested.

    Source: ITI-67; MADO; DRS-01 to DRS-23.
    """
    check_fhir(request.accept)
    pairs = request.query if request.method != "POST" else (*request.query, *request.form())
    query = admitted.confine(wire.read_search(pairs, national.zone, admitted.pack, base=base))
    binding = orjson.dumps([admitted.peer, admitted.sub, admitted.handle, query.asked])
    position = None if query.cursor is None else handles.read_cursor(query.cursor, binding)
    listed = named(admitted.releasable(await all_documents(admitted, national)), admitted.peer, handles)
    found = wire.newest_first(
        (d for d in listed if wire.matches(d, query, admitted.pack, national.zone)), national.zone, query.order
    )
    start = 0 if position is None else _after(position, found, query, national)
    page = found[start : start + query.count]
    more = start + query.count < len(found)
    following = handles.write_cursor(_position(page[-1]), binding) if more and not query.counted else None
    if not found:
        await on_the_grid()
    shown = Page(tuple(page), len(found), following)
    answer = fhir_answer(wire.write_found(shown, query, base=base, handle=admitted.handle, pack=admitted.pack))
    return with_codes(answer, page)


async def get_entry(
    admitted: Admitted, request: Request, id_: str, national: NationalConnector, handles: Handles, base: str
) -> Answer:
    """Answer the reading of one entry of the list. Raises DocumentNotFound.

    Source: R4 read; API (DocumentReference).
    """
    check_fhir(request.accept)
    listed = named(admitted.releasable(await all_documents(admitted, national)), admitted.peer, handles)
    entry = next((document for document in listed if document.id == id_), None)
    if entry is None:
        raise DocumentNotFound("no such document of this patient")
    answer = fhir_answer(orjson.dumps(write_entry(entry, base=base, handle=admitted.handle, pack=admitted.pack)))
    return with_codes(answer, [entry])


async def get_document(
    admitted: Admitted, request: Request, kind: str, id_: str, national: NationalConnector, handles: Handles
) -> Answer:
    """Answer the reading of a document: a native Bundle, or another media type as it was issued.

    Not there, another patient's and restricted are one answer. Raises DocumentNotFound.

    Source: ITI-68; RET-01 to RET-09.
    """
    accept = accepted(request)
    if kind == "Bundle":
        check_fhir(accept)
    row = handles.row_of(admitted.peer, kind, id_)
    visible = admitted.releasable(await all_documents(admitted, national))
    listed = [document for document in visible if document.id == row and kind in resources_of(document)]
    if row is None or not listed:
        raise DocumentNotFound("no such document of this patient")
    if kind != resource_of(listed[0]) and isinstance(national, GivesIssued):
        content = await national.get_issued(admitted.patient, row)
    else:
        content = await national.get_document(admitted.patient, row)
    media_type, body = _formed(content, kind, accept)
    etag = handles.etag(admitted.peer, id_, media_type, content.body)
    if _is_held(request.headers.get("if-none-match"), etag):
        return Answer(304, (("ETag", etag),))
    if kind == "Bundle":
        return with_codes(fhir_answer(body, ("ETag", etag)), listed)
    return with_codes(Answer(200, (("Content-Type", media_type), ("ETag", etag)), (body,)), listed)


def resource_of(document: Document) -> str:
    """As which resource a document is read."""
    return "Bundle" if document.kind in _NATIVE else "Binary"


def resources_of(document: Document) -> tuple[str, ...]:
    """As which resources a document may be read: what was made of a report, and the report as it was issued. Decision 0016."""
    return ("Bundle", "Binary") if document.issued else (resource_of(document),)


def named(visible: Sequence[Document], peer: str, handles: Handles) -> list[Document]:
    """Documents under this country's ids; an earlier version or a twin that is not visible is not named.

    An entry changed last when it was made, or when a later version that is visible replaced it.
    """
    name = {document.id: handles.document_id(peer, resource_of(document), document.id) for document in visible}
    replaced = {document.replaces: document.indexed for document in visible if document.replaces is not None}
    return [
        replace(
            document,
            id=name[document.id],
            replaces=name.get(document.replaces or ""),
            twin=name.get(document.twin or ""),
            updated=max(document.indexed, replaced.get(document.id, "")),
        )
        for document in visible
    ]


def _position(document: Document) -> tuple[str, ...]:
    """All that a list may be sorted by, and what no two documents share."""
    times = (document.indexed, document.created, document.updated or "", document.period_start or "")
    return *times, document.unique_id.value, document.kind.value


def _after(position: tuple[str, ...], found: list[Document], query: DocumentQuery, national: NationalConnector) -> int:
    """Where the page after this position begins, also when what stood there is gone."""
    indexed, created, updated, period_start, unique, kind = position
    last = Document(
        "", DocumentKind(kind), None, Identifier(None, unique), "", indexed, created, "", updated=updated,
        period_start=period_start,
    )  # fmt: skip
    return wire.newest_first([*found, last], national.zone, query.order).index(last)


def _formed(content: DocumentContent, kind: str, accept: str | None) -> tuple[str, bytes]:
    """Media type and bytes: as issued, or wrapped where FHIR is wanted. Source: RET-02, RET-03."""
    if kind == "Bundle" or not wants_fhir(accept, content.media_type):
        return content.media_type, content.body
    binary = {
        "resourceType": "Binary",
        "contentType": content.media_type,
        "data": b64encode(content.body).decode("ascii"),
    }
    return "application/fhir+json; charset=utf-8", orjson.dumps(binary)


def _is_held(if_none_match: str | None, etag: str) -> bool:
    held = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in held or "*" in held
