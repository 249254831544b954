"""`isthmus visit images`: instances into a folder as they arrive, whole files only, and what came in `received.json`.

Source: interfaces.md §4.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from isthmus.country_b.arrivals import Arrived, Likeness
from isthmus.country_b.client import Client
from isthmus.country_b.fetch import Wanted, marked_of, plan, wanted_of
from isthmus.country_b.images import get_images
from isthmus.country_b.visit import Visit
from isthmus.errors import (
    ContentMismatch,
    ImagesNotFound,
    ImagesPreparing,
    NationalInfrastructureUnavailable,
    Unavailable,
    Withdrawn,
)
from isthmus.model.amounts import amount
from isthmus.model.queries import ImagesQuery

Key = tuple[str, str]
LATER_S, LONGEST_S = 30.0, 120.0  # when to ask a slow archive again: where it does not say, and at most
EXPLAINABLE = "Some images name the patient a little differently, or not in full; compare before use."


@dataclass
class Patience:
    """How much longer a slow archive is waited for; each wait is told."""

    left_s: float
    tell: Callable[[float], None]

    async def wait(self, later: ImagesPreparing) -> None:
        """Wait until it is time to ask again. Raises `later` when that is longer than there is patience for."""
        said = later.facts.get("retry_after_s")
        wait_s = min(LONGEST_S, float(said)) if isinstance(said, int | float) else LATER_S
        if wait_s > self.left_s:
            raise later
        self.left_s -= wait_s
        self.tell(wait_s)
        await asyncio.sleep(wait_s)


def say_waiting(wait_s: float) -> None:
    sys.stderr.write(f"Being prepared from a slow archive; asked again in {wait_s:.0f} s.\n")


class Folder:
    """A shelf on disk: DIR/STUDY/SERIES/SOP.dcm, mode 0600; what is still arriving is a hidden part file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(".part-*"):
            stale.unlink(missing_ok=True)
        self._file: Any = None
        self._part: Path | None = None

    def begin(self) -> None:
        self._part = self.folder / f".part-{secrets.token_hex(8)}"
        self._file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)

    def write(self, view: bytes | memoryview) -> None:
        self._file.write(view)

    async def keep(self, arrived: Arrived) -> None:
        """Rename the part to its name. UIDs were checked: digits and dots alone."""
        self._file.close()
        assert self._part is not None  # begun before
        series = self.folder / arrived.header.series_instance_uid
        series.mkdir(exist_ok=True)
        self._part.rename(series / f"{arrived.header.sop_instance_uid}.dcm")
        self._part = None

    def drop(self) -> None:
        if self._part is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)
            self._part = None

    def here(self) -> dict[Key, Path]:
        """Whole files that lie here."""
        return {(p.parent.name, p.stem): p for p in sorted(self.folder.glob("*/*.dcm"))}


class Received:
    """What came, for `received.json`: of every file that lies there, its size, digest, and what it was recoded from."""

    def __init__(self, shelf: Folder, study: str) -> None:
        self._shelf, self._study = shelf, study
        self._told: dict[Key, dict[str, Any]] = {}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            before = orjson.loads((shelf.folder / "received.json").read_bytes())
            self._told = {(i["series_instance_uid"], i["sop_instance_uid"]): i for i in before["instances"]}

    def add(self, arrived: Arrived) -> None:
        key = (arrived.header.series_instance_uid, arrived.header.sop_instance_uid)
        self._told[key] = _told(key, arrived.size_bytes, arrived.sha256, arrived.recoded_from)

    def write(self, wanted: Sequence[Wanted], everything: Sequence[Wanted]) -> dict[str, Any]:
        """Write `received.json`, true to the files as they lie, and give it; `withdrawn` are those that the study has no more."""
        here = self._shelf.here()
        instances = [self._entry(key, path) for key, path in here.items()]
        missing = [w for w in wanted if (w.series_instance_uid, w.sop_instance_uid) not in here]
        listed = {(w.series_instance_uid, w.sop_instance_uid) for w in everything}
        withdrawn = [key for key in here if key not in listed]
        note = {
            "study_instance_uid": self._study,
            "count": len(instances),
            "bytes": sum(i["bytes"] for i in instances),
            "instances": instances,
            "missing": [
                {"series_instance_uid": w.series_instance_uid, "sop_instance_uid": w.sop_instance_uid} for w in missing
            ],
        }
        if withdrawn:
            note["withdrawn"] = [{"series_instance_uid": key[0], "sop_instance_uid": key[1]} for key in withdrawn]
        part = self._shelf.folder / f".part-{secrets.token_hex(8)}"
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(orjson.dumps(note, option=orjson.OPT_INDENT_2))
        part.rename(self._shelf.folder / "received.json")
        return note

    def _entry(self, key: Key, path: Path) -> dict[str, Any]:
        told, size = self._told.get(key), path.stat().st_size
        if told is not None and told.get("bytes") == size:
            return told
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return _told(key, size, digest, None)


