"""Takes a key of ours through its phases while the node serves: changes the list, waits until everybody follows, switches.

Where the list's operator is somebody else, each change of the list is a request to him, and the phase is run again when it stands there.

Source: trust.md §6.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from isthmus.config import Settings
from isthmus.errors import SettingsProblem, TrustListStale
from isthmus.operations.peers import Asked, ask_peers
from isthmus.transport.outbound import Outbound
from isthmus.trust.directory import Directory
from isthmus.trust.turnover import phases

ASK_AGAIN_S = 1.0

Submit = Callable[[phases.Request], int | None]
"""Has the list changed as a request says and gives the new number; None when that is for somebody else to do."""


@dataclass(frozen=True, slots=True)
class Turned:
    """How a phase ended. `state`: published, requested (the list's operator has to act), activated, retired."""

    key: str
    phase: str
    state: str
    sequence: int


@dataclass(frozen=True)
class Turnover:
    """One key of this node."""

    settings: Settings
    directory: Directory
    outbound: Outbound
    clock: Callable[[], datetime]
    submit: Submit
    wait_s: float
    despite: Collection[str] = ()
    early: bool = False
    said: Callable[[str], object] = lambda words: None

    async def run(self, which: str, phase: str) -> Turned:
        """Run one phase. Raises SettingsProblem out of its order, TrustListStale while somebody does not follow yet."""
        await asyncio.to_thread(self.directory.refresh)
        steps: dict[str, Callable[[str], Awaitable[Turned]]] = {
            "publish": self._publish, "activate": self._activate, "retire": self._retire,
        }  # fmt: skip
        if phase not in steps:
            raise SettingsProblem(f"a phase is one of {', '.join(phases.PHASES)}, not {phase}", reason="usage")
        return await steps[phase](which)

    async def _publish(self, which: str) -> Turned:
        seq = self.submit(phases.publish(self.settings, which, self.directory.ours, self.clock()))
        return self._turned(which, "publish", "requested" if seq is None else "published", seq)

    async def _activate(self, which: str) -> Turned:
        status = phases.listed_next(self.settings, which, self.directory.ours)
        await self._all_follow(self.directory.current.seq)
        if status != "current":
            seq = self.submit(phases.activate(self.settings, which, self.directory.ours, self.clock()))
            if seq is None:
                return self._turned(which, "activate", "requested", None)
            await self._all_follow(seq)
        phases.switch(self.settings, which, self.clock())
        return self._turned(which, "activate", "activated", None)

    async def _retire(self, which: str) -> Turned:
        seq = self.submit(
            phases.retire(self.settings, which, self.directory.ours, self.clock(), early=self.early)
        )  # fmt: skip
        if seq is None:
            return self._turned(which, "retire", "requested", None)
        phases.forget(self.settings, which)
        return self._turned(which, "retire", "retired", seq)

    def _turned(self, which: str, phase: str, state: str, seq: int | None) -> Turned:
        return Turned(which, phase, state, seq if seq is not None else self.directory.current.seq)

    async def _all_follow(self, seq: int) -> None:
        """Wait until this node and every active country show at least this number. Raises TrustListStale, naming who does not."""
        deadline = asyncio.get_running_loop().time() + self.wait_s
        while True:
            await asyncio.to_thread(self.directory.refresh)
            behind = [self._why(asked, seq) for asked in await self._show() if (asked.seq or -1) < seq]
            if not behind and self.directory.current.seq >= seq:
                return
            if asyncio.get_running_loop().time() >= deadline:
                raise TrustListStale(
                    f"number {seq} of the trust list is not followed by all: {'; '.join(behind) or 'this node'}. "
                    "Run the phase again later, or leave a country out with --despite"
                )
            self.said(f"waiting for number {seq}: {'; '.join(behind) or 'this node'}")
            await asyncio.sleep(ASK_AGAIN_S)

    async def _show(self) -> list[Asked]:
        """What the others show, and we ourselves where our border answers."""
        ours = self.directory.ours.country
        asked = await ask_peers(self.directory, self.outbound, self.clock, ourselves=True)
        return [a for a in asked if a.country not in self.despite and not (a.country == ours and a.seq is None)]

    def _why(self, asked: Asked, seq: int) -> str:
        if asked.problem is not None:
            return f"{asked.country} does not answer ({asked.problem})"
        return f"{asked.country} follows number {asked.seq}"
