"""A FHIR R4 repository in memory, on a real socket: strict, with pages, versions and deletions, and able to be odd or hostile.

    with fhir_repository() as repository:
        repository.put({"resourceType": "Patient", "id": "1", …})
        ...  # repository.url

It is written after R4 and after what real repositories do (pages by an opaque token, Binary raw or wrapped, `total` on the first page), and
knows nothing of the code that asks it. An unknown parameter is refused. `alter` and `statuses` make it answer wrongly.

Source: R4 http, R4 search.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode

from isthmus.testing.engines.counterparts import HOST

Node = dict[str, Any]
FHIR_JSON = "application/fhir+json"
PAGES = ("_getpages", "_getpagesoffset", "_count")
TOKENS: Mapping[str, Mapping[str, str]] = {
    "Patient": {"identifier": "identifier"},
    "DocumentReference": {"identifier": "identifier", "type": "type", "category": "category", "status": "status"},
    "DiagnosticReport": {"identifier": "identifier", "code": "code", "category": "category", "status": "status"},
    "Composition": {"identifier": "identifier", "type": "type", "category": "category", "status": "status"},
    "ImagingStudy": {"identifier": "identifier"},
}
"""Token parameters by type: the element each looks at."""


class Refused(Exception):
    """An answer that is an OperationOutcome."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass
class FhirRepository:
    """One that runs. `put` gives a resource its next version; `asked` are the requests it had, as path and query."""

    url: str = ""
    account: str | None = None  # value of the Authorization header it wants
    page_max: int = 100
    alter: Callable[[str, Node], Node] = field(default=lambda path, answer: answer)
    statuses: dict[str, int] = field(default_factory=dict)  # by what a path contains
    bodies: dict[str, bytes] = field(default_factory=dict)  # the same
    drips_s: float = 0.0  # between one byte of a body and the next
    asked: list[str] = field(default_factory=list)
    versions: dict[tuple[str, str], list[Node | None]] = field(default_factory=dict)
    _searches: dict[str, list[Node]] = field(default_factory=dict)
    _made: int = 0

    def put(self, node: Node) -> str:
        """Create or update; gives `Type/id`."""
        kind, id_ = node["resourceType"], node["id"]
        history = self.versions.setdefault((kind, id_), [])
        number = len(history) + 1
        meta = {**node.get("meta", {}), "versionId": str(number), "lastUpdated": f"2026-11-0{min(number, 9)}T08:00:00Z"}
        history.append({**node, "meta": meta})
        return f"{kind}/{id_}"

    def put_binary(self, id_: str, media_type: str, body: bytes) -> str:
        data = base64.b64encode(body).decode()
        return self.put({"resourceType": "Binary", "id": id_, "contentType": media_type, "data": data})

    def delete(self, kind: str, id_: str) -> None:
        self.versions[kind, id_].append(None)

    def clear(self) -> None:
        self.versions.clear()

    def answer(self, target: str, accept: str) -> tuple[int, str, bytes, dict[str, str]]:
        """Status, media type, body and headers for one GET."""
        path = target.removeprefix("/fhir").lstrip("/")
        self.asked.append(path)
        for part, body in self.bodies.items():
            if part in path:
                return 200, FHIR_JSON, body, {}
        for part, status in self.statuses.items():
            if part in path:
                return status, FHIR_JSON, _outcome("transient"), {}
        place, _, query = path.partition("?")
        try:
            if not place or re.fullmatch(r"[A-Z]\w+", place):
                if FHIR_JSON not in accept and "*/*" not in accept:
                    raise Refused(406, "not-supported")
                found = (
                    self._page(parse_qsl(query, keep_blank_values=True)) if not place else self._search(place, query)
                )
                return 200, FHIR_JSON, json.dumps(self.alter(path, found)).encode(), {}
            if place.startswith("Composition/") and place.endswith("/$document"):
                return 200, FHIR_JSON, json.dumps(self.alter(path, self._document(place.split("/")[1]))).encode(), {}
            return self._read(place, path, accept)
        except Refused as refused:
            return refused.status, FHIR_JSON, _outcome(refused.code), {}

    def _read(self, place: str, path: str, accept: str) -> tuple[int, str, bytes, dict[str, str]]:
        match = re.fullmatch(r"([A-Z]\w+)/([A-Za-z0-9\-.]{1,64})(?:/_history/(\d+))?", place)
        history = self.versions.get((match[1], match[2])) if match else None
        if match is None or history is None or int(match[3] or 1) > len(history):
            raise Refused(404, "not-found")
        number = int(match[3] or len(history))
        node = history[number - 1]
        if node is None:
            raise Refused(410, "deleted")
        headers = {"ETag": f'W/"{number}"'}
        if match[1] == "Binary" and FHIR_JSON not in accept:
            return 200, node["contentType"], base64.b64decode(node["data"]), headers
        return 200, FHIR_JSON, json.dumps(self.alter(path, node)).encode(), headers

    def _document(self, id_: str) -> Node:
        """A document made now of a Composition and all it leads to, with an identity of its own."""
        first = next((node for node in self._current("Composition") if node["id"] == id_), None)
        if first is None:
            raise Refused(404, "not-found")
        entries, waiting = dict[str, Node](), [first]
        while waiting:
            node = waiting.pop(0)
            entries[f"{node['resourceType']}/{node['id']}"] = node
            for reference in re.findall(r'"reference": "([A-Z]\w+)/([^"]+)"', json.dumps(node)):
                found = self.versions.get(reference, [None])[-1]
                if found is not None and "/".join(reference) not in entries:
                    waiting.append(found)
        self._made += 1
        moment = f"2026-11-25T08:00:{self._made % 60:02}Z"
        return {
            "resourceType": "Bundle",
            "id": f"made-{self._made}",
            "meta": {"lastUpdated": moment},
            "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{self._made:032x}"},
            "type": "document",
            "timestamp": moment,
            "entry": [{"fullUrl": f"{self.url}/{name}", "resource": node} for name, node in entries.items()],
        }

    def _search(self, kind: str, query: str) -> Node:
        found, count = self._current(kind), self.page_max
        for name, value in parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)):
            if name == "_count":
                count = min(int(value), self.page_max)
            elif name == "patient" and kind != "Patient":
                wanted = {f"Patient/{one.removeprefix('Patient/')}" for one in value.split(",")}
                found = [node for node in found if node.get("subject", {}).get("reference") in wanted]
            elif name in TOKENS.get(kind, {}):
                tokens = [_token(part) for part in _split(value, ",")]
                found = [node for node in found if _holds(node.get(TOKENS[kind][name]), tokens)]
            else:
                raise Refused(400, "invalid")
        token = f"search-{len(self._searches) + 1}"
        self._searches[token] = found
        return self._cut(token, 0, count, query=f"{kind}?{query}")

    def _page(self, pairs: list[tuple[str, str]]) -> Node:
        asked = dict(pairs)
        if set(asked) != set(PAGES):
            raise Refused(400, "invalid")
        if asked["_getpages"] not in self._searches:
            raise Refused(410, "expired")
        return self._cut(asked["_getpages"], int(asked["_getpagesoffset"]), int(asked["_count"]), query=None)

    def _cut(self, token: str, offset: int, count: int, query: str | None) -> Node:
        found = self._searches[token]
        bundle: Node = {"resourceType": "Bundle", "id": token, "type": "searchset", "total": len(found), "link": []}
        if query is not None:
            bundle["link"].append({"relation": "self", "url": f"{self.url}/{query}"})
        if offset + count < len(found):
            following = urlencode(dict(zip(PAGES, (token, offset + count, count), strict=True)))
            bundle["link"].append({"relation": "next", "url": f"{self.url}?{following}"})
        bundle["entry"] = [
            {"fullUrl": f"{self.url}/{n['resourceType']}/{n['id']}", "resource": n, "search": {"mode": "match"}}
            for n in found[offset : offset + count]
        ]
        return bundle

    def _current(self, kind: str) -> list[Node]:
        return [node for (type_, _), history in self.versions.items() if type_ == kind and (node := history[-1])]


