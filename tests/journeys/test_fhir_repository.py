"""Country AA has its patients and reports in a FHIR repository, its images in the archive: Country B notices nothing.

Source: interfaces.md §7.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select
from tests.journeys.test_forms import visited
from tests.national.fhir.behind import cda, entry, patient_node, studies

from isthmus.demo.people import PEOPLE
from isthmus.demo.reports import reports
from isthmus.storage.database import open_index
from isthmus.storage.schema.archive import documents, formed
from isthmus.testing.engines.fhir_repository import FhirRepository, fhir_repository
from isthmus.testing.two_countries import CountryA, TwoCountries, at_hand
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import read_report

REPORT = "ct-eleni"


@dataclass
class Given:
    countries: TwoCountries
    repository: FhirRepository


@pytest.fixture(scope="module")
def given(at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    folder = tmp_path_factory.mktemp("behind-fhir") / "pair"
    with fhir_repository() as repository, at_hand(folder, at_rest) as countries:
        _put_behind(countries.demo.config("AA"), repository.url)
        _fill(repository)
        _without_reports(countries.a)
        countries.demo.start()
        yield Given(countries, repository)


def _put_behind(file: Path, url: str) -> None:
    """Let patients and reports of the settings be the repository's."""
    text = file.read_text()
    for name in ("register", "reports"):
        before = f'name = "{name}"\nkind = "files"'
        assert before in text
        text = text.replace(before, f'name = "hospital"\nkind = "fhir"\nurl = "{url}"')
    file.write_text(text)


def _without_reports(country: CountryA) -> None:
    """The archive holds images alone."""
    database = open_index(country.settings)
    ours = documents.c.kind.startswith("report-")
    made_of_them = delete(formed).where(formed.c.document.in_(select(documents.c.number).where(ours)))
    for step in (made_of_them, delete(documents).where(ours)):
        database.write_now(lambda connection, step=step: connection.execute(step) and None)  # type: ignore[misc]  # bound at once
    database.close()


def _fill(repository: FhirRepository) -> None:
    told = reports()
    for number, name in enumerate(("eleni", "ilias", "ottilie")):
        repository.put(patient_node(f"p{number}", PEOPLE[name]))
    repository.put_binary("b1", "application/fhir+json", told[REPORT].document.read_bytes())
    repository.put(entry("d1", ("application/fhir+json", "Binary/b1"), patient="p0"))
    pdf = told["dx-ilias"].document.read_bytes()
    repository.put(entry("d2", ("application/pdf", pdf), patient="p1"))
    repository.put(entry("d3", ("text/xml", told["us-ottilie"].document.read_bytes()), patient="p2"))


def _examination(given: Given) -> Any:
    (examination,) = visited(given.countries, "eleni", "list")["examinations"]
    return examination


def test_a_patient_of_the_repository_is_found_and_nobody_else(given: Given) -> None:
    found = visited(given.countries, "eleni", "find")["patient"]
    nobody = visited(given.countries, "markos", "find", status=4)

    assert found["birthDate"] == PEOPLE["eleni"].birth_date
    assert nobody["error"]["code"] == "no-match"


def test_a_report_of_the_repository_stands_beside_its_study_and_opens(given: Given, tmp_path: Path) -> None:
    examination = _examination(given)
    (report,) = examination["reports"]
    out = tmp_path / "report.json"

    visited(given.countries, "eleni", "get", report["id"], "--out", out)

    assert examination["study"]["instance_count"] > 1
    assert json.loads(out.read_bytes()) == json.loads(reports()[REPORT].document.read_bytes())


def test_a_pdf_of_the_repository_opens_as_it_is_held(given: Given, tmp_path: Path) -> None:
    listed = visited(given.countries, "ilias", "list")["examinations"]
    uid = next(one["study"]["study_instance_uid"] for one in listed if one["study"])
    pdf = reports()["dx-ilias"].document.read_bytes()
    given.repository.put(entry("d2", ("application/pdf", pdf), patient="p1", context=studies(uid)))

    (examination,) = visited(given.countries, "ilias", "list")["examinations"]
    (report,) = examination["reports"]
    visited(given.countries, "ilias", "get", report["id"], "--form", "original", "--out", tmp_path / "x")

    assert (tmp_path / "x").read_bytes() == pdf


@pytest.mark.parametrize(("person", "name"), [("ilias", "dx-ilias"), ("ottilie", "us-ottilie")])
def test_a_pdf_and_a_cda_of_the_repository_come_as_the_european_document_and_as_they_are_held(
    given: Given, tmp_path: Path, person: str, name: str
) -> None:
    told = [one for one in visited(given.countries, person, "list")["examinations"] if one["reports"]]
    (report,) = told[0]["reports"]
    for form in ("structured", "original"):
        visited(given.countries, person, "get", report["id"], "--form", form, "--out", tmp_path / form)
    read = read_report((tmp_path / "structured").read_bytes(), load_pack())

    assert report["forms"] == ["structured", "original"]
    assert (tmp_path / "original").read_bytes() == reports()[name].document.read_bytes()
    assert read.header.patient.identifier == PEOPLE[person].identifier


def test_a_cda_that_calls_itself_very_restricted_is_as_if_it_were_not_there(given: Given) -> None:
    before = visited(given.countries, "eleni", "list")
    letter = cda(PEOPLE["eleni"])
    secret = letter.replace(b"<recordTarget>", b'<confidentialityCode code="V"/><recordTarget>')

    given.repository.put(entry("d9", ("text/xml", secret), patient="p0"))
    hidden = visited(given.countries, "eleni", "list")
    given.repository.put(entry("d9", ("text/xml", letter), patient="p0"))
    shown = visited(given.countries, "eleni", "list")
    given.repository.delete("DocumentReference", "d9")

    assert hidden["examinations"] == before["examinations"]
    assert len([r for one in shown["examinations"] for r in one["reports"]]) == 2


def test_what_is_taken_back_there_is_gone_here(given: Given) -> None:
    (report,) = _examination(given)["reports"]
    node = given.repository.versions["DocumentReference", "d1"][-1]
    assert node is not None

    given.repository.put(node | {"status": "entered-in-error"})
    without = _examination(given)
    given.repository.put(node)

    assert without["reports"] == []
    assert [one["id"] for one in _examination(given)["reports"]] == [report["id"]]


def test_a_repository_that_does_not_answer_is_no_empty_list(given: Given) -> None:
    given.repository.statuses["DocumentReference"] = 503

    told = visited(given.countries, "eleni", "list", status=5)

    given.repository.statuses.clear()
    assert told["error"]
