"""Every HTTP face under requests that nobody wrote: whatever is asked, the answer is one of the table, and never a 500.

Generated from the faces' own tables of routes and parameters, so that a new route is tried from its first day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.country_a.api import ROUTES, SMART_PATH, TOKEN_PATH
from isthmus.fhir.parameters import CONTROLS, PATIENT_PARAMETERS
from isthmus.operations.health import operations_app
from isthmus.testing.border import PracticeBorder, Reply, traits
from isthmus.testing.register import CT, ISSUER, SEEN, fill
from isthmus.wire import documents, patients
from isthmus.wire.studies import imaging_study, qido

T = TypeVar("T")
SAID = {200, 204, 206, 304, 400, 401, 403, 404, 405, 406, 413, 415, 421}


@dataclass
class Face:
    """A border with everything a careful attacker could hold, and a loop to ask it in."""

    loop: asyncio.AbstractEventLoop
    border: PracticeBorder
    tokens: tuple[str, ...]
    handle: str

    def run(self, asked: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asked)


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    folder: Path = tmp_path_factory.mktemp("faces")
    loop = asyncio.new_event_loop()

    async def open_border() -> Face:
        border = await PracticeBorder(folder / "practice", requests_per_s=10_000).__aenter__()
        fill(border.register, folder)
        care, handle = await border.care(SEEN)
        return Face(loop, border, (care, await border.token()), handle)

    made = loop.run_until_complete(open_border())
    yield made
    loop.run_until_complete(made.border.__aexit__())
    loop.close()


JUNK = st.text(alphabet=st.characters(codec="utf-8"), max_size=20)
SEGMENT = (
    st.sampled_from(
        ["x", CT, f"{CT}.1", f"{CT}.1.1", "1..2", "0" * 40, "9" * 70, "a" * 32, "_search", "$match", "-", "."]
    )
    | JUNK
)
NAMES = sorted(
    {*documents.DEFINITIONS, *imaging_study.DEFINITIONS, *patients.SEARCH_PARAMETERS, *PATIENT_PARAMETERS, *CONTROLS, "subject"}
    | {name for a in qido.ATTRIBUTES for name in (a.tag, a.keyword)}
    | {"PatientID", "limit", "offset", "includefield", "fuzzymatching", "_elements", "family:exact", "grant_type", "client_assertion", "scope"}
)  # fmt: skip
VALUES = (
    "", ",", "|", "\\", "\\,", "a|b|c", "|x", "x|", "*", "?", "-", "--", "0", "-1", "1" * 30, "9" * 5000, "true", "all", "current", "count",
    "-date", "date,-period", "ge2024", "2024-02-30", "ge9999-12-31", "le0001-01-01", "0000", "2024-01-01T24:00:00Z", "20240101-", "-20240101",
    "00010101-99991231", "2024-01-01T10:00:00+99:99", "9999", "gt9999-12-31T23:59:59.999999999Z", "٢٠٢٤", "\x00", "\u202e", "Patient/", "Patient/x",
    "https://[::1", "http://a/b", "urn:oid:1.2", "1.2.3", f"{ISSUER}|{SEEN.identifier.value}", SEEN.identifier.value, CT, ",".join(["x"] * 300),
)  # fmt: skip
VALUE = st.sampled_from(VALUES) | JUNK
HEADERS = {
    "accept": ("", "*/*", "application/fhir+json", "application/dicom+json", "application/dicom", ";", "a/b;c", ",,", "multipart/related", "*/*;q=x",
               'multipart/related; type="application/dicom"; transfer-syntax=*', 'multipart/related; type="', "application/fhir+json;fhirVersion="),
    "content-type": ("", "application/x-www-form-urlencoded", "application/fhir+json", "multipart/form-data; boundary=x", ";"),
    "content-length": ("0", "5"),
    "if-none-match": ("*", '"x"', 'W/"x", ,', "x" * 300), "range": ("bytes=0-1", "bytes=x"), "prefer": ("handling=lenient",),
    "x-request-id": ("x", "é", "a" * 100), "authorization": ("Basic x", "Bearer", "Bearer a.b.c", "bearer  x", "é"), "expect": ("100-continue", "x"),
}  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    route = draw(st.sampled_from(ROUTES))
    parts = [draw(SEGMENT) if part.startswith("{") else part for part in route.path.split("/")]
    path = "/".join(parts) + draw(st.sampled_from(["", "", "", "/", "/x", "?"]))
    pairs = st.lists(st.tuples(st.sampled_from(NAMES) | JUNK, VALUE), max_size=5)
    body = draw(st.none() | st.binary(max_size=60))
    asked: dict[str, Any] = {
        "method": draw(st.sampled_from([*route.methods, "HEAD", "GET", "POST", "PUT", "OPTIONS"])),
        "query": draw(pairs),
        "headers": draw(st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in HEADERS.items()})),
        "holding": draw(st.sampled_from([0, 0, 0, 1, None])),
    }
    return {
        "path": path,
        **asked,
        **({"body": body} if body is not None else {"form": draw(pairs)} if asked["method"] == "POST" else {}),
    }


def is_well_said(reply: Reply, method: str) -> bool:
    """A status of the table; what is refused says so in JSON, and tells nothing of the inside."""
    if reply.status not in SAID or not reply.whole:
        return False
    if reply.status < 400 or method == "HEAD":
        return True
    if reply.headers["content-type"].startswith("text/"):  # a witness, in its protocol's own form
        return bool(reply.body.strip()) and b"Traceback" not in reply.body
    body = reply.json()
    return ("error" in body or body["resourceType"] == "OperationOutcome") and b"Traceback" not in reply.body


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests())
def test_the_border_answers_whatever_is_asked(face: Face, asked: dict[str, Any]) -> None:
    holding = asked.pop("holding")
    token = None if holding is None or "authorization" in asked["headers"] else face.tokens[holding]
    for pairs in (asked["query"], asked.get("form") or []):
        pairs[:] = [(name, face.handle if name == "patient" and value == "x" else value) for name, value in pairs]

    reply = face.run(face.border.ask(**asked, token=token))

    assert is_well_said(reply, asked["method"]), (reply.status, reply.body[:200])


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        ["/fhir/DocumentReference", "/fhir/ImagingStudy", "/dicom-web/studies", "/dicom-web/instances", "/fhir/Patient"]
    ),
    st.data(),
)
def test_a_search_under_a_good_token_answers_every_parameter(face: Face, path: str, data: st.DataObject) -> None:
    name, value = data.draw(st.sampled_from(NAMES)), data.draw(VALUE)
    base = {"/fhir/Patient": traits(SEEN)}.get(path, {"patient": face.handle} if path.startswith("/fhir") else {})

    reply = face.run(
        face.border.ask(path, token=face.tokens[0], query=[*base.items(), (name, value)], headers={"accept": "*/*"})
    )

    assert is_well_said(reply, "GET"), (reply.status, reply.body[:200])
    assert reply.status in (200, 204, 400, 403, 413)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300)
    | st.lists(
        st.tuples(st.sampled_from(["grant_type", "client_assertion", "client_assertion_type", "scope"]), VALUE),
        max_size=4,
    )
)
def test_the_token_endpoint_answers_whatever_is_posted(face: Face, body: Any) -> None:
    asked: dict[str, Any] = {"body": body} if isinstance(body, bytes) else {"form": body}
    form = {"content-type": "application/x-www-form-urlencoded"}

    reply = face.run(face.border.ask(TOKEN_PATH, method="POST", headers=form, **asked))

    assert reply.status in (400, 401, 413)
    assert set(reply.json()) >= {"error"}


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["/healthz", "/readyz", "/metrics", SMART_PATH]) | JUNK.map(lambda text: f"/{text}"),
    st.lists(st.tuples(JUNK, JUNK), max_size=3),
)
def test_the_operations_face_answers_whatever_is_asked(path: str, query: list[tuple[str, str]]) -> None:
    from urllib.parse import urlencode

    app = operations_app(frozenset({"127.0.0.1:8701"}), {})
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": urlencode(query).encode(),
        "headers": [(b"host", b"127.0.0.1:8701")], "extensions": {}, "client": ("127.0.0.1", 1),
    }  # fmt: skip
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        statuses.extend([message["status"]] if message["type"] == "http.response.start" else [])

    asyncio.run(app(scope, receive, send))

    assert statuses[0] in (200, 400, 404)
