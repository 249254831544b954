"""Who is found in a FHIR repository: whoever carries the identifier, exactly, whatever the repository answers with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.national.fhir.behind import MINE, STRANGER, SYSTEM, Behind, patient_node, person

from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName
from isthmus.model.queries import PatientQuery
from isthmus.testing.engines.fhir_repository import FhirRepository

ASKED = PatientQuery((MINE.identifier,))
Node = dict[str, Any]


def _bundle(*entries: Node, **members: Any) -> Node:
    return {"resourceType": "Bundle", "type": "searchset", "entry": list(entries), **members}


def test_names_of_every_script_are_told_the_latin_one_first(behind: Behind, repository: FhirRepository) -> None:
    greek = {"use": "official", "family": "Παπαδοπούλου", "given": ["Ελένη"]}
    old, usual = {"use": "old", "family": "Rossi"}, {"use": "usual", "family": "Papadopoulou", "given": ["Eleni"]}
    repository.put(patient_node("p1", MINE, name=[greek, old, usual, {"text": "Eleni P."}, {}]))

    (found,) = behind.find()

    assert found.names == (
        HumanName("Papadopoulou", ("Eleni",)),
        HumanName("Eleni P."),
        HumanName("Rossi"),
        HumanName("Παπαδοπούλου", ("Ελένη",), "und"),
    )


@pytest.mark.fault("F07")
@pytest.mark.parametrize("value", ["A,1", "2024|117", "B\\", "C,", "$x", "a+b c", "100%", "*", "ü&x=1"])
def test_a_value_is_itself_whatever_its_signs(behind: Behind, repository: FhirRepository, value: str) -> None:
    odd = person(value, "Odd", "Olga")
    repository.put(patient_node("p9", odd))

    found = behind.find(PatientQuery((odd.identifier,)))

    assert [one.identifier for one in found] == [odd.identifier]


@pytest.mark.parametrize("value", ["*", "12", "12*", "123 ", " 123", "%", "?", "_"])
def test_no_sign_stands_for_others(behind: Behind, value: str) -> None:
    assert not behind.find(PatientQuery((PatientIdentifier(SYSTEM, value),)))


@pytest.mark.fault("F38")
def test_people_of_another_identifier_are_not_believed(behind: Behind, repository: FhirRepository) -> None:
    everyone = [{"resource": patient_node(id_, one)} for id_, one in (("p1", MINE), ("p2", STRANGER))]
    repository.alter = lambda path, answer: _bundle(*everyone) if path.startswith("Patient?") else answer

    assert [one.identifier for one in behind.find()] == [MINE.identifier]
    assert not behind.find(PatientQuery((PatientIdentifier(SYSTEM, "999"),)))


def test_the_traits_are_compared_as_the_embedded_register_does(behind: Behind) -> None:
    queries = {
        "MULLER": replace(ASKED, family="MULLER"),
        "whole": replace(ASKED, family="Müller", given=("Eva",), birth_date="1970-01-01", gender="female"),
        "part": replace(ASKED, family="Müll"),
        "given": replace(ASKED, given=("Ev",)),
        "date": replace(ASKED, birth_date="1970-01"),
        "gender": replace(ASKED, gender="male"),
    }

    assert [name for name, query in queries.items() if behind.find(query)] == ["MULLER", "whole"]


def test_every_identifier_asked_for_must_be_theirs(behind: Behind, repository: FhirRepository) -> None:
    second = {"system": "urn:oid:2.999.4.9", "value": "E7"}
    own = {"system": SYSTEM, "value": "123"}
    repository.put(patient_node("p1", MINE, identifier=[own, second, {"value": "no system"}, {"system": "no value"}]))

    both = behind.find(PatientQuery((MINE.identifier, PatientIdentifier("urn:oid:2.999.4.9", "E7"))))
    other = behind.find(PatientQuery((MINE.identifier, STRANGER.identifier)))

    assert [one.identifier for one in both] == [MINE.identifier]
    assert not other


def test_nobody_is_looked_for_by_name_alone(behind: Behind, repository: FhirRepository) -> None:
    assert not behind.find(PatientQuery((), family="Müller", birth_date="1970-01-01"))
    assert repository.asked == []


def test_a_merged_record_counts_as_the_one_that_took_it_over(behind: Behind, repository: FhirRepository) -> None:
    link = [{"other": {"reference": "Patient/p1"}, "type": "replaced-by"}]
    repository.put(patient_node("p0", person("123", "Mueller", "E."), active=False, link=link))

    assert behind.find() == (MINE,)


@pytest.mark.parametrize(
    "members",
    [
        {"active": False},
        {"link": [{"other": {"reference": "Patient/p2"}, "type": "replaced-by"}]},  # who does not carry the identifier
        {"link": [{"other": {"reference": "Patient/nobody"}, "type": "replaced-by"}]},
        {"link": [{"other": {"reference": "https://elsewhere.example/fhir/Patient/p2"}, "type": "replaced-by"}]},
        {"link": [{"other": {"reference": "Patient/p1"}, "type": "replaced-by"}]},  # itself, for ever
        {"link": [{"type": "replaced-by"}]},
        {"link": [{"other": {"reference": "Patient/.."}, "type": "replaced-by"}]},
        {"id": ".."},
        {"id": "p1,Patient/p2"},
        {"id": ""},
    ],
)
def test_a_record_out_of_use_is_nobody(behind: Behind, repository: FhirRepository, members: Node) -> None:
    answer = _bundle({"resource": patient_node("p1", MINE, **members)})
    repository.alter = lambda path, held: answer if path.startswith("Patient?") else held

    assert not behind.find()
    assert behind.listed() == []


def test_the_dead_are_found(behind: Behind, repository: FhirRepository) -> None:
    repository.put(patient_node("p1", MINE, deceasedDateTime="2026-01-01"))

    assert behind.find() == (MINE,)


@pytest.mark.fault("F04")
def test_two_people_of_one_number_are_two_and_have_no_documents(behind: Behind, repository: FhirRepository) -> None:
    repository.put(patient_node("p3", person("123", "Double", "Dora")))

    assert len(behind.find()) == 2
    with pytest.raises(NationalInfrastructureUnavailable):
        behind.listed()


def test_two_records_that_tell_the_same_are_one_person(behind: Behind, repository: FhirRepository) -> None:
    repository.put(patient_node("p3", MINE))

    assert behind.find() == (MINE,)


@pytest.mark.parametrize("birth_date", [None, "01.01.1970", "1970-1-1", "unknown", 1970])
def test_a_birth_date_that_is_none_is_not_said(behind: Behind, repository: FhirRepository, birth_date: object) -> None:
    repository.put(patient_node("p1", MINE, birthDate=birth_date, gender="F", name="Müller"))

    (found,) = behind.find()

    assert (found.birth_date, found.gender, found.names) == ("", "unknown", (HumanName(""),))


def test_what_is_included_or_said_beside_is_left_out(behind: Behind, repository: FhirRepository) -> None:
    beside = [
        {"resource": patient_node("p3", person("123", "Included", "Ida")), "search": {"mode": "include"}},
        {"resource": {"resourceType": "Organization", "id": "o"}, "search": {"mode": "match"}},
        {"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "informational"}]}},
        {"resource": patient_node("p1", MINE), "search": {"mode": "match"}},
    ]
    repository.alter = lambda path, answer: _bundle(*beside)

    assert behind.find() == (MINE,)


def _outcome(severity: str) -> Node:
    return {"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": "timeout"}]}}


_MINE = {"resource": patient_node("p1", MINE), "search": {"mode": "match"}}
NO_ANSWERS: dict[str, Callable[[str], Node]] = {
    "an error among the entries": lambda url: _bundle(_MINE, _outcome("error")),
    "a fatal one": lambda url: _bundle(_MINE, _outcome("fatal")),
    "an entry that is only named": lambda url: _bundle(_MINE, {"fullUrl": f"{url}/Patient/p3"}),
    "fewer than it counts": lambda url: _bundle(_MINE, total=2),
    "no search set": lambda url: {"resourceType": "Bundle", "type": "collection", "entry": [_MINE]},
    "no bundle": lambda url: patient_node("p1", MINE),
    "a page of another origin": lambda url: _bundle(
        _MINE, link=[{"relation": "next", "url": "http://127.0.0.1:9/fhir?page=2"}]
    ),
    "a page under another path": lambda url: _bundle(
        _MINE, link=[{"relation": "next", "url": url.replace("/fhir", "/fhir.evil") + "?page=2"}]
    ),
    "a page that climbs": lambda url: _bundle(_MINE, link=[{"relation": "next", "url": f"{url}/../admin"}]),
    "a page that climbs in disguise": lambda url: _bundle(
        _MINE, link=[{"relation": "next", "url": f"{url}/%2e%2e/admin"}]
    ),
    "a page with a name and word": lambda url: _bundle(
        _MINE, link=[{"relation": "next", "url": url.replace("http://", "http://a:b@") + "?page=2"}]
    ),
    "a page that is no address": lambda url: _bundle(_MINE, link=[{"relation": "next", "url": "http://[::1/fhir"}]),
    "the same page for ever": lambda url: _bundle(
        _MINE, link=[{"relation": "next", "url": f"{url}/Patient?identifier=x"}]
    ),
}


@pytest.mark.parametrize("wrong", NO_ANSWERS)
def test_what_is_no_answer_is_an_error(behind: Behind, repository: FhirRepository, wrong: str) -> None:
    repository.alter = lambda path, answer: NO_ANSWERS[wrong](repository.url)

    with pytest.raises(NationalInfrastructureUnavailable):
        behind.find()

    assert not [path for path in repository.asked if "admin" in path or "page=2" in path]


@pytest.mark.parametrize("status", [204, 301, 302, 400, 401, 403, 404, 410, 429, 500, 503])
def test_a_search_that_is_refused_is_an_error(behind: Behind, repository: FhirRepository, status: int) -> None:
    repository.statuses["Patient?"] = status

    with pytest.raises(NationalInfrastructureUnavailable):
        behind.find()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"{", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_fhir_is_an_error(behind: Behind, repository: FhirRepository, body: bytes) -> None:
    repository.bodies["Patient?"] = body

    with pytest.raises(NationalInfrastructureUnavailable):
        behind.find()


def test_another_resource_than_was_asked_for_is_an_error(behind: Behind, repository: FhirRepository) -> None:
    link = [{"other": {"reference": "Patient/p2"}, "type": "replaced-by"}]
    repository.put(patient_node("p1", MINE, link=link))
    wrong = patient_node("p9", MINE)
    repository.alter = lambda path, answer: wrong if path == "Patient/p2" else answer

    with pytest.raises(NationalInfrastructureUnavailable):
        behind.find()


def test_the_account_of_the_settings_is_shown(behind: Behind, repository: FhirRepository, tmp_path: Any) -> None:
    repository.account = "Bearer secret"
    (tmp_path / "other").mkdir()
    known = Behind(tmp_path / "other", repository, authorization="Bearer secret")

    found = known.find()

    known.close()
    assert found == (MINE,)
    with pytest.raises(NationalInfrastructureUnavailable):
        behind.find()


def test_a_repository_that_is_not_there_is_an_error(behind: Behind, tmp_path: Any) -> None:
    (tmp_path / "other").mkdir()

    class Nowhere:
        url = "http://127.0.0.1:9/fhir"

        def put(self, node: Node) -> str:
            raise NotImplementedError

        def put_binary(self, id_: str, media_type: str, body: bytes) -> str:
            raise NotImplementedError

        def delete(self, kind: str, id_: str) -> None:
            raise NotImplementedError

    gone = Behind(tmp_path / "other", Nowhere())

    with pytest.raises(NationalInfrastructureUnavailable):
        gone.find()
    gone.close()
