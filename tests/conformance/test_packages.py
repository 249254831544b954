"""Official packages an operator supplies: what they ask is found at its place, what cannot be asked is told, and hostile ones are refused."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.conformance.packed import MANIFEST, packed
from tests.conformance.test_emitted import EMITTED
from tests.engines.judge.definitions import definitions
from tests.journeys.test_judged import BROKEN

from isthmus.commands.root import run
from isthmus.conformance.evidence import Exchange
from isthmus.conformance.judgement import judge, judge_conversation
from isthmus.conformance.profiles.claims import package_faults, profile_faults
from isthmus.conformance.profiles.known import Profiles
from isthmus.conformance.profiles.packages import Package, Packages, read_package
from isthmus.conformance.requirement import Finding, Severity
from isthmus.dicom.windows import BytesSource
from isthmus.errors import SettingsProblem
from isthmus.wire.packs.pack import load_pack

Node = dict[str, Any]
PACK = load_pack()
CORE = "http://hl7.org/fhir/StructureDefinition/"
MINE = "http://example.org/fhir/StructureDefinition/mine"
SETS = "http://example.org/fhir/ValueSet/"


def profile(type_: str, *elements: Node, base: str = "", url: str = MINE, **more: Any) -> Node:
    """A profile by its differential; an element's path follows from its id."""
    for one in elements:
        steps = one["id"].split(".")
        one["path"] = ".".join(step.partition(":")[0] for step in steps)
        if name := steps[-1].partition(":")[2]:
            one["sliceName"] = name
    return {
        "resourceType": "StructureDefinition",
        "url": url,
        "fhirVersion": "4.0.1",
        "type": type_,
        "kind": "resource",
        "derivation": "constraint",
        "baseDefinition": base or CORE + type_,
        "differential": {"element": [{"id": type_, "path": type_}, *elements]},
    } | more


@pytest.fixture
def asked(tmp_path: Path) -> Callable[..., list[Finding]]:
    """What a package of these definitions finds in a resource, which claims the profile MINE."""

    def ask(node: Node, *nodes: Node) -> list[Finding]:
        package = read_package(packed(tmp_path / "mine.tgz", nodes))
        return profile_faults(node | {"meta": {"profile": [MINE]}}, Profiles(Packages([package])))

    return ask


@pytest.fixture(scope="module")
def drafts(tmp_path_factory: pytest.TempPathFactory) -> Profiles:
    """The definitions of ours of what the drafts ask, as a package."""
    path = packed(tmp_path_factory.mktemp("packages") / "drafts.tgz", definitions(PACK))
    return Profiles(Packages([read_package(path)]))


def told(found: Iterable[Finding]) -> set[tuple[str, str]]:
    return {(one.requirement, one.path) for one in found if one.severity is not Severity.INFORMATION}


def notes(found: Iterable[Finding]) -> list[str]:
    return [one.statement for one in found if one.requirement == "PROFILE-unchecked"]


RESOURCES = {name: body for name, (_, body) in EMITTED.items() if b'"resourceType"' in body[:200]}


@pytest.mark.parametrize("name", RESOURCES)
def test_what_we_emit_fulfils_what_the_drafts_ask(name: str, drafts: Profiles) -> None:
    assert told(profile_faults(orjson.loads(RESOURCES[name]), drafts)) == set()


BROKEN_BY_R4 = ("a status that there is not", "a member that there is not")


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in BROKEN_BY_R4])
def test_what_is_broken_on_purpose_is_found_by_its_profile(name: str, drafts: Profiles) -> None:
    written_as, path, change = BROKEN[name]
    node = at = orjson.loads(EMITTED[written_as][1])
    for step in path:
        at = at[step]
    change(at)

    assert told(profile_faults(node, drafts))


def test_a_path_leads_to_the_place(drafts: Profiles) -> None:
    node = orjson.loads(EMITTED["manifest"][1])
    del node["entry"][1]["resource"]["series"][0]["instance"]

    paths = {path for _, path in told(profile_faults(node, drafts))}

    assert paths == {"Bundle.entry[1].resource.ImagingStudy.series[0].instance"}


