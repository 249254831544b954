"""What the node watches of itself while it runs, and tells: in figures, in operator events, and in the trail.

Which trust list was accepted goes into the trail, so that a database put back to an older state cannot forget it; each alarm
when it begins and when it is over.

Source: trust.md §2.2, §6.1, T06, T88.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from isthmus import telemetry
from isthmus.audit.events import Note, Side
from isthmus.audit.notes import latest_note
from isthmus.audit.trail import Trail
from isthmus.config import Settings
from isthmus.errors import IsthmusError
from isthmus.operations.doctor import WATCHED, Examined, examine
from isthmus.operations.expiry import Expiry, expiries
from isthmus.operations.peers import Asked, ask_peers
from isthmus.storage.database import Database
from isthmus.storage.sealed import MasterKey
from isthmus.transport.outbound import Outbound
from isthmus.trust.directory import Directory, Floor

LIST_NOTE, ALARM_NOTE = "trust-list", "alarm"
EXPIRIES_S = 60.0
PEERS_S = 600.0

About = tuple[str, str]
"""An alarm by its word and what it is about: a country, a certificate."""


def floor_of(db: Database, master: MasterKey) -> Floor | None:
    """The newest trust list that the trail knows of."""
    noted = latest_note(db, master, LIST_NOTE)
    return None if noted is None else (int(noted["number"]), noted["digest"])


class Watch:
    """Looks every `trust.poll_s`; asks the peers every ten minutes, so that a country which only answers hears of them too."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        trail: Trail,
        outbound: Outbound,
        clock: Callable[[], datetime],
        noted: Floor | None,
    ) -> None:
        self._settings, self._directory, self._trail, self._clock = settings, directory, trail, clock
        self._outbound, self._noted = outbound, noted
        self._side: Side = "A" if settings.answers else "B"
        self._alarms: dict[About, str] = {}
        self.more: list[
            Callable[[], Mapping[About, str]]
        ] = []  # what else alarms: whoever watches over something of its own
        self._expiries: list[Expiry] = []
        self._hurts: dict[About, str] = {}
        self._peers: list[Asked] = []
        self._next = {"expiries": 0.0, "peers": time.monotonic() + PEERS_S}

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._settings.trust.poll_s)

    async def look(self) -> None:
        """One look: tell what has changed."""
        if self._due("peers", PEERS_S):
            with contextlib.suppress(IsthmusError):  # the list has run out, or does not have us: an alarm of its own
                self._peers = await ask_peers(self._directory, self._outbound, self._clock)
        if self._due("expiries", EXPIRIES_S):
            self._expiries = await asyncio.to_thread(expiries, self._settings, self._directory.accepted)
            self._hurts = await asyncio.to_thread(self._examined)
        self._tell()
        try:
            await self._note()
        except IsthmusError as error:  # the trail says itself that it cannot be written; noted at the next look
            telemetry.failed(exchange_id="", transaction="note", reason=error.reason, message=str(error))

    def _due(self, what: str, every_s: float) -> bool:
        if time.monotonic() < self._next[what]:
            return False
        self._next[what] = time.monotonic() + every_s
        return True

    def _tell(self) -> None:
        now, listed = self._clock(), self._directory.accepted
        left = {each.what: (each.ends_at - now).total_seconds() for each in self._expiries}
        if listed is not None:
            left["trust list"] = listed.next_update - now.timestamp()
        telemetry.holds(trust_list=listed.seq if listed else -1, expires=left)

    async def _note(self) -> None:
        listed = self._directory.accepted
        if listed is not None and (self._noted is None or self._noted[0] < listed.seq):
            await self._write(LIST_NOTE, {"number": str(listed.seq), "digest": listed.digest})
            self._noted = (listed.seq, listed.digest)
        now = self._now_alarming()
        begun = [(about, message) for about, message in now.items() if about not in self._alarms]
        over = [about for about in self._alarms if about not in now]
        self._alarms = now
        telemetry.alarmed(now, [(*about, message) for about, message in begun], over)
        for (word, what), message in begun:
            await self._write(ALARM_NOTE, {"word": word, "what": what, "message": message})
        for word, what in over:
            await self._write(ALARM_NOTE, {"word": word, "what": what, "over": "yes"})

    def _now_alarming(self) -> dict[About, str]:
        found = {(alarm.word, alarm.country): alarm.message for alarm in self._directory.alarms()}
        for each_of in self.more:
            found |= each_of()
        now = self._clock()
        for each in self._expiries:
            if (days := each.step(now)) is not None:
                found[f"expires-{days}", each.what] = each.sentence(now)
        return found | self._hurts

    def _examined(self) -> dict[About, str]:
        """What the doctor would say of us now, as far as it hurts."""
        node = Examined(self._settings, self._directory, self._peers, self._clock(), self._settings.env == "prod")
        checked = examine(node, WATCHED)
        return {(found.word, found.about): found.what for found in checked if found.severity != "information"}

    async def _write(self, kind: str, details: Mapping[str, str]) -> None:
        await self._trail.note(Note(kind=kind, side=self._side, exchange_id=kind, details=details))
