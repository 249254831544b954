"""/healthz (alive), /readyz (database, trust list, audit writable), /metrics (Prometheus; no identifiers).

Source: interfaces.md §9.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import orjson

from isthmus.errors import IsthmusError, UnsupportedRequest
from isthmus.telemetry import metrics_text
from isthmus.transport.answers import Answer, Receive, Send, json_answer
from isthmus.transport.inbound import Inbound, Request
from isthmus.transport.pump import pump

Check = Callable[[], Awaitable[None]]


def operations_app(hosts: frozenset[str], checks: Mapping[str, Check]) -> Inbound:
    """The local listener's application. A check is a word and something that raises when it does not hold."""

    async def handle(request: Request, send: Send, receive: Receive) -> None:
        await pump(await _answer(request.path, checks), request, send, receive)

    return Inbound(handle, hosts=hosts, render=_render, methods=("GET", "HEAD"))


async def _answer(path: str, checks: Mapping[str, Check]) -> Answer:
    page = PAGES.get(path)
    if page is None:
        raise UnsupportedRequest(f"no such page here: {', '.join(PAGES)}", reason="no-route")
    return await page(checks)


async def _alive(checks: Mapping[str, Check]) -> Answer:
    return json_answer(200, b'{"status": "alive"}')


async def _counted(checks: Mapping[str, Check]) -> Answer:
    return Answer(200, (("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),), (metrics_text(),))


async def _ready(checks: Mapping[str, Check]) -> Answer:
    """Every check by its word; 503 when one does not hold. No detail: that is `doctor`'s and the log's."""
    found: dict[str, str] = {}
    for name, check in checks.items():
        try:
            await check()
            found[name] = "ok"
        except Exception:
            found[name] = "not ready"
    ready = all(state == "ok" for state in found.values())
    return json_answer(
        200 if ready else 503, orjson.dumps({"status": "ready" if ready else "not ready", "checks": found})
    )


PAGES: Mapping[str, Callable[[Mapping[str, Check]], Awaitable[Answer]]] = {
    "/healthz": _alive,
    "/readyz": _ready,
    "/metrics": _counted,
}


def _render(error: IsthmusError, request: Request | None, exchange_id: str) -> Answer:
    return json_answer(error.meaning.status, orjson.dumps({"error": error.meaning.code}))
