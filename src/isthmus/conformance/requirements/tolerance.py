"""Reading what others write (TOL). An arrival's document is a DocumentReference, its value the documents that were read from it."""

from __future__ import annotations

from collections.abc import Iterator

from isthmus.conformance.evidence import Arrival, studies_of
from isthmus.conformance.requirement import Kind, Severity, requirement
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.documents import Document, DocumentKind
from isthmus.wire.packs.pack import Pack


def _entry(arrival: Arrival) -> Node:
    """The entry that arrived and was read; empty where something else did."""
    document = arrival.document if isinstance(arrival.document, dict) and isinstance(arrival.value, tuple) else {}
    return document if document.get("resourceType") == "DocumentReference" else {}


def _read(arrival: Arrival) -> tuple[Document, ...]:
    read = arrival.value if isinstance(arrival.value, tuple) else ()
    return tuple(one for one in read if isinstance(one, Document))


def _sites(entry: Node, pack: Pack) -> Iterator[Node]:
    """The codes of a body site, in all three forms of its extension."""
    for extension in el.extensions(entry, pack.extensions["body_site"], pack.extensions["body_site_once"]):
        for holder in (extension, *el.children(extension, "extension")):
            yield from el.codings(holder, "valueCodeableConcept")


def _regions(arrival: Arrival) -> set[str]:
    return {region.code for one in _read(arrival) for region in one.regions}


@requirement("TOL-01", Kind.ARRIVAL, "the spine is one region by any of its three codes", source="MADO, EUI")
def tol_01(arrival: Arrival, pack: Pack) -> Iterator[str]:
    told = {str(c.get("code")) for c in _sites(_entry(arrival), pack)} & set(pack.aliases["spine"])
    if told and _read(arrival) and _regions(arrival) & set(pack.aliases["spine"]) != {pack.codes["spine_manifest"]}:
        yield "extension[bodySite]"


@requirement("TOL-02", Kind.ARRIVAL, "either code system of the category is read", source="API vs IHE examples")
def tol_02(arrival: Arrival, pack: Pack) -> Iterator[str]:
    systems = {c.get("system") for c in el.codings(_entry(arrival), "category")} & set(pack.aliases["category"])
    if systems and not _read(arrival):
        yield "category"
    if systems - {pack.systems["category"]} and "category-system" not in arrival.forgiven:
        yield "tolerance"


@requirement("TOL-03", Kind.ARRIVAL, "a UID is the same with urn:oid:, with oid: and without", source="MADO examples")
def tol_03(arrival: Arrival, pack: Pack) -> Iterator[str]:
    named = studies_of(_entry(arrival), pack)
    yield from ("context.related" for one in _read(arrival) if set(one.study_instance_uids) != named)


@requirement(
    "TOL-04", Kind.ARRIVAL, "a key object selection is known by any spelling of DCMUID", source="MADO examples"
)
def tol_04(arrival: Arrival, pack: Pack) -> Iterator[str]:
    for content in el.children(_entry(arrival), "content"):
        form = el.child(content, "format")
        is_kos = form.get("code") == pack.codes["format_manifest_kos"] and form.get("system") in pack.aliases["dcmuid"]
        if is_kos and all(one.kind is not DocumentKind.MANIFEST_KOS for one in _read(arrival)):
            yield "content.format"


@requirement("TOL-05", Kind.ARRIVAL, "masterIdentifier is a UUID or a UID", source="EUM")
def tol_05(arrival: Arrival, pack: Pack) -> Iterator[str]:
    master = el.text(_entry(arrival), "masterIdentifier", "value")
    yield from ("masterIdentifier" for one in _read(arrival) if master is not None and one.unique_id.value != master)


@requirement("TOL-06", Kind.ARRIVAL, "a body site is read simple, nested, and nested with a reference", source="§1.4.2")
def tol_06(arrival: Arrival, pack: Pack) -> Iterator[str]:
    told = {str(c.get("code")) for c in _sites(_entry(arrival), pack)} - set(pack.aliases["spine"])
    if _read(arrival) and not told <= _regions(arrival):
        yield "extension[bodySite]"


def _modalities(entry: Node, pack: Pack) -> Iterator[Node]:
    for extension in el.extensions(entry, pack.extensions["modality"], pack.extensions["modality_once"]):
        yield from el.codings(extension, "valueCodeableConcept")


@requirement("TOL-07", Kind.ARRIVAL, "no modality, one or many are read", source="§1.4.2")
def tol_07(arrival: Arrival, pack: Pack) -> Iterator[str]:
    told = {str(c.get("code")) for c in _modalities(_entry(arrival), pack)}
    yield from ("extension[modality]" for one in _read(arrival) if set(one.modalities) != told)


@requirement("TOL-08", Kind.ARRIVAL, "of an entry with several contents each is offered", source="NCP")
def tol_08(arrival: Arrival, pack: Pack) -> Iterator[str]:
    contents = el.children(_entry(arrival), "content")
    if len(contents) > 1 and len(_read(arrival)) != len(contents):
        yield "content"


@requirement(
    "TOL-09", Kind.ARRIVAL, "a region under DCM instead of SCT is read, and said", source="IHE sample",
    severity=Severity.WARNING,
)  # fmt: skip
def tol_09(arrival: Arrival, pack: Pack) -> Iterator[str]:
    foreign = {c.get("code") for c in _sites(_entry(arrival), pack) if c.get("system") == pack.systems["dcm"]}
    if foreign and ("region-system" not in arrival.forgiven or not foreign <= _regions(arrival)):
        yield "extension[bodySite].system"


@requirement("TOL-10", Kind.ARRIVAL, "every tolerance is counted", source="R")
def tol_10(arrival: Arrival, pack: Pack) -> Iterator[str]:
    yield from sorted(f"tolerance {word}" for word in arrival.forgiven - arrival.counted)


@requirement("TOL-11", Kind.ARRIVAL, "a code that nobody knows is shown, by its display or as it is", source="R")
def tol_11(arrival: Arrival, pack: Pack) -> Iterator[str]:
    entry = _entry(arrival)
    for c in (*_modalities(entry, pack), *_sites(entry, pack)) if arrival.told else ():
        if all(words not in arrival.told for words in (c.get("display"), c.get("code")) if words):
            yield "code"
