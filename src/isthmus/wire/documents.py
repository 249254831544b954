"""Documents: the search for reports and manifests, and its answer, both directions.

What a search means is written once, in `matches`: Country A filters with it whatever lies behind its connector.

Source: ITI-67; wire.md §1.4, DRS-01 to DRS-23, CAP-10 to CAP-15.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from urllib.parse import urlencode

from isthmus.errors import CountryMisanswered, MalformedRequest
from isthmus.fhir import bundles, search
from isthmus.fhir import elements as el
from isthmus.model.codes import DCM
from isthmus.model.documents import Document
from isthmus.model.identifiers import PatientIdentifier, checked_id, checked_uid, plain_uid
from isthmus.model.intervals import DateFilter, Interval, read_interval
from isthmus.model.queries import DocumentQuery, Page
from isthmus.wire.entries import read_entry, write_entry
from isthmus.wire.packs.pack import Pack

COUNT_MAX = 200
NEXT_MAX_BYTES = 4096
STATUSES = ("current", "superseded", "entered-in-error")
CURSOR = "_cursor"
PATIENT_PARAMETERS = ("patient", "patient.identifier", "patient:Patient.identifier")


@dataclass(frozen=True, slots=True)
class Found:
    """One page as read. `next_query` is sent to the country's own base; `tolerances` name what was forgiven."""

    documents: tuple[Document, ...]
    total: int
    next_query: str | None = None
    tolerances: tuple[str, ...] = ()


def write_search(query: DocumentQuery, pack: Pack) -> bytes:
    """Write the form body of a search. The patient is named by handle; the status is always said (DRS-03)."""
    if query.patient_handle is None:
        raise MalformedRequest("a search is about one patient", reason="required", path="patient")
    pairs = [("patient", f"Patient/{query.patient_handle}"), ("status", ",".join(query.statuses))]
    pairs += [
        (name, ",".join(search.write_token(system, code) for system, code in values))
        for name, values in (("type", query.types), ("category", query.categories))
        if values
    ]
    for name, dates in (("date", query.dates), ("period", query.periods)):
        pairs += [(name, ",".join(search.write_date(wanted) for wanted in repetition)) for repetition in dates]
    if query.study_instance_uids:
        uids = (search.write_token(pack.systems["uid"], f"urn:oid:{uid}") for uid in query.study_instance_uids)
        pairs.append(("study-instance-uid", ",".join(uids)))
    if query.modalities:
        pairs.append(("modality", ",".join(search.write_token(DCM, modality) for modality in query.modalities)))
    pairs.append(("_count", str(query.count)))
    if query.cursor is not None:
        pairs.append((CURSOR, query.cursor))
    return urlencode(pairs).encode()


def read_search(
    pairs: Iterable[tuple[str, str]], zone: tzinfo, pack: Pack, *, base: str | None = None
) -> DocumentQuery:
    """Read a search. Values of one occurrence are alternatives; a repeated parameter asks in addition.

    Unknown parameters and modifiers are refused by name. `base` is our own address: with it, a patient may also be named
    by full URL. Dates without zone are read in `zone`, the national one. Raises MalformedRequest, UnsupportedRequest.
    """
    known = {*_FILTERS, *PATIENT_PARAMETERS, "date", "period", "_count", CURSOR}
    query, seen, asked = DocumentQuery(), set[str](), []
    for name, value in pairs:
        search.plain_name(name, known)
        if not value:
            raise MalformedRequest(f"{name} without a value", reason="value", path=name)
        if name in PATIENT_PARAMETERS:
            query = _read_patient(query, name, value, base)
            continue
        if name != CURSOR:
            asked.append((name, value))
        if name in ("date", "period"):
            wanted = tuple(DateFilter.read(search.unescape(v), zone, name) for v in search.alternatives(value, name))
            dates = name == "date"
            query = (
                replace(query, dates=(*query.dates, wanted))
                if dates
                else replace(query, periods=(*query.periods, wanted))
            )
        elif name in ("_count", CURSOR):
            if name in seen:
                raise MalformedRequest(f"{name} is given twice", reason="value", path=name)
            query = replace(query, count=_read_count(value)) if name == "_count" else replace(query, cursor=value)
        elif name in seen:
            query = replace(query, further=(*query.further, _FILTERS[name](DocumentQuery(statuses=()), value, pack)))
        else:
            query = _FILTERS[name](query, value, pack)
        seen.add(name)
    if query.patient_handle is None and query.patient_identifier is None:
        raise MalformedRequest("a search is about one patient", reason="required", path="patient")
    return replace(query, asked=tuple(asked))


