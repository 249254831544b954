"""Keys turn over while both countries are at work: no restart, and not one request fails."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from isthmus.country_b.visit import new_visit
from isthmus.demo.people import PEOPLE
from isthmus.model.context import Purpose
from isthmus.testing.two_countries import Asking, CountryB, Node, TwoCountries, at_hand, prepare

pytestmark = pytest.mark.anyio
TURNS = (("BB", "sig"), ("BB", "hpa"), ("BB", "tls"), ("AA", "at"), ("AA", "tls"))


def prompt(folder: Path) -> None:
    """Nodes that look at the list often: what takes minutes in production takes a second here."""
    for file in folder.glob("*/isthmus.toml"):
        file.write_text(file.read_text("utf-8").replace("poll_s = 2.0", "poll_s = 0.3"), "utf-8")


@pytest.fixture
def turning(at_rest: Path, tmp_path: Path) -> Iterator[TwoCountries]:
    prepare(tmp_path / "pair", at_rest)
    prompt(tmp_path / "pair")
    with at_hand(tmp_path / "pair") as pair:
        pair.demo.start()
        yield pair


@dataclass
class Load:
    """Professionals of one node who ask without a pause, by one client, as at a portal."""

    b: CountryB
    asked: int = 0
    failed: list[str] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, professionals: int) -> None:
        async with self.b.asking() as first:
            await asyncio.gather(*(self._one(first) for _ in range(professionals)))

    async def _one(self, first: Asking) -> None:
        who = replace(first.visit.professional, session=secrets.token_hex(16))
        opened = new_visit(who, first.visit.point_of_care, Purpose.TREAT, first.client.clock())
        visit = Asking(first.client, opened)
        await visit.find(PEOPLE["danae"])
        visit.confirm()
        while not self.stop.is_set():
            await self._ask(visit)

    async def _ask(self, visit: Asking) -> None:
        try:
            listed = await visit.find_documents()
            assert listed
            await visit.find(PEOPLE["danae"])
            visit.confirm()
        except Exception as error:
            self.failed.append(f"{type(error).__name__}: {error}")
        self.asked += 2


async def rotate(node: Node, key: str, phases: str, *more: str) -> Any:
    ended = await asyncio.to_thread(node.command, "keys", "rotate", "--key", key, "--phase", phases, *more, "--json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)["phases"]


def keys_of(pair: TwoCountries) -> dict[str, set[str]]:
    """By country: what counts as current."""
    said = json.loads(pair.a.command("trust", "show", "--json").stdout)
    return {
        country["country"]: {
            key.get("kid", key.get("spki_sha256")) for key in country["keys"] if key["status"] == "current"
        }
        for country in said["countries"]
    }


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_every_key_turns_over_under_load_and_no_request_fails(turning: TwoCountries) -> None:
    nodes: dict[str, Node] = {"AA": turning.a, "BB": turning.b}
    before, load = keys_of(turning), Load(turning.b)
    working = asyncio.create_task(load.run(2))
    states = []
    try:
        for country, key in TURNS:
            turned = await rotate(nodes[country], key, "publish,activate")
            states += [each["state"] for each in turned]
            asked = load.asked
            while load.asked < asked + 8:  # with the new key, on every connection
                await asyncio.sleep(0.05)
        for country, key in TURNS:
            await rotate(nodes[country], key, "retire", "--early")
        await asyncio.sleep(1)
    finally:
        load.stop.set()
        await working

    after = keys_of(turning)
    assert load.failed == []
    assert load.asked > 50
    assert states == ["published", "activated"] * 5
    assert len(before["AA"] & after["AA"]) == 2  # sig and hpa of Country A stay
    assert len(before["BB"] & after["BB"]) == 1  # as does at of Country B


@pytest.mark.slow
@pytest.mark.timeout(200)
async def test_a_key_is_not_used_before_every_country_follows_the_list_that_names_it(turning: TwoCountries) -> None:
    b = turning.b
    assert (await rotate(b, "sig", "publish"))[0]["state"] == "published"
    kept = b.settings.path(b.settings.keys.sig).read_bytes()
    turning.demo.stop()

    refused = b.command("keys", "rotate", "--key", "sig", "--phase", "activate", "--wait-s", "1", "--json")
    despite = b.command(
        "keys", "rotate", "--key", "sig", "--phase", "activate", "--wait-s", "1", "--despite", "AA", "--json"
    )

    assert refused.returncode == 5
    assert "AA does not answer" in json.loads(refused.stdout)["error"]["message"]
    assert despite.returncode == 0
    assert b.settings.path(b.settings.keys.sig).read_bytes() != kept