def _split(value: str, separator: str) -> list[str]:
    """Parts between separators that no backslash guards."""
    parts: list[str] = re.findall(rf"((?:\\.|[^\\{separator}])*)(?:{re.escape(separator)}|$)", value)
    return parts[:-1]


def _token(value: str) -> tuple[str | None, str]:
    parts = [re.sub(r"\\(.)", r"\1", part) for part in _split(value, "|")]
    return (None, parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def _holds(element: Any, tokens: list[tuple[str | None, str]]) -> bool:
    held = []
    for one in element if isinstance(element, list) else [element]:
        if isinstance(one, str):
            held.append(("", one))
        elif isinstance(one, dict):
            held += [(c.get("system", ""), c.get("code", "")) for c in one.get("coding", ())]
            held.append((one.get("system", ""), one.get("value", "")))
    return any(system in (None, s) and value == v for system, value in tokens for s, v in held)


def _outcome(code: str) -> bytes:
    issue = {"severity": "error", "code": code}
    return json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    repository: FhirRepository

    def do_GET(self) -> None:
        wanted = self.repository.account
        if wanted is not None and self.headers.get("Authorization") != wanted:
            status, media_type, body, headers = 401, FHIR_JSON, _outcome("login"), dict[str, str]()
        else:
            status, media_type, body, headers = self.repository.answer(self.path, self.headers.get("Accept", ""))
        self.send_response(status)
        for name, value in {"Content-Type": media_type, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # whoever asked has seen enough
            for at in range(len(body)) if self.repository.drips_s else ():
                self.wfile.write(body[at : at + 1])
                time.sleep(self.repository.drips_s)
            if not self.repository.drips_s:
                self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@contextlib.contextmanager
def fhir_repository() -> Iterator[FhirRepository]:
    """Start one, empty, on a free port of this machine; end it afterwards."""
    repository = FhirRepository()
    server = ThreadingHTTPServer((HOST, 0), type("Handler", (_Handler,), {"repository": repository}))
    server.daemon_threads = True
    repository.url = f"http://{HOST}:{server.server_address[1]}/fhir"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield repository
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
