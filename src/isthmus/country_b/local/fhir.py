"""FHIR: the list and the studies of the visit's person, and documents as issued; every address is one of the visit.

A search without a patient is about the one of the visit. Reports come byte for byte; a manifest names the visit's own place of the
images instead of Country A's, since nobody in the hospital could reach the other: the one in FHIR is the same but for the address,
the one in DICOM is an object of its own (`moved.py`).

Source: ITI-67; ITI-68; R4 search; trust.md §2.8; field-faults F40, F41.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, tzinfo
from typing import TypeVar

from anyio import to_thread

from isthmus.country_b.local.asked import Asked
from isthmus.country_b.local.moved import moved_kos, moved_to, moved_uid
from isthmus.errors import (
    ContextMismatch,
    CountryMisanswered,
    DocumentNotFound,
    ImagesNotFound,
    MalformedRequest,
    UnsupportedRequest,
)
from isthmus.fhir import bundles
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import Identifier, checked_id
from isthmus.model.media import best
from isthmus.model.queries import DocumentQuery, Page, StudyQuery
from isthmus.transport.answers import Answer
from isthmus.wire import documents
from isthmus.wire.capability import declared
from isthmus.wire.entries import document_path, write_entry
from isthmus.wire.studies import imaging_study
from isthmus.wire.studies.imaging_study import Listed

FHIR_JSON = "application/fhir+json"
_FHIR_TYPES = (FHIR_JSON, "application/json", "text/json")
_ANSWER = f"{FHIR_JSON}; charset=utf-8"
T = TypeVar("T", Document, Listed)


def _answer(body: bytes, status: int = 200) -> Answer:
    return Answer(status, (("Content-Type", _ANSWER),), (body,))


async def get_capability(asked: Asked) -> Answer:
    """What is offered at this address. Source: R4 CapabilityStatement."""
    asked.accepts(*_FHIR_TYPES)
    searched = {
        "DocumentReference": declared(documents.DEFINITIONS),
        "ImagingStudy": declared(imaging_study.DEFINITIONS, subject=True),
    }
    resources = [
        {
            "type": kind,
            "interaction": [{"code": "read"}, {"code": "search-type"}],
            "searchParam": [{"name": name, "type": type_} for name, type_ in parameters.items()],
        }
        for kind, parameters in searched.items()
    ]
    resources += [{"type": kind, "interaction": [{"code": "read"}]} for kind in ("Bundle", "Binary")]
    statement: Node = {
        "resourceType": "CapabilityStatement",
        "name": "IsthmusVisit",
        "status": "active",
        "date": asked.reader.visit.started.date().isoformat(),
        "kind": "instance",
        "implementation": {"description": "One visit, for the hospital's own programs", "url": asked.fhir},
        "fhirVersion": "4.0.1",
        "format": [FHIR_JSON],
        "rest": [{"mode": "server", "resource": resources}],
    }
    return _answer(el.write_object(statement))


async def find_documents(asked: Asked) -> Answer:
    """Answer a search for studies and reports. Raises ContextMismatch when another patient is named."""
    asked.accepts(*_FHIR_TYPES)
    query = documents.read_search(_pairs(asked), _zone(asked), asked.pack, base=asked.fhir)
    _confine(asked, query)
    listed = (_told(asked, one) for one in await asked.local.holdings.documents(asked.reader))
    found = documents.newest_first(
        (d for d in listed if documents.matches(d, query, asked.pack, _zone(asked))), _zone(asked), query.order
    )
    page, following = _page(found, query)
    shown = Page(tuple(page), len(found), following)
    return _answer(documents.write_found(shown, query, base=asked.fhir, handle=_handle(asked), pack=asked.pack))


async def get_entry(asked: Asked) -> Answer:
    """One entry of the list. Raises DocumentNotFound."""
    asked.accepts(*_FHIR_TYPES)
    document = _told(asked, await asked.local.holdings.document(asked.reader, checked_id(asked.parts["id"])))
    return _answer(el.write_object(write_entry(document, base=asked.fhir, handle=_handle(asked), pack=asked.pack)))


def _told(asked: Asked, document: Document) -> Document:
    """An entry as it is told here: of a manifest for the visit's address no size is known, and in DICOM it has its own UID."""
    if not document.kind.is_manifest:
        return document
    if document.kind is DocumentKind.MANIFEST_KOS:
        uid = moved_uid(document.unique_id.value, asked.dicomweb)
        document = replace(document, unique_id=Identifier("urn:dicom:uid", f"urn:oid:{uid}"))
    return replace(document, size_bytes=None)


async def find_studies(asked: Asked) -> Answer:
    """Answer a search for ImagingStudy; each names the visit's own place of its images."""
    asked.accepts(*_FHIR_TYPES)
    query = imaging_study.read_search(_pairs(asked), _zone(asked), asked.pack, base=asked.fhir)
    _confine(asked, query)
    holdings = asked.local.holdings
    described = [await holdings.described(asked.reader, one) for one in await holdings.manifests(asked.reader)]
    fitting = (Listed(study.study_instance_uid, study) for study in described)
    found = imaging_study.newest_first(
        (one for one in fitting if imaging_study.matches(one, query, asked.pack, _zone(asked))),
        _zone(asked),
        query.order,
    )
    page, following = _page(found, query)
    bundle = bundles.page(
        "ImagingStudy",
        [] if query.counted else [(one.id, _study(asked, one)) for one in page],
        base=asked.fhir,
        asked=(("patient", f"Patient/{_handle(asked)}"), *query.asked),
        cursors=(query.cursor, following),
        total=len(found),
    )
    return _answer(el.write_object(bundle))


