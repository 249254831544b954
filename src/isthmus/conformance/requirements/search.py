"""Searching the list of documents (DRS)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from isthmus.conformance.evidence import Conversation, Exchange, studies_of
from isthmus.conformance.requirement import Kind, requirement
from isthmus.conformance.requirements.matching import misfits, whole_list
from isthmus.fhir import bundles
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.identifiers import plain_uid
from isthmus.wire.packs.pack import OLDEST_FIRST, Pack

_KIND = "DocumentReference"
_CLASSIC = frozenset({"ehdsi-9.1"})
_EU = frozenset(OLDEST_FIRST) - _CLASSIC
_TOGETHER = ("type", "category", "contenttype", "date")
_DATES = ("date", "creation", "period", "_lastUpdated")
_OTHERS = ("identifier", "_id", "setting", "facility", "event", "security-label")


def _ids(exchange: Exchange) -> set[str]:
    return {str(entry.get("id")) for entry in exchange.entries(_KIND)}


def _searches(conversation: Conversation) -> list[Exchange]:
    return [one for one in conversation if one.searches(_KIND) and one.status == 200]


@requirement("DRS-01", Kind.EXCHANGE, "without a patient: 400", source="MHD", cheap=True)
def drs_01(exchange: Exchange, pack: Pack) -> Iterator[str]:
    named = any(exchange.values(name) for name in ("patient", "patient.identifier", "_cursor"))
    if exchange.searches(_KIND) and not named and exchange.status == 200:
        yield "status"


@requirement("DRS-02", Kind.CONVERSATION, "by handle and by identifier the set is the same", source="NCP, MHD")
def drs_02(conversation: Conversation, pack: Pack) -> Iterator[str]:
    given: dict[tuple[object, ...], tuple[str, set[str]]] = {}
    for one in _searches(conversation):
        by = "identifier" if one.values("patient.identifier") else "handle"
        key = (one.sent.get("authorization"), tuple(one.values("status")), one.filters, tuple(one.values("_count")))
        before = given.setdefault(key, (by, _ids(one)))
        if before[0] != by and before[1] != _ids(one):
            yield "Bundle.entry"


@requirement("DRS-03", Kind.EXCHANGE, "status is asked for; what is superseded comes on wish alone", source="MHD")
def drs_03(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if exchange.searches(_KIND) and exchange.status == 200 and not exchange.values("_cursor"):
        asked = {code.rpartition("|")[2] for value in exchange.values("status") for code in value.split(",")}
        if not asked:
            yield "status"
        if any(el.text(entry, "status") not in (asked or {"current"}) for entry in exchange.entries(_KIND)):
            yield "Bundle.entry.resource.status"


@requirement("DRS-04", Kind.CONVERSATION, "a type gives the documents of that type", source="API", packs=_EU)
def drs_04(conversation: Conversation, pack: Pack) -> Iterator[str]:
    yield from _typed(conversation, pack, pack.codes["type_report"])


def _typed(conversation: Conversation, pack: Pack, report: str) -> Iterator[str]:
    single = tuple(one for one in conversation if not any("," in value for value in one.values("type")))
    yield from misfits(single, ("type",), pack)
    for one in _searches(single):
        asked = {value.rpartition("|")[2] for value in one.values("type")}
        manifests = [bool(_manifest_form(entry, pack)) for entry in one.entries(_KIND)]
        if asked == {report} and any(manifests):
            yield "type: a manifest among reports"


def _manifest_form(entry: Node, pack: Pack) -> str:
    """The form of a manifest, by its format; nothing for a report."""
    code = el.text(entry, "content", "format", "code") or ""
    return code if code in (pack.codes["format_manifest_fhir"], pack.codes["format_manifest_kos"]) else ""


@requirement(
    "DRS-05", Kind.CONVERSATION, "in the classic pack 18748-4 gives reports", source="MYHI, ONCP", packs=_CLASSIC
)
def drs_05(conversation: Conversation, pack: Pack) -> Iterator[str]:
    yield from _typed(conversation, pack, "18748-4")


@requirement("DRS-06", Kind.CONVERSATION, "a list of types is their union", source="R4")
def drs_06(conversation: Conversation, pack: Pack) -> Iterator[str]:
    listed = (one for one in conversation if not one.filters or any("," in value for value in one.values("type")))
    yield from misfits(tuple(listed), ("type",), pack)


@requirement("DRS-07", Kind.CONVERSATION, "Medical-Imaging gives all, another category none", source="API")
def drs_07(conversation: Conversation, pack: Pack) -> Iterator[str]:
    yield from misfits(conversation, ("category",), pack)


@requirement("DRS-08", Kind.CONVERSATION, "contenttype filters by media type", source="NCP")
def drs_08(conversation: Conversation, pack: Pack) -> Iterator[str]:
    yield from misfits(conversation, ("contenttype",), pack)


@requirement("DRS-09", Kind.CONVERSATION, "date filters by DocumentReference.date", source="NCP")
def drs_09(conversation: Conversation, pack: Pack) -> Iterator[str]:
    yield from misfits(conversation, ("date",), pack)


@requirement("DRS-10", Kind.CONVERSATION, "creation filters by attachment.creation", source="NCP, MHD")
def drs_10(conversation: Conversation, pack: Pack) -> Iterator[str]:
    yield from misfits(conversation, ("creation",), pack)


@requirement("DRS-11", Kind.CONVERSATION, "period finds by the time of the examination", source="MHD, 01")
def drs_11(conversation: Conversation, pack: Pack) -> Iterator[str]:
    yield from misfits(conversation, ("period",), pack)


@requirement("DRS-12", Kind.CONVERSATION, "parameters together are AND", source="NCP")
def drs_12(conversation: Conversation, pack: Pack) -> Iterator[str]:
    yield from misfits(conversation, _TOGETHER, pack, several=True)


@requirement("DRS-13", Kind.CONVERSATION, "a modality finds entries that have it among several", source="MADO, EUI")
def drs_13(conversation: Conversation, pack: Pack) -> Iterator[str]:
    yield from misfits(conversation, ("modality",), pack)


@requirement(
    "DRS-14", Kind.CONVERSATION, "bodysite and anatomical-region are one, with and without system", source="EUI"
)
def drs_14(conversation: Conversation, pack: Pack) -> Iterator[str]:
    yield from misfits(conversation, ("bodysite", "anatomical-region"), pack)


@requirement("DRS-15", Kind.CONVERSATION, "a study is found with and without urn:oid:", source="MADO, R")
def drs_15(conversation: Conversation, pack: Pack) -> Iterator[str]:
    given: dict[tuple[object, str], set[str]] = {}
    for one in _by_study(conversation):
        key = (one.sent.get("authorization"), plain_uid(one.values("study-instance-uid")[0].rpartition("|")[2]))
        if given.setdefault(key, _ids(one)) != _ids(one):
            yield "study-instance-uid"


def _by_study(conversation: Conversation) -> list[Exchange]:
    """Searches by one study and by nothing else."""
    return [one for one in _searches(conversation) if [name for name, _ in one.filters] == ["study-instance-uid"]]


@requirement("DRS-16", Kind.CONVERSATION, "a study gives its report and its manifests, and nothing else", source="R")
def drs_16(conversation: Conversation, pack: Pack) -> Iterator[str]:
    for one in _by_study(conversation):
        uid = plain_uid(one.values("study-instance-uid")[0].rpartition("|")[2])
        whole = whole_list(conversation, one)
        expected = {id for id, entry in whole.items() if uid in studies_of(entry, pack)}
        if whole and expected != _ids(one) & whole.keys():
            yield "study-instance-uid"


@requirement("DRS-17", Kind.CONVERSATION, "an accession number counts with its issuer", source="MADO")
def drs_17(conversation: Conversation, pack: Pack) -> Iterator[str]:
    yield from misfits(conversation, ("accession-number",), pack)


@requirement("DRS-18", Kind.CONVERSATION, "related:identifier finds what study-instance-uid finds", source="MADO, MHD")
def drs_18(conversation: Conversation, pack: Pack) -> Iterator[str]:
    yield from misfits(conversation, ("related:identifier",), pack)


@requirement("DRS-19", Kind.CONVERSATION, "the formats of both manifests are found", source="MHD, MADO")
def drs_19(conversation: Conversation, pack: Pack) -> Iterator[str]:
    yield from misfits(conversation, ("format",), pack)


@requirement(
    "DRS-20", Kind.CONVERSATION, "identifier, id, setting, facility, event, label and author find", source="MHD"
)
def drs_20(conversation: Conversation, pack: Pack) -> Iterator[str]:
    yield from misfits(conversation, _OTHERS, pack)
    for one in _searches(conversation):
        for name, value in one.filters if len(one.filters) == 1 else ():
            if name in ("author.family", "author.given") and any(not _by(e, value) for e in one.entries(_KIND)):
                yield name


def _by(entry: Node, name: str) -> bool:
    """Whether an author shown has a word that begins so."""
    shown = " ".join(el.text(author, "display") or "" for author in el.children(entry, "author"))
    return any(word.casefold().startswith(name.casefold()) for word in shown.split())


@requirement("DRS-21", Kind.CONVERSATION, "_lastUpdated gives what has changed since", source="EUI")
def drs_21(conversation: Conversation, pack: Pack) -> Iterator[str]:
    yield from misfits(conversation, ("_lastUpdated",), pack)


@requirement("DRS-22", Kind.SEARCH, "all entries are about the patient of the self link", source="IUA, 03")
def drs_22(node: Node, pack: Pack) -> Iterator[str]:
    asked = dict(parse_qsl(urlsplit(bundles.link(node, "self") or "").query)).get("patient")
    if any(el.text(resource, "subject", "reference") != asked for resource in _entries(node)):
        yield "Bundle.entry.resource.subject"


def _entries(node: Node) -> list[Node]:
    resources = (el.child(entry, "resource") for entry in el.children(node, "entry"))
    return [resource for resource in resources if resource.get("resourceType") == _KIND]


@requirement("DRS-23", Kind.EXCHANGE, "what is no date: 400 invalid", source="R4", cheap=True)
def drs_23(exchange: Exchange, pack: Pack) -> Iterator[str]:
    dates = [part for name in _DATES for value in exchange.values(name) for part in value.split(",")]
    if exchange.searches(_KIND) and not all(_DATE.fullmatch(date) for date in dates):
        if exchange.status == 200:
            yield "status"
        elif exchange.status == 400 and all(i.get("code") not in ("invalid", "value") for i in exchange.issues):
            yield "OperationOutcome.issue.code"


_DATE = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?")
