"""A FHIR repository by the verbs of a national connector: a register of patients, a source of reports.

What it holds is asked at every request, so that a correction there acts at once. A document is read when it is first seen, for its facts and
for whose it is, and fetched again whenever it leaves; nothing of it is kept but a row with its number.

Source: interfaces.md §7, §10; trust.md §2.5, T52, T83; field-faults F38.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar

from sqlalchemy import Row

from isthmus.archive import queries, register
from isthmus.archive.formed import rows as formed
from isthmus.archive.formed.maker import Maker
from isthmus.config import Settings
from isthmus.errors import DocumentNotFound, NationalInfrastructureUnavailable, SettingsProblem
from isthmus.fhir import search
from isthmus.fhir.elements import Node
from isthmus.model.documents import WITHDRAWN, Document, DocumentContent
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import Patient
from isthmus.model.queries import DocumentQuery, PatientQuery
from isthmus.national.fhir import rows
from isthmus.national.fhir.client import Client
from isthmus.national.fhir.contents import MEDIA_TYPES, NotOffered, Reader, Said, log_refusal
from isthmus.national.fhir.entries import COMPOSITION, KINDS, RADIOLOGY, REFERENCE, REPORT, TYPE_OF
from isthmus.national.fhir.forms import Forms
from isthmus.national.fhir.patients import Person, find_people, other_identifiers
from isthmus.national.fhir.told import Teller, Told
from isthmus.sandbox import Sandbox
from isthmus.sources import Source
from isthmus.storage.database import Database
from isthmus.wire.packs.pack import load_pack

LOG = logging.getLogger("isthmus.national")
T = TypeVar("T")
_Noted = tuple[int, str]
REFUSALS_MAX, REFUSED_FOR = 10_000, timedelta(minutes=10)
"""Documents that are not offered are remembered for a while, so that they are not fetched at every search."""


class Repository:
    """One FHIR repository."""

    def __init__(
        self, settings: Settings, index_database: Database, source: Source, clock: Callable[[], datetime]
    ) -> None:
        _check(source)
        self.source = source
        self._client = Client(source, settings.path)
        self._index, self._clock = index_database, clock
        self._held_by = f"reports/{source.name}"  # a source of images may have the same name
        self._pack = load_pack()
        self._sandbox = Sandbox()
        self._teller = Teller(self._client, self._pack)
        self._reader = Reader(self._client, self._sandbox, self._pack)
        self._forms = Forms(Maker(settings, [source], self._pack, self._sandbox), index_database, source)
        self._turns = asyncio.Semaphore(max(1, source.parallel))
        self._refused: OrderedDict[tuple[str, str, PatientIdentifier], datetime] = OrderedDict()

    async def find_patients(self, query: PatientQuery) -> Sequence[Patient]:
        """Everyone who carries all identifiers and fits. Without identifier nobody is looked for: names would fold another way there."""
        if not query.identifiers:
            return ()
        people = await find_people(self._client, query.identifiers[0])
        fitting = [one for one in people if set(query.identifiers) <= one.identifiers]
        return tuple(one.patient for one in fitting if register.fits(one.patient, query))

    async def other_identifiers(self, patient: PatientIdentifier) -> Sequence[PatientIdentifier]:
        others = await other_identifiers(self._client, patient)
        return sorted(others, key=lambda one: (one.system, one.value))

    async def find_documents(self, query: DocumentQuery) -> Sequence[Document]:
        patient = query.patient
        person = await self._person(patient) if patient is not None else None
        if patient is None or person is None:
            return ()
        told = await self._told(person)
        known = await self._index.read(lambda c: rows.held_by(c, self._held_by, patient))
        noted = await _all(
            self._noted(one, person, self._is_noted(known.get(one.reference), one, person), known) for one in told
        )
        numbers = _numbered(told, noted)
        pack = query.pack or self._pack.name
        listed, families = await self._index.read(
            lambda c: (rows.listed(c, self._held_by, patient, pack), rows.families(c, self._held_by, patient))
        )
        return _related(listed, told, numbers, families)

    async def get_document(self, patient: PatientIdentifier, id: str) -> DocumentContent:
        return await self._content(patient, id, issued=False)

    async def get_issued(self, patient: PatientIdentifier, id: str) -> DocumentContent:
        return await self._content(patient, id, issued=True)

    async def _content(self, patient: PatientIdentifier, id: str, *, issued: bool) -> DocumentContent:
        row = await self._index.read(lambda c: queries.find_document(c, patient, id, self._held_by))
        person = await self._person(patient) if row is not None else None
        if row is None or person is None:
            raise DocumentNotFound("this patient has no such document")
        kind, _, id_ = row.family.partition("/")
        node = await self._client.read(kind, id_)
        told = self._mine([node], person) if node is not None else []
        said = await self._given(told[0], person, row) if told else None
        if said is None:
            raise DocumentNotFound("this patient has no such document")
        made = b"" if issued else await self._forms.note(row.number, told[0], said, person)
        document = queries.document_of(row)
        if made:
            (document,) = await self._index.read(lambda c: formed.as_formed(c, row.patient_id, [document]))
            etag = await asyncio.to_thread(lambda: sha256(made).hexdigest())
            return DocumentContent(_labelled(document, told[0]), document.media_type, made, etag=etag)
        return DocumentContent(_labelled(document, told[0]), MEDIA_TYPES[document.kind], said.body, etag=said.sha256)

    async def _given(self, told: Told, person: Person, row: Row[Any]) -> Said | None:
        """The document under a row's number, when it is still the one: not another's, not gone, not other bytes."""
        try:
            said = await self._reader.read(told, person)
        except NotOffered as refusal:
            self._refuse(told, person, refusal.reason)
            said = None
        if said is None:
            await self._index.write(partial(rows.doubt, number=row.number))
            return None
        if rows.is_as_told(row, told) and said.sha256 == row.sha256:
            return said
        return said if await self._kept(told, said, person) == row.number else None

    async def _kept(self, told: Told, said: Said, person: Person) -> int:
        patient, now = person.patient.identifier, self._clock()
        return await self._index.write(
            partial(rows.keep, source=self._held_by, patient=patient, told=told, said=said, now=now)
        )

    async def close(self) -> None:
        await self._client.close()
        await asyncio.to_thread(self._sandbox.close)

    async def _person(self, identifier: PatientIdentifier) -> Person | None:
        """The one person of an identifier; several are an error, for whose the documents are nobody could say."""
        people = await find_people(self._client, identifier)
        if len(people) > 1:
            raise NationalInfrastructureUnavailable(f"{self.source.name} names several people by one identifier")
        return people[0] if people else None

    async def _told(self, person: Person) -> list[Told]:
        """Every report the repository tells of a person now."""
        subject = ",".join(f"Patient/{id_}" for id_ in sorted(person.ids))
        answers = await _all(
            self._client.search(kind, [("patient", subject), *wanted]) for kind, wanted in _searches(self.source)
        )
        nodes = {(str(node["resourceType"]), str(node["id"])): node for nodes in answers for node in nodes}
        return self._mine(nodes.values(), person)

    def _mine(self, nodes: Iterable[Node], person: Person) -> list[Told]:
        """What is told of this person: what else a repository answers with is nobody's business."""
        nodes = list(nodes)
        mine = [node for node in nodes if self._teller.is_about(node, person.ids, person.identifiers)]
        if len(mine) < len(nodes):
            LOG.warning("%s answered with %d documents of other patients", self.source.name, len(nodes) - len(mine))
        return [told for node in mine if (told := self._teller.read(node)) is not None]

    async def _noted(self, told: Told, person: Person, as_told: bool, known: Any) -> _Noted | None:
        """Number and digest of a document, read first where this version was not seen yet; None for one that is not offered."""
        if as_told:
            return int(known[told.reference].number), str(known[told.reference].sha256)
        if self._is_refused(told, person):
            return None
        async with self._turns:
            try:
                said = await self._reader.read(told, person)
            except NotOffered as refusal:
                self._refuse(told, person, refusal.reason)
                return None
            if said is None:
                log_refusal(self.source.name, told.reference, "gone")
                return None
            number = await self._kept(told, said, person)
            await self._forms.note(number, told, said, person)
            return number, said.sha256

    def _is_noted(self, row: Row[Any] | None, told: Told, person: Person) -> bool:
        return row is not None and rows.is_as_told(row, told) and self._forms.is_noted(row, person)

    def _refuse(self, told: Told, person: Person, reason: str) -> None:
        log_refusal(self.source.name, told.reference, reason)
        key = told.reference, told.version, person.patient.identifier
        self._refused.pop(key, None)
        self._refused[key] = self._clock() + REFUSED_FOR
        while len(self._refused) > REFUSALS_MAX:
            self._refused.popitem(last=False)

    def _is_refused(self, told: Told, person: Person) -> bool:
        until = self._refused.get((told.reference, told.version, person.patient.identifier))
        return until is not None and self._clock() < until


