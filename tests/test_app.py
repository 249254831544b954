"""Where everything meets: what a node stands on, followed while it runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isthmus import app
from isthmus.app import Node
from isthmus.commands.root import run
from isthmus.config import read_settings
from isthmus.country_b.portal import app as portal
from isthmus.country_b.receipts import Receipts
from isthmus.country_b.verbs import Verbs
from isthmus.errors import AuditUnavailable, CountryUnreachable, UntrustedCountry
from isthmus.ground import Ground
from isthmus.trust.certificates import client_context


def test_a_renewed_certificate_is_taken_without_a_restart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["pki", "init", "--out", str(tmp_path / "practice")])
    ground = Ground.open(read_settings(tmp_path / "practice" / "bb" / "isthmus.toml", {}))
    context = ground.steady(client_context)

    first, again = context(), context()
    os.utime(tmp_path / "practice" / "bb" / "keys" / "tls.pem", (1, 1))
    renewed = context()

    assert again is first
    assert renewed is not first
    ground.state.close()


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    run(["pki", "init", "--out", str(tmp_path / "practice")])
    made = Ground.open(read_settings(tmp_path / "practice" / "bb" / "isthmus.toml", {}))
    yield made
    made.state.close()


@pytest.mark.threat("T54")
@pytest.mark.parametrize(("env", "told"), [("demo", CountryUnreachable), ("prod", UntrustedCountry)])
def test_in_production_nothing_goes_to_an_address_that_is_not_of_the_open_internet(
    ground: Ground, env: str, told: type[Exception]
) -> None:
    async def ask() -> None:
        out = replace(ground, settings=replace(ground.settings, env=env)).outbound()
        try:
            async with out.request("GET", "https://127.0.0.1:9/x", pins=frozenset({"pin"}), country="AA"):
                pass
        finally:
            await out.close()

    with pytest.raises(told):
        asyncio.run(ask())


def test_a_later_look_in_the_portal_reaches_the_receipts(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[Any] = []
    opened = portal.portal_app

    def opening(*given: Any, **more: Any) -> Any:
        handed.extend(given)
        return opened(*given, **more)

    monkeypatch.setattr(portal, "portal_app", opening)
    Node(ground).mount()

    (verbs,) = (each for each in handed if isinstance(each, Verbs))
    assert isinstance(getattr(verbs.looked_again, "__self__", None), Receipts)


def test_an_alarm_about_the_log_is_one_of_the_node(ground: Ground) -> None:
    node = Node(ground)
    node.mount()

    assert "Rounds.alarming" in [each.__qualname__ for each in node._watch.more]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (AuditUnavailable("no such table"), "AuditUnavailable: no such table;"),
        (ValueError("Ada Protopapas"), "ValueError;"),
    ],
)
async def test_work_beside_the_listeners_goes_on_after_a_fault_and_the_log_says_why_unless_it_may_name_somebody(
    fault: Exception, told: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    async def work() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise fault
        raise asyncio.CancelledError

    monkeypatch.setattr("isthmus.app.asyncio.sleep", lambda _: _at_once())
    with pytest.raises(asyncio.CancelledError):
        await app._kept_running(work)

    assert len(tries) == 2
    assert told in caplog.text
    assert "Protopapas" not in caplog.text


async def _at_once() -> None:
    """A second that has gone by."""
