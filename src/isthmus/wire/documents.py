"""Documents: the search for reports and manifests, and its answer, both directions.

What a search means is written once, in `DEFINITIONS`: they are read from, matched with, declared. Country A filters with `matches`
whatever lies behind its connector.

Source: ITI-67; wire.md §1.4, DRS-01 to DRS-23, CAP-10 to CAP-15.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from urllib.parse import urlencode

from isthmus.dicom.names import fold
from isthmus.errors import CountryMisanswered, MalformedRequest
from isthmus.fhir import bundles, parameters
from isthmus.fhir import elements as el
from isthmus.fhir.parameters import CURSOR, Parameter, interval_of
from isthmus.fhir.search import Token
from isthmus.model.codes import DCM, Code
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import checked_uid, plain_uid
from isthmus.model.queries import Demand, DocumentQuery, Page
from isthmus.wire.entries import read_entry, write_entry
from isthmus.wire.packs.pack import Pack

COUNT_MAX = 200
NEXT_MAX_BYTES = 4096
STATUS_SYSTEM = "http://hl7.org/fhir/document-reference-status"
MEDIA_SYSTEM = "urn:ietf:bcp:13"
STATUSES = ("current", "superseded", "entered-in-error")


@dataclass(frozen=True, slots=True)
class Found:
    """One page as read. `next_query` is sent to the country's own base; `tolerances` name what was forgiven."""

    documents: tuple[Document, ...]
    total: int
    next_query: str | None = None
    tolerances: tuple[str, ...] = ()


# what each parameter finds in a document, and the form in which it is compared


def _kind(document: Document, pack: Pack) -> Iterator[Token]:
    yield pack.systems["loinc"], pack.codes["type_manifest" if document.kind.is_manifest else "type_report"]


def _format(document: Document, pack: Pack) -> Iterator[Token]:
    if document.kind is DocumentKind.MANIFEST_FHIR:
        yield pack.systems["format"], pack.codes["format_manifest_fhir"]
    elif document.kind is DocumentKind.MANIFEST_KOS:
        yield pack.systems["dcmuid"], pack.codes["format_manifest_kos"]


def _related(document: Document, pack: Pack) -> Iterator[Token]:
    yield from ((pack.systems["uid"], uid) for uid in document.study_instance_uids)
    numbers = (*document.accession_numbers, *document.order_numbers)
    yield from ((number.system, number.value) for number in numbers)


def region_tokens(regions: Iterable[Code], pack: Pack) -> Iterator[Token]:
    return ((region.system, region.code) for region in regions)


def _status_form(token: Token, pack: Pack) -> Token:
    if token[1] not in STATUSES:
        raise MalformedRequest("a status that documents do not have", reason="value", path="status")
    return token


def study_form(token: Token, pack: Pack) -> Token:
    """With and without system and `urn:oid:`; a system that is none of UIDs is refused. Source: DRS-15."""
    if token[0] not in (None, pack.systems["uid"], pack.systems["uri"]):
        raise MalformedRequest("a study is named by its UID", reason="value", path="study-instance-uid")
    return None, checked_uid(plain_uid(token[1]), "study-instance-uid")


def uid_form(token: Token, pack: Pack) -> Token:
    """Among identifiers of several kinds: a UID counts without its prefix. Source: TOL-03."""
    return (token[0], plain_uid(token[1])) if token[0] in (None, pack.systems["uid"]) else token


def spine_form(token: Token, pack: Pack) -> Token:
    """The three codes of the spine are one. Source: TOL-01."""
    return (token[0], pack.codes["spine_manifest"]) if token[1] in pack.aliases["spine"] else token


def number_form(token: Token, pack: Pack) -> Token:
    """Blanks at the ends do not count. Source: field-faults F08."""
    return token[0], token[1].strip(" ")


