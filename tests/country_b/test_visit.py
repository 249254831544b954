"""A visit in the state database: one professional's, for a time, unreadable at rest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from isthmus.consent.roles import Act
from isthmus.country_b.spool import Spool
from isthmus.country_b.visit import Visit, Visits, new_visit
from isthmus.errors import ContentMismatch, InsufficientRights, PatientNotFound, TooLarge
from isthmus.model.context import PointOfCare, Purpose
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HealthProfessional, HumanName, Organisation, Patient
from isthmus.storage.database import Database
from isthmus.storage.schema import country_b as _tables  # noqa: F401
from isthmus.storage.schema.metadata import STATE
from isthmus.storage.sealed import MasterKey

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DOCTOR = HealthProfessional("d-1", "Dr A", "2212", Organisation("Hospital"))
COLLEAGUE = replace(DOCTOR, sub="d-2")
PATIENT = Patient(
    PatientIdentifier("urn:oid:2.999.1", "SECRET-77"),
    (HumanName("Secretname", ("Eva",)),),
    "1970-01-01",
    "female",
    "h1",
)
pytestmark = pytest.mark.anyio


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "state.sqlite", STATE)
    database.create()
    yield database
    database.close()


@pytest.fixture
def master(tmp_path: Path) -> MasterKey:
    MasterKey.make(tmp_path / "env.key")
    return MasterKey.load(tmp_path / "env.key")


@pytest.fixture
def visits(database: Database, master: MasterKey, clock: Clock) -> Visits:
    return Visits(database, master, clock)


def a_visit() -> Visit:
    return new_visit(DOCTOR, PointOfCare("h", "Hospital", "BB"), Purpose.TREAT, START).found("AA", PATIENT)


async def test_a_kept_visit_is_found_again_as_it_was(visits: Visits) -> None:
    visit = a_visit()

    await visits.keep(visit)

    assert await visits.find(visit.id, DOCTOR) == visit


async def test_a_colleague_does_not_find_it(visits: Visits) -> None:
    visit = a_visit()
    await visits.keep(visit)

    with pytest.raises(InsufficientRights):
        await visits.find(visit.id, COLLEAGUE)


async def test_fifteen_idle_minutes_end_it_and_use_keeps_it(visits: Visits, clock: Clock) -> None:
    visit = a_visit()
    await visits.keep(visit)
    for _ in range(3):
        clock.pass_(minutes=10)
        await visits.find(visit.id, DOCTOR)
    clock.pass_(minutes=16)

    with pytest.raises(InsufficientRights):
        await visits.find(visit.id, DOCTOR)


async def test_being_looked_at_by_an_open_page_does_not_keep_it(visits: Visits, clock: Clock) -> None:
    visit = a_visit()
    await visits.keep(visit)

    clock.pass_(minutes=10)
    assert await visits.find(visit.id, DOCTOR, used=False) == visit
    clock.pass_(minutes=6)

    with pytest.raises(InsufficientRights):
        await visits.find(visit.id, DOCTOR)


async def test_two_hours_end_it_however_busy(visits: Visits, clock: Clock) -> None:
    visit = a_visit()
    await visits.keep(visit)
    for _ in range(11):
        clock.pass_(minutes=10)
        await visits.find(visit.id, DOCTOR)
    clock.pass_(minutes=10)

    assert await visits.ended() == [visit.id]


async def test_nothing_of_the_patient_lies_readable_at_rest(visits: Visits, database: Database, tmp_path: Path) -> None:
    await visits.keep(a_visit())
    database.close()

    stored = b"".join(path.read_bytes() for path in tmp_path.glob("state.sqlite*"))
    assert b"SECRET-77" not in stored
    assert b"Secretname" not in stored


async def test_a_country_that_was_not_asked_has_no_patient(visits: Visits) -> None:
    with pytest.raises(PatientNotFound):
        a_visit().patient_in("CC")


@pytest.mark.parametrize(
    ("role", "act"), [("2221", Act.PIXELS), ("3211", Act.REPORT), ("4110", Act.IDENTIFY), ("9999", Act.LIST)]
)
async def test_a_role_is_refused_here_before_anything_is_sent(role: str, act: Act) -> None:
    visit = new_visit(replace(DOCTOR, role=role), PointOfCare("h", "Hospital", "BB"), Purpose.TREAT, START)

    with pytest.raises(InsufficientRights) as caught:
        visit.require(act)

    assert caught.value.reason == "role"


class TestTheSpool:
    """What arrived for a visit."""

    @pytest.fixture
    def spool(self, tmp_path: Path, database: Database, master: MasterKey, clock: Clock) -> Spool:
        return Spool(tmp_path / "spool", database, master, clock, limit_bytes=3 << 20)

    async def kept(self, spool: Spool, visit: str, item: str, content: bytes) -> None:
        arriving = spool.begin()
        arriving.write(content)
        await spool.keep(visit, arriving, item)

    async def test_gives_back_what_was_kept_and_only_for_that_visit(self, spool: Spool) -> None:
        await self.kept(spool, "v1", "1.2.3", b"pixels" * 1000)

        mine, other = await spool.find("v1", "1.2.3"), await spool.find("v2", "1.2.3")

        assert mine is not None
        assert mine.read(0, mine.size_bytes) == b"pixels" * 1000
        assert other is None

    async def test_keeps_nothing_readable_on_disk_and_no_name(self, spool: Spool, tmp_path: Path) -> None:
        await self.kept(spool, "v1", "1.2.3", b"PATIENT-NAME" * 1000)

        (file,) = (tmp_path / "spool").iterdir()
        assert b"PATIENT" not in file.read_bytes()
        assert "1.2.3" not in file.name

    async def test_forgets_keys_and_files_with_the_visit(self, spool: Spool, tmp_path: Path) -> None:
        await self.kept(spool, "v1", "a", b"x" * 100)

        await spool.forget("v1")

        assert await spool.find("v1", "a") is None
        assert list((tmp_path / "spool").iterdir()) == []

    async def test_is_bounded(self, spool: Spool) -> None:
        await self.kept(spool, "v1", "a", b"x" * (2 << 20))

        with pytest.raises(TooLarge):
            await self.kept(spool, "v1", "b", b"x" * (2 << 20))

    @pytest.mark.threat("T109")
    async def test_a_file_put_in_anothers_place_is_an_error(self, spool: Spool, tmp_path: Path) -> None:
        await self.kept(spool, "v1", "a", b"first" * 100)
        (first,) = (tmp_path / "spool").iterdir()
        await self.kept(spool, "v1", "b", b"other" * 100)
        (second,) = set((tmp_path / "spool").iterdir()) - {first}
        first.write_bytes(second.read_bytes())

        async def read() -> bytes:
            reader = await spool.find("v1", "a")
            return reader.read(0, 10) if reader else b""

        with pytest.raises(ContentMismatch):
            await read()

    async def test_files_that_no_row_names_are_swept_but_not_what_still_arrives(
        self, spool: Spool, tmp_path: Path, clock: Clock
    ) -> None:
        left, arriving = tmp_path / "spool" / "left", tmp_path / "spool" / "arriving"
        for file, age_s in ((left, 3600), (arriving, 5)):
            file.write_bytes(b"x")
            os.utime(file, (clock().timestamp() - age_s,) * 2)

        await spool.sweep()

        assert (left.exists(), arriving.exists()) == (False, True)

    async def test_what_came_after_the_end_of_its_visit_is_swept(self, spool: Spool) -> None:
        await spool.forget("v1")
        await self.kept(spool, "v1", "late", b"x" * 100)

        await spool.sweep()

        assert await spool.find("v1", "late") is None

    async def test_what_came_again_takes_the_place_of_the_first(self, spool: Spool, tmp_path: Path) -> None:
        await self.kept(spool, "v1", "a", b"first")
        await self.kept(spool, "v1", "a", b"again")

        reader = await spool.find("v1", "a")

        assert reader is not None
        assert reader.read(0, 10) == b"again"
        assert len(list((tmp_path / "spool").iterdir())) == 1

    async def test_one_file_without_end_is_stopped_while_it_arrives(self, spool: Spool) -> None:
        arriving = spool.begin()
        for _ in range(3):
            arriving.write(b"x" * (1 << 20))

        with pytest.raises(TooLarge):
            arriving.write(b"x")