def _read_patient(query: DocumentQuery, name: str, value: str, base: str | None) -> DocumentQuery:
    if len(search.split(value, ",")) > 1:
        raise MalformedRequest("a search is about one patient", reason="value", path=name)
    if name == "patient":
        handle = _read_handle(search.unescape(value), base)
        if query.patient_handle not in (None, handle):
            raise MalformedRequest("a search is about one patient", reason="value", path=name)
        return replace(query, patient_handle=handle)
    system, code = search.read_token(value)
    identifier = PatientIdentifier(system or "", code)
    if query.patient_identifier not in (None, identifier):
        raise MalformedRequest("a search is about one patient", reason="value", path=name)
    return replace(query, patient_identifier=identifier)


def _read_handle(value: str, base: str | None) -> str:
    if "://" in value:
        place = bundles.below(base, value) if base is not None else None
        if place is None or place[1]:
            raise MalformedRequest("a patient of another address", reason="value", path="patient")
        value = place[0]
    return checked_id(value.removeprefix("Patient/"), "patient")


def _read_count(value: str) -> int:
    if not value.isascii() or not value.isdecimal() or len(value) > 9 or int(value) < 1:
        raise MalformedRequest("_count is a number from 1", reason="value", path="_count")
    return min(int(value), COUNT_MAX)


def _read_statuses(query: DocumentQuery, value: str, pack: Pack) -> DocumentQuery:
    codes = tuple(search.read_token(v)[1] for v in search.alternatives(value, "status"))
    if set(codes) - set(STATUSES):
        raise MalformedRequest("a status that documents do not have", reason="value", path="status")
    return replace(query, statuses=codes)


def _read_types(query: DocumentQuery, value: str, pack: Pack) -> DocumentQuery:
    return replace(query, types=tuple(search.read_token(v) for v in search.alternatives(value, "type")))


def _read_categories(query: DocumentQuery, value: str, pack: Pack) -> DocumentQuery:
    return replace(query, categories=tuple(search.read_token(v) for v in search.alternatives(value, "category")))


def _read_studies(query: DocumentQuery, value: str, pack: Pack) -> DocumentQuery:
    """With and without system and `urn:oid:`; a system that is none of UIDs is refused. Source: DRS-15."""
    uids = []
    for system, code in (search.read_token(v) for v in search.alternatives(value, "study-instance-uid")):
        if system not in (None, pack.systems["uid"], pack.systems["uri"]):
            raise MalformedRequest("a study is named by its UID", reason="value", path="study-instance-uid")
        uids.append(checked_uid(plain_uid(code), "study-instance-uid"))
    return replace(query, study_instance_uids=tuple(uids))


def _read_modalities(query: DocumentQuery, value: str, pack: Pack) -> DocumentQuery:
    """By code, with or without the system; a code of another system is kept apart and matches nothing."""
    tokens = (search.read_token(v) for v in search.alternatives(value, "modality"))
    return replace(
        query, modalities=tuple(code if system in (None, DCM) else f"{system}|{code}" for system, code in tokens)
    )


_FILTERS: dict[str, Callable[[DocumentQuery, str, Pack], DocumentQuery]] = {
    "status": _read_statuses,
    "type": _read_types,
    "category": _read_categories,
    "study-instance-uid": _read_studies,
    "modality": _read_modalities,
}
SEARCH_PARAMETERS = ("patient", *_FILTERS, "date", "period")


def matches(document: Document, query: DocumentQuery, pack: Pack, zone: tzinfo) -> bool:
    """True when the document passes every filter of the query; whose it is is not asked here."""
    kind = pack.codes["type_manifest" if document.kind.is_manifest else "type_report"]
    return (
        (not query.statuses or document.status in query.statuses)
        and (not query.types or _coded(query.types, (pack.systems["loinc"],), kind))
        and (not query.categories or _coded(query.categories, pack.aliases["category"], pack.codes["category"]))
        and (not query.study_instance_uids or bool(set(query.study_instance_uids) & set(document.study_instance_uids)))
        and (not query.modalities or bool(set(query.modalities) & set(document.modalities)))
        and (not query.dates or _dated(document.indexed, query.dates, zone))
        and (not query.periods or _dated(document.period_start, query.periods, zone))
        and all(matches(document, further, pack, zone) for further in query.further)
    )


