"""Answers to a document search, and documents wrapped (CAP-12 to CAP-14, DRS, DRC among entries, RET)."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from isthmus.conformance.requirement import Kind, requirement
from isthmus.fhir import bundles
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.wire.packs.pack import Pack

_COUNT_MAX = 200


@requirement("CAP-12", Kind.SEARCH, "searchset with total, self link, fullUrl and mode of each entry", source="MHD, R4")
def cap_12(node: Node, pack: Pack) -> Iterator[str]:
    if node.get("type") != "searchset":
        yield "Bundle.type"
    if el.number(node, "total") is None:
        yield "Bundle.total"
    if bundles.link(node, "self") is None:
        yield "Bundle.link[self]"
    for entry in el.children(node, "entry"):
        if not el.text(entry, "fullUrl") or el.text(entry, "search", "mode") not in ("match", "outcome"):
            yield "Bundle.entry"


@requirement("CAP-13", Kind.SEARCH, "no result: total 0 and no entries", source="MHD, PDQ")
def cap_13(node: Node, pack: Pack) -> Iterator[str]:
    if node.get("total") == 0 and el.children(node, "entry"):
        yield "Bundle.entry"
    if node.get("entry") == []:
        yield "Bundle.entry"


@requirement("CAP-14", Kind.SEARCH, "the page size cap is kept; no match twice", source="R4, R")
def cap_14(node: Node, pack: Pack) -> Iterator[str]:
    urls = [el.text(entry, "fullUrl") for entry in el.children(node, "entry")]
    if len(urls) > _COUNT_MAX or len(urls) != len(set(urls)):
        yield "Bundle.entry"


@requirement("DRS-22", Kind.SEARCH, "all entries are about the patient of the self link", source="IUA, 03")
def drs_22(node: Node, pack: Pack) -> Iterator[str]:
    asked = dict(parse_qsl(urlsplit(bundles.link(node, "self") or "").query)).get("patient")
    if any(el.text(resource, "subject", "reference") != asked for resource in _entries(node)):
        yield "Bundle.entry.resource.subject"


def _entries(node: Node) -> list[Node]:
    resources = (el.child(entry, "resource") for entry in el.children(node, "entry"))
    return [resource for resource in resources if resource.get("resourceType") == "DocumentReference"]


def _targets(resource: Node, code: str) -> list[str]:
    related = [relation for relation in el.children(resource, "relatesTo") if relation.get("code") == code]
    return [el.text(relation, "target", "reference") or "" for relation in related]


@requirement("DRC-11", Kind.SEARCH, "twins point to each other and carry the same masterIdentifier", source="MADO")
def drc_11(node: Node, pack: Pack) -> Iterator[str]:
    named = {f"DocumentReference/{resource.get('id')}": resource for resource in _entries(node)}
    for name, resource in named.items():
        for target in _targets(resource, "transforms"):
            twin = named.get(target)
            if twin is None:
                continue  # on another page, or of a kind that was not asked for
            same = el.text(twin, "masterIdentifier", "value") == el.text(resource, "masterIdentifier", "value")
            if not same or name not in _targets(twin, "transforms"):
                yield "relatesTo[transforms]"


@requirement("DRC-18", Kind.SEARCH, "what another entry replaces is superseded", source="MHD, EUI")
def drc_18(node: Node, pack: Pack) -> Iterator[str]:
    entries = _entries(node)
    replaced = {target for resource in entries for target in _targets(resource, "replaces")}
    for resource in entries:
        if f"DocumentReference/{resource.get('id')}" in replaced and resource.get("status") != "superseded":
            yield "status"


@requirement("DRC-19", Kind.SEARCH, "no two entries have one address", source="R")
def drc_19(node: Node, pack: Pack) -> Iterator[str]:
    urls = [el.text(resource, "content", "attachment", "url") for resource in _entries(node)]
    if len(urls) != len(set(urls)):
        yield "content.attachment.url"


@requirement("RET-03", Kind.BINARY, "a document wrapped: its media type, and its bytes in base64", source="R4")
def ret_03(node: Node, pack: Pack) -> Iterator[str]:
    if node.get("resourceType") != "Binary" or not el.text(node, "contentType"):
        yield "Binary.contentType"
    try:
        b64decode(el.text(node, "data") or "!", validate=True)
    except ValueError:
        yield "Binary.data"
