"""What every way in shares: for whoever brings something an intake of its source, lent to one at a time and used again.

An intake writes containers of its own, so what comes at once is written side by side; one that failed is never lent again.

Source: architecture.md §6; trust.md T99.
"""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime

from isthmus.archive.containers import Container
from isthmus.archive.doors.offers import Offers
from isthmus.archive.intake import Intake
from isthmus.archive.reports import Reports
from isthmus.config import Settings
from isthmus.sandbox import Sandbox
from isthmus.sources import Source
from isthmus.storage.database import Database
from isthmus.wire.packs.pack import Pack


class Desk:
    """The archive of a node, as those who bring something see it."""

    def __init__(
        self, settings: Settings, database: Database, clock: Callable[[], datetime], pack: Pack, sandbox: Sandbox
    ) -> None:
        self._settings, self._database, self._clock, self._pack, self._sandbox = (
            settings,
            database,
            clock,
            pack,
            sandbox,
        )
        self.offers = Offers(settings, database, clock, pack, sandbox)
        self._intakes: defaultdict[str, list[Intake]] = defaultdict(list)
        self._reports: defaultdict[str, list[Reports]] = defaultdict(list)
        self._turn = threading.Lock()
        self._closed = False

    def images_source(self, name: str) -> Source | None:
        """The embedded archive under this name, as a source of images."""
        return _embedded(self._settings.sources.images, name)

    def reports_source(self, name: str) -> Source | None:
        return _embedded(self._settings.sources.reports, name)

    @contextlib.contextmanager
    def images(self, source: Source) -> Iterator[Intake]:
        """An intake of a source. Whoever has it flushes it; what is left when something goes wrong was never told."""
        with self._turn:
            idle = self._intakes[source.name]
            intake = idle.pop() if idle else None
        intake = intake or Intake(self._settings, self._database, self._clock, source, foreign=True)
        try:
            yield intake
        except BaseException:
            self.offers.changed(intake.touched)
            _let_go(intake.container)
            raise
        self.offers.changed(intake.touched)
        intake.touched.clear()
        with self._turn:
            if not self._closed:
                self._intakes[source.name].append(intake)
                return
        _let_go(intake.container)

    @contextlib.contextmanager
    def reports(self, source: Source) -> Iterator[Reports]:
        """The door for documents of a source."""
        with self._turn:
            idle = self._reports[source.name]
            reports = idle.pop() if idle else None
        reports = reports or self._new_reports(source)
        try:
            yield reports
        except BaseException:
            _let_go(reports.container)
            raise
        self.offers.brought(reports.touched)
        reports.touched.clear()
        with self._turn:
            if not self._closed:
                self._reports[source.name].append(reports)
                return
        _let_go(reports.container)

    def _new_reports(self, source: Source) -> Reports:
        container = Container(self._settings.path(self._settings.blobs))
        return Reports(self._database, container, self._clock, self._pack, self._sandbox, source, through=source.name)

    def close(self) -> None:
        """Nothing more is brought: close what is idle. What is still lent is closed when it comes back."""
        with self._turn:
            self._closed = True
            idle = [one.container for kept in (self._intakes, self._reports) for held in kept.values() for one in held]
            self._intakes.clear()
            self._reports.clear()
        for container in idle:
            _let_go(container)


def _embedded(sources: tuple[Source, ...], name: str) -> Source | None:
    return next((source for source in sources if source.kind == "files" and source.name == name), None)


def _let_go(container: Container) -> None:
    """Close a container; what it has that nobody was told of is not there for anyone."""
    with contextlib.suppress(OSError):
        container.close()