def _coded(wanted: tuple[search.Token, ...], systems: tuple[str, ...], code: str) -> bool:
    """A token passes by code; `system|` stands for every code of the system. Source: R4 search, token."""
    return any((system is None or system in systems) and asked in (code, "") for system, asked in wanted)


def _dated(value: str | None, wanted: tuple[tuple[DateFilter, ...], ...], zone: tzinfo) -> bool:
    """A document without the date passes no filter of it; a study is taken to last as long as its start is precise."""
    interval = _interval(value, zone)
    if interval is None:
        return False
    return all(any(one.holds(interval.start, interval.end) for one in repetition) for repetition in wanted)


def _interval(value: str | None, zone: tzinfo) -> Interval | None:
    try:
        return read_interval(value or "", zone)
    except MalformedRequest:
        return None


def newest_first(documents: Iterable[Document], zone: tzinfo) -> list[Document]:
    """The order of every list: newest first, then by a key that no two documents share. Source: field-faults F38."""

    def key(document: Document) -> tuple[datetime, str, str]:
        interval = _interval(document.indexed, zone)
        start = interval.start if interval is not None else datetime.min.replace(tzinfo=zone)
        return start, document.unique_id.value, document.kind.value

    return sorted(documents, key=key, reverse=True)


def write_found(page: Page, query: DocumentQuery, *, base: str, handle: str, pack: Pack) -> bytes:
    """Write one page. Links carry the handle, never the identifier, and are the same for GET and POST (CAP-11)."""
    root = base.rstrip("/")
    asked = [("patient", f"Patient/{handle}"), *query.asked]
    here = asked if query.cursor is None else [*asked, (CURSOR, query.cursor)]
    following = None if page.next_cursor is None else [*asked, (CURSOR, page.next_cursor)]
    return el.write_object(
        bundles.searchset(
            [
                bundles.match(
                    f"{root}/DocumentReference/{document.id}",
                    write_entry(document, base=base, handle=handle, pack=pack),
                )
                for document in page.documents
            ],
            total=page.total,
            self_link=f"{root}/DocumentReference?{urlencode(here)}",
            next_link=None if following is None else f"{root}/DocumentReference?{urlencode(following)}",
        )
    )


def read_found(body: bytes, *, base: str, handle: str, pack: Pack) -> Found:
    """Read one page. Raises CountryMisanswered when an entry is about another patient, or points elsewhere."""
    bundle = el.read_resource(body, "Bundle")
    if bundle.get("type") != "searchset":
        raise CountryMisanswered("not an answer to a search", path="Bundle.type")
    documents: list[Document] = []
    forgiven: set[str] = set()
    for entry in el.children(bundle, "entry"):
        resource = el.child(entry, "resource")
        if resource.get("resourceType") != "DocumentReference":
            if resource.get("resourceType") != "OperationOutcome":
                forgiven.add("foreign-entry")
            continue
        _check_subject(resource, base, handle)
        if resource.get("status") not in ("current", "superseded"):
            forgiven.add("status-not-read")
            continue
        read, words = read_entry(resource, el.text(entry, "fullUrl") or "", base=base, pack=pack)
        documents += read
        forgiven |= words
    total = el.number(bundle, "total")
    if total is None:
        forgiven.add("no-total")
    return Found(
        tuple(documents), len(documents) if total is None else total, _next_query(bundle, base), tuple(sorted(forgiven))
    )


def _check_subject(resource: el.Node, base: str, handle: str) -> None:
    reference = el.text(resource, "subject", "reference") or ""
    place = bundles.below(base, reference)
    if place is None or place != (f"Patient/{handle}", ""):
        raise CountryMisanswered("an entry about another patient", path="DocumentReference.subject")


def _next_query(bundle: el.Node, base: str) -> str | None:
    """Of `next` the query alone, after its origin and path were compared. Source: CAP-15; trust.md §2.8."""
    url = bundles.link(bundle, "next")
    if url is None:
        return None
    place = bundles.below(base, url)
    if place is None or place[0] not in ("DocumentReference", "DocumentReference/_search"):
        raise CountryMisanswered("the next page lies outside the country's own address", path="Bundle.link")
    if len(place[1]) > NEXT_MAX_BYTES:
        raise CountryMisanswered("the address of the next page is too long", reason="peer-limit", path="Bundle.link")
    return place[1]
