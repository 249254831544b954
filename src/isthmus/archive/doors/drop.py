"""A watched folder for reports: looked at again and again, a file taken when it is finished, and moved to `done` or `refused`.

A file is finished when size and time were the same at two looks and its name does not say otherwise. A PDF does not say whose it is: it
waits a while for the sidecar that does. What a disk does not give is tried again, each time later, and put among the refused in the end; what
the archive cannot keep now waits for it. What was brought once is unchanged when it is brought again, so a node that dies between the verdict
and its writing down loses nothing and keeps nothing twice. Only plain files that lie in the folder itself are opened.

Source: interfaces.md §11; trust.md T67, T99; field-faults F49.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from isthmus import telemetry
from isthmus.archive.doors import claims
from isthmus.archive.doors.claims import Claim, Places
from isthmus.archive.doors.desk import Desk
from isthmus.archive.doors.sidecars import PARTS, is_sidecar, read_sidecar, sidecar_names
from isthmus.archive.folders import HEAD_BYTES, form_of
from isthmus.archive.reports import MAX_DOCUMENT_BYTES, NOTHING_SAID
from isthmus.archive.verdicts import REASONS, REFUSED, Unreadable, Verdict, held
from isthmus.config import Settings
from isthmus.errors import IsthmusError, NationalInfrastructureUnavailable, SettingsProblem
from isthmus.model.amounts import amount
from isthmus.sections import DropFolder
from isthmus.sources import Source

LOG = logging.getLogger("isthmus.archive")
SIDECAR_S: Final = 60.0
TRIES: Final = 6
LONGEST_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A name as it was at one look."""

    inode: int
    size: int
    changed_ns: int
    mode: int


