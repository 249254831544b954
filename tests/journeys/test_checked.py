"""`isthmus check` against what runs: a live border, and everything that it serves of a patient, has no error.

Source: interfaces.md §2; wire.md §6.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.conformance.packed import packed
from tests.engines.judge.definitions import definitions

from isthmus import telemetry
from isthmus.config import Conformance
from isthmus.conformance.watch import Watch
from isthmus.country_b.documents import get_kos
from isthmus.country_b.probe import QUESTIONS
from isthmus.demo.people import PEOPLE
from isthmus.model.documents import DocumentKind
from isthmus.testing.two_countries import TwoCountries
from isthmus.wire.packs.pack import load_pack

pytestmark = pytest.mark.anyio


def checked(countries: TwoCountries, *words: object) -> tuple[int, Any]:
    done = countries.b.command("check", *words, "--json")
    assert done.stderr == ""
    return done.returncode, orjson.loads(done.stdout)


def who_asks() -> list[str]:
    """A visit to a patient, as words of the command."""
    eleni = PEOPLE["eleni"]
    number = f"{eleni.identifier.system}|{eleni.identifier.value}"
    words = ["--as", "radiologist", "--identifier", number, "--family", eleni.name.family]
    return [*words, "--birth-date", eleni.birth_date, "--given", eleni.name.given[0], "--gender", eleni.gender]


def test_a_live_border_has_no_error(countries: TwoCountries) -> None:
    border = countries.demo.ready()["countries"]["AA"]["border"]

    code, answer = checked(countries, "--border", border)

    assert (code, answer["findings"]) == (0, [])
    assert [one["kind"] for one in answer["files"]] == ["border of AA"]


def test_what_a_live_border_tells_of_a_patient_has_no_error_and_stands_on_both_trails(countries: TwoCountries) -> None:
    ready = countries.demo.ready()
    before = len(countries.b.exchanges())

    code, answer = checked(countries, "--border", ready["countries"]["AA"]["border"], *who_asks())

    assert (code, answer["findings"]) == (0, [])
    asked = {one.transaction for one in countries.b.exchanges()[: len(countries.b.exchanges()) - before]}
    assert {"ITI-78", "ITI-67", "ITI-68", "RAD-107"} <= asked


def test_what_a_live_border_answers_fulfils_the_profiles_of_a_package(countries: TwoCountries, tmp_path: Path) -> None:
    package = packed(tmp_path / "drafts.tgz", definitions(load_pack()))

    code, answer = checked(
        countries, "--border", countries.demo.ready()["countries"]["AA"]["border"], *who_asks(), "--package", package
    )

    assert code == 0
    assert [one["kind"] for one in answer["files"]] == ["FHIR package", "border of AA"]
    assert {one["severity"] for one in answer["findings"]} <= {"information"}
    assert any(one["rule"] == "PROFILE-unchecked" for one in answer["findings"]), "the profiles were asked for"


def test_it_says_how_far_a_border_was_asked(countries: TwoCountries) -> None:
    border = countries.demo.ready()["countries"]["AA"]["border"]

    alone = countries.b.command("check", "--border", border).stdout
    visited = countries.b.command("check", "--border", border, *who_asks()).stdout

    assert f"{len(QUESTIONS)} questions, of no patient" in alone
    counted = re.search(r"entries of the list (\d+), documents (\d+), images (\d+)", visited)
    assert counted is not None
    assert all(int(number) > 0 for number in counted.groups())


def test_a_border_that_the_trust_list_does_not_have_is_not_asked_and_those_that_it_has_are_named(
    countries: TwoCountries,
) -> None:
    code, answer = checked_badly(countries, "https://127.0.0.1:1")

    assert code == 2
    assert "trust list" in answer["error"]["message"]
    assert countries.demo.ready()["countries"]["AA"]["border"] in answer["error"]["message"]


def checked_badly(countries: TwoCountries, border: str) -> tuple[int, Any]:
    done = countries.b.command("check", "--border", border, "--json")
    return done.returncode, orjson.loads(done.stdout)


async def test_what_is_served_of_an_examination_has_no_error_and_agrees(
    countries: TwoCountries, tmp_path: Path
) -> None:
    async with countries.b.visit(PEOPLE["eleni"]) as visit:
        examinations = await visit.examinations()
        for number, examination in enumerate(examinations):
            assert examination.manifest is not None
            manifest, body = await visit.get_manifest(examination.manifest)
            (tmp_path / f"{number}.json").write_bytes(body)
            twin = examination.manifests[DocumentKind.MANIFEST_KOS]
            (tmp_path / f"{number}.dcm").write_bytes((await get_kos(visit.client, visit.visit, "AA", twin.id))[1])
            for report in examination.reports:
                (tmp_path / f"r{report.id}.json").write_bytes((await visit.get_report(report))[1])
            for sop, image in (await visit.get_images(manifest.study.study_instance_uid)).items():
                (tmp_path / f"i{sop}").write_bytes(image)

    code, answer = checked(countries, tmp_path)

    assert (code, [one for one in answer["findings"] if one["severity"] != "information"]) == (0, [])
    assert {"FHIR manifest", "DICOM manifest", "FHIR report", "DICOM instance"} <= {f["kind"] for f in answer["files"]}


def unfulfilled_by(country: str) -> dict[str, float]:
    """How often which requirement was counted as not kept by a country, in this process."""
    samples = [sample for family in telemetry.UNFULFILLED.collect() for sample in family.samples]
    return {
        s.labels["requirement"]: s.value for s in samples if s.name.endswith("_total") and s.labels["peer"] == country
    }


async def test_a_watch_that_looks_at_every_answer_finds_nothing_in_our_own(countries: TwoCountries) -> None:
    looked, before = list[float](), unfulfilled_by("AA")  # what other tests of this process made of it is not ours

    def always() -> float:
        looked.append(0.0)
        return 0.0

    async with countries.b.visit(PEOPLE["eleni"]) as visit:
        visit.client.watch = Watch(Conformance(sample=1.0, whole=1.0, severity="information"), dice=always)
        for examination in await visit.examinations():
            assert examination.manifest is not None
            await visit.get_manifest(examination.manifest)
            for report in examination.reports:
                await visit.get_report(report)
        visit.client.watch.close()

    assert len(looked) >= 3
    assert unfulfilled_by("AA") == before


async def test_a_watcher_that_breaks_fails_no_exchange(countries: TwoCountries) -> None:
    async with countries.b.visit(PEOPLE["eleni"]) as visit:
        watch = visit.client.watch = Watch(Conformance(sample=1.0), dice=lambda: 0.0)
        watch._worker = ThreadPoolExecutor(1)
        watch._worker.shutdown()

        examinations = await visit.examinations()

    assert examinations
    assert countries.b.exchanges()[0].outcome == "complete"
