"""The stories hold what the ready file promises."""

from __future__ import annotations

import csv
import re
from collections import Counter

from isthmus.demo.people import COUNTRIES, PATIENT_PATTERN, PEOPLE
from isthmus.demo.reports import reports
from isthmus.demo.stories import (
    REGISTER_HEADER,
    REPORTS_ONLY,
    STORIES,
    Story,
    directives,
    ready_patients,
    register_rows,
    report_files,
    told_studies,
)
from isthmus.demo.studies import SOURCES, STUDIES
from isthmus.trust.settings_text import CountryPorts, node_settings

PROMISED = {
    "study-with-report", "study-without-report", "report-without-study", "two-studies", "only-study-restricted",
    "one-of-two-restricted", "opted-out", "nothing", "twin-a", "twin-b", "one-report-two-studies", "amended", "preliminary",
    "pdf-only", "cda",
}  # fmt: skip


def story(story_id: str) -> Story:
    return next(s for s in STORIES if s.story_id == story_id)


def counts(story_id: str) -> tuple[int, int]:
    return len(story(story_id).studies), len(story(story_id).reports)


def test_every_promised_story_is_told() -> None:
    assert {s.story_id for s in STORIES} == PROMISED


def test_what_country_b_must_see_of_each_story() -> None:
    assert counts("study-without-report") == (1, 0)
    assert counts("report-without-study") == (0, 1)
    assert counts("two-studies") == (2, 2)
    assert counts("only-study-restricted") == counts("opted-out") == counts("nothing") == (0, 0)
    assert counts("one-of-two-restricted") == (1, 1)
    assert counts("one-report-two-studies") == (2, 1)
    assert counts("amended") == (1, 2)
    assert counts("preliminary") == (1, 1)
    assert all((len(s.studies), len(s.reports)) == (1, 1) for s in STORIES if s.story_id == "study-with-report")


def test_a_country_that_offers_reports_only_has_nothing_else() -> None:
    patients = ready_patients("CC")

    assert [(p["country"], p["studies"], p["reports"]) for p in patients] == [("CC", 0, 1), ("CC", 0, 1), ("CC", 0, 2)]
    assert {p["identifier"]["system"] for p in patients} == {"urn:oid:2.999.3.2.1"}
    assert len(register_rows("CC")) == len(REPORTS_ONLY) == 3
    assert (told_studies("CC"), directives("CC")) == ([], [])
    assert len(report_files("CC")) == 4


def test_nobody_is_told_of_in_two_countries_or_twice_in_one() -> None:
    told = [s.person for s in (*STORIES, *REPORTS_ONLY)]

    assert sorted(told) == sorted(PEOPLE)


def test_one_report_is_a_pdf_alone_and_one_a_cda() -> None:
    forms = {i: [reports()[report].form for report in story(i).reports] for i in ("pdf-only", "cda")}
    imported = {path.name for path, _, _ in report_files()}

    assert forms == {"pdf-only": ["pdf"], "cda": ["cda"]}
    assert {"dx-ilias.pdf", "us-ottilie.xml"} <= imported
    assert counts("pdf-only") == counts("cda") == (1, 1)


def test_the_versions_of_a_report_are_imported_in_their_order() -> None:
    names = [path.stem for path, _, _ in report_files()]

    assert names.index("dx-stefanos") < names.index("dx-stefanos-2")


def test_people_and_settings_speak_of_the_same_hospital_and_authorities() -> None:
    for code, country in COUNTRIES.items():
        settings = node_settings(code, country.number, CountryPorts(1, 2), answers=True, portal_port=None)

        assert f'institution = "{country.hospital_name}"' in settings
        assert f'institution_id = "{country.hospital.system}|{country.hospital_id}"' in settings
        assert f'patient_issuer = "{country.patient_issuer}"' in settings
        assert f'accession_issuer = "{country.accession_issuer}"' in settings


def test_at_least_eight_studies_of_the_promised_kinds_are_to_be_seen() -> None:
    sources = {STUDIES[label].source for s in STORIES for label in s.studies}

    assert sum(len(s.studies) for s in STORIES) >= 8
    assert sources == set(SOURCES)


def test_the_restricted_and_the_opted_out_have_something_to_hide() -> None:
    reported = Counter(identifier for _, identifier, _ in report_files())
    owners = {STUDIES[label].patient.identifier for label in STUDIES}

    for story_id in ("only-study-restricted", "opted-out"):
        identifier = story(story_id).patient.identifier
        assert identifier in owners
        assert reported[identifier] == 1


def test_twins_share_name_and_birth_date_and_nothing_else() -> None:
    one, other = story("twin-a"), story("twin-b")

    assert (one.patient.names, one.patient.birth_date) == (other.patient.names, other.patient.birth_date)
    assert one.patient.identifier != other.patient.identifier
    assert not set(one.studies) & set(other.studies)


def test_identifiers_are_unique_and_fit_the_mask() -> None:
    values = [s.patient.identifier.value for s in STORIES]

    assert len(set(values)) == len(values) >= 10
    assert all(re.fullmatch(PATIENT_PATTERN, value) for value in values)


def test_directives_name_patients_and_studies() -> None:
    said = directives()

    assert Counter(kind for _, kind, _ in said) == {"restrict-study": 2, "opt-out": 1}
    assert {uid for _, kind, uid in said if kind == "restrict-study"} == {
        STUDIES["mr-lazaros"].study_instance_uid,
        STUDIES["mr-petra"].study_instance_uid,
    }


def test_the_register_reads_back_as_csv() -> None:
    rows = list(csv.DictReader([REGISTER_HEADER, *register_rows()]))

    assert [(r["value"], r["family"]) for r in rows] == [
        (s.patient.identifier.value, s.patient.name.family) for s in STORIES
    ]


def test_the_ready_file_has_every_member() -> None:
    first = ready_patients("AA")[0]

    assert set(first) == {
        "country", "identifier", "family", "given", "birthDate", "gender", "studies", "reports", "story_id", "story",
    }  # fmt: skip
    assert (first["country"], first["studies"], first["reports"]) == ("AA", 1, 1)
