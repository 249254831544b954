"""What every request passes first, and how every error becomes one answer. Source: trust.md §2.7."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import structlog

from isthmus.errors import AuditUnavailable, IsthmusError, MalformedRequest, TooOften
from isthmus.transport.answers import Answer, Receive, Send, answer_whole, json_answer
from isthmus.transport.inbound import Inbound, Request

HOST = (b"host", b"ncp.aa.test")
FORM = (b"content-type", b"application/x-www-form-urlencoded")


async def echo(request: Request, send: Send, receive: Receive) -> None:
    said = {"path": request.path, "query": request.query, "id": request.exchange_id, "size": len(request.body)}
    await answer_whole(json_answer(200, json.dumps(said).encode()), request.method, send)


async def read_form(request: Request, send: Send, receive: Receive) -> None:
    await answer_whole(json_answer(200, json.dumps(request.form()).encode()), request.method, send)


def failing(error: Exception) -> Callable[[Request, Send, Receive], Any]:
    async def handle(request: Request, send: Send, receive: Receive) -> None:
        raise error

    return handle


def code(error: IsthmusError, request: Request | None, exchange_id: str) -> Answer:
    return Answer(error.meaning.status, (("Content-Type", "text/plain"),), (error.meaning.code.encode(),))


class Heard:
    """What an app answered."""

    def __init__(self) -> None:
        self.messages: list[Mapping[str, Any]] = []

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.messages[1:])


def ask(
    *headers: tuple[bytes, bytes],
    method: str = "GET",
    path: bytes = b"/fhir/metadata",
    query: bytes = b"",
    body: tuple[bytes, ...] = (b"",),
    handle: Callable[[Request, Send, Receive], Any] = echo,
    host: tuple[tuple[bytes, bytes], ...] = (HOST,),
) -> Heard:
    heard, pieces = Heard(), list(body)

    async def receive() -> dict[str, Any]:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        heard.messages.append(message)

    scope = {
        "type": "http",
        "method": method,
        "raw_path": path,
        "query_string": query,
        "headers": [*host, *headers],
        "client": ("127.0.0.1", 5),
    }
    app = Inbound(handle, hosts=frozenset({"ncp.aa.test"}), render=code)
    asyncio.run(app(scope, receive, send))
    return heard


def test_a_request_reaches_its_handler_as_it_was_sent() -> None:
    heard = ask(path=b"/fhir/Bundle/a.b-c", query=b"patient=x%7Cy&patient=&_count=5")

    assert json.loads(heard.body)["path"] == "/fhir/Bundle/a.b-c"
    assert json.loads(heard.body)["query"] == [["patient", "x|y"], ["patient", ""], ["_count", "5"]]


@pytest.mark.threat("T10")
@pytest.mark.parametrize(
    "host", [b"ncp.bb.test", b"127.0.0.1", b"ncp.aa.test:443", b"ncp.aa.test.", b"", b"ncp.aa.test,ncp.aa.test"]
)
def test_another_host_is_misdirected(host: bytes) -> None:
    heard = ask(host=((b"host", host),))

    assert (heard.status, heard.body) == (421, b"misdirected")


@pytest.mark.threat("T10")
@pytest.mark.parametrize("hosts", [(), (HOST, HOST)])
def test_no_host_and_two_hosts_are_refused(hosts: tuple[tuple[bytes, bytes], ...]) -> None:
    assert ask(host=hosts).status == 400


def test_the_host_is_known_in_any_case() -> None:
    assert ask(host=((b"host", b"NCP.AA.test"),)).status == 200


@pytest.mark.parametrize(
    "path",
    [b"/fhir/%2e%2e/x", b"/fhir//metadata", b"/a;b", b"/a\\b", b"/a/../b", b"/a/.", b"/a\x00b", b"*", b"http://x/y"],
)
def test_a_path_of_another_kind_is_malformed(path: bytes) -> None:
    assert (ask(path=path).status, ask(path=path).body) == (400, b"malformed")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "OPTIONS"])
def test_a_method_not_offered_is_said_with_those_that_are(method: str) -> None:
    heard = ask(method=method)

    assert (heard.status, heard.headers["allow"]) == (405, "GET, HEAD, POST")


def test_an_address_may_say_itself_how_it_is_asked() -> None:
    heard = ask(handle=failing(MalformedRequest("not so", reason="not-allowed", allowed=("GET", "HEAD"))))

    assert (heard.status, heard.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ((b"content-encoding", b"gzip"), 415),
        ((b"transfer-encoding", b"gzip, chunked"), 400),
        ((b"expect", b"wonders"), 400),
    ],
)
def test_an_encoded_request_is_refused(header: tuple[bytes, bytes], status: int) -> None:
    assert ask(header, method="POST").status == status


def test_two_authorizations_are_refused() -> None:
    assert ask((b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")).status == 400


def test_a_body_over_the_limit_is_read_past_and_refused() -> None:
    heard = ask(FORM, method="POST", body=(b"x" * 700_000, b"x" * 700_000, b"x"))

    assert (heard.status, heard.body) == (413, b"limit")


def test_a_body_announced_too_large_is_not_waited_for() -> None:
    heard = ask(FORM, (b"content-length", b"67108864"), (b"expect", b"100-continue"), method="POST", body=())

    assert heard.status == 413


@pytest.mark.parametrize("said", [b"x", b"-1", b"1_0", b"\xb2", b"9" * 40])
def test_a_length_that_is_no_number_is_malformed(said: bytes) -> None:
    assert ask(FORM, (b"content-length", said), method="POST").status == 400


def test_a_form_is_read_in_order_with_its_doubles() -> None:
    heard = ask(FORM, method="POST", body=(b"a=1&b=%C3%A9&", b"a="), handle=read_form)

    assert json.loads(heard.body) == [["a", "1"], ["b", "é"], ["a", ""]]


@pytest.mark.parametrize(
    ("header", "body", "status"),
    [
        ((b"content-type", b"text/csv"), b"a,b", 415),
        (FORM, b"a=%ff", 400),
        (FORM, b"a=\xff", 400),
        (FORM, b"&".join(b"a=1" for _ in range(300)), 400),
    ],
)
def test_what_is_no_form_is_refused(header: tuple[bytes, bytes], body: bytes, status: int) -> None:
    assert ask(header, method="POST", body=(body,), handle=read_form).status == status


def test_the_peers_exchange_id_comes_back() -> None:
    heard = ask((b"x-request-id", b"4b1f5c1e-6d0d-4e5f"))

    assert heard.headers["x-request-id"] == json.loads(heard.body)["id"] == "4b1f5c1e-6d0d-4e5f"


@pytest.mark.threat("T58")
@pytest.mark.parametrize("said", [(), (b"a\r\nX-Evil: 1",), (b"x" * 65,), (b"a", b"b")])
def test_an_exchange_id_that_does_not_fit_is_replaced(said: tuple[bytes, ...]) -> None:
    heard = ask(*((b"x-request-id", value) for value in said))

    assert len(heard.headers["x-request-id"]) == 36
    assert heard.headers["x-request-id"] == json.loads(heard.body)["id"]


def test_every_answer_forbids_keeping_and_guessing() -> None:
    for heard in (ask(), ask(path=b"/a;b")):
        assert heard.headers["cache-control"] == "no-store"
        assert heard.headers["x-content-type-options"] == "nosniff"


def test_an_answer_may_say_itself_how_it_is_kept() -> None:
    async def handle(request: Request, send: Send, receive: Receive) -> None:
        await answer_whole(Answer(200, (("Cache-Control", "private"),), (b"x",)), request.method, send)

    assert ask(handle=handle).headers["cache-control"] == "private"


@pytest.mark.threat("T58")
def test_control_characters_do_not_reach_an_answers_headers() -> None:
    async def handle(request: Request, send: Send, receive: Receive) -> None:
        await answer_whole(Answer(200, (("Content-Disposition", "a\r\nX-Evil: 1"),), (b"x",)), request.method, send)

    assert ask(handle=handle).headers["content-disposition"] == "aX-Evil: 1"


def test_a_throttled_asker_hears_when_to_come_back() -> None:
    assert ask(handle=failing(TooOften("slower", retry_after_s=7.2))).headers["retry-after"] == "8"
    assert ask(handle=failing(AuditUnavailable("disk full"))).headers["retry-after"] == "5"


@pytest.mark.threat("T09")
def test_forwarded_addresses_and_certificates_mean_nothing() -> None:
    seen = []

    async def handle(request: Request, send: Send, receive: Receive) -> None:
        seen.append((request.client, request.peer_der))
        await answer_whole(Answer(204), request.method, send)

    ask((b"client-cert", b":MIIB:"), (b"x-forwarded-for", b"10.0.0.1"), (b"forwarded", b"for=10.0.0.1"), handle=handle)

    assert seen == [("127.0.0.1", None)]


@pytest.mark.fault("F67")
def test_an_internal_fault_tells_the_log_where_and_nobody_what(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    structlog.reset_defaults()

    heard = ask(query=b"family=Lindqvist", handle=failing(RuntimeError("born 1961-04-02")))
    told = "".join(capsys.readouterr()) + caplog.text

    assert (heard.status, heard.body) == (500, b"internal")
    assert "RuntimeError" in told
    assert "test_inbound.py" in told
    assert "Lindqvist" not in told
    assert "1961" not in told