def _aliased(name: str) -> Callable[[Token, Pack], Token]:
    """Systems that the drafts write differently are one. Source: TOL-02, TOL-04."""

    def form(token: Token, pack: Pack) -> Token:
        return (pack.systems[name], token[1]) if token[0] in pack.aliases[name] else token

    return form


def _media_form(token: Token, pack: Pack) -> Token:
    """A `+` that came as blank is one; parameters do not count."""
    return token[0], token[1].partition(";")[0].strip().replace(" ", "+").lower()


def _folded(token: Token, pack: Pack) -> Token:
    return None, fold(token[1])


def _nothing(document: Document, pack: Pack) -> Iterator[Token]:
    """No entry of ours has the element: known, and never found."""
    return iter(())


_AUTHOR: Parameter[Document, Pack] = Parameter("string", lambda d, p: ((None, name) for name in d.authors), _folded)
_REGION: Parameter[Document, Pack] = Parameter("token", lambda d, p: region_tokens(d.regions, p), spine_form)
_MASTER: Parameter[Document, Pack] = Parameter(
    "token", lambda d, p: [(d.unique_id.system, d.unique_id.value)], uid_form
)

DEFINITIONS: dict[str, Parameter[Document, Pack]] = {
    "status": Parameter("token", lambda d, p: [(STATUS_SYSTEM, d.status)], _status_form),
    "type": Parameter("token", _kind),
    "category": Parameter("token", lambda d, p: [(p.systems["category"], p.codes["category"])], _aliased("category")),
    "contenttype": Parameter("token", lambda d, p: [(MEDIA_SYSTEM, d.media_type)], _media_form),
    "format": Parameter("token", _format, _aliased("dcmuid")),
    "date": Parameter("date", lambda d, p: [(None, d.indexed)]),
    "creation": Parameter("date", lambda d, p: [(None, d.created)]),
    "period": Parameter("date", lambda d, p: [(None, d.period_start or "")]),
    "_lastUpdated": Parameter("date", lambda d, p: [(None, d.updated or d.indexed)]),
    "study-instance-uid": Parameter("token", lambda d, p: ((None, uid) for uid in d.study_instance_uids), study_form),
    "accession-number": Parameter(
        "token", lambda d, p: ((n.system, n.value) for n in d.accession_numbers), number_form
    ),
    "related": Parameter("reference", _nothing),  # what an entry is related to is named by identifier alone
    "related:identifier": Parameter("token", _related, uid_form),
    "modality": Parameter("token", lambda d, p: ((DCM, modality) for modality in d.modalities)),
    "bodysite": _REGION,
    "anatomical-region": _REGION,
    "identifier": _MASTER,
    "_id": Parameter("token", lambda d, p: [(None, d.id)]),
    "event": Parameter("token", _nothing),
    "facility": Parameter("token", lambda d, p: [(p.systems["snomed"], p.codes["hospital"])]),
    "setting": Parameter("token", lambda d, p: [(p.systems["snomed"], p.codes["radiology"])]),
    "security-label": Parameter("token", _nothing),  # a label is for Country A alone
    "author.given": _AUTHOR,
    "author.family": _AUTHOR,
}
ORDERS: dict[str, Callable[[Document], str | None]] = {
    "date": lambda d: d.indexed,
    "period": lambda d: d.period_start,
    "creation": lambda d: d.created,
    "_lastUpdated": lambda d: d.updated or d.indexed,
}


def demands_of(query: DocumentQuery, pack: Pack) -> tuple[Demand, ...]:
    """Everything a query asks, member by member, as demands."""
    tokens: tuple[tuple[str, tuple[Token, ...]], ...] = (
        ("status", tuple((None, status) for status in query.statuses)),
        ("type", query.types),
        ("category", query.categories),
        ("study-instance-uid", tuple((pack.systems["uid"], f"urn:oid:{uid}") for uid in query.study_instance_uids)),
        ("modality", tuple((DCM, modality) for modality in query.modalities)),
    )
    dates = (("date", query.dates), ("period", query.periods))
    return (
        *(Demand(name, tokens=values) for name, values in tokens if values),
        *(Demand(name, dates=values) for name, repetitions in dates for values in repetitions),
        *query.demands,
    )