class Drop:
    """One watched folder. `look` is a thread's work; one process at a time has the folder."""

    def __init__(self, settings: Settings, folder: DropFolder, desk: Desk, *, sidecar_s: float = SIDECAR_S) -> None:
        self._path, self._name, self._poll_s = settings.path(folder.path), folder.name, folder.poll_s
        source = desk.reports_source(folder.source)
        if source is None:
            raise SettingsProblem(f"intake: folder {folder.name!r} has no source", key="intake.folders.source")
        self._source: Source = source
        self._desk, self._sidecar_s = desk, sidecar_s
        self._before: dict[str, Seen] = {}
        self._waits_since: dict[str, float] = {}
        self._immovable: dict[str, Seen] = {}
        self._failed: dict[
            str, tuple[int, float]
        ] = {}  # claims that could not be finished: how often, and when it is tried again

    async def watch(self) -> None:
        """Beside the listeners of a node, for as long as it runs."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(self._poll_s)

    def look(self) -> int:
        """Go on with what was claimed, then take what is finished; gives how many were brought to their end.

        Raises NationalInfrastructureUnavailable when folder or archive is not to be had now; what can be done is done, nothing is lost.
        """
        try:
            with claims.opened_alone(self._path) as places:
                return self._looked(places)
        except BlockingIOError:
            return 0  # another process has it
        except OSError as error:
            raise NationalInfrastructureUnavailable(
                f"the watched folder {self._name} cannot be worked in: {error.strerror}"
            ) from error

    def _looked(self, places: Places) -> int:
        """What was claimed before comes first: it may have to give a sidecar back."""
        problems: list[Exception] = []
        held = sorted(os.listdir(places.claims))
        self._failed = {id: failed for id, failed in self._failed.items() if id in held}
        ended = self._all_finished(places, held, problems)
        ended += self._all_finished(places, self._begun(places), problems)
        if problems:
            raise problems[0]
        return ended

    def _all_finished(self, places: Places, ids: list[str], problems: list[Exception]) -> int:
        """Bring each to its end; one that has to wait does not keep the others waiting."""
        ended = 0
        for id in ids:
            times, due = self._failed.get(id, (0, 0.0))
            if time.monotonic() < due:
                continue
            try:
                ended += self._finish(places, id)
            except (IsthmusError, OSError) as error:
                problems.append(error)
                self._later(id, times + 1, error)
        return ended

    def _later(self, id: str, times: int, error: Exception) -> None:
        """Not at the next look: the more often it failed, the later; and whoever runs the node is told."""
        wait_s = min(LONGEST_S, self._poll_s * 2**times)
        self._failed[id] = times, time.monotonic() + wait_s
        why = error.strerror if isinstance(error, OSError) else error
        LOG.error(
            ".taking/%s in the watched folder %s could not be finished, %s so far, and is tried again in %.0f s: %s; see to the disk, the rest goes on",
            id, self._name, amount(times, "time"), wait_s, why,
        )  # fmt: skip

    def _begun(self, places: Places) -> list[str]:
        """Claim everything that is finished. What cannot be moved stays, and is said once."""
        begun = []
        for name in self._finished(places.folder):
            try:
                begun.append(claims.begin(places, name, _sidecar_of(places.folder, name)))
            except PermissionError as error:
                self._immovable[name] = self._before[name]
                LOG.error("something in the watched folder %s cannot be moved: %s", self._name, error.strerror)
        return begun

    def _finished(self, folder: int) -> list[str]:
        """The names that were the same at two looks, in their order, and need not wait for anything else."""
        now = {name: seen for name in _names(folder) if (seen := _seen(folder, name)) is not None}
        before, self._before = self._before, now
        self._waits_since = {name: since for name, since in self._waits_since.items() if name in now}
        same = [n for n in sorted(now) if now[n] == before.get(n) and now[n] != self._immovable.get(n)]
        return [name for name in same if not stat.S_ISREG(now[name].mode) or self._may_begin(folder, name, same)]

    def _may_begin(self, folder: int, name: str, same: list[str]) -> bool:
        beside = _sidecar_of(folder, name)
        if beside is not None:
            return beside in same
        try:
            form = form_of(claims.read(folder, name, HEAD_BYTES))
            if form == "json":
                return not _is_sidecar(folder, name)  # that one waits for its document
        except (OSError, Unreadable):
            return True  # it will be refused with a reason
        since = self._waits_since.setdefault(name, time.monotonic())
        return form != "pdf" or time.monotonic() - since >= self._sidecar_s

    def _finish(self, places: Places, id: str) -> int:
        """Bring one claim to its end from wherever it stands."""
        began = time.monotonic()
        with claims.resumed(places, id) as claim:
            if claim is None:
                return 0
            if not claim.holds(claims.VERDICT):
                verdict, size = self._taken(claim)
                claims.decide(places, claim, _told(verdict, self._source.name), done=verdict.outcome != REFUSED)
                self._tell(claim, verdict, size, began)
            claims.put_away(places, claim)
            return 1

    def _taken(self, claim: Claim) -> tuple[Verdict, int]:
        """The verdict on a claimed document, durable when it is given, and its size."""
        shown = os.fsencode(claim.document).decode("utf-8", "replace")
        try:
            if stat.S_ISDIR(os.stat(claims.DOCUMENT, dir_fd=claim.at, follow_symlinks=False).st_mode):
                raise Unreadable("folder")
            body = claims.read(claim.at, claims.DOCUMENT, MAX_DOCUMENT_BYTES + 1)
            envelope = NOTHING_SAID
            if claim.holds(claims.SIDECAR):
                envelope = read_sidecar(claims.read(claim.at, claims.SIDECAR, claims.SMALL_BYTES))
        except Unreadable as error:
            return held(REFUSED, shown, error.reason, error.detail), 0
        except PermissionError:
            return held(REFUSED, shown, "unreadable", "not allowed"), 0
        except OSError as error:
            if self._failed.get(claim.id, (0, 0.0))[0] + 1 < TRIES:
                raise
            return held(REFUSED, shown, "unreadable", f"{error.strerror}, {amount(TRIES, 'time')}"), 0
        if not body:
            return held(REFUSED, shown, "empty"), 0
        with self._desk.reports(self._source) as reports:
            return reports.take(body, form_of(body[:HEAD_BYTES]), shown, envelope), len(body)

    def _tell(self, claim: Claim, verdict: Verdict, size: int, began: float) -> None:
        telemetry.brought(
            exchange_id=claim.id,
            sender=self._name,
            source=self._source.name,
            transaction="drop",
            outcome="complete",
            verdicts=Counter([verdict.outcome]),
            reasons=Counter([verdict.reason] if verdict.reason else []),
            size_bytes=size,
            duration_ms=(time.monotonic() - began) * 1000,
        )


def watchers(settings: Settings, desk: Desk) -> list[Drop]:
    """The watched folders of the settings. Raises SettingsProblem when one is no folder."""
    folders = settings.intake.folders if settings.intake is not None else ()
    for folder in folders:
        if not settings.path(folder.path).is_dir():
            raise SettingsProblem(f"intake: {settings.path(folder.path)} is no folder", key="intake.folders.path")
    return [Drop(settings, folder, desk) for folder in folders]


def _names(folder: int) -> list[str]:
    """What lies in the folder and does not say by its name that it is unfinished, or ours."""
    return [
        name
        for name in os.listdir(folder)
        if not name.startswith((".", "~")) and not name.endswith(PARTS) and name not in (claims.DONE, claims.REFUSED_FOLDER)
    ]  # fmt: skip


def _seen(folder: int, name: str) -> Seen | None:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return Seen(found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)


def _sidecar_of(folder: int, name: str) -> str | None:
    """The name of the file that says whose a document is, when there is one."""
    return next((one for one in sidecar_names(name) if one != name and _is_sidecar(folder, one)), None)


def _is_sidecar(folder: int, name: str) -> bool:
    with contextlib.suppress(OSError, Unreadable):
        return is_sidecar(claims.read(folder, name, claims.SMALL_BYTES))
    return False


def _told(verdict: Verdict, source: str) -> dict[str, Any]:
    """What the file beside the document says."""
    told: dict[str, Any] = {"verdict": verdict.outcome, "reason": verdict.reason, "detail": verdict.detail}
    told["words"] = REASONS[verdict.reason] if verdict.reason is not None else None
    told |= {"kind": verdict.kind if verdict.outcome != REFUSED else None, "document": verdict.document}
    told["warnings"] = list(verdict.warnings) or None
    return {name: value for name, value in told.items() if value is not None} | {"source": source}
