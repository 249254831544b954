"""Requirements: a function that yields what is wrong, under an id, a statement and a source.

    @requirement("DRC-06", Kind.ENTRY, "content exactly one; contentType and url present", source="MHD")
    def drc_06(node: Node, pack: Pack) -> Iterator[str]:
        if len(el.children(node, "content")) != 1:
            yield "content"

A function yields the paths at fault; their words are the statement. Findings carry no patient data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.wire.packs.pack import Pack


class Kind(StrEnum):
    """What a requirement is about."""

    CAPABILITY = "capability"
    PATIENTS = "patients"  # answer to a patient search
    SEARCH = "search"  # answer to a document search
    ENTRY = "entry"  # one DocumentReference of it
    MANIFEST = "manifest"
    REPORT = "report"
    KOS = "kos"  # manifest as key object selection
    SMART = "smart"  # where and how a token is had
    OUTCOME = "outcome"  # every refusal
    STUDIES = "studies"  # answer to an ImagingStudy search
    ROW = "row"  # one data set of a QIDO-RS answer
    BINARY = "binary"  # a document wrapped as FHIR


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


Check = Callable[[Node, Pack], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One row of the list. `packs` empty: in every pack."""

    id: str
    kind: Kind
    statement: str
    source: str
    check: Check
    severity: Severity = Severity.ERROR
    packs: frozenset[str] = frozenset()


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
) -> Callable[[Check], Check]:
    """Write a function down as requirement."""

    def written(check: Check) -> Check:
        if id in REQUIREMENTS:
            raise ValueError(f"{id} is written down twice")
        REQUIREMENTS[id] = Requirement(id, kind, statement, source, check, severity, packs)
        return check

    return written


def examine(kind: Kind, node: Node, pack: Pack) -> list[Finding]:
    """Hold a resource against every requirement of its kind; of a search also each of its entries."""
    found = [
        Finding(row.id, row.severity, row.statement, path, row.source)
        for row in REQUIREMENTS.values()
        if row.kind is kind and (not row.packs or pack.name in row.packs)
        for path in row.check(node, pack)
    ]
    if kind is Kind.SEARCH:
        for entry in el.children(node, "entry"):
            resource = el.child(entry, "resource")
            if resource.get("resourceType") == "DocumentReference":
                found += examine(Kind.ENTRY, resource, pack)
    return found
