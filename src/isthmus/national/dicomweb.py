"""A PACS by DICOMweb: QIDO-RS for what it holds, WADO-RS for images.

PACS differ in what they take and how they say "nothing". What one refuses is asked in a poorer form, and the form that it took is
remembered. Rows are counted against what it counts itself. The issuer of a number is asked for, never matched: most rows have none.

Source: PS3.18 §8, §10.4, §10.6; interfaces.md §7; trust.md T52, T100; field-faults F36, F37, F38, F42, F46; stack.md pitfall 10.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import orjson

from isthmus.archive.studies import Told
from isthmus.config import Settings
from isthmus.errors import (
    ContentMismatch,
    ImagesNotFound,
    ImagesPreparing,
    IsthmusError,
    NationalInfrastructureUnavailable,
    UnsupportedRequest,
)
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.queries import ImagesQuery
from isthmus.national import told as words
from isthmus.national.instances import instance_in
from isthmus.national.told import DicomJson, Held, HeldSeries
from isthmus.sources import Source
from isthmus.transport.allowance import Allowance
from isthmus.transport.upstream import Parameters, Reply, Streaming, Upstream, retry_after_s
from isthmus.wire.images import IMAGES_ACCEPT, images_path

LOG = logging.getLogger("isthmus.national")
ROWS_MAX, PAGES_MAX = 100_000, 2_000
LONG_BYTES: Final = 1 << 20  # an answer of this size is decoded beside the loop
RECALLS_MAX, RECALL_S, RECALLED_S, COME_BACK_S = 4, 600.0, 600.0, 60.0
JSON_ACCEPTS: Final = ("application/dicom+json", "application/json", "*/*")
IMAGE_ACCEPTS: Final = (
    IMAGES_ACCEPT,
    "multipart/related; type=application/dicom; transfer-syntax=*",
    "application/dicom; transfer-syntax=*",
    'multipart/related; type="application/dicom"',
    "application/dicom",
    "*/*",
)
"""As stored where that is to be had; the others may be recoded by the PACS."""
NOTHING: Final = frozenset({204, 404, 410})
NOT_THAT_FORM: Final = frozenset({400, 414, 422, 501})
NOT_THAT_MEDIA: Final = frozenset({406, 415})
NOT_ALLOWED: Final = frozenset({401, 403})
_MORE: Final = "additional results"  # Warning: 299, PS3.18 §8.3.4.4
_PATTERN: Final = re.compile(r"[*?\\,%\x00-\x1f\x7f]")

Key = Callable[[DicomJson], Hashable]


@dataclass(frozen=True, slots=True)
class Form:
    """How rows are asked for: attributes by name, all, or what comes by itself; in pages or at once."""

    fields: str
    paged: bool

    def parameters(self, keys: Sequence[str], size: int, offset: int | None) -> Parameters:
        fields = {"each": tuple(keys), "all": ("all",)}.get(self.fields, ())
        page = (("limit", str(size)), ("offset", str(offset))) if self.paged and offset is not None else ()
        return (*(("includefield", field) for field in fields), *page)


FORMS: Final = tuple(Form(fields, paged) for fields in ("each", "all", "none") for paged in (True, False))


@dataclass(frozen=True, slots=True)
class Page:
    """Rows that came together; whether in pages, and whether the source says that there are more."""

    rows: Sequence[DicomJson]
    paged: bool
    more: bool


class Walk:
    """The rows of a search over its pages, each once. What names nothing is no row, but may fill a page."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._found: dict[Hashable, DicomJson] = {}
        self.pages = self.taken = self.longest = 0
        self.overlaps = self.more = False

    def add(self, page: Page) -> bool:
        """Take a page; False when nothing in it is new."""
        came = {self._key(row) or orjson.dumps(row): row for row in page.rows}
        known = self._found.keys() & came.keys()
        self.overlaps |= bool(known)
        self._found = came | self._found
        self.pages += len(known) < len(came)
        self.taken += len(page.rows)
        self.longest = max(self.longest, len(page.rows))
        self.more = page.more if page.rows else self.more
        return len(known) < len(came)

    def doubtful(self, page_size: int) -> bool:
        """Whether pages stood still or moved, so that rows may have been passed over. Source: field-faults F38."""
        return self.more or (self.overlaps and (self.pages > 1 or self.longest == page_size))

    @property
    def rows(self) -> list[DicomJson]:
        return [row for row in self._found.values() if self._key(row) is not None]


