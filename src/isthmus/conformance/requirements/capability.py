"""Capability statement, configuration, refusals (CAP)."""

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


@requirement("CAP-05", Kind.SMART, "token endpoint, one grant, one method, algorithms, scopes", source="API")
def cap_05(node: Node, pack: Pack) -> Iterator[str]:
    if not (el.text(node, "token_endpoint") or "").startswith("https://"):
        yield "token_endpoint"
    if el.texts(node, "grant_types_supported") != ("client_credentials",):
        yield "grant_types_supported"
    if el.texts(node, "token_endpoint_auth_methods_supported") != ("private_key_jwt",):
        yield "token_endpoint_auth_methods_supported"
    asymmetric = all(name[:2] in ("ES", "PS", "Ed") for name in el.texts(node, _ALGORITHMS))
    yield from (name for name in (_ALGORITHMS, "scopes_supported") if not el.texts(node, name) or not asymmetric)


_ALGORITHMS = "token_endpoint_auth_signing_alg_values_supported"
_SEVERITIES = ("fatal", "error", "warning", "information")


@requirement("CAP-07", Kind.OUTCOME, "an OperationOutcome whose issues have severity, code and our coding", source="R4")
def cap_07(node: Node, pack: Pack) -> Iterator[str]:
    issues = el.children(node, "issue")
    if node.get("resourceType") != "OperationOutcome" or not issues:
        yield "OperationOutcome.issue"
    for issue in issues:
        ours = [c for c in el.codings(issue, "details") if c.get("system") == "urn:ncp:error" and c.get("code")]
        if issue.get("severity") not in _SEVERITIES or not el.text(issue, "code"):
            yield "OperationOutcome.issue.code"
        if len(ours) != 1 or issue.get("code") == "suppressed":
            yield "OperationOutcome.issue.details"