def write_search(query: DocumentQuery, pack: Pack) -> bytes:
    """Write the form body of a search. The patient is named by handle; the status is always said (DRS-03)."""
    if query.patient_handle is None:
        raise MalformedRequest("a search is about one patient", reason="required", path="patient")
    pairs = [("patient", f"Patient/{query.patient_handle}")]
    pairs += [parameters.write_demand(demand) for demand in demands_of(query, pack)]
    pairs.append(("_count", str(query.count)))
    if query.cursor is not None:
        pairs.append((CURSOR, query.cursor))
    return urlencode(pairs).encode()


def read_search(
    pairs: Iterable[tuple[str, str]], zone: tzinfo, pack: Pack, *, base: str | None = None
) -> DocumentQuery:
    """Read a search; without a status, what is current is asked for. Dates without zone are read in `zone`, the national one.

    `base` is our own address: with it, a patient may also be named by full URL. Raises MalformedRequest, UnsupportedRequest.
    """
    asked = parameters.read_search(
        pairs, DEFINITIONS, pack, zone, base=base, count=50, count_max=COUNT_MAX, orders=ORDERS
    )
    return DocumentQuery(
        patient_handle=asked.handle,
        patient_identifier=asked.identifier,
        statuses=() if any(demand.name == "status" for demand in asked.demands) else ("current",),
        count=asked.count,
        cursor=asked.cursor,
        asked=asked.asked,
        demands=asked.demands,
        order=asked.order,
        counted=asked.counted,
    )


def matches(document: Document, query: DocumentQuery, pack: Pack, zone: tzinfo) -> bool:
    """True when the document passes every demand of the query; whose it is is not asked here."""
    return all(DEFINITIONS[d.name].holds(d, document, zone, pack) for d in demands_of(query, pack))


def newest_first(
    documents: Iterable[Document], zone: tzinfo, order: tuple[tuple[str, bool], ...] = ()
) -> list[Document]:
    """The order of every list: as asked, then newest first, then by a key that no two documents share.

    What lacks the date comes last, either way. Source: field-faults F14, F38.
    """
    listed = sorted(documents, key=lambda d: (d.unique_id.value, d.kind.value), reverse=True)
    for name, latest_first in reversed((*order, ("date", True))):
        listed.sort(key=lambda d: _moment(ORDERS[name](d), zone, latest_first), reverse=latest_first)
    return listed


def _moment(value: str | None, zone: tzinfo, latest_first: bool) -> tuple[bool, datetime]:
    interval = interval_of(value, zone)
    missing = interval is None
    return missing is not latest_first, datetime.min.replace(tzinfo=zone) if interval is None else interval.start


def write_found(page: Page, query: DocumentQuery, *, base: str, handle: str, pack: Pack) -> bytes:
    """Write one page. Links carry the handle, never the identifier, and are the same for GET and POST (CAP-11).

    When only the number was asked there are no entries. Source: R4 search, _summary.
    """
    shown = () if query.counted else page.documents
    return el.write_object(
        bundles.page(
            "DocumentReference",
            [(d.id, write_entry(d, base=base, handle=handle, pack=pack)) for d in shown],
            base=base,
            asked=(("patient", f"Patient/{handle}"), *query.asked),
            cursors=(query.cursor, page.next_cursor),
            total=page.total,
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


def read_binary(body: bytes) -> bytes:
    """Unwrap a document that came as Binary resource; lines of base64 may be broken. Raises CountryMisanswered.

    Source: R4 Binary; RET-04; field-faults F40.
    """
    data = el.binary(el.read_resource(body, "Binary"), "data")
    if data is None:
        raise CountryMisanswered("no base64", path="Binary.data")
    return data


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