class DicomWeb:
    """A `Pacs` that speaks DICOMweb. Questions have connections of their own: images under way hold up none."""

    def __init__(self, settings: Settings, source: Source) -> None:
        self._source = source
        asking = max(1, source.parallel // 2)
        self._questions = Upstream(replace(source, parallel=asking), settings.path)
        giving = replace(source, timeout_s=source.images_timeout_s)
        self._images = Upstream(replace(giving, parallel=max(1, source.parallel - asking)), settings.path)
        self._accepts = (source.accept,) if source.accept else IMAGE_ACCEPTS
        self._recalls = Upstream(replace(giving, parallel=1), settings.path)  # whoever waits for tape waits here
        self._accept = self._json = 0  # what was taken last
        self._forms: dict[str, int] = {}
        self._taken: set[str] = set()  # levels, and "images", that gave something: one refusal changes nothing there
        self._unsteady: set[str] = set()
        self._statuses: set[int] = set()  # of all searches
        self._recalled: dict[str, float] = {}
        self._recalling: set[asyncio.Task[None]] = set()
        self._come_back: dict[str, float] = {}

    @property
    def accept(self) -> str:
        """What an image was last given for."""
        return self._accepts[self._accept]

    @property
    def forms(self) -> Mapping[str, Form]:
        """How rows are asked for now, by level; a level without an entry takes everything."""
        return {level: FORMS[number] for level, number in self._forms.items()}

    @property
    def unsteady(self) -> Sequence[str]:
        """Levels at which pages stood still, moved or fell short, so that all was asked for at once."""
        return sorted(self._unsteady)

    @property
    def always_404(self) -> bool:
        """Whether no search was answered otherwise: "nothing" in this source's words, or nothing lies at this address."""
        return self._statuses == {404}

    async def find_studies(self, patient: PatientIdentifier, study_instance_uid: str | None = None) -> Sequence[Held]:
        asked = [] if _PATTERN.search(patient.value) or not patient.value else [("PatientID", patient.value)]
        if study_instance_uid is not None:
            asked.append(("StudyInstanceUID", study_instance_uid))
        if not asked:
            LOG.warning("%s is not asked for an identifier that it would read as a pattern", self._source.name)
            return ()
        rows = await self._rows("studies", asked, words.STUDY_KEYS, partial(_study_key, self._source), None)
        found = await asyncio.gather(*(self._series_of(row, patient) for row in rows))
        return [held for held in found if held is not None]

    async def _series_of(self, row: DicomJson, patient: PatientIdentifier) -> Held | None:
        """A study with its series; of a stranger's no more is asked."""
        alone = words.held_study(row, (), self._source)
        if alone is None or alone.patient.identifier != patient:
            return alone
        path, count = f"studies/{alone.study_instance_uid}/series", alone.counts[0]
        series = await self._rows(path, (), words.SERIES_KEYS, lambda one: words.uid(one, words.SERIES_UID), count)
        return words.held_study(row, series, self._source)

    async def list_instances(self, held: Held) -> Sequence[Told]:
        if len(held.series) < (held.counts[0] or 0):
            raise self._short("series", len(held.series), held.counts[0])
        listed = await asyncio.gather(*(self._instances_of(held, series) for series in held.series))
        told = [one for some in listed for one in some]
        if len(told) < (held.counts[1] or 0):
            raise self._short("instances", len(told), held.counts[1])
        return told

    async def _instances_of(self, held: Held, series: HeldSeries) -> list[Told]:
        path = f"{images_path(ImagesQuery(held.study_instance_uid, series.series_instance_uid))}/instances"
        key = partial(words.uid, tag=words.SOP_UID)
        rows = await self._rows(path, (), words.INSTANCE_KEYS, key, series.instance_count)
        return words.told_instances(rows, held, series)

    async def find_metadata(self, held: Held, series_instance_uid: str, sop_instance_uid: str | None) -> bytes:
        path = images_path(ImagesQuery(held.study_instance_uid, series_instance_uid, sop_instance_uid))
        reply = await self._said(f"{path}/metadata", (), self._questions.allowance())
        if reply.status in NOTHING | NOT_THAT_FORM | NOT_THAT_MEDIA | {405}:
            raise UnsupportedRequest(f"{self._source.name} has no metadata of these images", reason="no-route")
        if reply.status != 200:
            raise self._refused(reply.status)
        return reply.body

    async def make_ready(self, held: Held) -> float:
        """Ask for each series once, beside the loop's other work; what it then says of when to come back is told next time."""
        now = asyncio.get_running_loop().time()
        self._recalled = {study: at for study, at in self._recalled.items() if now - at < RECALLED_S}
        self._come_back = {study: said for study, said in self._come_back.items() if study in self._recalled}
        if held.study_instance_uid not in self._recalled and len(self._recalling) < RECALLS_MAX:
            self._recalled[held.study_instance_uid] = now
            task = asyncio.create_task(self._recall(held))
            self._recalling.add(task)
            task.add_done_callback(self._recalling.discard)
        return self._come_back.get(held.study_instance_uid, COME_BACK_S)

    async def _recall(self, held: Held) -> None:
        study = held.study_instance_uid
        with suppress(TimeoutError):
            async with asyncio.timeout(RECALL_S):
                for series in held.series:
                    path = images_path(ImagesQuery(study, series.series_instance_uid))
                    with suppress(IsthmusError):  # the other series may come all the same
                        async with self._asked(path, self._recalls) as answer:
                            if (later := retry_after_s(answer.headers)) is not None:
                                self._come_back[study] = max(later, self._come_back.get(study, 0.0))

    async def fetch(self, held: Held, told: Told, listed: Sequence[Told]) -> AsyncGenerator[bytes | memoryview]:
        query = ImagesQuery(held.study_instance_uid, told.series_instance_uid, told.sop_instance_uid)
        async with self._asked(images_path(query), self._images) as answer:
            self._check(answer)
            async with aclosing(instance_in(answer)) as pieces:
                async for piece in pieces:
                    yield piece

    async def close(self) -> None:
        for task in self._recalling:
            task.cancel()
        await asyncio.gather(*self._recalling, return_exceptions=True)
        for upstream in (self._questions, self._images, self._recalls):
            await upstream.close()

    @asynccontextmanager
    async def _asked(self, path: str, upstream: Upstream) -> AsyncIterator[Streaming]:
        """The answer to a request for images, in the first of the forms we can read that the PACS gives."""
        for number in range(self._accept, len(self._accepts)):
            async with upstream.stream(path, accept=self._accepts[number], plain=True) as answer:
                if answer.status in NOT_THAT_MEDIA | NOT_THAT_FORM and number + 1 < len(self._accepts):
                    continue
                if answer.status == 200 and number > self._accept and "images" not in self._taken:
                    LOG.warning(
                        "%s does not give images as we ask first; it gives %s", self._source.name, self._accepts[number]
                    )
                    self._accept = number
                if answer.status == 200:
                    self._taken.add("images")
                yield answer
                return

    def _check(self, answer: Streaming) -> None:
        """Raises for whatever is not the instance: what is not there, not there yet, or refused."""
        later = retry_after_s(answer.headers)
        if answer.status == 202 or (answer.status == 503 and later is not None):
            raise ImagesPreparing("the PACS prepares the images", retry_after_s=later or COME_BACK_S)
        if answer.status in NOTHING:
            raise ImagesNotFound("the PACS lists an instance that it does not have")
        if answer.status == 206:
            raise ContentMismatch("the PACS gives a part of an instance")
        if answer.status != 200:
            raise self._refused(answer.status)

    async def _rows(
        self, path: str, asked: Parameters, keys: Sequence[str], key: Key, counted: int | None
    ) -> list[DicomJson]:
        """Every row of a search, each once. The end is a page with nothing new: a short page may be a silent cap.

        Where pages cannot be relied on, all is asked for at once. Raises NationalInfrastructureUnavailable for fewer rows than counted.
        """
        walk, paged, cost = Walk(key), True, self._questions.allowance()
        while paged:
            page = await self._page(path, asked, keys, walk.taken, cost)
            paged = page.paged
            if not walk.add(page):
                break
            if walk.taken > ROWS_MAX or walk.pages > PAGES_MAX:
                raise NationalInfrastructureUnavailable(f"{self._source.name} has pages without end")
            if counted and len(walk.rows) >= counted and len(page.rows) < self._source.page_size:
                break
        lacks = len(walk.rows) < counted if counted else walk.doubtful(self._source.page_size)
        if paged and lacks:
            self._unsteady.add(_level(path))
            walk.add(await self._page(path, asked, keys, None, cost))
        if len(walk.rows) < (counted or 0):
            raise self._short("rows", len(walk.rows), counted)
        if walk.more and not counted:
            raise self._short("rows", len(walk.rows), "more")
        return walk.rows

    async def _page(
        self, path: str, asked: Parameters, keys: Sequence[str], offset: int | None, cost: Allowance
    ) -> Page:
        """A page of rows, or without an offset all that come at once.

        Poorer forms are for a source that never took a richer one: rows that are poorer for once would make another manifest.
        """
        level = _level(path)
        first = self._forms.get(level, 0)
        forms = [
            n for n in range(first, len(FORMS)) if level not in self._taken or FORMS[n].fields == FORMS[first].fields
        ]
        for number in forms:
            form = FORMS[number]
            reply = await self._said(path, (*asked, *form.parameters(keys, self._source.page_size, offset)), cost)
            if reply.status in NOT_THAT_FORM and number != forms[-1]:
                continue
            if reply.status in NOTHING:
                return Page((), form.paged, more=False)
            if reply.status not in (200, 206):
                raise self._refused(reply.status)
            if number > first and level not in self._taken:
                LOG.warning("%s refuses some of what is asked of %s; it is asked less", self._source.name, level)
                self._forms[level] = number
            self._taken.add(level)
            more = _MORE in reply.headers.get("warning", "").lower()
            return Page(await _rows_in(reply.body, self._source.name), form.paged, more)
        raise AssertionError("unreachable")

    async def _said(self, path: str, parameters: Parameters, cost: Allowance) -> Reply:
        for number in range(self._json, len(JSON_ACCEPTS)):
            reply = await self._questions.get(path, parameters, accept=JSON_ACCEPTS[number], allowance=cost)
            if reply.status not in NOT_THAT_MEDIA:
                self._json = number
                break
        self._statuses.add(reply.status)
        return reply

    def _short(self, what: str, listed: int, counted: int | str | None) -> NationalInfrastructureUnavailable:
        return NationalInfrastructureUnavailable(
            f"{self._source.name} lists {listed} {what} and counts {counted}", listed=listed, counted=counted
        )

    def _refused(self, status: int) -> NationalInfrastructureUnavailable:
        advice = ": look at authorization in its settings" if status in NOT_ALLOWED else ""
        return NationalInfrastructureUnavailable(f"{self._source.name} answers with status {status}{advice}")


def _level(path: str) -> str:
    return path.rpartition("/")[2]


def _study_key(source: Source, row: DicomJson) -> Hashable:
    """A study of one patient: the same UID of two people, or of nobody, is another."""
    study, patient = words.uid(row, words.STUDY_UID), words.patient_of(row, source)
    return None if study is None else (study, patient and patient.identifier)


async def _rows_in(body: bytes, name: str) -> list[DicomJson]:
    """The rows of an answer; nothing at all is none. Raises NationalInfrastructureUnavailable for what is no DICOM JSON."""
    body = body.removeprefix(b"\xef\xbb\xbf").strip()
    if not body:
        return []
    try:
        said: Any = orjson.loads(body) if len(body) < LONG_BYTES else await asyncio.to_thread(orjson.loads, body)
    except ValueError as error:
        raise NationalInfrastructureUnavailable(f"{name} answers with what is no JSON") from error
    rows = [said] if isinstance(said, dict) else said
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise NationalInfrastructureUnavailable(f"{name} answers with what is no DICOM JSON")
    return [row for row in rows if row]
