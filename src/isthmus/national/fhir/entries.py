"""Resources that are reports, each as the DocumentReference that would list it: its presented forms, or the document it is the head of.

Source: R4 DocumentReference, DiagnosticReport, Composition ($document).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from isthmus.fhir import elements as el
from isthmus.fhir.bundles import references
from isthmus.fhir.elements import MEDIA_TYPE, Node

REFERENCE, REPORT, COMPOSITION = "DocumentReference", "DiagnosticReport", "Composition"
KINDS: Final = (REFERENCE, REPORT, COMPOSITION)
MADE: Final = "/$document"  # how an address ends whose document is made when it is asked for
RADIOLOGY: Final = (
    *(f"http://terminology.hl7.org/CodeSystem/v2-0074|{c}" for c in ("RAD", "CT", "NMR", "NMS", "RUS", "CUS", "OUS", "VUS", "RX", "XRC")),
    "http://loinc.org|LP29684-5",
)  # fmt: skip
"""Categories of a DiagnosticReport that is about images."""
TYPE_OF: Final[Mapping[str, str]] = {REFERENCE: "type", REPORT: "code", COMPOSITION: "type"}
"""Where each says what it is; the search parameter has the same name."""
_NOT_ISSUED = frozenset({"registered", "cancelled", "entered-in-error"})


def as_entry(node: Node, types: Iterable[str]) -> Node | None:
    """The entry of a report; None for what is of another type, or was not issued. Without types every type counts."""
    kind, wanted = str(node.get("resourceType")), set(types)
    typed = not wanted or _coded(node, TYPE_OF.get(kind, ""), wanted)
    radiology = kind == REPORT and _coded(node, "category", RADIOLOGY)
    issued = kind == REFERENCE or el.text(node, "status") not in _NOT_ISSUED
    if not issued or not (typed or radiology):
        return None
    return _READ[kind](node) if kind in _READ else None


def _coded(node: Node, name: str, wanted: Iterable[str]) -> bool:
    tokens = set(wanted)
    return any(f"{one.get('system')}|{one.get('code')}" in tokens for one in el.codings(node, name))


def _shared(node: Node) -> Node:
    return {
        "resourceType": REFERENCE,
        "id": node.get("id"),
        "meta": node.get("meta"),
        "status": "current",
        "docStatus": el.text(node, "status"),
        "subject": node.get("subject"),
    }


def _of_report(node: Node) -> Node:
    identifiers = el.children(node, "identifier")
    started = el.text(node, "effectiveDateTime") or el.text(node, "effectivePeriod", "start")
    related = [*el.children(node, "imagingStudy"), *el.children(node, "basedOn")]
    related += [{"identifier": one} for one in identifiers if one.get("system") != "urn:dicom:uid"]
    return el.without_nothing(
        _shared(node)
        | {
            "masterIdentifier": next((one for one in identifiers if el.text(one, "value")), None),
            "type": node.get("code"),
            "date": el.text(node, "issued"),
            "author": el.children(node, "resultsInterpreter") or el.children(node, "performer"),
            "content": [{"attachment": one} for one in el.children(node, "presentedForm")],
            "context": {"period": {"start": started} if started else None, "related": related},
        }
    )


def _of_composition(node: Node) -> Node:
    date, title = el.text(node, "date"), el.text(node, "title")
    attachment = {"contentType": MEDIA_TYPE, "url": f"{COMPOSITION}/{node.get('id')}{MADE}", "title": title}
    return el.without_nothing(
        _shared(node)
        | {
            "masterIdentifier": el.child(node, "identifier"),
            "type": node.get("type"),
            "date": date,
            "author": node.get("author"),
            "custodian": node.get("custodian"),
            "securityLabel": [{"coding": [{"code": el.text(node, "confidentiality")}]}],
            "relatesTo": [
                {"code": one.get("code"), "target": el.child(one, "targetReference")}
                for one in el.children(node, "relatesTo")
            ],
            "content": [{"attachment": attachment | ({"creation": date} if date else {})}],
            "context": {"related": [{"reference": one["reference"]} for one in references(node)]},
        }
    )


_READ: Final[Mapping[str, Callable[[Node], Node]]] = {
    REFERENCE: lambda node: node,
    REPORT: _of_report,
    COMPOSITION: _of_composition,
}