PATIENT: Node = {"resourceType": "Patient", "name": [{"family": "Secret"}], "gender": "female"}
"""A resource whose values no finding may repeat."""
ELEMENTS: dict[str, tuple[Node, tuple[Node, ...], set[tuple[str, str]]]] = {
    "too few": (PATIENT, ({"id": "Patient.birthDate", "min": 1},), {("PROFILE-cardinality", "Patient.birthDate")}),
    "too many": (
        PATIENT | {"name": [{"family": "A"}, {"family": "B"}]},
        ({"id": "Patient.name", "max": "1"},),
        {("PROFILE-cardinality", "Patient.name[1]")},
    ),
    "none allowed": (PATIENT, ({"id": "Patient.gender", "max": "0"},), {("PROFILE-cardinality", "Patient.gender")}),
    "inside what repeats": (
        PATIENT | {"name": [{"family": "A", "given": ["B"]}, {"family": "C"}]},
        ({"id": "Patient.name.given", "min": 1},),
        {("PROFILE-cardinality", "Patient.name[1].given")},
    ),
    "inside what is not there": (PATIENT, ({"id": "Patient.contact.name", "min": 1},), set()),
    "fixed": (PATIENT, ({"id": "Patient.gender", "fixedCode": "male"},), {("PROFILE-value", "Patient.gender")}),
    "fixed is exactly that": (
        PATIENT,
        ({"id": "Patient.name", "fixedHumanName": {"family": "Secret", "use": "usual"}},),
        {("PROFILE-value", "Patient.name[0]")},
    ),
    "true is not 1": (
        PATIENT | {"multipleBirthInteger": 1},
        ({"id": "Patient.multipleBirth[x]", "patternBoolean": True},),
        {("PROFILE-value", "Patient.multipleBirthInteger")},
    ),
    "pattern": (PATIENT, ({"id": "Patient.name", "patternHumanName": {"use": "usual"}},), {("PROFILE-value", "Patient.name[0]")}),
    "pattern that fits": (PATIENT, ({"id": "Patient.name", "patternHumanName": {"family": "Secret"}},), set()),
    "type of a choice": (
        PATIENT | {"deceasedBoolean": False},
        ({"id": "Patient.deceased[x]", "type": [{"code": "dateTime"}]},),
        {("PROFILE-type", "Patient.deceasedBoolean")},
    ),
    "a text too long": (PATIENT, ({"id": "Patient.name.family", "maxLength": 5},), {("PROFILE-value", "Patient.name[0].family")}),
    "a number too large": (
        PATIENT | {"multipleBirthInteger": 4},
        ({"id": "Patient.multipleBirth[x]", "maxValueInteger": 3, "minValueInteger": 1},),
        {("PROFILE-value", "Patient.multipleBirthInteger")},
    ),
    "target of a reference": (
        PATIENT | {"generalPractitioner": [{"reference": "Organization/1"}]},
        ({"id": "Patient.generalPractitioner", "type": [{"code": "Reference", "targetProfile": [CORE + "Practitioner"]}]},),
        {("PROFILE-reference", "Patient.generalPractitioner[0].reference")},
    ),
    "invariant": (
        PATIENT,
        ({"id": "Patient.name", "constraint": [{"key": "m-1", "severity": "error", "human": "said", "expression": "given.exists()"}]},),
        {("m-1", "Patient.name[0]")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ELEMENTS)
def test_an_element_is_held_against_what_its_profile_says(name: str, asked: Callable[..., list[Finding]]) -> None:
    node, elements, wanted = ELEMENTS[name]

    found = asked(node, profile("Patient", *elements))

    assert told(found) == wanted
    assert "Secret" not in repr(found)
    assert all(one.source == "test.profiles#1.0.0" for one in found if one.requirement != "PROFILE-unchecked")


def test_what_a_base_asks_counts_too_and_the_later_word_wins(asked: Callable[..., list[Finding]]) -> None:
    below = "http://example.org/fhir/StructureDefinition/below"
    base = profile("Patient", {"id": "Patient.birthDate", "min": 1}, {"id": "Patient.name", "min": 2}, url=below)

    found = asked(PATIENT, profile("Patient", {"id": "Patient.name", "min": 1}, base=below), base)

    assert told(found) == {("PROFILE-cardinality", "Patient.birthDate")}


def test_a_snapshot_counts_before_the_differential(asked: Callable[..., list[Finding]]) -> None:
    node = profile("Patient", base="http://example.org/nowhere")
    whole = [{"id": "Patient", "path": "Patient"}, {"id": "Patient.birthDate", "path": "Patient.birthDate", "min": 1}]

    found = asked(PATIENT, node | {"snapshot": {"element": whole}})

    assert told(found) == {("PROFILE-cardinality", "Patient.birthDate")}
    assert notes(found) == []


def test_bases_in_a_circle_are_told_and_end(asked: Callable[..., list[Finding]]) -> None:
    other = "http://example.org/fhir/StructureDefinition/other"

    found = asked(PATIENT, profile("Patient", base=other), profile("Patient", base=MINE, url=other))

    assert [one.severity for one in found] == [Severity.WARNING]
    assert "in a circle" in found[0].statement


def test_a_base_that_is_not_here_is_told_and_the_rest_is_checked(asked: Callable[..., list[Finding]]) -> None:
    found = asked(PATIENT, profile("Patient", {"id": "Patient.birthDate", "min": 1}, base="http://example.org/nowhere"))

    assert told(found) == {("PROFILE-cardinality", "Patient.birthDate")}
    assert ["http://example.org/nowhere" in one for one in notes(found)] == [True]


def observed(*codes: str, **more: Any) -> Node:
    return {"resourceType": "Observation", "code": {"coding": [{"system": "s", "code": c} for c in codes]}} | more


def listing(name: str, *includes: Node, **more: Any) -> Node:
    return {"resourceType": "ValueSet", "url": SETS + name, "compose": {"include": list(includes)}} | more


LETTERS: Node = {
    "resourceType": "CodeSystem", "url": "s", "content": "complete", "concept": [{"code": "a", "concept": [{"code": "b"}]}],
}  # fmt: skip
VALUE_SETS: dict[str, tuple[tuple[Node, ...], bool | None]] = {
    "codes that are listed": ((listing("v", {"system": "s", "concept": [{"code": "b"}]}),), True),
    "another code": ((listing("v", {"system": "s", "concept": [{"code": "c"}]}),), False),
    "the code of another system": ((listing("v", {"system": "t", "concept": [{"code": "b"}]}),), False),
    "a whole system with what stands below": ((listing("v", {"system": "s"}), LETTERS), True),
    "a system of which a part is here": ((listing("v", {"system": "s"}), LETTERS | {"content": "fragment"}), None),
    "a system that is not here": ((listing("v", {"system": "s"}),), None),
    "another system that is not here": ((listing("v", {"system": "t"}),), False),
    "what a filter selects": ((listing("v", {"system": "s", "filter": [{"property": "p", "op": "=", "value": "x"}]}), LETTERS), None),
    "a value set in a value set": ((listing("v", {"valueSet": [SETS + "w"]}), listing("w", {"system": "s", "concept": [{"code": "b"}]})), True),
    "one that includes itself": ((listing("v", {"valueSet": [SETS + "v"]}),), None),
    "what is taken out": (
        ({**listing("v"), "compose": {"include": [{"system": "s"}], "exclude": [{"system": "s", "concept": [{"code": "b"}]}]}}, LETTERS),
        False,
    ),
    "an expansion that it brings along": (
        (listing("v", {"system": "s"}, expansion={"total": 1, "contains": [{"system": "s", "code": "b"}]}),), True,
    ),
    "a part of an expansion": ((listing("v", {"system": "s"}, expansion={"total": 9, "contains": [{"system": "s", "code": "c"}]}),), None),
    "a value set that is nowhere": ((), None),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUE_SETS)
def test_a_code_is_in_a_value_set_or_not_or_it_is_told_that_nobody_knows(
    name: str, asked: Callable[..., list[Finding]]
) -> None:
    nodes, inside = VALUE_SETS[name]
    binding = {"id": "Observation.code", "binding": {"strength": "required", "valueSet": SETS + "v"}}

    found = asked(observed("b"), profile("Observation", binding), *nodes)

    assert told(found) == ({("PROFILE-code", "Observation.code")} if inside is False else set())
    assert bool(notes(found)) is (inside is None)


def test_a_required_code_is_not_a_text(asked: Callable[..., list[Finding]]) -> None:
    binding = {"id": "Observation.code", "binding": {"strength": "required", "valueSet": SETS + "v"}}
    node = {"resourceType": "Observation", "code": {"text": "b"}}

    found = asked(node, profile("Observation", binding), listing("v", {"system": "s", "concept": [{"code": "b"}]}))

    assert told(found) == {("PROFILE-code", "Observation.code")}


def slicing(kind: str, path: str, rules: str = "open", **more: Any) -> Node:
    return {"slicing": {"discriminator": [{"type": kind, "path": path}], "rules": rules} | more}


def component(code: str | None, **more: Any) -> Node:
    return more | ({"code": {"coding": [{"system": "s", "code": code}]}} if code else {})


CODED: Node = {"patternCodeableConcept": {"coding": [{"system": "s", "code": "b"}]}}
AT = "Observation.component"
SLICES: dict[str, tuple[Node, tuple[Node, ...], set[tuple[str, str]]]] = {
    "by value, none": (slicing("value", "code"), ({"id": f"{AT}:b.code", **CODED},), {("PROFILE-cardinality", AT)}),
    "by pattern, one too many": (
        slicing("pattern", "code"), ({"id": f"{AT}:a.code", "patternCodeableConcept": {"coding": [{"code": "a"}]}},),
        {("PROFILE-cardinality", f"{AT}[2]")},
    ),
    "by a nested path": (slicing("value", "code.coding.code"), ({"id": f"{AT}:b.code.coding.code", "fixedCode": "a"},), {("PROFILE-cardinality", f"{AT}[2]")}),
    "by the pattern of what stands around": (slicing("value", "code.coding.code"), ({"id": f"{AT}:b.code", **CODED},), {("PROFILE-cardinality", AT)}),
    "by the type of a choice": (slicing("type", "value"), ({"id": f"{AT}:b.value[x]", "type": [{"code": "Quantity"}]},), {("PROFILE-cardinality", AT)}),
    "by what is there": (slicing("exists", "value"), ({"id": f"{AT}:b.value[x]", "min": 1},), set()),
    "by what is not there": (slicing("exists", "interpretation"), ({"id": f"{AT}:b.interpretation", "max": "0"},), {("PROFILE-cardinality", f"{AT}[1]")}),
    "closed": (
        slicing("value", "code", "closed"), ({"id": f"{AT}:b.code", "patternCodeableConcept": {"coding": [{"code": "c"}]}},),
        {("PROFILE-slice", f"{AT}[0]"), ("PROFILE-slice", f"{AT}[2]")},
    ),
    "what a slice asks inside": (
        slicing("value", "code"), ({"id": f"{AT}:b.code", "patternCodeableConcept": {"coding": [{"code": "c"}]}}, {"id": f"{AT}:b.value[x]", "min": 1}),
        {("PROFILE-cardinality", f"{AT}[1].value")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SLICES)
def test_values_are_told_apart_by_their_slices(name: str, asked: Callable[..., list[Finding]]) -> None:
    sliced, elements, wanted = SLICES[name]
    node = observed("x", component=[component("a", valueString="v"), component("c"), component("a")])
    own = elements[0]["id"].partition(".code")[0].partition(".value")[0].partition(".interp")[0]

    found = asked(node, profile("Observation", {"id": AT, **sliced}, {"id": own, "min": 1, "max": "1"}, *elements))

    assert told(found) == wanted
    assert notes(found) == []


def test_a_slice_is_known_by_the_slices_that_must_stand_in_it(asked: Callable[..., list[Finding]]) -> None:
    own = f"{AT}:b.code.coding:c"
    elements = (
        {"id": AT, **slicing("value", "code.coding.code")},
        {"id": f"{AT}:b", "min": 1},
        {"id": f"{AT}:b.code.coding", **slicing("value", "code")},
        {"id": own, "min": 1},
        {"id": f"{own}.code", "fixedCode": "b"},
    )

    there = asked(observed("x", component=[component("b")]), profile("Observation", *elements))
    away = asked(observed("x", component=[component("a")]), profile("Observation", *elements))

    assert (told(there), told(away)) == (set(), {("PROFILE-cardinality", AT)})
    assert notes([*there, *away]) == []


@pytest.mark.parametrize(
    ("rules", "ordered", "order", "wanted"),
    [
        ("openAtEnd", False, "xa", {("PROFILE-slice", f"{AT}[0]")}),
        ("openAtEnd", False, "ax", set()),
        ("open", True, "ba", {("PROFILE-slice", f"{AT}[1]")}),
        ("open", True, "axb", set()),
    ],
)
def test_slices_stand_in_their_order(
    rules: str, ordered: bool, order: str, wanted: set[tuple[str, str]], asked: Callable[..., list[Finding]]
) -> None:
    slices = [
        {"id": f"{AT}:{c}.code", "patternCodeableConcept": {"coding": [{"system": "s", "code": c}]}} for c in "ab"
    ]
    by = {"id": AT, **slicing("value", "code", rules, ordered=ordered)}

    found = asked(observed("x", component=[component(c) for c in order]), profile("Observation", by, *slices))
    assert told(found) == wanted


def test_references_are_told_apart_by_where_they_lead(asked: Callable[..., list[Finding]]) -> None:
    at = "Observation.performer"
    elements = (
        {"id": at, "slicing": {"discriminator": [{"type": "type", "path": "resolve()"}], "rules": "open"}},
        {"id": f"{at}:doctor", "max": "1", "type": [{"code": "Reference", "targetProfile": [CORE + "Practitioner"]}]},
    )
    node = observed("x", performer=[{"reference": f"{kind}/1"} for kind in ("Practitioner", "Patient", "Practitioner")])

    found = asked(node, profile("Observation", *elements))

    assert told(found) == {("PROFILE-cardinality", f"{at}[2]")}


def test_sections_within_sections_are_held_against_the_same_words(asked: Callable[..., list[Finding]]) -> None:
    node = {"resourceType": "Composition", "section": [{"title": "a", "section": [{"section": [{"title": "c"}]}]}]}

    found = asked(node, profile("Composition", {"id": "Composition.section.title", "min": 1}))

    assert told(found) == {("PROFILE-cardinality", "Composition.section[0].section[0].title")}


def test_a_limit_that_is_no_number_is_told(asked: Callable[..., list[Finding]]) -> None:
    found = asked(PATIENT | {"birthDate": "1961-04-09"}, profile("Patient", {"id": "Patient.birthDate", "maxValueDate": "1960-01-01"}))  # fmt: skip

    assert told(found) == set()
    assert ["maxValue" in one for one in notes(found)] == [True]


WHERE = "http://example.org/fhir/StructureDefinition/where"


@pytest.mark.parametrize(
    ("contexts", "allowed"),
    [
        ([("element", "Patient.name")], True),
        ([("element", "HumanName")], True),
        ([("element", "Element")], True),
        ([("element", "Patient")], False),
        ([("element", "Patient.contact"), ("extension", WHERE)], False),
        ([("fhirpath", "Patient.name")], None),
    ],
)
def test_an_extension_stands_where_its_definition_allows_it(
    contexts: list[tuple[str, str]], allowed: bool | None, asked: Callable[..., list[Finding]]
) -> None:
    where = [{"type": kind, "expression": expression} for kind, expression in contexts]
    node = PATIENT | {"name": [{"extension": [{"url": WHERE, "valueString": "Secret"}]}]}

    found = asked(node, profile("Patient"), profile("Extension", url=WHERE, context=where))

    assert told(found) == (set() if allowed is not False else {("PROFILE-extension", "Patient.name[0].extension[0]")})
    assert bool(notes(found)) is (allowed is None)


def test_a_slice_of_extensions_is_known_by_its_definition(asked: Callable[..., list[Finding]]) -> None:
    own = {"id": "Patient.extension:where", "min": 1, "type": [{"code": "Extension", "profile": [WHERE]}]}
    node = PATIENT | {"extension": [{"url": WHERE, "valueString": "Secret"}]}
    nodes = (profile("Patient", own), profile("Extension", url=WHERE))

    assert told(asked(PATIENT, *nodes)) == {("PROFILE-cardinality", "Patient.extension")}
    assert told(asked(node, *nodes)) == set()


def test_of_two_versions_the_one_that_is_claimed_counts(tmp_path: Path) -> None:
    lax = packed(tmp_path / "1.tgz", [profile("Patient", version="1")])
    strict = packed(tmp_path / "2.tgz", [profile("Patient", {"id": "Patient.birthDate", "min": 1}, version="2")], MANIFEST | {"version": "2.0.0"})  # fmt: skip
    packages = Packages([read_package(lax), read_package(strict)])

    def claimed(version: str) -> list[Finding]:
        return profile_faults(PATIENT | {"meta": {"profile": [MINE + version]}}, Profiles(packages))

    assert told(claimed("")) == told(claimed("|1")) == set()
    assert told(claimed("|2")) == {("PROFILE-cardinality", "Patient.birthDate")}
    assert ["in this very version" in one for one in notes(claimed("|3"))] == [True]
    assert [one.requirement for one in package_faults(packages.held[1], packages)] == ["PROFILE-double"]


@pytest.mark.parametrize("kind", ["profile", "position"])
def test_a_discriminator_that_is_not_understood_is_told(kind: str, asked: Callable[..., list[Finding]]) -> None:
    node = observed("x", component=[component("a")])

    found = asked(node, profile("Observation", {"id": AT, **slicing(kind, "$this")}, {"id": f"{AT}:b", "min": 1}))

    assert told(found) == set()
    assert [kind in one for one in notes(found)] == [True]


def test_an_invariant_that_cannot_be_evaluated_is_told(asked: Callable[..., list[Finding]]) -> None:
    rule = {"key": "m-1", "severity": "error", "human": "said", "expression": "memberOf('http://x')"}

    found = asked(PATIENT, profile("Patient", {"id": "Patient.gender", "constraint": [rule]}))

    assert told(found) == set()
    assert ["m-1" in one for one in notes(found)] == [True]


def test_a_profile_in_no_package_is_told(asked: Callable[..., list[Finding]]) -> None:
    found = asked(PATIENT)

    assert [one.path for one in found] == ["Patient.meta.profile"]
    assert notes(found) == [f"not checked: {MINE}, which is in no package given"]


def test_a_reference_leads_to_what_fulfils_its_profile(asked: Callable[..., list[Finding]]) -> None:
    doctor = "http://example.org/fhir/StructureDefinition/doctor"
    node = PATIENT | {
        "contained": [{"resourceType": "Practitioner", "id": "d"}],
        "generalPractitioner": [{"reference": "#d"}],
    }
    target = {"id": "Patient.generalPractitioner", "type": [{"code": "Reference", "targetProfile": [doctor]}]}

    found = asked(node, profile("Patient", target), profile("Practitioner", {"id": "Practitioner.name", "min": 1}, url=doctor))  # fmt: skip

    assert told(found) == {("PROFILE-reference", "Patient.generalPractitioner[0].reference")}


def refusal(path: Path) -> str:
    with pytest.raises(SettingsProblem) as refused:
        read_package(path)
    return refused.value.message


def test_another_version_of_fhir_is_refused(tmp_path: Path) -> None:
    assert "FHIR 5.0.0" in refusal(packed(tmp_path / "p.tgz", [], MANIFEST | {"fhirVersions": ["5.0.0"]}))


HOSTILE: dict[str, tuple[dict[str, bytes], str]] = {
    "a file that leads outside": ({"../../etc/x.json": b"{}"}, "leads outside"),
    "a file from the root": ({"/x.json": b"{}"}, "leads outside"),
    "what is no JSON": ({"package/x.json": b"{"}, "no JSON object"),
    "nested without end": ({"package/x.json": b"[" * 100_000}, "no JSON object"),
    "a list": ({"package/x.json": b"[]"}, "no JSON object"),
    "one large file": ({"package/x.json": b" " * (33 << 20)}, "every bound"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_package_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    files, words = HOSTILE[name]

    assert words in refusal(packed(tmp_path / "p.tgz", [], others=files))


def test_a_package_that_inflates_without_end_is_refused(tmp_path: Path) -> None:
    told = tarfile.TarInfo("other/x")
    told.size = 256 << 20
    path = tmp_path / "p.tgz"
    path.write_bytes(gzip.compress(told.tobuf()) + gzip.compress(bytes(64 << 20)) * 4)

    assert "every bound" in refusal(path)


def test_a_link_in_a_package_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.tgz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("package/x.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)

    assert "link" in refusal(path)


@pytest.mark.parametrize("data", [b"", b"\x1f\x8bcut", b"no archive at all"], ids=["empty", "cut", "another file"])
def test_what_is_no_package_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "p.tgz"
    path.write_bytes(data)

    assert refusal(path)


def test_a_package_without_its_manifest_is_refused(tmp_path: Path) -> None:
    assert "package.json" in refusal(packed(tmp_path / "p.tgz", [], None))


def test_examples_in_a_package_are_not_definitions(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.tgz", [], others={"package/example/x.json": orjson.dumps(profile("Patient"))})

    assert read_package(path).definitions == ()


def test_a_dependency_that_is_not_given_is_told() -> None:
    package = Package("a", "1", ("b", "c", "hl7.fhir.r4.core"), ())

    found = list(package_faults(package, Packages([package, Package("c", "1", (), ())])))

    assert [one.statement for one in found] == ["depends on what is not given: b"]


SHAPES: list[Any] = [[{"id": 5}], [{"id": "Patient.name", "min": "x", "type": 5, "slicing": 7}], "x", [None], [{"id": "Patient.x:a:b", "path": 3}]]  # fmt: skip


@pytest.mark.parametrize("elements", SHAPES, ids=str)
def test_a_definition_of_any_shape_does_not_end_the_check(elements: Any, asked: Callable[..., list[Finding]]) -> None:
    assert told(asked(PATIENT, profile("Patient") | {"differential": {"element": elements}})) == set()


ANYTHING: tuple[Any, ...] = (None, 5, "x", [], {}, [None], [[{}]])


@pytest.mark.parametrize("name", ["manifest", "report", "patient"])
def test_a_resource_of_any_shape_is_judged_by_profiles(name: str, drafts: Profiles) -> None:
    node = orjson.loads(EMITTED[name][1])
    for entry in node["entry"]:
        for member in entry["resource"]:
            for other in ANYTHING:
                if member not in ("resourceType", "meta"):
                    profile_faults(
                        node | {"entry": [entry | {"resource": entry["resource"] | {member: other}}]}, drafts
                    )


def test_the_command_tells_what_a_package_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = packed(tmp_path / "mine.tgz", [profile("Patient", {"id": "Patient.birthDate", "min": 1})],
                     MANIFEST | {"dependencies": {"some.other": "1.0.0"}})  # fmt: skip
    file = tmp_path / "patient.json"
    file.write_bytes(orjson.dumps(PATIENT | {"meta": {"profile": [MINE]}}))

    status = run(["check", str(file), "--package", str(package), "--json"])

    said = orjson.loads(capsys.readouterr().out)
    assert status == 6
    assert [one["path"] for one in said["findings"] if one["severity"] == "error"] == ["Patient.birthDate"]
    assert {"file": "test.profiles#1.0.0", "kind": "FHIR package"} in said["files"]
    assert "PROFILE-dependency" in {one["rule"] for one in said["findings"]}


def answered(body: bytes) -> tuple[Exchange, ...]:
    return (Exchange(path="/fhir/DocumentReference", answer=body, headers={"content-type": "application/fhir+json"}),)


def test_what_a_border_answers_is_held_against_the_profiles_too(drafts: Profiles) -> None:
    node = orjson.loads(RESOURCES["search"])
    del node["entry"][0]["resource"]["category"]

    sound = judge_conversation(answered(RESOURCES["search"]), PACK, drafts)
    spoilt = judge_conversation(answered(orjson.dumps(node)), PACK, drafts)
    unasked = judge_conversation(answered(orjson.dumps(node)), PACK)

    assert of_profiles(sound) == []
    place = "GET /fhir/DocumentReference: Bundle.entry[0].resource.DocumentReference.category"
    assert place in {one.path for one in of_profiles(spoilt)}
    assert of_profiles(unasked) == []


def of_profiles(found: Iterable[Finding]) -> list[Finding]:
    return [one for one in found if one.requirement.startswith("PROFILE-") and one.severity is Severity.ERROR]


def test_without_packages_profiles_are_not_spoken_of() -> None:
    judged = judge(BytesSource(orjson.dumps(PATIENT | {"meta": {"profile": [MINE]}})), PACK)

    assert judged.findings == ()
