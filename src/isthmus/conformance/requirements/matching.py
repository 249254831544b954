"""Searching as the definitions say it, on what was answered: which of a whole list a search should have given.

The list is what the same asker was given without a filter. Written from the definitions alone, so that it can judge an index that
was written otherwise; what it does not know of, it does not judge.

Source: R4 search; wire.md §1.4.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC

from isthmus.conformance.evidence import Conversation, Exchange
from isthmus.errors import MalformedRequest
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.identifiers import plain_uid
from isthmus.model.intervals import DateFilter, read_interval
from isthmus.wire.packs.pack import Pack

Coded = tuple[str, str]


def _concepts(node: Node, name: str) -> Iterator[Coded]:
    yield from ((c.get("system") or "", c.get("code") or "") for c in el.codings(node, name))


def _related(entry: Node, *types: str) -> Iterator[Coded]:
    """The identifiers of what an entry is about, of these types or of all."""
    for one in el.children(el.child(entry, "context"), "related"):
        identifier = el.child(one, "identifier")
        if not types or any(c.get("code") in types for c in el.codings(identifier, "type")):
            yield el.text(identifier, "system") or "", el.text(identifier, "value") or ""


def _identifiers(entry: Node) -> Iterator[Coded]:
    for identifier in (el.child(entry, "masterIdentifier"), *el.children(entry, "identifier")):
        yield el.text(identifier, "system") or "", el.text(identifier, "value") or ""


def _modality(entry: Node, pack: Pack) -> Iterator[Coded]:
    for extension in el.extensions(entry, pack.extensions["modality"], pack.extensions["modality_once"]):
        yield from _concepts(extension, "valueCodeableConcept")


def _body_site(entry: Node, pack: Pack) -> Iterator[Coded]:
    for extension in el.extensions(entry, pack.extensions["body_site"], pack.extensions["body_site_once"]):
        for holder in (extension, *el.children(extension, "extension")):
            for system, code in _concepts(holder, "valueCodeableConcept"):
                yield system, "spine" if code in pack.aliases["spine"] else code


def _format(entry: Node) -> Iterator[Coded]:
    for content in el.children(entry, "content"):
        told = el.child(content, "format")
        yield el.text(told, "system") or "", el.text(told, "code") or ""


def _attachments(entry: Node, name: str) -> Iterator[str]:
    yield from (el.text(content, "attachment", name) or "" for content in el.children(entry, "content"))


_TOKENS: dict[str, Callable[[Node, Pack], Iterable[Coded]]] = {
    "type": lambda entry, pack: _concepts(entry, "type"),
    "category": lambda entry, pack: _concepts(entry, "category"),
    "format": lambda entry, pack: _format(entry),
    "modality": _modality,
    "bodysite": _body_site,
    "anatomical-region": _body_site,
    "study-instance-uid": lambda entry, pack: _related(entry, pack.codes["study_instance_uid"]),
    "accession-number": lambda entry, pack: _related(entry, pack.codes["accession_number"]),
    "related:identifier": lambda entry, pack: _related(entry),
    "identifier": lambda entry, pack: _identifiers(entry),
    "_id": lambda entry, pack: [("", str(entry.get("id")))],
    "setting": lambda entry, pack: _concepts(el.child(entry, "context"), "practiceSetting"),
    "facility": lambda entry, pack: _concepts(el.child(entry, "context"), "facilityType"),
    "event": lambda entry, pack: _concepts(el.child(entry, "context"), "event"),
    "security-label": lambda entry, pack: _concepts(entry, "securityLabel"),
    "contenttype": lambda entry, pack: (("", media) for media in _attachments(entry, "contentType")),
}
_DATES: dict[str, Callable[[Node], Iterable[str]]] = {
    "date": lambda entry: [el.text(entry, "date") or ""],
    "creation": lambda entry: _attachments(entry, "creation"),
    "period": lambda entry: [el.text(entry, "context", "period", "start") or ""],
    "_lastUpdated": lambda entry: [el.text(entry, "meta", "lastUpdated") or ""],
}
_UNBARRED = {"identifier", "_id", "study-instance-uid", "related:identifier", "accession-number"}


def _is_asked(told: Coded, asked: str, pack: Pack) -> bool:
    """Whether a coded value is one asked as `code`, `|code` or `system|code`; prefixes of a UID and the spine's codes do not count."""
    system, bar, code = asked.rpartition("|")
    code = "spine" if code in pack.aliases["spine"] else plain_uid(code)
    same = plain_uid(told[1]) == code
    return same and (not bar or told[0] == system)


def _dated(told: str, asked: str) -> bool | None:
    """Whether a time is one asked for; None where its day cannot be told without the country's zone."""
    if not told:
        return False
    if "T" in told and not re.search(r"(Z|[+-]\d\d:\d\d)$", told):
        return None
    try:
        wanted, held = DateFilter.read(asked, UTC), read_interval(told, UTC)
    except MalformedRequest:
        return None
    near = abs((held.start - wanted.interval.start).total_seconds()) < 50_400
    near = near or abs((held.start - wanted.interval.end).total_seconds()) < 50_400
    return None if near and "T" not in asked else wanted.holds(held.start, held.end)


def fits(entry: Node, name: str, value: str, pack: Pack) -> bool | None:
    """Whether an entry is what one parameter asks for; None where that cannot be told here."""
    if name in _TOKENS:
        told = list(_TOKENS[name](entry, pack))
        return any(_is_asked(one, asked, pack) for asked in value.split(",") for one in told)
    if name in _DATES:
        held = [_dated(told, asked) for asked in value.split(",") for told in _DATES[name](entry)]
        return True if True in held else None if None in held else False
    return None


def whole_list(conversation: Conversation, like: Exchange) -> dict[str, Node]:
    """What the same asker was given of the same patient without a filter, by id."""
    same = like.sent.get("authorization"), like.values("status")
    return {
        str(entry.get("id")): entry
        for one in conversation
        if one.searches("DocumentReference") and one.status == 200 and not one.filters
        if (one.sent.get("authorization"), one.values("status")) == same
        for entry in one.entries("DocumentReference")
    }


def misfits(conversation: Conversation, names: Iterable[str], pack: Pack, *, several: bool = False) -> Iterator[str]:
    """Searches by one of these parameters alone (or by several) that gave what they should not, or did not give what they should."""
    for one in conversation:
        asked = one.filters
        chosen = [name for name, _ in asked if name in names]
        alone = len(asked) == 1 or {name for name, _ in asked} == {"date"}
        counted = one.values("_summary") or bool(one.values("_cursor"))
        if one.searches("DocumentReference") and one.status == 200 and chosen and alone is not several and not counted:
            yield from (f"{'+'.join(chosen)}: {fault}" for fault in _faults(one, whole_list(conversation, one), pack))


def _faults(search: Exchange, whole: dict[str, Node], pack: Pack) -> Iterator[str]:
    given = {str(entry.get("id")) for entry in search.entries("DocumentReference")}
    paged = search.node.get("total") != len(given)
    for id, entry in whole.items():
        verdicts = [fits(entry, name, value, pack) for name, value in search.filters]
        if False in verdicts and id in given:
            yield "gives what does not fit"
        elif all(verdicts) and id not in given and not paged:
            yield "lacks what fits"
