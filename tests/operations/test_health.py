"""The local listener: alive, ready, counted; and nothing said that should not be."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from isthmus.errors import AuditUnavailable
from isthmus.operations.health import operations_app

pytestmark = pytest.mark.anyio


async def ask(path: str, *, host: str = "127.0.0.1:8701", broken: bool = False) -> tuple[int, bytes]:
    async def holds() -> None:
        if broken:
            raise AuditUnavailable("the disk of /secret/place is full")

    scope: dict[str, Any] = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(b"host", host.encode())], "scheme": "http", "extensions": {}, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8701),
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    app = operations_app(frozenset({"127.0.0.1:8701"}), {"audit": holds})
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent)


async def test_a_node_that_runs_is_alive_and_ready() -> None:
    assert (await ask("/healthz"))[0] == 200
    assert (await ask("/readyz"))[0] == 200


async def test_a_node_that_cannot_write_its_trail_is_not_ready_and_gives_no_detail() -> None:
    status, body = await ask("/readyz", broken=True)

    assert status == 503
    assert orjson.loads(body)["checks"] == {"audit": "not ready"}
    assert b"secret" not in body


async def test_metrics_are_prometheus_text() -> None:
    status, body = await ask("/metrics")

    assert status == 200
    assert b"# TYPE" in body


async def test_another_host_or_path_is_refused() -> None:
    assert (await ask("/healthz", host="attacker.example"))[0] == 421
    assert (await ask("/elsewhere"))[0] == 404
