"""What is written down (AUD): the trails of both sides, and an event as AuditEvent where one is handed out."""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from isthmus.conformance.evidence import Exchange, Trails
from isthmus.conformance.requirement import Kind, requirement
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.wire.packs.pack import Pack

_ABOUT_A_PATIENT = {"ITI-67", "ITI-68", "RAD-107", "RAD-129"}
_FAILED = (401, 403, 404, 406)
_APART = timedelta(seconds=5)
_BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_ITI = "urn:ihe:event-type-code"


def _number(exchange: Exchange) -> str:
    return exchange.headers.get("x-request-id", "")


def _of(event: Node) -> str:
    """Which exchange an event is of."""
    return el.text(event, "exchange_id") or ""


def _outcome(event: Node) -> str:
    return el.text(event, "ended", "outcome") or "open"


@requirement("AUD-01", Kind.TRAILS, "each transaction is one event on each side, about one patient", source="BALP")
def aud_01(trails: Trails, pack: Pack) -> Iterator[str]:
    for side, events in (("B", trails.asking), ("A", trails.answering)):
        counted = Counter(_of(event) for event in events)
        for one in trails.conversation:
            if one.status is not None and counted[_number(one)] != 1:
                yield f"trail of Country {side}"
        for event in events:
            about = el.text(event, "transaction") in _ABOUT_A_PATIENT and _outcome(event) == "complete"
            if about and not el.text(event, "patient", "value"):
                yield f"trail of Country {side}: patient"


def _codes(event: Node, name: str) -> set[str]:
    return {str(c.get("code")) for c in el.children(event, name)}


def _entities(event: Node, kind: str, role: str) -> list[Node]:
    held = el.children(event, "entity")
    return [e for e in held if (el.text(e, "type", "code"), el.text(e, "role", "code")) == (kind, role)]


@requirement("AUD-02", Kind.EVENT, "an event of a search holds the whole query, in base64", source="BALP")
def aud_02(event: Node, pack: Pack) -> Iterator[str]:
    if "search" in _codes(event, "subtype"):
        queries = _entities(event, "2", "24")
        if len(queries) != 1 or el.binary(queries[0], "query") is None:
            yield "AuditEvent.entity[query]"


@requirement("AUD-03", Kind.EVENT, "an event of ITI-67 or ITI-68 says both: REST and ITI", source="MHD")
def aud_03(event: Node, pack: Pack) -> Iterator[str]:
    told = {(el.text(c, "system"), el.text(c, "code")) for c in el.children(event, "subtype")}
    iti = {code for system, code in told if system == _ITI}
    rest = {code for system, code in told if system == "http://hl7.org/fhir/restful-interaction"}
    if iti & {"ITI-67", "ITI-68"} and not rest:
        yield "AuditEvent.subtype"
    if rest and not iti and any("DocumentReference" in one for one in _queried(event)):
        yield "AuditEvent.subtype"


def _queried(event: Node) -> Iterator[str]:
    for entity in _entities(event, "2", "24"):
        try:
            yield b64decode(el.text(entity, "query") or "", validate=True).decode("utf-8", "replace")
        except ValueError:
            continue


_ENDS = {
    "110150",
    "110152",
    "110153",
    "AuthzOauthService",
}  # of the line: BALP gives people and organisations no network
_BY_SOMEBODY = {"search", "read", "disclose"}


@requirement(
    "AUD-04", Kind.EVENT, "agents have type, who and network; the professional is IRCP and requestor", source="BALP"
)
def aud_04(event: Node, pack: Pack) -> Iterator[str]:
    people = 0
    for agent in el.children(event, "agent"):
        codes = {c.get("code") for c in el.codings(agent, "type")}
        if "IRCP" in codes:
            people += 1
            if agent.get("requestor") is not True or not agent.get("who"):
                yield "AuditEvent.agent[user]"
        elif not codes or not agent.get("who") or (codes & _ENDS and not el.text(agent, "network", "address")):
            yield "AuditEvent.agent"
    if people > 1 or (not people and _codes(event, "subtype") & _BY_SOMEBODY):
        yield "AuditEvent.agent[user]"


