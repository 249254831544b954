"""Nothing is given without a record, however the node ends: killed in the middle of everything, or with a disk that is full.

The long run is `tests/proof/test_trail.py`. Source: trust.md §4.2, F5; T76.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.audit.serving import AT_ONCE, served_by

from isthmus.audit.account import Account
from isthmus.audit.trail import Trail
from isthmus.config import read_settings
from isthmus.storage.database import open_state
from isthmus.storage.schema.audit import audit_trail
from isthmus.storage.sealed import MasterKey
from isthmus.testing.border import Clock

START_S = 60
pytestmark = pytest.mark.slow


class Victim:
    """A border that is started, and ended, again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "served"
        self.file.touch()

    def told(self) -> list[str]:
        return self.file.read_text("ascii").splitlines()

    def start(self, limit: int | None = None) -> int:
        """Start it, as a process that has everything loaded already, and wait until it serves; gives its number."""
        before = self.told().count("ready")
        pid = os.fork()
        if pid == 0:
            served_by(self.folder, self.file, limit)
        deadline = time.monotonic() + START_S
        while self.told().count("ready") == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self.told().count("ready") == before + 1, (self.folder / "said").read_text("utf-8")[-600:]
        return pid

    def served(self) -> list[str]:
        return [line for line in self.told() if line not in ("ready", "refused")]

    def killed_after(self, accesses: int) -> None:
        """Start it, and kill it when it has given so much more: in the middle of what comes next."""
        pid, before = self.start(), len(self.served())
        deadline = time.monotonic() + START_S
        while len(self.served()) - before < accesses and time.monotonic() < deadline:
            time.sleep(0.005)
        self.kill(pid)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def until_the_disk_is_full(self) -> int:
        """Serve on a disk with 400 kB left until something is refused, and half a second longer; gives what was given until then."""
        largest = max(file.stat().st_size for file in (self.folder / "practice" / "aa").glob("state.sqlite*"))
        pid = self.start(largest + 400_000)
        deadline = time.monotonic() + START_S
        while "refused" not in self.told() and time.monotonic() < deadline:
            time.sleep(0.02)
        given = len(self.served())
        time.sleep(0.5)
        self.kill(pid)
        return given

    def unrecorded(self) -> set[str]:
        """What was given and is on no record."""
        settings = read_settings(self.folder / "practice" / "aa" / "isthmus.toml", {})
        state = open_state(settings)
        try:
            query = select(audit_trail.c.exchange_id).where(audit_trail.c.kind == "intent")
            return set(self.served()) - set(state.read_now(lambda c: c.execute(query).scalars().all()))
        finally:
            state.close()

    def mended(self) -> Account:
        """The trail, after the next process closed what was left open."""
        settings = read_settings(self.folder / "practice" / "aa" / "isthmus.toml", {})
        state, master = open_state(settings), MasterKey.load(settings.path(settings.keys.env))
        trail = Trail(state, master, Clock(), settings.folder)
        trail.start()
        trail.stop()
        return Account(state, master, settings.folder)


@pytest.mark.threat("T76")
def test_after_five_kills_nothing_was_given_without_a_record(tmp_path: Path) -> None:
    victim, chance = Victim(tmp_path), random.Random(76)

    for _ in range(5):
        victim.killed_after(chance.randint(1, 40))

    assert len(victim.served()) >= 5
    assert victim.unrecorded() == set()
    account = victim.mended()
    verified = account.verify()
    account.database.close()
    assert (verified.problems, verified.open) == ([], 0)


@pytest.mark.threat("T76")
def test_on_a_full_disk_everything_is_refused_and_nothing_is_given_without_a_record(tmp_path: Path) -> None:
    victim = Victim(tmp_path)
    victim.killed_after(10)

    given = victim.until_the_disk_is_full()

    assert "refused" in victim.told()
    assert len(victim.served()) <= given + AT_ONCE  # what was under way
    assert victim.unrecorded() == set()
    account = victim.mended()
    assert account.verify().problems == []
    account.database.close()
