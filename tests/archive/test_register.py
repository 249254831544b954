"""Who fits a search, and who is somebody else.

Source: field-faults F01, F04, F06; interfaces.md §11.
"""

from __future__ import annotations

import pytest
from tests.archive.conftest import Node, dicom

from isthmus.archive import register
from isthmus.archive.register import Traits, contradicts
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.model.queries import PatientQuery

ONE = PatientIdentifier("urn:oid:2.999.4.1", "0017")


def _registered(node: Node, *names: HumanName, identifier: PatientIdentifier = ONE) -> None:
    traits = Traits(names, "1970-01-01", "female")
    node.database.write_now(lambda connection: register.put(connection, identifier, traits))


def _found(node: Node, query: PatientQuery) -> list[str]:
    return [p.identifier.value for p in node.database.read_now(lambda connection: register.find(connection, query))]


@pytest.mark.fault("F06")
@pytest.mark.parametrize(
    ("held", "asked"),
    [("Müller", "MULLER"), ("Müller", "Mu\u0308ller"), ("Ó Briain", "o briain"), ("O\u2019Brien", "O'BRIEN"), ("ΤΖΌΖΕΦ", "τζόζεφ"),
     ("Łukasz", "lukasz"), ("Straße", "STRASSE"), ("İpek", "ipek")],
)  # fmt: skip
def test_names_match_themselves_however_they_are_typed(node: Node, held: str, asked: str) -> None:
    _registered(node, HumanName(held, ("Eva",)))

    assert _found(node, PatientQuery((ONE,), family=asked, given=("EVA",))) == ["0017"]
    assert _found(node, PatientQuery((ONE,), family=asked[:-1])) == []


def test_any_script_of_a_name_will_do_but_not_half_of_each(node: Node) -> None:
    _registered(node, HumanName("Thalassinou", ("Eleni",)), HumanName("Θαλασσινού", ("Ελένη",), "el"))

    assert _found(node, PatientQuery((ONE,), family="θαλασσινου", given=("ελενη",))) == ["0017"]
    assert _found(node, PatientQuery((ONE,), family="Thalassinou", given=("Ελένη",))) == []


@pytest.mark.parametrize("given", [("Eva",), ("Maria",), ("Eva", "Maria"), ("Eva Maria",)])
def test_whole_given_names_fit(node: Node, given: tuple[str, ...]) -> None:
    _registered(node, HumanName("Testova", ("Eva", "Maria")))

    assert _found(node, PatientQuery((ONE,), given=given)) == ["0017"]


@pytest.mark.parametrize(
    "query",
    [
        PatientQuery((PatientIdentifier("urn:oid:2.999.4.1", "17"),)),
        PatientQuery((PatientIdentifier("urn:oid:2.999.4.2", "0017"),)),
        PatientQuery((ONE, PatientIdentifier("urn:oid:2.999.4.1", "18"))),
        PatientQuery((ONE,), birth_date="1970-01-02"),
        PatientQuery((ONE,), gender="male"),
        PatientQuery((ONE,), given=("Ev",)),
        PatientQuery((), family="Testova"),
        PatientQuery(()),
    ],
)
def test_anything_that_differs_finds_nobody(node: Node, query: PatientQuery) -> None:
    _registered(node, HumanName("Testova", ("Eva",)))

    assert _found(node, query) == []


def test_twins_are_two_by_traits_and_one_by_number(node: Node) -> None:
    for value in ("1", "2"):
        _registered(node, HumanName("Twin", ("A",)), identifier=PatientIdentifier("urn:oid:2.999.4.1", value))

    assert _found(node, PatientQuery((), family="Twin", birth_date="1970-01-01")) == ["1", "2"]
    assert _found(node, PatientQuery((PatientIdentifier("urn:oid:2.999.4.1", "2"),), family="twin")) == ["2"]


@pytest.mark.parametrize(
    ("family", "given", "born", "other"),
    [
        ("Testova", "Eva", "1970-01-01", False), ("TESTOVÁ", "Eva", "1931-01-31", False), ("Novakova", "Eva", "1970-01-01", False),
        ("Eva", "Testova", "1931-01-31", False), ("Novakova", "Ada", "", False), ("", "", "1931-01-31", False),
        ("Novakova", "Ada", "1931-01-31", True), ("Novakova", "Eva", "1931-01-31", True),
    ],
)  # fmt: skip
def test_another_person_is_one_whose_name_and_birth_date_both_differ(
    family: str, given: str, born: str, other: bool
) -> None:
    known = Patient(ONE, (HumanName("Testova", ("Eva",)),), "1970-01-01", "female")

    assert contradicts(known, Traits((HumanName(family, (given,)),), born, "female")) is other


@pytest.mark.fault("F01")
def test_an_image_whose_name_has_three_scripts_registers_three_names(node: Node) -> None:
    node.bring(dicom(PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう"))

    query = PatientQuery((PatientIdentifier("urn:oid:2.999.4.1", "1234567"),), family="山田", given=("太郎",))
    (patient,) = node.database.read_now(lambda connection: register.find(connection, query))
    assert [(name.family, name.given) for name in patient.names] == [
        ("Yamada", ("Tarou",)), ("山田", ("太郎",)), ("やまだ", ("たろう",)),
    ]  # fmt: skip
