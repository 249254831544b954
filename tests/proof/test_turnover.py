"""The long proof of turning keys over: all of them, once, under as much as this machine gives, and not one request fails.

Run by hand (`make proof T=tests/proof/test_turnover.py`); it says how many requests a second there were.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.test_turnover import TURNS, Load, prompt, rotate

from isthmus.testing.two_countries import Node, TwoCountries, at_hand, prepare

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(1800)]
WORKERS, ROUNDS = 16, 1  # professionals at work, and how often every key turns over


@pytest.fixture
def turning(at_rest: Path, tmp_path: Path) -> Iterator[TwoCountries]:
    prepare(tmp_path / "pair", at_rest)
    prompt(tmp_path / "pair")
    with at_hand(tmp_path / "pair") as pair:
        pair.demo.start()
        yield pair


@pytest.mark.fault("F53")
async def test_all_keys_turn_over_under_load_and_no_request_fails(
    turning: TwoCountries, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes: dict[str, Node] = {"AA": turning.a, "BB": turning.b}
    load, began = Load(turning.b), time.monotonic()
    working = asyncio.create_task(load.run(WORKERS))
    try:
        for _ in range(ROUNDS):
            for country, key in TURNS:
                await rotate(nodes[country], key, "publish,activate")
            for country, key in TURNS:
                await rotate(nodes[country], key, "retire", "--early")
    finally:
        load.stop.set()
        await working
    took_s = time.monotonic() - began

    with capsys.disabled():
        print(f"\n{load.asked} requests in {took_s:.0f} s ({load.asked / took_s:.0f}/s), {len(load.failed)} failed")
    assert load.failed == []
    assert load.asked > 500
