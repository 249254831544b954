"""What is made once a study has changed, or a report has come: manifests, metadata, the European document; in one place for every way in.

After an import at once; for what comes by network when the study has been quiet for a moment, since it comes instance by instance. What a
node that dies has not made is made by whoever asks first.

Source: performance.md §3.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from isthmus.archive.formed.forms import Forms
from isthmus.archive.metadata import Metadata
from isthmus.archive.prepared import Manifests
from isthmus.config import Settings
from isthmus.sandbox import Sandbox
from isthmus.storage.database import Database
from isthmus.wire.packs.pack import Pack

QUIET_S: Final = 2.0
LATEST_S: Final = 30.0
EVERY_S: Final = 0.5


class Offers:
    """Makes what is offered of studies ready."""

    def __init__(
        self, settings: Settings, database: Database, clock: Callable[[], datetime], pack: Pack, sandbox: Sandbox
    ) -> None:
        self._manifests, self._metadata = Manifests(settings, database, clock, pack), Metadata(settings, database)
        self._forms = Forms(settings, database, clock, pack, sandbox)
        self._due: dict[str, tuple[float, float]] = {}  # study: when it changed first, and last
        self._brought: set[int] = set()  # patients of reports
        self._turn = threading.Lock()

    def make(self, study_instance_uids: Iterable[str], patients: Iterable[int] = ()) -> None:
        uids = sorted(set(study_instance_uids))
        self._manifests.make(uids)
        self._metadata.make(uids)
        for patient in sorted({*patients, *self._forms.patients_of(uids)}):
            self._forms.make(patient)

    def brought(self, patients: Iterable[int]) -> None:
        """Say that reports of these have come; it is seen to in a moment."""
        with self._turn:
            self._brought.update(patients)

    def changed(self, study_instance_uids: Iterable[str]) -> None:
        """Say that these have changed; it is seen to when they are quiet."""
        now = time.monotonic()
        with self._turn:
            for uid in study_instance_uids:
                self._due[uid] = (self._due.get(uid, (now, now))[0], now)

    async def keep_up(self) -> None:
        """Beside the listeners of a node, for as long as it runs."""
        while True:
            await asyncio.sleep(EVERY_S)
            ready, brought = self._ready()
            if ready or brought:
                await asyncio.to_thread(self.make, ready, brought)

    def _ready(self) -> tuple[list[str], set[int]]:
        now = time.monotonic()
        with self._turn:
            ready = [u for u, (first, last) in self._due.items() if now > last + QUIET_S or now > first + LATEST_S]
            for uid in ready:
                del self._due[uid]
            brought, self._brought = self._brought, set()
        return ready, brought
