"""A study is never held whole: 200 MiB from Country A to a folder in Country B, and what is left when someone hangs up in the middle."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from isthmus.audit.account import Exchange
from isthmus.demo.people import PATIENT_SYSTEM
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.testing.memory import Watched
from isthmus.testing.studies import SyntheticStudy
from isthmus.testing.two_countries import Pair, Since, TwoCountries, prepare, two_countries

pytestmark = pytest.mark.timeout(180)

MIB = 1 << 20
MOST_RESIDENT_MIB = 200
LOOKS, HALF = 3, 50
PERSON = Patient(
    PatientIdentifier(PATIENT_SYSTEM, "8800000001"), (HumanName("Makros", ("Milo",)),), "1955-05-05", "male"
)
STUDY = SyntheticStudy(seed=200, patient=PERSON, instances=100, series_size=50, rows=1024, columns=1024)  # 2 MiB each


@pytest.fixture(scope="module")
def countries(at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoCountries]:
    """A pair with a large study behind Country A."""
    folder = tmp_path_factory.mktemp("streaming")
    prepare(folder / "pair", at_rest)
    with two_countries(folder / "pair") as running:
        STUDY.write(folder / "made")
        running.a.register(PERSON)
        running.a.take_in(folder / "made")
        shutil.rmtree(folder / "made")
        yield running
    shutil.rmtree(folder)


def words(out: Path) -> list[str]:
    """The visit that fetches the study, as it is typed."""
    return [
        "visit", "--as", "radiologist", "--country", "AA", "--identifier", f"{PERSON.identifier.system}|{PERSON.identifier.value}",
        "--family", PERSON.name.family, "--birth-date", PERSON.birth_date, "images", STUDY.study_instance_uid,
        "--out", str(out), "--json",
    ]  # fmt: skip


def kept(out: Path) -> list[Path]:
    return sorted(out.rglob("*.dcm"))


@pytest.mark.requirement("WAD-11")
def test_a_study_of_200_mib_crosses_and_nobody_holds_it(countries: TwoCountries, tmp_path: Path) -> None:
    since = countries.since()

    asking = subprocess.Popen(
        countries.b.command_line(*words(tmp_path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with Watched({"A": countries.a.pid, "B": countries.b.pid, "visit": asking.pid}) as watched:
        said, errors = asking.communicate()

    assert asking.returncode == 0, errors
    told = json.loads(said)
    assert (told["count"], told["missing"]) == (100, [])
    assert told["bytes"] > MOST_RESIDENT_MIB * MIB
    assert {name: size for name, size in watched.peak_mib.items() if size >= MOST_RESIDENT_MIB} == {}
    assert set(watched.peak_mib) == {"A", "B", "visit"}
    rows = {row.sop_instance_uid: row.sha256 for row in countries.a.kept(STUDY.study_instance_uid)}
    assert {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in kept(tmp_path)} == rows
    pair = of_images(since)
    assert pair.a is not None
    assert pair.b is not None
    assert (pair.a.outcome, pair.b.outcome, pair.a.instances, pair.b.instances) == ("complete", "complete", 100, 100)


def of_images(since: Since) -> Pair:
    (pair,) = [p for p in since.pairs() if p.a is not None and p.a.transaction == "RAD-107"]
    return pair


def interrupted(countries: TwoCountries, out: Path, how: int) -> tuple[int, float, Since]:
    """Ask, and when some images are there, end it; gives its exit status, when it was told, and what the trails say since.

    A busy machine may look so late that everything has come: then it is asked once more.
    """
    for _ in range(LOOKS):
        since = countries.since()
        with (out / "words").open("wb") as errors:
            asking = subprocess.Popen(countries.b.command_line(*words(out)), stdout=subprocess.DEVNULL, stderr=errors)
        wait_for(lambda: bool(kept(out)) or asking.poll() is not None, 60)  # noqa: B023  # called at once
        if asking.poll() is None:
            os.kill(asking.pid, signal.SIGSTOP)  # nothing more comes while we count
            in_the_middle, told_at = len(kept(out)) < HALF, time.time()
            if in_the_middle:
                os.kill(asking.pid, how)
            os.kill(asking.pid, signal.SIGCONT)
            if in_the_middle:
                return asking.wait(10), told_at, since
        assert asking.wait(30) == 0
        shutil.rmtree(out / STUDY.study_instance_uid)
    raise AssertionError("it was over before it could be interrupted")


def closed_s(exchange: Exchange, since: float) -> float:
    """How long after a moment a record was closed."""
    assert exchange.closed is not None
    return datetime.fromisoformat(exchange.closed).timestamp() - since


def wait_for(what: Callable[[], bool], within_s: float) -> None:
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < within_s, "it goes on"
        time.sleep(0.02)


def newest(countries: TwoCountries) -> Exchange:
    """The newest image exchange in Country A's trail."""
    return next(e for e in countries.a.exchanges(20) if e.transaction == "RAD-107")


@pytest.mark.fault("F43")
def test_ctrl_c_in_the_middle_ends_both_at_once_and_leaves_whole_files(countries: TwoCountries, tmp_path: Path) -> None:
    status, told_at, since = interrupted(countries, tmp_path, signal.SIGINT)

    assert status == 130
    assert "Traceback" not in (tmp_path / "words").read_text()
    pair = of_images(since)
    assert pair.a is not None
    assert pair.b is not None
    assert closed_s(pair.a, told_at) < 1
    assert closed_s(pair.b, told_at) < 1
    assert (pair.a.outcome, pair.a.reason, pair.b.outcome) == ("incomplete", "hang-up", "incomplete")
    assert 1 <= len(kept(tmp_path)) < 100
    assert_whole(countries, tmp_path)
    note = json.loads((tmp_path / STUDY.study_instance_uid / "received.json").read_bytes())
    assert len(note["missing"]) == 100 - len(kept(tmp_path))


def assert_whole(countries: TwoCountries, out: Path) -> None:
    """What lies there under a name is whole."""
    rows = {row.sop_instance_uid: row.sha256 for row in countries.a.kept(STUDY.study_instance_uid)}
    for path in kept(out):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == rows[path.stem]


@pytest.mark.fault("F43")
@pytest.mark.threat("T76")
def test_a_visit_that_is_killed_is_incomplete_in_both_trails(countries: TwoCountries, tmp_path: Path) -> None:
    _, told_at, since = interrupted(countries, tmp_path, signal.SIGKILL)
    wait_for(lambda: newest(countries).outcome != "open", 5)
    cut = newest(countries)

    mended = countries.b.command(*words(tmp_path), "--resume")

    assert (cut.outcome, cut.reason) == ("incomplete", "hang-up")
    assert closed_s(cut, told_at) < 1
    assert mended.returncode == 0, mended.stderr
    assert json.loads(mended.stdout)["count"] == 100
    assert_whole(countries, tmp_path)
    pairs = {p.b.exchange_id: p for p in since.pairs() if p.b is not None}
    of_b = pairs[cut.exchange_id].b
    assert of_b is not None
    assert (of_b.outcome, of_b.reason) == ("incomplete", "interrupted")
    assert [p for p in pairs.values() if p.b is None or p.b.outcome == "open"] == []
    assert [path.name for path in tmp_path.rglob(".part-*")] == []
    for node in (countries.a, countries.b):
        assert node.verified().problems == []
