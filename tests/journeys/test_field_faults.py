"""Faults from the field that only show end to end: dates that a time zone moves, references that do not find what they name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pydicom
import pytest

from isthmus.demo.people import PATIENT_SYSTEM, PEOPLE
from isthmus.demo.reports import reports
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.testing.studies import SyntheticStudy
from isthmus.testing.two_countries import TwoCountries, prepare, two_countries
from isthmus.wire.report.document import original_of

NEW_YEAR = Patient(
    PatientIdentifier(PATIENT_SYSTEM, "7700000001"), (HumanName("Protochronia", ("Pia",)),), "1970-01-01", "female"
)
NIGHT = SyntheticStudy(
    seed=13, patient=NEW_YEAR, instances=1, rows=8, columns=8, study_date="20201025", accession_number="NIGHT-1"
)
ZONES = {"A": "America/Los_Angeles", "B": "Pacific/Kiritimati"}


@dataclass(frozen=True)
class Given:
    """Two countries whose machines stand in other time zones than their hospitals."""

    countries: TwoCountries

    def visit(self, patient: Patient, *verb: object) -> Any:
        identifier = f"{patient.identifier.system}|{patient.identifier.value}"
        who = ["--identifier", identifier, "--family", patient.name.family, "--birth-date", patient.birth_date]
        zone = {**os.environ, "TZ": ZONES["B"]}
        words = ("visit", "--as", "radiologist", "--country", "AA", *who, *verb, "--json")
        ended = self.countries.b.command(*words, environment=zone)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def given(at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    folder = tmp_path_factory.mktemp("zones")
    prepare(folder / "pair", at_rest)
    (file,) = NIGHT.write(folder / "made")
    image = pydicom.dcmread(file)
    image.StudyTime, image.TimezoneOffsetFromUTC = "001500", "+0200"
    image.save_as(file)
    with two_countries(folder / "pair", {"TZ": ZONES["A"]}) as countries:
        countries.a.register(NEW_YEAR)
        ended = countries.a.command("import", file, environment={**os.environ, "TZ": ZONES["A"]})
        assert ended.returncode == 0, ended.stderr
        yield Given(countries)


@pytest.mark.fault("F13")
def test_no_time_zone_moves_a_birth_date(given: Given, tmp_path: Path) -> None:
    person = given.visit(NEW_YEAR, "find")["patient"]
    (examination,) = given.visit(NEW_YEAR, "list")["examinations"]
    manifest = tmp_path / "manifest.json"
    given.visit(
        NEW_YEAR,
        "get",
        examination["study"]["documents"]["manifest-fhir"],
        "--form",
        "manifest-fhir",
        "--out",
        manifest,
    )

    told = [entry["resource"] for entry in json.loads(manifest.read_bytes())["entry"]]
    assert person["birthDate"] == "1970-01-01"
    assert [r["birthDate"] for r in told if r["resourceType"] == "Patient"] == ["1970-01-01"]


@pytest.mark.fault("F13")
def test_no_time_zone_moves_a_study_of_the_night(given: Given, tmp_path: Path) -> None:
    study = NIGHT.study_instance_uid
    (examination,) = given.visit(NEW_YEAR, "list")["examinations"]
    given.visit(NEW_YEAR, "images", study, "--out", tmp_path)

    (came,) = tmp_path.rglob("*.dcm")
    image = pydicom.dcmread(came)
    assert examination["study"]["started"] == "2020-10-25T00:15:00+02:00"
    assert (image.StudyDate, image.StudyTime, image.PatientBirthDate) == ("20201025", "001500", "19700101")


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    ("first", "last", "found"),
    [("2020-10-25", "2020-10-25", 1), ("2020-10-26", "2020-10-31", 0), ("2020-10-01", "2020-10-24", 0)],
)
def test_a_day_that_is_asked_for_is_the_hospitals_day(given: Given, first: str, last: str, found: int) -> None:
    assert len(given.visit(NEW_YEAR, "list", "--from", first, "--to", last)["examinations"]) == found


@pytest.mark.fault("F13")
def test_no_time_zone_moves_the_dates_of_a_report(given: Given, tmp_path: Path) -> None:
    eleni, out = PEOPLE["eleni"], tmp_path / "report.json"
    (source,) = (report for report in reports().values() if report.person == "eleni")
    (examination,) = given.visit(eleni, "list")["examinations"]
    given.visit(eleni, "get", examination["reports"][0]["id"], "--out", out)

    assert json.loads(out.read_bytes()) == json.loads(source.bundle.read_bytes())
    assert examination["study"]["started"] == "2026-10-14T08:31:17+03:00"


# references

Rewrite = Callable[[dict[str, Any], str], tuple[str, str]]


def written(of: Callable[[str, str], tuple[str, str]], source: Path) -> tuple[bytes, str]:
    """A report with other references, under an identifier of its own. `of` gives fullUrl and reference of a type and an id."""
    bundle = json.loads(source.read_bytes())
    identifier = bundle["identifier"]["value"]
    kinds = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in bundle["entry"]}
    for entry in bundle["entry"]:
        entry["fullUrl"], entry["resource"]["id"] = (
            of(kinds[entry["fullUrl"]], entry["fullUrl"].removeprefix("urn:uuid:"))[0],
            entry["fullUrl"].removeprefix("urn:uuid:"),
        )
        _point(entry["resource"], kinds, of)
    fresh = f"urn:uuid:{uuid4()}"
    return json.dumps(bundle).replace(identifier, fresh).encode(), fresh


def _point(node: Any, kinds: dict[str, str], of: Callable[[str, str], tuple[str, str]]) -> None:
    if isinstance(node, list):
        for item in node:
            _point(item, kinds, of)
    elif isinstance(node, dict):
        target = node.get("reference")
        if isinstance(target, str) and target in kinds:
            node["reference"] = of(kinds[target], target.removeprefix("urn:uuid:"))[1]
        for value in node.values():
            _point(value, kinds, of)


STYLES: dict[str, Callable[[str, str], tuple[str, str]]] = {
    "urn:uuid": lambda kind, uuid: (f"urn:uuid:{uuid}", f"urn:uuid:{uuid}"),
    "urn:uuid in two cases": lambda kind, uuid: (f"urn:uuid:{uuid}", f"urn:uuid:{uuid.upper()}"),
    "relative": lambda kind, uuid: (f"http://ris.aa.example/fhir/{kind}/{uuid}", f"{kind}/{uuid}"),
    "absolute": lambda kind, uuid: (f"http://ris.aa.example/fhir/{kind}/{uuid}", f"http://ris.aa.example/fhir/{kind}/{uuid}"),
}  # fmt: skip


@pytest.mark.anyio
@pytest.mark.fault("F29")
async def test_a_report_is_read_whatever_way_its_references_are_written(given: Given, tmp_path: Path) -> None:
    (source,) = (report for report in reports().values() if report.person == "anton")
    wanted = {}
    for number, style in enumerate(STYLES.values()):
        body, wanted[number] = written(style, source.bundle)
        (tmp_path / f"{number}.json").write_bytes(body)
    given.countries.a.take_in(*(tmp_path / f"{number}.json" for number in wanted))

    told = []
    async with given.countries.b.visit(PEOPLE["anton"]) as visit:
        (examination,) = await visit.examinations()
        for entry in examination.reports:
            _, body = await visit.get_report(entry)
            told.append((entry.title, entry.language, entry.authors, original_of(body)[1]))

    assert len(told) == 1 + len(STYLES)
    assert len(set(told)) == 1
    assert told[0][3] == source.pdf.read_bytes()
