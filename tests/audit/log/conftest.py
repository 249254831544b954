"""Country AA's border in this process, and Country BB's node beside it: its own trail, its own log, its rounds over a line to AA."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from isthmus.audit.log.checkpoints import Checkpoints, Signer
from isthmus.audit.log.rounds import Rounds
from isthmus.audit.log.witness import Witness
from isthmus.audit.query import Index
from isthmus.audit.trail import Trail, head_key
from isthmus.config import read_settings
from isthmus.storage.database import open_state
from isthmus.storage.sealed import MasterKey
from isthmus.testing.border import PracticeBorder
from isthmus.testing.register import fill
from isthmus.trust.keys import load_log_key
from isthmus.trust.trustlist import Participant


class Line:
    """Speaks to AA's border as BB; or says what it was told to say."""

    def __init__(self, border: PracticeBorder) -> None:
        self.border, self.said = border, dict[str, tuple[int, bytes]]()
        self.asked = list[str]()

    async def ask(self, peer: Participant, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        parts = urlsplit(path)
        self.asked.append(path)
        if parts.path in self.said:
            return self.said[parts.path]
        reply = await self.border.ask(
            f"/ncp{parts.path}",
            method=method,
            query=parse_qsl(parts.query),
            body=body or b"",
            headers={"accept": "*/*"},
        )
        self.border.conversation.clear()
        return reply.status, reply.body


class Beside:
    """Country BB."""

    def __init__(self, border: PracticeBorder) -> None:
        settings = read_settings(border.folder / "bb" / "isthmus.toml", {})
        self.border, self.settings, self.line = border, settings, Line(border)
        self.state, self.master = open_state(settings), MasterKey.load(settings.path(settings.keys.env))
        self.trail = Trail(self.state, self.master, border.clock, settings.folder)
        self.key = load_log_key(settings.path(settings.keys.log), settings.env)
        self.witness = Witness(self.state, self.key, border.clock)
        head = head_key(self.master)
        self.checkpoints = Checkpoints(self.state, head, Signer(self.key, settings.folder))
        self.rounds = Rounds(
            state=self.state, head_key=head, trail=self.trail, checkpoints=self.checkpoints,
            peers=lambda: (self.aa,), line=self.line, side="B", shown={}, index=Index(self.state, self.master), clock=border.clock,
        )  # fmt: skip

    @property
    def aa(self) -> Participant:
        return self.border.directory.ours

    @contextmanager
    def running(self) -> Iterator[None]:
        self.trail.start()
        try:
            yield
        finally:
            self.trail.stop()
            self.state.close()


@pytest.fixture
async def border(tmp_path: Path) -> AsyncIterator[PracticeBorder]:
    async with PracticeBorder(tmp_path / "practice") as made:
        fill(made.register, tmp_path)
        yield made


@pytest.fixture
async def bb(border: PracticeBorder) -> AsyncIterator[Beside]:
    beside = Beside(border)
    with beside.running():
        yield beside
