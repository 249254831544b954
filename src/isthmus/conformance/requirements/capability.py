"""Capability statement (CAP)."""

from __future__ import annotations

from collections.abc import Iterator

from isthmus.conformance.requirement import Kind, requirement
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.wire.packs.pack import Pack


@requirement("CAP-01", Kind.CAPABILITY, "CapabilityStatement, FHIR 4.0.1, kind instance, active", source="R4, API")
def cap_01(node: Node, pack: Pack) -> Iterator[str]:
    fixed = {
        "resourceType": "CapabilityStatement",
        "fhirVersion": "4.0.1",
        "kind": "instance",
        "status": "active",
    }
    yield from (name for name, value in fixed.items() if node.get(name) != value)
    yield from (name for name in ("date", "format", "rest") if name not in node)


@requirement("CAP-02", Kind.CAPABILITY, "implementationGuide is told; instantiates for every claim", source="API")
def cap_02(node: Node, pack: Pack) -> Iterator[str]:
    if not el.texts(node, "implementationGuide"):
        yield "implementationGuide"
    if set(el.texts(node, "instantiates")) - set(pack.claims["instantiates"]):
        yield "instantiates"


@requirement("CAP-03", Kind.CAPABILITY, "every search parameter has its definition", source="R4, API")
def cap_03(node: Node, pack: Pack) -> Iterator[str]:
    for resource in el.children(el.child(node, "rest"), "resource"):
        for parameter in el.children(resource, "searchParam"):
            if not (el.text(parameter, "definition") or "").startswith("http"):
                yield f"rest.resource.searchParam[{parameter.get('name')}]"


@requirement("CAP-04", Kind.CAPABILITY, "exactly one authorisation service", source="API CI")
def cap_04(node: Node, pack: Pack) -> Iterator[str]:
    if len(list(el.codings(el.child(node, "rest", "security"), "service"))) != 1:
        yield "rest.security.service"
