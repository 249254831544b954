"""The long proofs of streaming: a gibibyte from Country A to a folder in Country B; and a trail that mends itself."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from isthmus.demo.people import PATIENT_SYSTEM
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.testing.memory import Watched
from isthmus.testing.studies import SyntheticStudy
from isthmus.testing.two_countries import TwoCountries, prepare, two_countries

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MIB = 1 << 20
MOST_RESIDENT_MIB = 200
PERSON = Patient(
    PatientIdentifier(PATIENT_SYSTEM, "8800000002"), (HumanName("Makros", ("Milo",)),), "1955-05-05", "male"
)
SHAPES = {
    "512 slices": SyntheticStudy(seed=1024, patient=PERSON, rows=1024, columns=1024, instances=512),
    "one image of 512 frames": SyntheticStudy(
        seed=1025, patient=PERSON, rows=1024, columns=1024, instances=1, frames=512
    ),
}


@dataclass(frozen=True)
class Given:
    """Two countries, and a study in one of them."""

    countries: TwoCountries
    study: SyntheticStudy

    def asking(self, out: Path) -> list[str]:
        return self.countries.b.command_line(
            "visit", "--as", "radiologist", "--country", "AA", "--identifier", f"{PERSON.identifier.system}|{PERSON.identifier.value}",
            "--family", PERSON.name.family, "--birth-date", PERSON.birth_date, "images", self.study.study_instance_uid,
            "--out", out, "--json",
        )  # fmt: skip


@pytest.fixture(scope="module", params=SHAPES)
def given(request: pytest.FixtureRequest, at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    study = SHAPES[request.param]
    folder = tmp_path_factory.mktemp("proof")
    prepare(folder / "pair", at_rest)
    with two_countries(folder / "pair") as countries:
        countries.a.register(PERSON)
        study.write(folder / "made")
        countries.a.take_in(folder / "made")
        shutil.rmtree(folder / "made")
        yield Given(countries, study)
    shutil.rmtree(folder)


@pytest.mark.requirement("WAD-11")
def test_a_gibibyte_crosses_and_nobody_holds_it(given: Given, tmp_path: Path) -> None:
    began = time.monotonic()

    asking = subprocess.Popen(given.asking(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with Watched({"A": given.countries.a.pid, "B": given.countries.b.pid, "visit": asking.pid}) as watched:
        said, errors = asking.communicate()
    seconds = time.monotonic() - began

    assert asking.returncode == 0, errors
    told = json.loads(said)
    assert told["bytes"] >= 1024 * MIB
    print(f"\n{told['bytes'] / MIB:.0f} MiB in {seconds:.1f} s; resident at most, MiB: {watched.peak_mib}")
    assert {name: size for name, size in watched.peak_mib.items() if size >= MOST_RESIDENT_MIB} == {}
    rows = {row.sop_instance_uid: row.sha256 for row in given.countries.a.kept(given.study.study_instance_uid)}
    for path in tmp_path.rglob("*.dcm"):
        with path.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == rows.pop(path.stem)
    assert rows == {}
    shutil.rmtree(tmp_path)


def test_what_a_killed_visit_left_open_is_closed_within_a_minute(given: Given, tmp_path: Path) -> None:
    """By Country B's node, which nobody told."""
    asking = subprocess.Popen(given.asking(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any(tmp_path.rglob(".part-*")) and asking.poll() is None:
        time.sleep(0.001)
    os.kill(asking.pid, signal.SIGKILL)
    asking.wait(10)
    began = time.monotonic()

    while (left := newest(given)).endswith("open") and time.monotonic() - began < 60:
        time.sleep(0.5)

    assert left == "RAD-107 incomplete"


def newest(given: Given) -> str:
    last = given.countries.b.exchanges(1)[0]
    return f"{last.transaction} {last.outcome}"