def _told(key: Key, size: int, sha256: str, recoded_from: str | None) -> dict[str, Any]:
    names: Mapping[str, Any] = {"series_instance_uid": key[0], "sop_instance_uid": key[1]}
    return {**names, "bytes": size, "sha256": sha256, "recoded_from": recoded_from}


def chosen(everything: Sequence[Wanted], series: Iterable[str], instance: str | None) -> list[Wanted]:
    """What of the manifest was asked for. Raises ImagesNotFound when that is nothing."""
    wanted = [w for w in everything if not series or w.series_instance_uid in set(series)]
    wanted = [w for w in wanted if instance is None or w.sop_instance_uid == instance]
    if not wanted:
        raise ImagesNotFound("the study has no such series or instance")
    return wanted


def _count(folder: Path) -> int:
    """How many images lie in a study's folder."""
    return sum(1 for _ in folder.glob("*/*.dcm"))


async def _listed(
    client: Client, visit: Visit, country: str, study: str, folder: Path, count: int
) -> tuple[Wanted, ...]:
    """What the study's manifest lists now. Raises ImagesNotFound; Withdrawn when `count` images of it lie here already."""
    try:
        return await wanted_of(client, visit, country, study)
    except ImagesNotFound:
        if not count:
            raise
        raise Withdrawn(
            f"{country} does not give this study any more, and does not say why; {amount(count, 'image')} of it in {folder}: do not rely on what lies there",
            country=country,
        ) from None


async def _patiently(
    client: Client, visit: Visit, country: str, query: ImagesQuery, shelf: Folder, patience: Patience | None
) -> AsyncGenerator[Arrived]:
    """What a request brings, asked again while a slow archive prepares it."""
    while True:
        try:
            async with contextlib.aclosing(get_images(client, visit, country, query, shelf)) as arriving:
                async for arrived in arriving:
                    yield arrived
            return
        except ImagesPreparing as later:
            if patience is None:
                raise
            await patience.wait(later)


async def fetch_study(
    client: Client,
    visit: Visit,
    country: str,
    study: str,
    *,
    folder: Path,
    series: Sequence[str],
    instance: str | None,
    key_images: bool = False,
    resume: bool,
    bar: Callable[[int, int], None],
    patience: Patience | None = None,
) -> dict[str, Any]:
    """Fetch into a folder. A broken transfer leaves whole files and a true `received.json`.

    Raises Withdrawn (exit 4) when the country does not list the study any more; ContentMismatch (exit 6) when something is missing
    at the end, with what to do; ImagesPreparing when all of it is still being prepared.
    """
    everything = await _listed(client, visit, country, study, folder / study, _count(folder / study))
    marked = await marked_of(client, visit, country, study, everything) if key_images else everything
    wanted = chosen(marked, series, instance)
    shelf = Folder(folder / study)
    received = Received(shelf, study)
    here = shelf.here() if resume else {}
    missing = [w for w in wanted if (w.series_instance_uid, w.sop_instance_uid) not in here]
    notices: set[str] = set()
    broken: ContentMismatch | Unavailable | ImagesNotFound | None = None
    total, done = len(wanted), len(wanted) - len(missing)
    bar(done, total)
    try:
        for query in plan(study, everything, missing):
            try:
                async with contextlib.aclosing(_patiently(client, visit, country, query, shelf, patience)) as arriving:
                    async for arrived in arriving:
                        received.add(arrived)
                        done += 1
                        bar(done, total)
                        if arrived.likeness is Likeness.EXPLAINABLE:
                            notices.add(EXPLAINABLE)
            except (ContentMismatch, NationalInfrastructureUnavailable) as error:
                broken = error  # of this query alone; the rest is still asked for
    except (Unavailable, ImagesNotFound) as error:
        broken = error
    finally:
        shelf.drop()
        note = received.write(wanted, everything)
    if isinstance(broken, ImagesNotFound):  # listed, and gone when it was asked for
        await _listed(client, visit, country, study, folder / study, _count(folder / study))
        broken = ContentMismatch("the study has changed meanwhile")
    _judge(note, wanted, broken)
    if gone := note.get("withdrawn"):
        notices.add(
            f"Here, and not in the study any more: {amount(len(gone), 'image')}. Do not rely on what received.json names as withdrawn."
        )
    return {**note, "notices": sorted(notices)}


def _judge(note: Mapping[str, Any], wanted: Sequence[Wanted], broken: ContentMismatch | Unavailable | None) -> None:
    """Raise what a fetch ended with, when that was not all of it."""
    if isinstance(broken, ImagesPreparing) and len(note["missing"]) == len(wanted):
        raise broken
    if note["missing"]:
        came = len(wanted) - len(note["missing"])
        raise ContentMismatch(
            f"{came} of {amount(len(wanted), 'image')} came{f' ({broken})' if broken else ''}; the same command with --resume fetches the rest",
            exchange_id=broken.facts.get("exchange_id") if broken else None,
        )
    if broken is not None:
        raise broken
