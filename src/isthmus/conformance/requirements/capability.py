"""Capability statement, configuration, and what holds for every exchange (CAP)."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from isthmus.conformance.evidence import Conversation, Exchange, Trails
from isthmus.conformance.requirement import Kind, requirement
from isthmus.fhir import bundles
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


@requirement("CAP-03", Kind.CONVERSATION, "what is accepted is declared, what is declared works", source="R4, API")
def cap_03(conversation: Conversation, pack: Pack) -> Iterator[str]:
    for told in (one.node for one in conversation if one.path == "/fhir/metadata" and one.status == 200):
        declared: dict[str, set[str]] = {}
        for resource in el.children(el.child(told, "rest"), "resource"):
            names = declared.setdefault(str(resource.get("type")), set())
            for parameter in el.children(resource, "searchParam"):
                names.add(str(parameter.get("name")))
                if not (el.text(parameter, "definition") or "").startswith("http"):
                    yield f"rest.resource.searchParam[{parameter.get('name')}].definition"
        for search in (one for one in conversation if one.is_search):
            names = declared.get(search.path.split("/")[2], set())
            for name in {name.partition(":")[0] for name, _ in search.asked} - _CONTROLS:
                if search.status == 200 and name not in names:
                    yield f"rest.resource.searchParam[{name}]"
            if search.status == 400 and _names_unsupported(search) & names:
                yield "rest.resource.searchParam"


def _names_unsupported(exchange: Exchange) -> set[str]:
    """The parameters that a refusal names as not supported."""
    refused = [issue for issue in exchange.issues if issue.get("code") == "not-supported"]
    return {one.rpartition(".")[2] for issue in refused for one in el.texts(issue, "expression")}


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
_CONTROLS = {"_count", "_sort", "_cursor", "_format", "_summary", "_elements", "_total"}
_FHIR_JSON = "application/fhir+json"
_COUNT_MAX = 200
_OPEN = ("/fhir/metadata", "/.well-known/", "/fhir/.well-known/", "/ncp/")


@requirement("CAP-06", Kind.EXCHANGE, "another FHIR version than 4.0 is 406", source="R", cheap=True)
def cap_06(exchange: Exchange, pack: Pack) -> Iterator[str]:
    _, asked, version = exchange.sent.get("accept", "").replace(" ", "").partition("fhirVersion=")
    if asked and exchange.path.startswith("/fhir/") and not version.startswith("4.0") and exchange.status == 200:
        yield "status"


@requirement(
    "CAP-07", Kind.EXCHANGE, "a refusal is an OperationOutcome in FHIR JSON, in our coding", source="R4", cheap=True
)
def cap_07(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if not exchange.path.startswith("/fhir/") or exchange.status is None or exchange.status < 400:
        return
    issues = el.children(exchange.node, "issue")
    if exchange.node.get("resourceType") != "OperationOutcome" or not issues:
        yield "OperationOutcome.issue"
    if exchange.headers.get("content-type", "").partition(";")[0] != _FHIR_JSON:
        yield "Content-Type"
    for issue in issues:
        ours = [c for c in el.codings(issue, "details") if c.get("system") == "urn:ncp:error" and c.get("code")]
        if issue.get("severity") not in _SEVERITIES or not el.text(issue, "code"):
            yield "OperationOutcome.issue.code"
        if len(ours) != 1 or issue.get("code") == "suppressed":
            yield "OperationOutcome.issue.details"


@requirement("CAP-08", Kind.TRAILS, "the exchange id is echoed and stands in both trails", source="BALP, ONCP")
def cap_08(trails: Trails, pack: Pack) -> Iterator[str]:
    for exchange in trails.conversation:
        number = exchange.sent.get("x-request-id")
        if number is None or exchange.status is None:
            continue
        if exchange.headers.get("x-request-id") != number:
            yield "X-Request-Id"
        for side, events in (("B", trails.asking), ("A", trails.answering)):
            if all(event.get("exchange_id") != number for event in events):
                yield f"trail of Country {side}"


@requirement("CAP-09", Kind.EXCHANGE, "what holds patient data may not be stored on the way", source="R", cheap=True)
def cap_09(exchange: Exchange, pack: Pack) -> Iterator[str]:
    about = exchange.path.startswith(("/fhir/", "/dicom-web/")) and not exchange.path.startswith(_OPEN)
    if about and exchange.status in (200, 206) and "no-store" not in exchange.headers.get("cache-control", ""):
        yield "Cache-Control"


@requirement("CAP-10", Kind.EXCHANGE, "an unknown parameter is refused; where that is lenient, left out", source="R4")
def cap_10(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if not exchange.is_search:
        return
    kind = exchange.path.split("/")[2]
    known = {name.partition(".")[2] for name in pack.parameters if name.startswith(f"{kind}.")} | _CONTROLS
    unknown = {name for name, _ in exchange.asked if name.partition(":")[0] not in known}
    if not unknown:
        return
    if exchange.status == 200:
        told = {name for name, _ in parse_qsl(urlsplit(bundles.link(exchange.node, "self") or "").query)}
        lenient = "handling=lenient" in exchange.sent.get("prefer", "")
        yield from (f"parameter {name}" for name in sorted(unknown) if not lenient or name in told)
    elif exchange.status == 400 and all(issue.get("code") != "not-supported" for issue in exchange.issues):
        yield "OperationOutcome.issue.code"


@requirement("CAP-11", Kind.CONVERSATION, "GET and POST of the same search give the same Bundle", source="MHD")
def cap_11(conversation: Conversation, pack: Pack) -> Iterator[str]:
    given: dict[tuple[object, ...], tuple[str, list[str]]] = {}
    for one in (one for one in conversation if one.is_search and one.status == 200):
        key = (one.path.split("/")[2], one.sent.get("authorization"), tuple(sorted(one.asked)))
        told = [_shown(el.child(entry, "resource")) for entry in el.children(one.node, "entry")]
        before = given.setdefault(key, (one.method, told))
        if before[0] != one.method and before[1] != told:
            yield "Bundle.entry"


def _shown(resource: Node) -> str:
    """What an entry is known by; the id of a person is a handle, which may be another each time."""
    return str(resource.get("identifier" if resource.get("resourceType") == "Patient" else "id"))


@requirement(
    "CAP-12", Kind.SEARCH, "searchset with total, self link, fullUrl and mode of each entry", source="MHD, R4",
    also=(Kind.PATIENTS, Kind.STUDIES),
)  # fmt: skip
def cap_12(node: Node, pack: Pack) -> Iterator[str]:
    if node.get("type") != "searchset":
        yield "Bundle.type"
    if el.number(node, "total") is None:
        yield "Bundle.total"
    if bundles.link(node, "self") is None:
        yield "Bundle.link[self]"
    for entry in el.children(node, "entry"):
        if el.text(entry, "search", "mode") not in ("match", "outcome"):
            yield "Bundle.entry.search"
        elif not el.text(entry, "fullUrl") and el.text(entry, "search", "mode") == "match":
            yield "Bundle.entry.fullUrl"


@requirement("CAP-13", Kind.EXCHANGE, "no result: 200, total 0 and no matches", source="MHD, PDQ", cheap=True)
def cap_13(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if exchange.is_search and exchange.status == 404 and not exchange.searches("Patient"):
        yield "status"  # of a patient in an unknown domain it may be (PID-09)
    if exchange.is_search and exchange.node.get("total") == 0:
        modes = [el.text(entry, "search", "mode") for entry in el.children(exchange.node, "entry")]
        if "match" in modes or exchange.node.get("entry") == []:
            yield "Bundle.entry"


@requirement(
    "CAP-14", Kind.CONVERSATION, "pages give each match once, no more than the cap; total stays", source="R4, R"
)
def cap_14(conversation: Conversation, pack: Pack) -> Iterator[str]:
    for walk in _walks(conversation):
        told = [str(entry.get("fullUrl")) for page in walk for entry in el.children(page.node, "entry")]
        if len(told) != len(set(told)) or any(len(el.children(page.node, "entry")) > _COUNT_MAX for page in walk):
            yield "Bundle.entry"
        if len({el.number(page.node, "total") for page in walk}) > 1:
            yield "Bundle.total"


def _walks(conversation: Conversation) -> list[list[Exchange]]:
    """The pages of each search, in the order in which they were followed."""
    walks: list[list[Exchange]] = []
    for one in (one for one in conversation if one.is_search and one.status == 200):
        before = next((walk for walk in walks if one.values("_cursor") and _next(walk[-1]) == sorted(one.asked)), None)
        walks.append([one]) if before is None else before.append(one)
    return walks


def _next(page: Exchange) -> list[tuple[str, str]]:
    return sorted(parse_qsl(urlsplit(bundles.link(page.node, "next") or "").query))


@requirement(
    "CAP-15", Kind.CONVERSATION, "the next page is asked for where the first was, whatever its link says", source="R"
)
def cap_15(conversation: Conversation, pack: Pack) -> Iterator[str]:
    for walk in _walks(conversation):
        if len({page.origin for page in walk}) > 1:
            yield "origin"
