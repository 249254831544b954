"""What R4 itself asks: what is valid gives no fault, what was damaged gives one at the exact place, what is hostile ends soon."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
import pytest
from tests.conformance.test_structure import RESOURCES

from isthmus.conformance.r4 import definitions
from isthmus.conformance.r4.invariants import NATIVE, Around, Unanswered, evaluate
from isthmus.conformance.requirement import Finding, Severity
from isthmus.conformance.structure import MAX_FINDINGS, structure_faults

ROOT = Path(__file__).resolve().parents[2]
ENTRY = "Bundle.entry[{}].resource.{}"


def errors(node: Any) -> list[tuple[str, str]]:
    return [(f.requirement, f.path) for f in structure_faults(node) if f.severity is Severity.ERROR]


@pytest.mark.parametrize("name", RESOURCES)
def test_what_we_emit_has_no_fault_and_is_left_as_it_was(name: str) -> None:
    node = orjson.loads(RESOURCES[name])

    assert errors(node) == []
    assert node == orjson.loads(RESOURCES[name])


@pytest.mark.parametrize("name", ["pat-security-good1", "pat-security-good2"])
def test_a_script_in_a_name_is_legal(name: str, sample: Callable[[str], Path]) -> None:
    assert errors(orjson.loads(sample(f"fhir/security_vectors/{name}.json").read_bytes())) == []


def test_a_script_in_narrative_is_not(sample: Callable[[str], Path]) -> None:
    node = orjson.loads(sample("fhir/security_vectors/pat-security-bad-xhtml.json").read_bytes())

    assert errors(node) == [("R4-value", "Patient.text.div")]


def test_what_others_published_as_valid_is_valid(sample: Callable[[str], Path]) -> None:
    folder = sample("fhir/mii_bildgebung_r4")

    assert {path.name: errors(orjson.loads(path.read_bytes())) for path in folder.glob("*.json")} == {
        path.name: [] for path in folder.glob("*.json")
    }


PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "contained": [{"resourceType": "Organization", "id": "o", "name": "Hospital"}],
    "identifier": [{"system": "urn:oid:2.999.1", "value": "1", "period": {"start": "2020", "end": "2021-05"}}],
    "name": [{"family": "Papadaki", "given": ["Eleni", "Maria"]}],
    "birthDate": "1961-04-09",
    "deceasedBoolean": False,
    "managingOrganization": {"reference": "#o"},
    "contact": [{"name": {"family": "Papadakis"}, "period": {"start": "2020"}}],
}


def _set(value: Any, *path: Any) -> Callable[[Any], None]:
    def change(node: Any) -> None:
        for name in path[:-1]:
            node = node[name]
        if value is None:
            del node[path[-1]]
        else:
            node[path[-1]] = value

    return change


DAMAGED: dict[str, tuple[Callable[[Any], None], str, str]] = {
    "an unknown member": (_set(1, "shoeSize"), "R4-member", "Patient.shoeSize"),
    "an unknown member inside": (_set("x", "name", 0, "nick"), "R4-member", "Patient.name[0].nick"),
    "one where a list belongs": (_set({"family": "X"}, "name"), "R4-cardinality", "Patient.name"),
    "a list where one belongs": (_set(["1961"], "birthDate"), "R4-cardinality", "Patient.birthDate"),
    "an empty list": (_set([], "name"), "R4-cardinality", "Patient.name"),
    "a number as text": (_set(5, "name", 0, "family"), "R4-type", "Patient.name[0].family"),
    "text as truth": (_set("yes", "active"), "R4-type", "Patient.active"),
    "text as an object": (_set("x", "contact", 0), "R4-type", "Patient.contact[0]"),
    "a date of another country": (_set("31.12.1970", "birthDate"), "R4-value", "Patient.birthDate"),
    "a day that is not": (_set("1970-02-30", "birthDate"), "R4-value", "Patient.birthDate"),
    "empty text": (_set("", "name", 0, "given", 1), "R4-value", "Patient.name[0].given[1]"),
    "null in a list": (_set([None], "name", 0, "given"), "R4-value", "Patient.name[0].given[0]"),
    "an empty element": (_set({}, "name", 0), "R4-value", "Patient.name[0]"),
    "an OID that is none": (_set("urn:oid:2.x", "identifier", 0, "system"), "R4-value", "Patient.identifier[0].system"),
    "a code of another set": (_set("strong", "gender"), "R4-code", "Patient.gender"),
    "two of a choice": (_set("2020", "deceasedDateTime"), "R4-cardinality", "Patient.deceasedDateTime"),
    "a required member that lacks": (
        _set([{"preferred": True}], "communication"), "R4-cardinality", "Patient.communication[0].language",
    ),
    "a reference to another type": (
        _set({"reference": "Patient/1"}, "identifier", 0, "assigner"),
        "R4-reference", "Patient.identifier[0].assigner.reference",
    ),
    "a reference to nothing contained": (_set("#p", "managingOrganization", "reference"), "ref-1", "Patient.managingOrganization"),
    "something contained for nothing": (_set(None, "managingOrganization"), "dom-3", "Patient"),
    "a period that runs backwards": (_set("2022", "identifier", 0, "period", "start"), "per-1", "Patient.identifier[0].period"),
    "a contact without anything": (_set({"gender": "male"}, "contact", 0), "pat-1", "Patient.contact[0]"),
    "an extension with nothing in it": (
        _set([{"url": "http://example.org/x"}], "name", 0, "extension"), "ext-1", "Patient.name[0].extension[0]",
    ),
    "an extension without its address": (
        _set([{"valueString": "x"}], "extension"), "R4-cardinality", "Patient.extension[0].url",
    ),
    "a resource inside that is none": (_set("Organisation", "contained", 0, "resourceType"), "R4-resource", "Patient.contained[0]"),
}  # fmt: skip


def test_a_patient_who_is_in_order_is_in_order() -> None:
    assert errors(PATIENT) == []


@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_is_told_at_its_place_and_nowhere_else(damage: str) -> None:
    change, rule, path = DAMAGED[damage]
    node = deepcopy(PATIENT)
    change(node)

    assert (rule, path) in errors(node)
    assert all(place.startswith(path) or rule in ("dom-3", "ref-1", "R4-resource") for _, place in errors(node))


def test_a_value_beside_a_primitive_stands_for_it() -> None:
    absent = [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    node = PATIENT | {"_birthDate": {"extension": absent}}
    del node["birthDate"]
    node["name"] = [{"given": [None, "Maria"], "_given": [{"extension": absent}, None], "family": "P"}]

    assert errors(node) == []


def test_an_entry_is_named_by_number_and_type() -> None:
    bundle = orjson.loads(RESOURCES["manifest"])
    del bundle["entry"][1]["resource"]["series"][0]["uid"]
    bundle["entry"][0]["resource"]["subject"]["reference"] = "urn:uuid:00000000-0000-4000-8000-00000000dead"

    assert errors(bundle) == [
        ("R4-reference", ENTRY.format(0, "Composition") + ".subject.reference"),
        ("R4-cardinality", ENTRY.format(1, "ImagingStudy") + ".series[0].uid"),
    ]


def test_a_document_begins_with_its_composition() -> None:
    bundle = orjson.loads(RESOURCES["manifest"])
    bundle["entry"].append(bundle["entry"].pop(0))

    assert ("bdl-11", "Bundle") in errors(bundle)


def test_no_value_is_quoted() -> None:
    node = deepcopy(PATIENT)
    node["gender"], node["birthDate"], node["Papadaki, Eleni"] = "Papadaki", "Papadaki", "x"

    said = orjson.dumps(structure_faults(node)).decode()

    assert "Papadaki" not in said


def _deep(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = {"url": "http://example.org/x", "valueString": "x"}
    for _ in range(levels):
        node = {"url": "http://example.org/x", "extension": [node]}
    return {"resourceType": "Patient", "extension": [node]}


MANY = [
    {"fullUrl": f"https://a.example/Patient/{n}", "resource": {"resourceType": "Patient", "id": str(n)}}
    for n in range(5000)
]
HOSTILE: dict[str, Any] = {
    "deep": _deep(900),
    "bundles in bundles": {"resourceType": "Bundle", "type": "collection"},
    "many": {"resourceType": "Bundle", "type": "collection", "entry": MANY},
    "many faults": {"resourceType": "Patient", "name": [{"x": 1}] * 100_000},
    "long text": {"resourceType": "Patient", "id": "a" * 3_000_000, "birthDate": "1" * 3_000_000, "photo": [{"data": "A" * 4_000_001}]},
    "no type": {"resourceType": ["Patient"]},
    "another type": {"resourceType": "x" * 100_000},
    "numbers": {"resourceType": "Patient", "multipleBirthInteger": 10**30, "deceasedBoolean": 1},
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_resources_are_judged_soon(name: str) -> None:
    began = monotonic()

    found = structure_faults(HOSTILE[name])

    assert len(found) <= MAX_FINDINGS + 1
    assert monotonic() - began < 20


def test_every_invariant_can_be_tried() -> None:
    patient = {"resourceType": "Patient"}
    around = Around(patient, patient, lambda reference: None)
    untried = []
    for key in definitions._tables()["invariants"]:
        row = definitions.invariant(key)
        assert row is not None
        try:
            evaluate(row.expression, patient, "Patient", around)
        except Unanswered as why:
            untried.append((key, str(why)))

    assert [key for key, _ in untried if key not in NATIVE] == []


def test_the_definitions_are_those_of_hl7_reduced() -> None:
    schema = os.environ.get("ISTHMUS_R4_SCHEMA")
    if schema is None:
        pytest.skip("no R4 schema is here (set ISTHMUS_R4_SCHEMA to fhir.schema.json)")
    spec = importlib.util.spec_from_file_location("reduce", ROOT / "tools" / "definitions.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    assert tool.OUT.read_text("utf-8") == tool.written(tool.reduced(Path(schema).parent))


def test_what_is_advised_is_said_with_every_fault() -> None:
    found: list[Finding] = structure_faults({"resourceType": "Patient", "gender": "strong", "x": 1, "name": 5})

    assert all(one.advice and one.source == "R4" and one.path for one in found)


def _found(**members: Any) -> dict[str, Any]:
    entry = {
        "fullUrl": "https://a.example/Patient/1",
        "resource": {"resourceType": "Patient", "id": "1"},
        "search": {"mode": "match"},
    }
    link = {"relation": "self", "url": "https://a.example/Patient"}
    return {"resourceType": "Bundle", "type": "searchset", "link": [link], "entry": [entry]} | members


def _entered(
    url: str = "urn:uuid:0b4b7fa5-2b0c-4f5c-8d44-0a5a3b6d6f11", *, id: str | None = "1", reference: str = ""
) -> dict[str, Any]:
    """A collection with one patient, under this address, of this organisation."""
    patient: dict[str, Any] = {"resourceType": "Patient", "active": True}
    patient |= {"id": id} if id else {}
    patient |= {"managingOrganization": {"reference": reference}} if reference else {}
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": url, "resource": patient}]}


def _authored(reference: str) -> dict[str, Any]:
    """A report with one more author."""
    node: dict[str, Any] = orjson.loads(RESOURCES["report"])
    node["entry"][0]["resource"]["author"].append({"reference": reference})
    return node


_REFERENCE = "Bundle.entry[0].resource.Patient.managingOrganization.reference"
_AUTHOR = "Bundle.entry[0].resource.Composition.author[2].reference"
SOUND: dict[str, dict[str, Any]] = {
    "a reference to what a server has": _entered(reference="Organization/1"),
    "a reference to an earlier version": _entered(reference="Organization/1/_history/2"),
    "a reference to an address": _entered(reference="https://a.example/x"),
    "an address at a server": _entered("https://a.example/fhir/Patient/1"),
    "an address that is no server's": _entered("https://a.example/x"),
    "an extension in an extension, by a word of that one": PATIENT
    | {"extension": [{"url": "https://a.example/x", "extension": [{"url": "part", "valueString": "x"}]}]},
}
TEXT: dict[str, tuple[dict[str, Any], str]] = {
    "a system that is no address": (PATIENT | {"identifier": [{"system": "mine", "value": "1"}]}, "Patient.identifier[0].system"),
    "a type that is no resource": (
        PATIENT | {"managingOrganization": {"type": "Hospital", "display": "H"}}, "Patient.managingOrganization.type",
    ),
    "an entry without address": (
        _found(entry=[{"resource": {"resourceType": "Patient", "id": "1"}}]), "Bundle.entry[0].fullUrl",
    ),
    "what was found without id": (
        _found(entry=[{"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "active": True}, "search": {"mode": "match"}}]),
        "Bundle.entry[0].resource.id",
    ),
    "an extension named by a word alone": (
        PATIENT | {"extension": [{"url": "birthPlace", "valueString": "Athens"}]}, "Patient.extension[0].url",
    ),
    "an extension of a value named by a word alone": (
        PATIENT | {"_birthDate": {"extension": [{"url": "birthTime", "valueString": "x"}]}}, "Patient.birthDate.extension[0].url",
    ),
    "an extension inside a value of another": (
        PATIENT | {"extension": [{"url": "https://a.example/x", "valueCoding": {"code": "x", "extension": [{"url": "y", "valueString": "z"}]}}]},
        "Patient.extension[0].valueCoding.extension[0].url",
    ),
    "a modifier extension named by a word alone": (
        PATIENT | {"modifierExtension": [{"url": "not", "valueBoolean": True}]}, "Patient.modifierExtension[0].url",
    ),
    "a reference that names no id": (_entered(reference="Organization"), _REFERENCE),
    "a reference that is a word": (_entered(reference="somewhere"), _REFERENCE),
    "a reference to what is no resource": (_entered(reference="Hospital/1"), _REFERENCE),
    "a reference by a bare number": (_entered(reference="2.999.1"), _REFERENCE),
    "an address under another id": (_entered("https://a.example/fhir/Patient/2"), "Bundle.entry[0].fullUrl"),
    "an address of another type": (_entered("https://a.example/fhir/Organization/1"), "Bundle.entry[0].fullUrl"),
    "an address at a server of what has no id": (_entered("https://a.example/fhir/Patient/1", id=None), "Bundle.entry[0].fullUrl"),
    "an address that is not absolute": (_entered("Patient/1"), "Bundle.entry[0].fullUrl"),
    "an author who is not in the document": (_authored("https://a.example/fhir/Organization/1"), _AUTHOR),
    "an author who is at some server": (_authored("Organization/1"), _AUTHOR),
    "a second link to itself": (_found(link=[{"relation": "self", "url": "https://a.example"}] * 2), "Bundle.link[1].relation"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXT)
def test_what_r4_says_in_its_text_alone_is_held_too(name: str) -> None:
    node, place = TEXT[name]

    assert errors(PATIENT) == errors(_found()) == []
    assert ("R4-text", place) in errors(node)


@pytest.mark.parametrize("name", SOUND)
def test_what_the_text_allows_is_sound(name: str) -> None:
    assert errors(SOUND[name]) == []


def test_a_reference_of_no_form_outside_a_bundle_is_a_warning() -> None:
    found = structure_faults({"resourceType": "Patient", "managingOrganization": {"reference": "somewhere"}})

    told = [(one.requirement, one.severity.value) for one in found]
    assert told == [("R4-text", "warning")]


def test_a_document_without_any_entry_is_none() -> None:
    node = {
        "resourceType": "Bundle", "type": "document", "timestamp": "2026-01-01T00:00:00Z",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:1"},
    }  # fmt: skip

    assert "bdl-11" in {rule for rule, _ in errors(node)}
