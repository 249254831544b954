"""What the node tells of itself while it runs: which list it accepted, what is alarming, what ends soon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import SSLContext

import pytest

from isthmus import telemetry
from isthmus.audit.trail import Trail
from isthmus.config import read_settings
from isthmus.operations.expiry import Expiry
from isthmus.operations.peers import Asked
from isthmus.operations.watching import Watch, floor_of
from isthmus.storage.database import open_state
from isthmus.storage.sealed import MasterKey
from isthmus.testing.border import Clock
from isthmus.transport.outbound import Outbound
from isthmus.trust import pki
from isthmus.trust.directory import Directory

pytestmark = pytest.mark.anyio
COUNTRIES = ("AA", "BB")


class Watched:
    """A practice node that runs as far as it watches itself."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.made = pki.init(folder, countries=COUNTRIES, ports=pki.default_ports(COUNTRIES), now=self.clock.now)
        self.settings = read_settings(self.made.settings["AA"], {})
        self.state = open_state(self.settings)
        self.master = MasterKey.load(self.settings.path(self.settings.keys.env))
        self.trail = Trail(self.state, self.master, self.clock, self.settings.folder)
        self.trail.start()
        self.directory = Directory(self.settings, self.state, self.clock)
        self.directory.refresh()
        self.watch = Watch(self.settings, self.directory, self.trail, Outbound(SSLContext), self.clock, None)

    def later(self, **span: float) -> None:
        self.clock.forward(**span)
        self.watch._next["expiries"] = 0.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path / "node")
    yield made
    made.trail.stop()
    made.state.close()


def figures() -> str:
    return telemetry.metrics_text().decode()


@pytest.mark.threat("T07")
async def test_the_trail_remembers_which_list_was_accepted(node: Watched) -> None:
    await node.watch.look()
    pki.sign_again(node.made.out, now=node.clock.now)
    node.directory.refresh()
    await node.watch.look()
    listed = node.directory.current

    assert floor_of(node.state, node.master) == (2, listed.digest)
    assert "isthmus_trust_list_number 2.0" in figures()


async def test_an_alarm_is_told_when_it_begins_and_when_it_is_over(node: Watched) -> None:
    good = node.made.trust_list.read_text()
    node.made.trust_list.write_text("hello")
    node.directory.refresh()
    await node.watch.look()
    await node.watch.look()
    during = figures()
    node.made.trust_list.write_text(good)
    node.directory.refresh()
    await node.watch.look()

    assert 'isthmus_alarm{what="",word="refused"} 1.0' in during
    assert 'word="refused"' not in figures()


@pytest.mark.parametrize(
    ("days", "step"), [(31, None), (29, 30), (13, 14), (6, 7), (0.5, 1), (-1, 0)], ids=lambda given: str(given)
)
def test_an_end_is_warned_of_thirty_fourteen_seven_days_and_a_day_ahead(days: float, step: int | None) -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)

    assert Expiry("TLS certificate", now + timedelta(days=days), "renew").step(now) == step


async def test_a_certificate_that_ends_soon_is_an_alarm_and_a_figure(node: Watched) -> None:
    node.later(days=84)
    await node.watch.look()

    assert 'isthmus_alarm{what="TLS certificate",word="expires-7"} 1.0' in figures()
    assert 'isthmus_expires_seconds{what="TLS certificate"} 518400.0' in figures()


async def test_what_hurts_a_running_node_is_an_alarm_by_a_name_that_stays(node: Watched) -> None:
    node.settings.path("keys/sig.jwk").chmod(0o644)
    node.watch._peers = [Asked("BB", problem="no connection")]
    await node.watch.look()
    during = figures()
    node.settings.path("keys/sig.jwk").chmod(0o600)
    node.watch._peers = [Asked("BB", seq=1)]
    node.later(seconds=61)
    await node.watch.look()

    assert 'isthmus_alarm{what="sig.jwk",word="modes"} 1.0' in during
    assert 'isthmus_alarm{what="BB",word="peers"} 1.0' in during
    assert 'word="modes"' not in figures()
    assert 'word="peers"' not in figures()
