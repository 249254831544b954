"""Requirements: a function that yields what is wrong, under an id, a statement and a source.

    @requirement("DRC-06", Kind.ENTRY, "content exactly one; contentType and url present", source="MHD")
    def drc_06(node: Node, pack: Pack) -> Iterator[str]:
        if len(el.children(node, "content")) != 1:
            yield "content"

A function yields the paths at fault; their words are the statement. Findings carry no patient data. What there is to judge is of a
few kinds: a resource, an exchange, a conversation, an examination, a trail and what lies between a value and its document
(`evidence.py`). What is judged whole is also judged by its parts: a conversation by its exchanges, an exchange by its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from isthmus.conformance.evidence import (
    Arrival,
    Delivery,
    Examination,
    Exchange,
    Launch,
    Trails,
    Written,
    gather,
    kos_of,
)  # fmt: skip
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.wire.packs.pack import Pack


class Kind(StrEnum):
    """What a requirement is about."""

    CAPABILITY = "capability"
    SMART = "smart"  # where and how a token is had
    PATIENTS = "patients"  # answer to a patient search
    SEARCH = "search"  # answer to a document search
    STUDIES = "studies"  # answer to an ImagingStudy search
    ENTRY = "entry"  # one DocumentReference
    MANIFEST = "manifest"
    KOS = "kos"  # manifest as key object selection
    REPORT = "report"
    MINIMAL = "minimal report"  # the collection around a report that exists as PDF alone
    EVENT = "event"  # AuditEvent
    FIGURES = "figures"  # what a long proof measured
    VERDICT = "verdict"  # what dciodvfy says of a file
    EXCHANGE = "exchange"
    CONVERSATION = "conversation"
    EXAMINATION = "examination"
    WRITTEN = "written"
    DELIVERY = "delivery"
    ARRIVAL = "arrival"
    TRAILS = "trails"
    LAUNCH = "launch"


SUBJECTS: dict[Kind, type] = {
    Kind.VERDICT: str,
    Kind.EXCHANGE: Exchange,
    Kind.CONVERSATION: tuple,
    Kind.EXAMINATION: Examination,
    Kind.WRITTEN: Written,
    Kind.DELIVERY: Delivery,
    Kind.ARRIVAL: Arrival,
    Kind.TRAILS: Trails,
    Kind.LAUNCH: Launch,
}
"""What stands for each kind; a JSON object where none is named."""


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


S = TypeVar("S")
Check = Callable[[S, Pack], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One row of the list. `packs` empty: in every pack; `cheap`: its cost does not grow with the answer, so live traffic bears it."""

    id: str
    kinds: tuple[Kind, ...]
    statement: str
    source: str
    check: Check[Any]
    severity: Severity = Severity.ERROR
    packs: frozenset[str] = frozenset()
    cheap: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a requirement does not hold; `statement` says what was found, `advice` what to do. No value of a patient stands in it."""

    requirement: str
    severity: Severity
    statement: str
    path: str
    source: str = ""
    advice: str = ""
    file: str = ""


REQUIREMENTS: dict[str, Requirement] = {}


def requirement(
    id: str,
    kind: Kind,
    statement: str,
    *,
    source: str,
    severity: Severity = Severity.ERROR,
    packs: frozenset[str] = frozenset(),
    also: tuple[Kind, ...] = (),
    cheap: bool = False,
) -> Callable[[Check[S]], Check[S]]:
    """Write a function down as requirement."""

    def written(check: Check[S]) -> Check[S]:
        if id in REQUIREMENTS:
            raise ValueError(f"{id} is written down twice")
        REQUIREMENTS[id] = Requirement(id, (kind, *also), statement, source, check, severity, packs, cheap)
        return check

    return written


def examine(kind: Kind, subject: Any, pack: Pack, *, cheap: bool = False) -> list[Finding]:
    """Hold a subject against every requirement of its kind, and its parts against theirs; only the cheap ones where asked."""
    if not isinstance(subject, SUBJECTS.get(kind, dict)):
        raise TypeError(f"no {kind} is a {type(subject).__name__}")
    found = [
        Finding(row.id, row.severity, row.statement, path, row.source)
        for row in REQUIREMENTS.values()
        if kind in row.kinds and (not row.packs or pack.name in row.packs) and (row.cheap or not cheap)
        for path in row.check(subject, pack)
    ]
    for part_kind, part in parts_of(kind, subject, pack):
        found += examine(part_kind, part, pack, cheap=cheap)
    return found


def parts_of(kind: Kind, subject: Any, pack: Pack) -> Iterator[tuple[Kind, Any]]:
    """What is judged along with a subject."""
    if kind is Kind.SEARCH:
        resources = (el.child(entry, "resource") for entry in el.children(subject, "entry"))
        yield from ((Kind.ENTRY, one) for one in resources if one.get("resourceType") == "DocumentReference")
    elif kind is Kind.MANIFEST:
        yield Kind.EXAMINATION, Examination(manifest=subject)
    elif kind is Kind.KOS:
        yield Kind.EXAMINATION, Examination(kos=subject)
    elif kind is Kind.REPORT:
        yield Kind.EXAMINATION, Examination(reports=(subject,))
    elif kind is Kind.EXCHANGE:
        answer = answer_of(subject, pack)
        if answer is not None:
            yield answer
    elif kind is Kind.CONVERSATION:
        yield from ((Kind.EXCHANGE, one) for one in subject)
        yield from ((Kind.EXAMINATION, one) for one in gather(subject, pack))


def answer_of(exchange: Exchange, pack: Pack) -> tuple[Kind, Node] | None:
    """The resource in an answer, and what it is; None for what is no resource of a kind."""
    if exchange.status != 200:
        return None
    for path, kind in _BY_PATH.items():
        if exchange.path in (path, f"{path}/_search"):
            return (kind, exchange.node) if exchange.node else None
    if exchange.headers.get("content-type") == "application/dicom" and exchange.path.startswith("/fhir/Binary/"):
        return Kind.KOS, kos_of(exchange.answer)
    return document_of(exchange.node, pack)


def document_of(node: Node, pack: Pack) -> tuple[Kind, Node] | None:
    """A document Bundle, and what it is. Source: wire.md §1.4.3."""
    if node.get("resourceType") != "Bundle":
        return None
    if node.get("type") == "collection":
        return Kind.MINIMAL, node
    composition = el.child(node, "entry", "resource")
    if node.get("type") != "document" or composition.get("resourceType") != "Composition":
        return None
    codes = {c.get("code") for c in el.codings(composition, "type")}
    kinds = {el.text(entry, "resource", "resourceType") for entry in el.children(node, "entry")}
    described = pack.codes["composition_manifest"] in codes and "DiagnosticReport" not in kinds
    return (Kind.MANIFEST if described else Kind.REPORT), node


_BY_PATH = {
    "/fhir/metadata": Kind.CAPABILITY,
    "/fhir/.well-known/smart-configuration": Kind.SMART,
    "/.well-known/smart-configuration": Kind.SMART,
    "/fhir/Patient": Kind.PATIENTS,
    "/fhir/DocumentReference": Kind.SEARCH,
    "/fhir/ImagingStudy": Kind.STUDIES,
}
