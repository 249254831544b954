"""Patients: the mask, the escapes, and one person or nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.made import BASE, PATIENT

from isthmus.errors import CountryMisanswered, MalformedRequest, PatientAmbiguous, PatientNotFound, UnsupportedRequest
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.masks import MaskIdentifier, SearchMask
from isthmus.model.people import HumanName, Patient
from isthmus.model.queries import PatientQuery
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.patients import fits, read_found, read_search, write_found, write_patient, write_search

PACK = load_pack()
SYSTEM = "urn:oid:2.999.4.1"
MASK = SearchMask(
    (MaskIdentifier(SYSTEM, "[0-9]{7}", {"en": "Number"}),), {"birthdate": "required", "family": "optional"}
)
OPEN = SearchMask(())
FOUND = replace(PATIENT, handle="h-42")
LINK = f"{BASE}/Patient"


def _found(patient: Patient | None, several: bool = False) -> bytes:
    return write_found(patient, several=several, self_link=LINK, base=BASE, pack=PACK)


@pytest.mark.fault("F07")
@pytest.mark.parametrize("value", ["1234567", "A,1", "2024|117", "B\\", "C,", "00042"])
def test_what_country_b_asks_country_a_understands(value: str) -> None:
    query = PatientQuery(
        (PatientIdentifier(SYSTEM, value), PatientIdentifier("urn:other", "x")), "O'Hara, K", ("Eva", "Maria"),
        "1970-01-01", "female",
    )  # fmt: skip

    assert read_search(parse_qsl(write_search(query, PACK).decode()), OPEN, PACK) == query


SIGNS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=15)
NAMES = st.lists(SIGNS, min_size=1, max_size=3).map(" ".join)
SYSTEMS = st.sampled_from([SYSTEM, "urn:other", "https://ids.example/a"])
PERSONS = st.builds(
    Patient,
    st.builds(PatientIdentifier, SYSTEMS, SIGNS),
    st.lists(st.builds(HumanName, NAMES, st.lists(SIGNS, max_size=3).map(tuple)), min_size=1, max_size=2).map(tuple),
    st.dates().map(str),
    st.sampled_from(["male", "female", "other", "unknown"]),
    st.just("h-42"),
)


@settings(deadline=None)
@given(PERSONS)
def test_whoever_is_found_comes_back_as_the_register_knows_them(patient: Patient) -> None:
    assert read_found(_found(patient), PACK) == patient


@settings(deadline=None)
@given(st.lists(st.builds(PatientIdentifier, SYSTEMS, SIGNS), min_size=1, max_size=3), st.none() | NAMES, PERSONS)
def test_whatever_country_b_asks_country_a_understands(
    identifiers: list[PatientIdentifier], family: str | None, patient: Patient
) -> None:
    query = PatientQuery(tuple(identifiers), family, patient.name.given, patient.birth_date, patient.gender)

    assert read_search(parse_qsl(write_search(query, PACK).decode()), OPEN, PACK) == query


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([("birthdate", "1970-01-01")], "search-mask"),
        ([("identifier", f"{SYSTEM}|1234567")], "search-mask"),
        ([("identifier", f"{SYSTEM}|12"), ("birthdate", "1970")], "search-mask-value"),
        ([("identifier", "1234567")], "value"),
        ([("identifier", f"{SYSTEM}|1,{SYSTEM}|2")], "value"),
        ([("birthdate", "ge1970-01-01")], "value"),
        ([("gender", "f")], "value"),
        ([("family", "a"), ("family", "b")], "value"),
    ],
)
def test_a_mask_not_filled_or_a_value_that_is_none_is_refused(pairs: list[tuple[str, str]], reason: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        read_search(pairs, MASK, PACK)

    assert caught.value.reason == reason


@pytest.mark.parametrize("name", ["sex", "name:contains", "gender:exact", "telecom", "_id"])
def test_a_parameter_that_is_not_known_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedRequest) as caught:
        read_search([("identifier", f"{SYSTEM}|1234567"), (name, "x")], MASK, PACK)

    assert name in caught.value.message


def test_the_one_person_comes_back() -> None:
    assert read_found(_found(FOUND), PACK) == FOUND


def test_an_identifier_that_was_asked_for_stands() -> None:
    node = orjson.loads(_found(FOUND))
    node["entry"][0]["resource"]["identifier"].insert(0, {"system": "urn:other", "value": "9"})

    patient = read_found(orjson.dumps(node), PACK, asked=(PATIENT.identifier,))

    assert patient.identifier == PATIENT.identifier


def test_nobody_and_several_tell_nothing_of_anybody() -> None:
    nobody, several = _found(None), _found(FOUND, several=True)

    assert orjson.loads(nobody)["total"] == orjson.loads(several)["total"] == 0
    assert b"Testova" not in several
    with pytest.raises(PatientNotFound):
        read_found(nobody, PACK)
    with pytest.raises(PatientAmbiguous):
        read_found(several, PACK)


def test_candidates_sent_by_another_are_not_read() -> None:
    node = orjson.loads(_found(FOUND))
    node["entry"] *= 2

    with pytest.raises(PatientAmbiguous):
        read_found(orjson.dumps(node), PACK)


@pytest.mark.parametrize("member", ["id", "identifier", "name", "birthDate"])
def test_a_person_without_what_names_them_is_a_misanswer(member: str) -> None:
    node = orjson.loads(_found(FOUND))
    del node["entry"][0]["resource"][member]

    with pytest.raises(CountryMisanswered):
        read_found(orjson.dumps(node), PACK)


def test_a_patient_of_ihe_is_read(sample: Callable[[str], Path]) -> None:
    resource = orjson.loads(sample("fhir/ihe_mado_study_b/mado-pat-mrn--1097192655-patient.json").read_bytes())
    body = orjson.dumps({"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": resource}]})

    patient = read_found(body, PACK)

    assert (patient.name.family, patient.birth_date, patient.gender) == ("DOE", "1977-05-30", "male")
    assert patient.identifier == PatientIdentifier("http://example.org/fhir/mrn-ids", "UV59569735")


def test_a_read_gives_the_person_under_the_handle() -> None:
    node = orjson.loads(write_patient(FOUND, PACK))

    assert node["id"] == "h-42"
    assert set(node) == {"resourceType", "id", "meta", "identifier", "name", "gender", "birthDate"}


@pytest.mark.requirement("PID-14")
@pytest.mark.fault("F06")
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ([("name", "testova")], True), ([("name", "Eva Maria Testova")], True), ([("name", "TESTOVA EVA MARIA")], True),
        ([("name", "Eva")], True), ([("name", "Test")], False), ([("name", "Eva Test")], False), ([("name", "Тестова")], True),
        ([("name", "Testova"), ("name", "Eva")], True), ([("name", "Testova"), ("name", "Тестова")], False),
        ([("family:exact", "Testova")], True), ([("family:exact", "testova")], False), ([("given:exact", "Eva Maria")], True),
        ([("name:exact", "Eva")], True), ([("name:exact", "eva")], False), ([("given:exact", "Ev")], False),
    ],
)  # fmt: skip
def test_a_name_is_compared_whole_and_exactly_only_on_wish(asked: list[tuple[str, str]], found: bool) -> None:
    query = read_search([("identifier", f"{SYSTEM}|1234567"), *asked], OPEN, PACK)

    assert fits(PATIENT, query) is found


@pytest.mark.parametrize(("name", "found"), [("Testova", True), ("Testova Eva Maria", True), ("Eva", False)])
def test_a_name_fills_the_mask_only_as_what_the_mask_asks(name: str, found: bool) -> None:
    mask = SearchMask((), {"family": "required"})

    query = read_search([("identifier", f"{SYSTEM}|1234567"), ("name", name)], mask, PACK)

    assert fits(PATIENT, query) is found