async def get_study(asked: Asked) -> Answer:
    """One study, under its UID. Raises DocumentNotFound."""
    asked.accepts(*_FHIR_TYPES)
    try:
        study = await asked.local.holdings.study(asked.reader, checked_id(asked.parts["id"]))
    except ImagesNotFound as error:
        raise DocumentNotFound("no such study of this patient") from error
    return _answer(el.write_object(_study(asked, Listed(study.study_instance_uid, study))))


def _study(asked: Asked, one: Listed) -> Node:
    endpoint: Node = {
        "resourceType": "Endpoint",
        "id": "images",
        "status": "active",
        "connectionType": el.coding(asked.pack.systems["connection_type"], "dicom-wado-rs"),
        "payloadType": [el.concept(el.coding(asked.pack.systems["payload_type"], "none"), words="DICOM WADO-RS")],
        "address": asked.dicomweb,
    }
    written = imaging_study.write_study(one, handle=_handle(asked), pack=asked.pack)
    return written | {"contained": [endpoint], "endpoint": [{"reference": "#images"}]}


async def get_document(kind: str, asked: Asked) -> Answer:
    """A document: a Bundle, or another media type bare or wrapped. Raises DocumentNotFound, UnsupportedRequest.

    Source: R4 Binary; RET-02, RET-03.
    """
    entry = await asked.local.holdings.document(asked.reader, checked_id(asked.parts["id"]))
    if not document_path(entry).startswith(f"{kind}/"):
        raise DocumentNotFound("no such document of this patient")
    if kind == "Bundle":
        asked.accepts(*_FHIR_TYPES)
    wrapped = kind == "Binary" and _wants_resource(asked, entry.media_type)
    body = await _content(asked, entry)
    if kind == "Bundle":
        return _answer(body)
    if not wrapped:
        return Answer(200, (("Content-Type", entry.media_type),), (body,))
    data = b64encode(body).decode("ascii")
    return _answer(
        el.write_object({"resourceType": "Binary", "id": entry.id, "contentType": entry.media_type, "data": data})
    )


async def _content(asked: Asked, entry: Document) -> bytes:
    """A document as issued; a manifest for the visit's address. Raises CountryMisanswered when it cannot be written anew."""
    holdings = asked.local.holdings
    if entry.kind is DocumentKind.MANIFEST_KOS:
        manifest = await holdings.manifest(asked.reader, entry)
        try:
            return await to_thread.run_sync(moved_kos, manifest, asked.dicomweb, asked.pack)
        except MalformedRequest as error:
            raise CountryMisanswered("a manifest that DICOM cannot say", country=asked.reader.country) from error
    body = await holdings.content(asked.reader, entry)
    if entry.kind is DocumentKind.MANIFEST_FHIR:
        theirs = asked.local.directory.country(asked.reader.country).endpoints.dicomweb
        return moved_to(body, theirs, asked.dicomweb)
    return body


def _wants_resource(asked: Asked, media_type: str) -> bool:
    chosen = best(asked.request.accept or "*/*", (media_type, *_FHIR_TYPES))
    if chosen is None:
        raise UnsupportedRequest(f"this document is {media_type}", reason="media", path="Accept")
    return chosen != media_type


def _pairs(asked: Asked) -> list[tuple[str, str]]:
    """What is asked, in query and form; about the patient of the visit when none is named."""
    request = asked.request
    pairs = [*request.query, *(request.form() if request.method == "POST" else ())]
    named = any(re.split(r"[.:]", name)[0] in ("patient", "subject") for name, _ in pairs)
    return pairs if named else [("patient", f"Patient/{_handle(asked)}"), *pairs]


def _confine(asked: Asked, query: DocumentQuery | StudyQuery) -> None:
    patient = asked.reader.patient
    if query.patient_handle not in (None, patient.handle) or query.patient_identifier not in (None, patient.identifier):
        raise ContextMismatch("another patient than the visit's")


def _page(found: Sequence[T], query: DocumentQuery | StudyQuery) -> tuple[Sequence[T], str | None]:
    """What follows the entry that the cursor names, and the cursor of the next page. Raises MalformedRequest."""
    start = 0
    if query.cursor is not None:
        start = next((n for n, one in enumerate(found, 1) if one.id == query.cursor), 0)
        if not start:
            raise MalformedRequest(
                "the page begins after an entry that is not listed any more", reason="value", path="_cursor"
            )
    page = found[start : start + query.count]
    return page, page[-1].id if start + query.count < len(found) and not query.counted else None


def _handle(asked: Asked) -> str:
    return asked.reader.patient.handle or ""


def _zone(asked: Asked) -> tzinfo:
    return asked.local.clock().astimezone().tzinfo or UTC