def _searches(source: Source) -> list[tuple[str, list[tuple[str, str]]]]:
    """What is searched, by the settings: types of documents, types and categories of reports."""
    types, categories = (
        ",".join(search.write_token(*token.split("|", 1)) for token in tokens)
        for tokens in (source.report_types, RADIOLOGY)
    )
    found = [(kind, [(TYPE_OF[kind], types)] if types else []) for kind in source.report_resources]
    if types and REPORT in source.report_resources:
        found.append((REPORT, [("category", categories)]))
    return found


def _check(source: Source) -> None:
    """Raises SettingsProblem for what the settings name and nobody knows."""
    if set(source.report_resources) - set(KINDS) or not source.report_resources:
        raise SettingsProblem(
            f"{source.name!r}: report_resources are some of {', '.join(KINDS)}", key="sources.reports.report_resources"
        )
    if not all(system and code for system, _, code in (token.partition("|") for token in source.report_types)):
        raise SettingsProblem(
            f"{source.name!r}: report_types are written SYSTEM|CODE", key="sources.reports.report_types"
        )


def _numbered(told: Sequence[Told], noted: Sequence[_Noted | None]) -> dict[str, int]:
    """The numbers of what is offered. What a listed document stands for, or holds byte for byte, is that document.

    An entry comes before the Composition at its head, and that before a DiagnosticReport.
    """
    pairs = [(one, held) for one, held in zip(told, noted, strict=True) if held is not None]
    kept, covered, digests = dict[str, int](), set[str](), set[str]()
    for kind in (REFERENCE, COMPOSITION, REPORT):
        mine = [(one, held) for one, held in pairs if one.reference.startswith(f"{kind}/")]
        offered = [
            (one, held)
            for one, held in mine
            if kind == REFERENCE or (one.reference not in covered and held[1] not in digests)
        ]
        kept |= {one.reference: number for one, (number, _) in offered}
        covered |= {reference for one, _ in offered for reference in one.covers}
        digests |= {digest for _, (_, digest) in offered}
    return kept


