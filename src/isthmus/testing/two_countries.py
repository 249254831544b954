"""Two practice countries for a test: the demo's nodes, each a process of its own, with real mutual TLS between them.

    with two_countries(folder) as countries:
        async with countries.b.visit(patient) as visit:
            found = await visit.find_documents()

Country B asks in this process, with the node's own keys, database and trail, as `isthmus visit` does. What became of it stands in
both trails: `countries.since()`.

Source: interfaces.md §2, §4; trust.md §4.2.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row

from isthmus.archive.queries import list_instances
from isthmus.audit.account import Account, Exchange
from isthmus.audit.page import MonthKeys, rows
from isthmus.audit.verify import Verified, opened
from isthmus.config import Settings, read_settings
from isthmus.country_b import documents, images, patients
from isthmus.country_b.arrivals import Arrived
from isthmus.country_b.client import Client
from isthmus.country_b.visit import Visit, new_visit
from isthmus.demo.nodes import Demo, choose_ports
from isthmus.ground import asking, speak_for
from isthmus.model.context import Emergency, PointOfCare, Purpose, TreatmentRelationship
from isthmus.model.documents import Document
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.imaging import Manifest
from isthmus.model.pairing import Examination, pair
from isthmus.model.people import Patient
from isthmus.model.queries import DocumentQuery, ImagesQuery, PatientQuery
from isthmus.model.report.document import ImagingReport
from isthmus.storage.database import open_index, open_state
from isthmus.storage.sealed import MasterKey

ANSWERING = "AA"
RADIOLOGIST = "radiologist"
COMMAND_S, CLOSED_S = 120, 10
REGISTER_COLUMNS = "system,value,family,given,birth_date,gender"


class Node:
    """One country's node: its settings, its process, its commands, its trail."""

    def __init__(self, country: str, demo: Demo) -> None:
        self.country, self._demo = country, demo
        self.settings: Settings = read_settings(demo.config(country), {})

    @property
    def pid(self) -> int:
        return int(self._demo.ready()["countries"][self.country]["pid"])

    @property
    def log(self) -> Path:
        """What the node's process says."""
        return self._demo.folder / f"{self.country.lower()}.log"

    def command_line(self, *words: object) -> list[str]:
        """A command with this node's settings, as an operator gives it."""
        return [sys.executable, "-m", "isthmus", "--config", str(self.settings.file), *map(str, words)]

    def command(self, *words: object, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever the end is."""
        return subprocess.run(
            self.command_line(*words),
            env=None if environment is None else dict(environment),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=COMMAND_S,
        )

    def exchanges(self, limit: int = 2000, patience_s: float = CLOSED_S) -> list[Exchange]:
        """The trail's exchanges, the newest first. An asker has its last byte before the outcome is written: what is open is waited for."""
        with self._account() as account:
            until = time.monotonic() + patience_s
            found = account.exchanges(limit)
            while any(one.outcome == "open" for one in found) and time.monotonic() < until:
                time.sleep(0.05)
                found = account.exchanges(limit)
            return found

    def events(self) -> list[dict[str, Any]]:
        """All that is written of every exchange, oldest first, as requirements read it (`conformance/evidence.py`)."""
        with self._account() as account:
            return account.database.read_now(partial(_events, MonthKeys(account.master)))

    def verified(self) -> Verified:
        """The proof of the whole trail."""
        with self._account() as account:
            return account.verify()

    @contextlib.contextmanager
    def _account(self) -> Iterator[Account]:
        database = open_state(self.settings)
        try:
            master = MasterKey.load(self.settings.path(self.settings.keys.env))
            yield Account(database, master, self.settings.folder)
        finally:
            database.close()


def _events(keys: MonthKeys, connection: Connection) -> list[dict[str, Any]]:
    unseal = keys.unsealer(connection)
    written = list(rows(connection))
    endings = {row.closes: opened(row, unseal)[0] for row in written if row.closes is not None}
    intents = ((row, opened(row, unseal)[0]) for row in written if row.kind == "intent")
    return [
        {"exchange_id": row.exchange_id, **said, "ended": endings.get(row.number) or {}}
        for row, said in intents
        if said
    ]


class CountryA(Node):
    """The country that answers: what lies behind it is changed as its operator would, while it serves."""

    def register(self, *people: Patient) -> None:
        """Put people into the register."""
        rows = [
            ",".join((p.identifier.system, p.identifier.value, p.name.family, " ".join(p.name.given), p.birth_date, p.gender))
            for p in people
        ]  # fmt: skip
        file = self.settings.folder / f"register-{secrets.token_hex(4)}.csv"
        file.write_text("\n".join([REGISTER_COLUMNS, *rows]) + "\n", encoding="utf-8")
        self._done("import-patients", file)

    def take_in(self, *paths: Path) -> None:
        """Bring images and reports into the archive."""
        self._done("import", *paths)

    def say(self, patient: PatientIdentifier, kind: str, scope: str | None = None, *, withdraw: bool = False) -> None:
        """Keep what a patient says: `opt-out`, `restrict-study` with a UID, …; or take it back."""
        words = [f"--{kind}", *([scope] if scope is not None else []), *(["--withdraw"] if withdraw else [])]
        self._done("consent", "set", "--patient", f"{patient.system}|{patient.value}", *words)

    def kept(self, study_instance_uid: str | None = None) -> list[Row[Any]]:
        """The archive's rows of a study, or of all."""
        database = open_index(self.settings)
        try:
            return database.read_now(lambda c: list_instances(c, study_instance_uid, 0, 1_000_000))
        finally:
            database.close()

    def _done(self, *words: object) -> None:
        ended = self.command(*words, "--json")
        if ended.returncode:
            raise RuntimeError(f"`{words[0]}` of {self.country} ended with {ended.returncode}: {ended.stderr[-300:]}")


class CountryB(Node):
    """The country that asks."""

    @contextlib.asynccontextmanager
    async def asking(self, login: str = RADIOLOGIST) -> AsyncIterator[Asking]:
        """A professional at work, who has not looked for anybody yet."""
        async with asking(self.settings) as client:
            professional = replace(speak_for(self.settings, login), session=secrets.token_hex(16))
            place = professional.organisation
            point = PointOfCare(place.identifier or place.name, place.name, self.country)
            yield Asking(client, new_visit(professional, point, Purpose.TREAT, client.clock(), client.roles))

    @contextlib.asynccontextmanager
    async def visit(self, patient: Patient, login: str = RADIOLOGIST) -> AsyncIterator[Asking]:
        """A visit to a patient of Country A: found by identifier, family name and birth date, the relationship confirmed."""
        async with self.asking(login) as visit:
            await visit.find(patient)
            visit.confirm()
            yield visit


@dataclass
class InMemory:
    """A shelf for a few small instances: their bytes by SOP Instance UID."""

    files: dict[str, bytes] = field(default_factory=dict)
    _arriving: bytearray = field(default_factory=bytearray)

    def begin(self) -> None:
        self._arriving = bytearray()

    def write(self, view: bytes | memoryview) -> None:
        self._arriving += view

    async def keep(self, arrived: Arrived) -> None:
        self.files[arrived.header.sop_instance_uid] = bytes(self._arriving)

    def drop(self) -> None:
        self._arriving = bytearray()


@dataclass
class Asking:
    """One professional, one patient: the four questions, and what comes of them."""

    client: Client
    visit: Visit
    country: str = ANSWERING

    async def find(self, patient: Patient) -> Patient:
        """Look for the one person. Raises PatientNotFound."""
        query = PatientQuery((patient.identifier,), family=patient.name.family, birth_date=patient.birth_date)
        found = await patients.find_patients(self.client, self.visit, self.country, query)
        self.visit = self.visit.found(self.country, found)
        return found

    def confirm(self) -> None:
        """The professional states: identity document seen, notice given, treatment relationship confirmed now."""
        now, point = self.client.clock(), self.visit.point_of_care
        encounter = secrets.token_urlsafe(12)
        relationship = TreatmentRelationship(
            self.visit.purpose, "id-document", self.country, now, "1", "en", True, encounter, now, point
        )
        self.visit = replace(self.visit, relationship=relationship)

    def declare(self, words: str) -> None:
        """The professional declares an emergency."""
        self.confirm()
        who, bond = self.visit.professional, self.visit.relationship
        assert bond is not None  # confirmed just now
        emergency = Emergency("unconscious", words, datetime.fromtimestamp(who.auth_time, UTC))
        bond = replace(bond, purpose=Purpose.BTG, method="unable", emergency=emergency)
        self.visit = replace(self.visit, purpose=Purpose.BTG, relationship=bond)

    async def find_documents(self, query: DocumentQuery = DocumentQuery()) -> tuple[Document, ...]:
        return await documents.find_documents(self.client, self.visit, self.country, query)

    async def examinations(self) -> list[Examination]:
        """Studies with their reports beside them, newest first."""
        return pair(await self.find_documents())

    async def get_report(self, document: Document) -> tuple[ImagingReport, bytes]:
        return await documents.get_report(self.client, self.visit, self.country, document.id)

    async def get_manifest(self, document: Document) -> tuple[Manifest, bytes]:
        return await documents.get_described(self.client, self.visit, self.country, document)

    async def get_images(self, *uids: str) -> dict[str, bytes]:
        """The instances of a study, a series, or one instance: their bytes by SOP Instance UID."""
        shelf = InMemory()
        async for _ in images.get_images(self.client, self.visit, self.country, ImagesQuery(*uids), shelf):
            pass
        return shelf.files

    async def get_metadata(self, *uids: str) -> tuple[bytes, ...]:
        """The DICOM JSON of every instance of a study, a series, or of one instance."""
        return await images.get_metadata(self.client, self.visit, self.country, ImagesQuery(*uids))


@dataclass(frozen=True, slots=True)
class Pair:
    """One exchange as both trails tell it, under one exchange id; None where a trail has nothing."""

    a: Exchange | None
    b: Exchange | None


class Since:
    """What both trails say of the exchanges since a moment."""

    def __init__(self, a: CountryA, b: CountryB) -> None:
        self._a, self._b = a, b
        self._before = {each.exchange_id for node in (a, b) for each in node.exchanges(patience_s=0)}

    def pairs(self) -> list[Pair]:
        """Oldest first, when everything has its ending; at the latest after some seconds, as it is then."""
        deadline = time.monotonic() + CLOSED_S
        while True:
            a, b = (self._new(node) for node in (self._a, self._b))
            ended = all(e.outcome != "open" for e in (*a.values(), *b.values()))
            if (ended and set(b) <= set(a)) or time.monotonic() > deadline:
                return [Pair(a.get(number), b.get(number)) for number in dict.fromkeys((*b, *a))]
            time.sleep(0.05)

    def _new(self, node: Node) -> dict[str, Exchange]:
        return {e.exchange_id: e for e in reversed(node.exchanges(patience_s=0)) if e.exchange_id not in self._before}


@dataclass(frozen=True)
class TwoCountries:
    """Country A answers, Country B asks."""

    a: CountryA
    b: CountryB
    demo: Demo

    def since(self) -> Since:
        """From now on."""
        return Since(self.a, self.b)


def prepare(folder: Path, source: Path | None = None) -> None:
    """Make a folder of two countries with the stories of the demonstration; or copy one that is at rest, which is faster."""
    if source is not None:
        shutil.copytree(source, folder, dirs_exist_ok=True)
        return
    Demo(folder, choose_ports(0, 0, _silent), _silent).prepare()


@contextlib.contextmanager
def at_hand(
    folder: Path, source: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[TwoCountries]:
    """Both countries on free ports, not running: who has changed what lies behind them says `countries.demo.start()`. Ended afterwards."""
    if source is not None:
        prepare(folder, source)
    demo = Demo(folder, choose_ports(0, 0, _silent), _silent, environment=environment)
    demo.prepare()
    try:
        yield TwoCountries(CountryA("AA", demo), CountryB("BB", demo), demo)
    finally:
        demo.stop()


@contextlib.contextmanager
def two_countries(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[TwoCountries]:
    """Start both nodes on free ports; end them afterwards. `environment` adds to that of the nodes' processes."""
    with at_hand(folder, environment=environment) as countries:
        countries.demo.start()
        yield countries


def _silent(words: str) -> None:
    """Nobody waits for the demo's words."""
