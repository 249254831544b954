"""Which studies and reports, and this one, please.

Everything the patient has is asked for, what may not be given drops out, and only then is anything counted, sorted or paged.

Source: ITI-67; ITI-68; MADO; trust.md §2.6 (M6, M7).
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import orjson

from isthmus.country_a.grid import SEARCHED_MS, on_the_grid
from isthmus.country_a.handles import Handles
from isthmus.country_a.holdings import all_documents
from isthmus.country_a.media import accepts, check_fhir, fhir_answer, ranges
from isthmus.country_a.passes import Admitted
from isthmus.errors import DocumentNotFound, UnsupportedRequest
from isthmus.model.documents import Document, DocumentContent, DocumentKind
from isthmus.model.identifiers import Identifier
from isthmus.model.queries import Page
from isthmus.national.connector import NationalConnector
from isthmus.transport.answers import Answer
from isthmus.transport.inbound import Request
from isthmus.wire import documents as wire

_NATIVE = frozenset({DocumentKind.REPORT_FHIR, DocumentKind.MANIFEST_FHIR})


async def find_documents(
    admitted: Admitted, request: Request, national: NationalConnector, handles: Handles, base: str, began: float
) -> Answer:
    """Answer a search for imaging studies and reports of the admitted patient.

    Finding nothing is an answer like any other, and leaves on the grid from when the request `began`; a restricted record
    leaves no gap. Raises ContextMismatch when the query
    names another patient than the one attested.

    Source: ITI-67; MADO; DRS-01 to DRS-23.
    """
    check_fhir(request.accept)
    pairs = request.query if request.method != "POST" else (*request.query, *request.form())
    query = admitted.confine(wire.read_search(pairs, national.zone, admitted.pack, base=base))
    binding = orjson.dumps([admitted.peer, admitted.sub, admitted.handle, query.asked])
    position = None if query.cursor is None else handles.read_cursor(query.cursor, binding)
    visible = admitted.releasable(await all_documents(admitted, national))
    found = wire.newest_first(
        (d for d in visible if wire.matches(d, query, admitted.pack, national.zone)), national.zone
    )
    start = 0 if position is None else _after(position, found, national)
    page = found[start : start + query.count]
    more = start + query.count < len(found)
    following = handles.write_cursor(_position(page[-1]), binding) if more else None
    shown = Page(tuple(_named(d, admitted, handles, visible) for d in page), len(found), following)
    if not found:
        await on_the_grid(began, SEARCHED_MS)
    return fhir_answer(wire.write_found(shown, query, base=base, handle=admitted.handle, pack=admitted.pack))


async def get_document(
    admitted: Admitted, request: Request, kind: str, id_: str, national: NationalConnector, handles: Handles
) -> Answer:
    """Answer the reading of a document: a native Bundle, or another media type as it was issued.

    Not there, another patient's and restricted are one answer. Raises DocumentNotFound.

    Source: ITI-68; RET-01 to RET-09.
    """
    if kind == "Bundle":
        check_fhir(request.accept)
    row = handles.row_of(admitted.peer, kind, id_)
    visible = admitted.releasable(await all_documents(admitted, national))
    if row is None or not any(document.id == row and resource_of(document) == kind for document in visible):
        raise DocumentNotFound("no such document of this patient")
    content = await national.get_document(admitted.patient, row)
    media_type, body = _formed(content, kind, request.accept)
    etag = handles.etag(admitted.peer, id_, media_type, content.body)
    if _is_held(request.headers.get("if-none-match"), etag):
        return Answer(304, (("ETag", etag),))
    if kind == "Bundle":
        return fhir_answer(body, ("ETag", etag))
    return Answer(200, (("Content-Type", media_type), ("ETag", etag)), (body,))


def resource_of(document: Document) -> str:
    """As which resource a document is read."""
    return "Bundle" if document.kind in _NATIVE else "Binary"


def _named(document: Document, admitted: Admitted, handles: Handles, visible: tuple[Document, ...]) -> Document:
    """The document under this country's ids; an earlier version that is not visible is not named."""

    def name(one: Document) -> str:
        return handles.document_id(admitted.peer, resource_of(one), one.id)

    earlier = next((d for d in visible if document.replaces is not None and d.id == document.replaces), None)
    return replace(document, id=name(document), replaces=None if earlier is None else name(earlier))


def _position(document: Document) -> tuple[str, ...]:
    return document.indexed, document.unique_id.value, document.kind.value


def _after(position: tuple[str, ...], found: list[Document], national: NationalConnector) -> int:
    """Where the page after this position begins, also when what stood there is gone."""
    indexed, unique, kind = position
    last = Document("", DocumentKind(kind), None, Identifier(None, unique), "", indexed, "", "")
    return wire.newest_first([*found, last], national.zone).index(last)


def _formed(content: DocumentContent, kind: str, accept: str | None) -> tuple[str, bytes]:
    """Media type and bytes: as issued, or wrapped where only FHIR is accepted. Source: RET-02, RET-03."""
    if kind == "Bundle" or accepts(accept, content.media_type):
        return content.media_type, content.body
    if not any(name in ("application/fhir+json", "application/json") for name, _ in ranges(accept)):
        raise UnsupportedRequest(f"this document is {content.media_type}", reason="media")
    binary = {
        "resourceType": "Binary",
        "contentType": content.media_type,
        "data": b64encode(content.body).decode("ascii"),
    }
    return "application/fhir+json; charset=utf-8", orjson.dumps(binary)


def _is_held(if_none_match: str | None, etag: str) -> bool:
    held = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in held or "*" in held