def _related(
    listed: Iterable[Document], told: Sequence[Told], numbers: dict[str, int], families: Mapping[str, str]
) -> list[Document]:
    """The documents of now, each with how it stands to the others; those of before as withdrawn, tied to what took their place.

    A directive that names an earlier version, or one that is gone there, still holds. Decision 0012.
    """
    by_id = {str(numbers[one.reference]): one for one in told if one.reference in numbers}
    replaced = {reference for one in told for reference in one.replaces if reference in numbers}
    last = {reference: id_ for id_, reference in families.items()} | {r: str(number) for r, number in numbers.items()}
    found = []
    for document in listed:
        one = by_id.get(document.id)
        if one is None:
            now = last.get(families.get(document.id, ""))
            tied = document.replaces if now in (None, document.id) else now
            found.append(replace(document, status=WITHDRAWN, replaces=tied))
            continue
        before = next((last[reference] for reference in one.replaces if reference in last), None)
        status = "superseded" if one.reference in replaced else one.document.status
        found.append(replace(_labelled(document, one), status=status, replaces=before))
    return found


def _labelled(document: Document, told: Told) -> Document:
    """A document with the labels of its entry too, as they are now."""
    return replace(document, sensitivity=tuple(dict.fromkeys((*told.document.sensitivity, *document.sensitivity))))


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All of it at once; when one fails, the rest is stopped."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
