"""What changes while a visit is open, or while a study is on its way: it counts from the next request, or the next image."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from isthmus.commands.visit_images import fetch_study
from isthmus.country_b.images import get_images
from isthmus.demo.people import PATIENT_SYSTEM, PEOPLE
from isthmus.demo.studies import STUDIES
from isthmus.errors import ContentMismatch, ImagesNotFound, IsthmusError, UntrustedCountry
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.model.queries import ImagesQuery
from isthmus.testing.studies import SyntheticStudy
from isthmus.testing.two_countries import Asking, CountryB, InMemory, Pair, TwoCountries, prepare, two_countries

pytestmark = pytest.mark.anyio
NUMBERS = count(1)


@pytest.fixture(scope="module")
def changing(at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoCountries]:
    """A pair in which things change."""
    folder = tmp_path_factory.mktemp("changing") / "pair"
    prepare(folder, at_rest)
    with two_countries(folder) as running:
        yield running


def new_patient(countries: TwoCountries, folder: Path, **study: Any) -> SyntheticStudy:
    """A new person with one study."""
    number = next(NUMBERS)
    person = Patient(PatientIdentifier(PATIENT_SYSTEM, f"99{number:08d}"), (HumanName("Metabasis", ("Mina",)),), "1980-02-29", "female")  # fmt: skip
    made = SyntheticStudy(seed=1000 + number, patient=person, accession_number=f"MID-{number}", **study)
    made.write(folder / "made")
    countries.a.register(person)
    countries.a.take_in(folder / "made")
    return made


def person_of(study: SyntheticStudy) -> Patient:
    assert study.patient is not None
    return study.patient


# consent


async def test_a_restriction_counts_from_the_next_request_of_an_open_visit(changing: TwoCountries) -> None:
    irini, hidden = PEOPLE["irini"], STUDIES["ct-irini"].study_instance_uid

    async with changing.b.visit(irini) as visit:
        before = await visit.examinations()
        changing.a.say(irini.identifier, "restrict-study", hidden)
        during = await visit.examinations()
        with pytest.raises(ImagesNotFound):
            await visit.get_images(hidden)
        with pytest.raises(IsthmusError) as caught:
            await visit.get_report(before[0].reports[0])
        changing.a.say(irini.identifier, "restrict-study", hidden, withdraw=True)
        after = await visit.examinations()

    assert [len(found) for found in (before, during, after)] == [2, 1, 2]
    assert during[0].started == before[1].started
    assert caught.value.meaning.status == 404


async def taken_slowly(visit: Asking, study: str, pause: Callable[[], Awaitable[None]]) -> int:
    """Fetch a study; after the first image something happens. Gives how many came before it was cut."""
    came = 0

    async def take() -> None:
        nonlocal came
        images = get_images(visit.client, visit.visit, "AA", ImagesQuery(study), InMemory())
        async with contextlib.aclosing(images) as arriving:
            async for _ in arriving:
                came += 1
                if came == 1:
                    await pause()

    with pytest.raises(ContentMismatch) as caught:
        await take()
    assert caught.value.reason == "incomplete"
    return came


def of_images(pairs: list[Pair]) -> Pair:
    (pair,) = [p for p in pairs if p.b is not None and p.b.transaction == "RAD-107"]
    return pair


@pytest.mark.threat("T23")
@pytest.mark.threat("T35")
@pytest.mark.parametrize("said", ["restrict-study", "opt-out"])
async def test_a_study_on_its_way_is_cut_when_the_patient_restricts_it(
    changing: TwoCountries, tmp_path: Path, said: str
) -> None:
    study = new_patient(changing, tmp_path, instances=40, rows=1024, columns=1024)
    since = changing.since()

    async def restrict() -> None:
        scope = study.study_instance_uid if said == "restrict-study" else None
        changing.a.say(person_of(study).identifier, said, scope)
        await asyncio.sleep(1.1)  # asked again after a second

    async with changing.b.visit(person_of(study)) as visit:
        came = await taken_slowly(visit, study.study_instance_uid, restrict)
        listed = await visit.find_documents()

    assert 1 <= came < 40
    assert listed == ()
    told = of_images(since.pairs())
    assert told.a is not None
    assert told.b is not None
    assert (told.a.outcome, told.a.reason) == ("incomplete", "stopped")
    assert (told.b.outcome, told.b.instances) == ("incomplete", came)
    assert told.b.instances <= told.a.instances < 40


async def test_what_one_patient_says_does_not_stop_another(changing: TwoCountries, tmp_path: Path) -> None:
    study = new_patient(changing, tmp_path, instances=20, rows=1024, columns=1024)

    async def another_opts_out() -> None:
        changing.a.say(PEOPLE["noemi"].identifier, "opt-out")
        await asyncio.sleep(1.1)

    async with changing.b.visit(person_of(study)) as visit:
        shelf, came = InMemory(), 0
        async for _ in get_images(visit.client, visit.visit, "AA", ImagesQuery(study.study_instance_uid), shelf):
            came += 1
            if came == 1:
                await another_opts_out()

    assert came == 20


# trust


def unaware(countries: TwoCountries) -> CountryB:
    """Country B as it asks while it has not seen the newest list: what refuses it is Country A."""
    behind = CountryB("BB", countries.demo)
    behind.settings = replace(behind.settings, trust=replace(behind.settings.trust, poll_s=3600.0))
    return behind


@pytest.mark.threat("T03")
async def test_a_suspended_country_is_refused_at_the_next_request_and_comes_back(changing: TwoCountries) -> None:
    since = changing.since()

    async with unaware(changing).visit(PEOPLE["danae"]) as visit:
        assert await visit.find_documents()
        assert changing.a.command("trust", "suspend", "BB").returncode == 0
        try:
            refusal = await until_refused(visit)
            by_command = changing.b.command(*find("danae"))
        finally:
            changing.a.command("trust", "resume", "BB")
        await until_answered(visit)

    assert isinstance(refusal, UntrustedCountry)
    assert by_command.returncode == 3
    assert "Traceback" not in by_command.stderr
    refused = [p for p in since.pairs() if p.a is not None and p.a.outcome == "refused"]
    assert refused
    assert refused[0].a is not None
    assert refused[0].a.reason == "peer-not-trusted"
    assert refused[0].b is not None
    assert refused[0].b.outcome == "refused"


def find(person: str) -> list[str]:
    p = PEOPLE[person]
    who = [
        "--identifier",
        f"{p.identifier.system}|{p.identifier.value}",
        "--family",
        p.name.family,
        "--birth-date",
        p.birth_date,
    ]
    return ["visit", "--as", "radiologist", "--country", "AA", *who, "find"]


async def until_refused(visit: Asking) -> IsthmusError:
    """The list is looked at every other second."""
    for _ in range(60):
        try:
            await visit.find_documents()
        except IsthmusError as error:
            return error
        await asyncio.sleep(0.1)
    raise AssertionError("a suspended country is still answered")


async def until_answered(visit: Asking) -> None:
    for _ in range(60):
        with contextlib.suppress(UntrustedCountry):
            await visit.find_documents()
            return
        await asyncio.sleep(0.1)
    raise AssertionError("a resumed country is still refused")


@pytest.mark.threat("T03")
async def test_a_study_on_its_way_is_cut_when_the_country_is_suspended(changing: TwoCountries, tmp_path: Path) -> None:
    study = new_patient(changing, tmp_path, instances=40, rows=1024, columns=1024)
    since = changing.since()

    async def suspend() -> None:
        changing.a.command("trust", "suspend", "BB")
        await asyncio.sleep(2.2)

    try:
        async with unaware(changing).visit(person_of(study)) as visit:
            came = await taken_slowly(visit, study.study_instance_uid, suspend)
    finally:
        changing.a.command("trust", "resume", "BB")

    assert 1 <= came < 40
    told = of_images(since.pairs())
    assert told.a is not None
    assert told.b is not None
    assert (told.a.outcome, told.a.reason, told.b.outcome) == ("incomplete", "stopped", "incomplete")
    async with changing.b.asking() as again:
        await until_found(again, person_of(study))


async def until_found(visit: Asking, patient: Patient) -> None:
    for _ in range(60):
        with contextlib.suppress(UntrustedCountry):
            await visit.find(patient)
            return
        await asyncio.sleep(0.1)
    raise AssertionError("a resumed country is still refused")


# files


async def fetched(visit: Asking, study: SyntheticStudy, folder: Path, *, resume: bool = False) -> dict[str, Any]:
    return await fetch_study(
        visit.client, visit.visit, "AA", study.study_instance_uid, folder=folder, series=(), instance=None, resume=resume,
        bar=lambda done, total: None,
    )  # fmt: skip


def files(folder: Path, study: SyntheticStudy) -> set[str]:
    return {
        path.stem
        for path in (folder / study.study_instance_uid).rglob("*")
        if path.suffix == ".dcm" or path.name.startswith(".")
    }


def received(folder: Path, study: SyntheticStudy) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads((folder / study.study_instance_uid / "received.json").read_bytes())
    return told


@pytest.mark.requirement("WAD-09", "WAD-12")
@pytest.mark.fault("F39")
async def test_a_blob_that_breaks_off_in_the_middle_leaves_thirteen_of_fourteen(
    changing: TwoCountries, tmp_path: Path
) -> None:
    study = new_patient(changing, tmp_path, instances=14, rows=1024, columns=1024)
    last = study.sop_instance_uid(13)
    row = next(r for r in changing.a.kept(study.study_instance_uid) if r.sop_instance_uid == last)
    blob = changing.a.settings.path(changing.a.settings.blobs) / row.container
    with blob.open("r+b") as file:
        file.truncate(row.offset + row.size // 2)
    since = changing.since()

    async with changing.b.visit(person_of(study)) as visit:
        with pytest.raises(ContentMismatch) as caught:
            await fetched(visit, study, tmp_path / "out")

    assert caught.value.meaning.exit_status == 6
    assert str(caught.value).startswith("13 of 14 images came")
    assert files(tmp_path / "out", study) == {study.sop_instance_uid(number) for number in range(13)}
    assert [m["sop_instance_uid"] for m in received(tmp_path / "out", study)["missing"]] == [last]
    told = of_images(since.pairs())
    assert told.a is not None
    assert told.b is not None
    assert (told.a.outcome, told.a.instances, told.b.outcome, told.b.instances) == ("incomplete", 13, "incomplete", 13)


@pytest.mark.requirement("WAD-12")
@pytest.mark.fault("F39")
async def test_past_a_blob_that_is_gone_the_rest_is_fetched(changing: TwoCountries, tmp_path: Path) -> None:
    study = new_patient(changing, tmp_path, instances=14, rows=64, columns=64)
    gone = study.sop_instance_uid(6)
    with contextlib.closing(sqlite3.connect(changing.a.settings.index_file, isolation_level=None)) as index:
        index.execute("UPDATE instances SET container = 'gone' WHERE sop_instance_uid = ?", (gone,))

    async with changing.b.visit(person_of(study)) as visit:
        with pytest.raises(ContentMismatch) as first:
            await fetched(visit, study, tmp_path / "out")
        with pytest.raises(ContentMismatch) as second:
            await fetched(visit, study, tmp_path / "out", resume=True)

    assert str(first.value).startswith("13 of 14 images came")  # 206: it was known before the first byte
    assert str(second.value).startswith("13 of 14 images came")
    assert [m["sop_instance_uid"] for m in received(tmp_path / "out", study)["missing"]] == [gone]


async def test_another_person_is_not_found_by_the_number_of_a_new_one(changing: TwoCountries, tmp_path: Path) -> None:
    study = new_patient(changing, tmp_path, instances=1, rows=8, columns=8)
    stranger = replace(person_of(study), names=(HumanName("Xenos", ("Mina",)),))

    async with changing.b.asking() as visit:
        with pytest.raises(IsthmusError) as caught:
            await visit.find(stranger)

    assert caught.value.meaning.exit_status == 4
