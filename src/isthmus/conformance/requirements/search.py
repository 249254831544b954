"""Answers to a document search (CAP-12 to CAP-14, DRS)."""

from __future__ import annotations

from collections.abc import Iterator

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
    subjects = {el.text(el.child(e, "resource"), "subject", "reference") for e in el.children(node, "entry")}
    if len(subjects) > 1:
        yield "Bundle.entry.resource.subject"
