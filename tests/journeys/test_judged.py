"""The official validator engine judges whatever leaves Country A: base R4, and definitions of ours of what the drafts ask. No error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from tests.conformance.packed import packed
from tests.conformance.test_emitted import EMITTED, OUTCOMES
from tests.conformance.test_r4_structure import SOUND, TEXT
from tests.engines.judge.definitions import EXTENSIONS, OF_R4, definitions
from tests.engines.judge.engine import Judge, Judged, judging

from isthmus.conformance.profiles.claims import profile_faults
from isthmus.conformance.profiles.known import Profiles
from isthmus.conformance.profiles.packages import Packages, read_package
from isthmus.conformance.requirement import Severity
from isthmus.conformance.structure import structure_faults
from isthmus.demo.people import PEOPLE
from isthmus.errors import PatientNotFound
from isthmus.model.documents import DocumentKind
from isthmus.testing.two_countries import TwoCountries
from isthmus.wire.packs.pack import load_pack

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]  # for its first document the engine reads all of R4


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    with judging(tmp_path_factory.mktemp("judge"), definitions(load_pack())) as engine:
        yield engine


def written() -> dict[str, bytes]:
    """Every resource that our own writers make in the tests of conformance, and every refusal."""
    told = {name: body for name, (_, body) in EMITTED.items() if b'"resourceType"' in body}
    return told | {f"refusal: {name}": body for name, body in OUTCOMES.items()}


def test_it_knows_every_extension_that_we_write() -> None:
    assert set(EXTENSIONS) | OF_R4 == set(load_pack().extensions)


def test_it_finds_no_error_in_anything_we_write(judge: Judge) -> None:
    documents = written()

    assert len(documents) > 40
    assert judge.wrong(documents) == {}


def test_it_finds_no_error_in_the_reports_of_the_practice_country(judge: Judge) -> None:
    files = resources.files("isthmus.demo").joinpath("data/reports").iterdir()

    assert judge.wrong({file.name: file.read_bytes() for file in files if file.name.endswith(".json")}) == {}


async def test_it_finds_no_error_in_what_the_visits_to_every_patient_bring(
    judge: Judge, countries: TwoCountries
) -> None:
    came: dict[str, bytes] = {}
    at_home = [
        (name, person)
        for name, person in PEOPLE.items()
        if person.identifier.system == PEOPLE["irini"].identifier.system
    ]
    for name, person in at_home:
        try:
            async with countries.b.visit(person) as visit:
                for document in await visit.find_documents():
                    if document.kind is DocumentKind.REPORT_FHIR:
                        came[f"{name}: {document.title}"] = (await visit.get_report(document))[1]
                    elif document.kind is DocumentKind.MANIFEST_FHIR:
                        came[f"{name}: {document.id}"] = (await visit.get_manifest(document))[1]
        except PatientNotFound:
            continue  # a twin

    assert len(came) > 20
    assert judge.wrong(came) == {}


def _without(name: str) -> Callable[[Any], None]:
    def change(node: Any) -> None:
        del node[name]

    return change


BROKEN: dict[str, tuple[str, tuple[Any, ...], Callable[[Any], None]]] = {
    "a manifest without identifier": ("manifest", (), _without("identifier")),
    "a manifest without creator": ("manifest", (), lambda n: n["entry"].pop(6)),
    "a study without its UID": ("manifest", ("entry", 1, "resource"), _without("identifier")),
    "a study without region": ("manifest", ("entry", 1, "resource"), _without("extension")),
    "a series without instances": ("manifest", ("entry", 1, "resource", "series", 0), _without("instance")),
    "an extension with a value of another type": (
        "manifest",
        ("entry", 1, "resource", "series", 0, "instance", 1, "extension", 0),
        lambda n: n.update(valueInteger=None, valueString="9"),
    ),
    "an extension out of its place": (
        "manifest",
        ("entry", 0, "resource"),
        lambda n: n.update(extension=[{"url": load_pack().extensions["frames_manifest"], "valueInteger": 9}]),
    ),
    "a report with one of its categories": ("report", ("entry", 0, "resource"), lambda n: n["category"].pop(0)),
    "a report without its order": ("report", ("entry", 0, "resource"), lambda n: n["section"].pop(1)),
    "an entry of another category": ("search", ("entry", 0, "resource"), lambda n: n["category"].clear()),
    "an entry whose number is not repeated": ("search", ("entry", 1, "resource"), _without("identifier")),
    "a patient without birth date": ("patient", ("entry", 0, "resource"), _without("birthDate")),
    "a status that there is not": ("search", ("entry", 0, "resource"), lambda n: n.update(status="bogus")),
    "a member that there is not": ("report", ("entry", 0, "resource"), lambda n: n.update(colour="red")),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_it_finds_what_is_broken_on_purpose(judge: Judge, name: str) -> None:
    written_as, path, change = BROKEN[name]
    node = at = orjson.loads(EMITTED[written_as][1])
    for step in path:
        at = at[step]
    change(at)

    assert judge.wrong({name: orjson.dumps(node)})


def _places(node: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, value in inside:
        if step not in ("resourceType", "meta"):
            yield (*way, step)
            yield from _places(value, (*way, step))


def _pruned(node: Any) -> Any:
    """Without what is empty, which FHIR does not have."""
    if isinstance(node, dict):
        return {name: kept for name, value in node.items() if (kept := _pruned(value)) not in ({}, [])}
    return [kept for value in node if (kept := _pruned(value)) not in ({}, [])] if isinstance(node, list) else node


def _lacking(name: str, sample: int) -> Iterator[tuple[str, bytes]]:
    """A document, each time without another of its members."""
    body = EMITTED[name][1]
    ways = list(_places(orjson.loads(body)))
    for way in Random(7).sample(ways, sample):
        node = at = orjson.loads(body)
        for step in way[:-1]:
            at = at[step]
        del at[way[-1]]
        yield f"{name} without {'.'.join(map(str, way))}", orjson.dumps(_pruned(node))


def test_our_own_check_by_packages_and_the_engine_find_the_same_lacking(judge: Judge, tmp_path: Path) -> None:
    package = read_package(packed(tmp_path / "drafts.tgz", definitions(load_pack())))
    profiles = Profiles(Packages([package]))
    documents = {name: body for of in ("manifest", "report") for name, body in _lacking(of, 100)}

    theirs = judge.wrong(documents)
    lacking = {
        name for name, said in theirs.items() if any(one.id.startswith("Validation_VAL_Profile") for one in said)
    }
    ours: dict[str, set[str]] = {}
    for name, body in documents.items():
        node = orjson.loads(body)
        found = [*structure_faults(node), *profile_faults(node, profiles)]
        ours[name] = {one.requirement for one in found if one.severity is Severity.ERROR}

    assert len(lacking) > 20
    assert {name for name in lacking if not ours[name]} == set()
    assert {name for name, rules in ours.items() if any(r.startswith("PROFILE-") for r in rules)} <= set(theirs)


FORM_ALONE = {"a reference to what is no resource"}
"""The engine looks at the form of a relative reference, and not whether R4 has the type."""


def test_it_says_the_same_of_what_the_text_of_r4_asks_and_allows(judge: Judge) -> None:
    asked = {name: orjson.dumps(node) for name, (node, _) in TEXT.items()}
    allowed = {name: orjson.dumps(node) for name, node in SOUND.items()}

    assert set(judge.wrong(asked)) == set(asked) - FORM_ALONE
    assert unknown_apart(judge.wrong(allowed)) == {}


def unknown_apart(said: dict[str, list[Judged]]) -> dict[str, list[Judged]]:
    """Without what the engine says of extensions whose definition it was not given."""
    told = {name: [one for one in found if "a.example" not in one.message] for name, found in said.items()}
    return {name: found for name, found in told.items() if found}