@requirement("AUD-05", Kind.TRAILS, "the exchange id is the same on both sides", source="BALP")
def aud_05(trails: Trails, pack: Pack) -> Iterator[str]:
    asked = {_of(event): event for event in trails.asking}
    answered = {_of(event): event for event in trails.answering}
    for number in asked.keys() & answered.keys():
        if asked[number].get("transaction") != answered[number].get("transaction"):
            yield "transaction"
    reached = {_number(one) for one in trails.conversation if one.status is not None}
    yield from ("exchange_id" for number in reached if (number in asked) is not (number in answered))


@requirement(
    "AUD-06",
    Kind.TRAILS,
    "what was refused is an event with an outcome that says so",
    source="BALP, R",
    also=(Kind.EVENT,),
)
def aud_06(subject: Trails | Node, pack: Pack) -> Iterator[str]:
    if isinstance(subject, dict):
        failed = subject.get("outcome") not in ("0", None)
        if failed and any(one.startswith(_BALP) for one in el.texts(el.child(subject, "meta"), "profile")):
            yield "AuditEvent.meta.profile"
        return
    told = {_of(event): _outcome(event) for event in subject.answering}
    for one in subject.conversation:
        if one.status in _FAILED and told.get(_number(one)) not in ("refused", "failed"):
            yield "trail of Country A: outcome"


@requirement("AUD-07", Kind.TRAILS, "a transfer is counted alike on both sides: instances and bytes", source="R")
def aud_07(trails: Trails, pack: Pack) -> Iterator[str]:
    sent = {_of(e): el.child(e, "ended") for e in trails.answering if e.get("transaction") == "RAD-107"}
    for event in (event for event in trails.asking if event.get("transaction") == "RAD-107"):
        came, gave = el.child(event, "ended"), sent.get(_of(event), {})
        if _outcome(event) == "complete" and not came.get("instances"):
            yield "trail of Country B: instances"
        if _outcome(event) == "complete" and gave.get("outcome") == "complete":
            yield from (name for name in ("instances", "bytes") if came.get(name) != gave.get(name))


@requirement("AUD-08", Kind.TRAILS, "the number of the token is in the event of each use", source="BALP")
def aud_08(trails: Trails, pack: Pack) -> Iterator[str]:
    used = {_number(one) for one in trails.conversation if "authorization" in one.sent and one.status == 200}
    for side, events in (("B", trails.asking), ("A", trails.answering)):
        if any(_of(event) in used and not event.get("token_jti") for event in events):
            yield f"trail of Country {side}: token_jti"


@requirement("AUD-09", Kind.TRAILS, "what the trail cannot take is not given", source="03")
def aud_09(trails: Trails, pack: Pack) -> Iterator[str]:
    written = {_of(event) for event in trails.answering}
    for one in trails.conversation:
        given = (
            one.status in (200, 206)
            and one.path.startswith(("/fhir/", "/dicom-web/"))
            and one.sent.get("authorization")
        )
        if given and _number(one) not in written:
            yield "trail of Country A"


_REQUIRED = ("type", "recorded", "outcome", "agent", "source")


@requirement("AUD-10", Kind.EVENT, "an event is a whole AuditEvent", source="BALP")
def aud_10(event: Node, pack: Pack) -> Iterator[str]:
    if event.get("resourceType") != "AuditEvent":
        yield "resourceType"
    yield from (f"AuditEvent.{name}" for name in _REQUIRED if not event.get(name))
    if not el.text(event, "source", "observer", "display") and not el.child(event, "source", "observer", "identifier"):
        yield "AuditEvent.source.observer"


@requirement("AUD-11", Kind.TRAILS, "both sides' clocks agree", source="MADO")
def aud_11(trails: Trails, pack: Pack) -> Iterator[str]:
    answered = {_of(event): _moment(event.get("at")) for event in trails.answering}
    for event in trails.asking:
        ours, theirs = _moment(event.get("at")), answered.get(_of(event))
        if ours is not None and theirs is not None and abs(theirs - ours) > _APART:
            yield "at"


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
