"""A sound sample fails nothing; whatever is taken away or spoilt in it fails exactly what it must.

`mutants.toml` says it for every member of every sample; what no deletion can show is spoilt here by hand. That nothing mandatory is left
out of it is held against the definitions of R4 and of the drafts, which were written apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from tests.conformance.mutating import Noticed, deleted, general, members, rows, samples, table
from tests.conformance.packed import packed
from tests.conformance.test_emitted import EMITTED, PACK
from tests.engines.judge.definitions import definitions

from isthmus.conformance.profiles.claims import profile_faults
from isthmus.conformance.profiles.known import Profiles
from isthmus.conformance.profiles.packages import Packages, read_package
from isthmus.conformance.requirement import REQUIREMENTS, SUBJECTS, Finding, Severity, examine
from isthmus.conformance.requirements import all as groups
from isthmus.conformance.structure import structure_faults
from isthmus.fhir.elements import Node

assert groups.GROUPS
Change = Callable[[Node], Any]
ENTRY = ("entry", 0, "resource")
SECOND = ("entry", 1, "resource")


@pytest.mark.parametrize("sample", samples())
def test_a_sound_sample_fails_nothing(sample: str) -> None:
    assert examine(*samples()[sample], PACK) == []


@pytest.mark.parametrize("sample", samples())
def test_what_is_deleted_or_spoilt_fails_exactly_what_the_table_says(sample: str) -> None:
    assert rows(sample) == table()[sample], "python -m tests.conformance.mutating, and read what changed"


def _without(*path: Any) -> Change:
    def change(node: Any) -> None:
        for name in path[:-1]:
            node = node[name]
        del node[path[-1]]

    return change


def _with(value: Any, *path: Any) -> Change:
    def change(node: Any) -> None:
        for name in path[:-1]:
            node = node[name]
        node[path[-1]] = value

    return change


def _of(kind: str, change: Change, member: str = "resourceType") -> Change:
    """Change the first resource of a type that has this member."""

    def within(node: Node) -> None:
        resources = (entry["resource"] for entry in node["entry"])
        change(next(one for one in resources if one["resourceType"] == kind and member in one))

    return within


def _relation(code: str, target: str) -> Change:
    return _with([{"code": code, "target": {"reference": f"DocumentReference/{target}"}}], *ENTRY, "relatesTo")


VIEWER = {
    "fullUrl": "urn:uuid:v", "resource": {"resourceType": "Endpoint", "payloadMimeType": ["text/html"], "address": "viewer"},
}  # fmt: skip
STUDY_OF_SECOND = (*SECOND, "context", "related", 0, "identifier", "value")
SPINE = ("extension", 1, "valueCodeableConcept", "coding", 0, "code")
RETRIEVE_URL = ("0040A375", 0, "00081115", 0, "00081190")
SUPERSEDED = _with("superseded", "entry", 3, "resource", "status")
BY_HAND: dict[str, tuple[str, Noticed, Change]] = {
    "docStatus": ("search", frozenset({"DRC-02"}), _with("final", *ENTRY, "docStatus")),
    "two categories": ("search", frozenset({"DRC-04"}), lambda n: n["entry"][0]["resource"]["category"].append({"text": "x"})),
    "an address elsewhere": ("search", frozenset({"DRC-06"}), _with("https://evil.example/fhir/Bundle/1", *ENTRY, "content", 0, "attachment", "url")),
    "data in an entry": ("search", frozenset({"DRC-07"}), _with("AAAA", *ENTRY, "content", 0, "attachment", "data")),
    "replaced and current": ("search", frozenset({"DRC-18"}), _relation("replaces", "b-pdf")),
    "appended to and superseded": ("search", frozenset({"DRC-18"}), lambda n: (_relation("appends", "b-pdf")(n), SUPERSEDED(n))),
    "a subject with its identifier": ("search", frozenset({"DRC-20"}), _with({"value": "1"}, *ENTRY, "subject", "identifier")),
    "another patient's entry": ("search", frozenset({"DRS-22"}), _with({"reference": "Patient/x"}, *SECOND, "subject")),
    "a study in one form, another in two": ("search", frozenset({"MFH-24"}), _with("urn:oid:1.2.3", *STUDY_OF_SECOND)),
    "telecom": ("patient", frozenset({"PID-05"}), _with([], *ENTRY, "telecom")),
    "several, and a count": ("several patients", frozenset({"PID-08", "PID-12"}), _with(1, "total")),
    "two people": ("patient", frozenset({"PID-12"}), lambda n: n["entry"].append(n["entry"][0])),
    "a claim nobody made": ("capability", frozenset({"CAP-02"}), _with(["urn:x"], "instantiates")),
    "another grant": ("smart", frozenset({"CAP-05"}), _with(["password"], "grant_types_supported")),
    "an endpoint": ("studies", frozenset({"WAD-20"}), _with([{"reference": "Endpoint/1"}], *ENTRY, "endpoint")),
    "a total in a document": ("manifest", frozenset({"MFH-01"}), _with(1, "total")),
    "an entry's search": ("manifest", frozenset({"MFH-01"}), _with({"mode": "match"}, "entry", 3, "search")),
    "two patients": ("manifest", frozenset({"MFH-01", "MFH-02"}), lambda n: n["entry"].append(n["entry"][2])),
    "a bare section": ("manifest", frozenset({"MFH-08"}), _with([{"title": "x"}], *ENTRY, "section")),
    "a body site elsewhere": ("manifest", frozenset({"MFH-14"}), _with("53120007", *SECOND, "series", 0, "bodySite", "code")),
    "a path of the PACS": ("manifest", frozenset({"MFH-16", "MFH-23"}), _of("Endpoint", _with("file:///pacs/7", "address"))),
    "an inner address": ("manifest", frozenset({"MFH-23"}), _of("Endpoint", _with("https://10.0.0.7/wado", "address"))),
    "a placeholder unmarked": ("manifest by location", frozenset({"MFH-16"}), _of("Endpoint", _without("_address"))),
    "a viewer without address": ("manifest", frozenset({"MFH-22", "MFH-28", "MFH-30"}), lambda n: n["entry"].append(VIEWER)),
    "an order nobody refers to": ("manifest", frozenset({"MFH-18"}), _without(*SECOND, "basedOn")),
    "a count as text": ("key object selection", frozenset({"MKO-16"}), lambda n: _count(n).update({"0040A040": "TEXT"})),
    "an address with a study": ("key object selection", frozenset({"MKO-04"}), _with("https://aa.example/studies/1.2", *RETRIEVE_URL)),
    "an instance twice": ("key object selection", frozenset({"MKO-02", "MKO-11", "MKO-15"}), lambda n: _listed(n).append(_listed(n)[0])),
    "several numbers in the header": ("key object selection", frozenset({"MKO-08", "MKO-23"}), lambda n: n["0040A370"].append({"00080050": "B"})),
    "two findings sections": ("report", frozenset({"REP-08"}), lambda n: n["entry"][0]["resource"]["section"].append(n["entry"][0]["resource"]["section"][5])),
    "words missing": ("report", frozenset({"REP-10"}), _with("<div>x</div>", *ENTRY, "section", 5, "text", "div")),
    "a WADO address": ("report", frozenset({"REP-15"}), _with("https://a.example/studies/1.2.3", *ENTRY, "section", 5, "title")),
    "a time without offset": ("report", frozenset({"REP-21"}), _with("2026-03-02T11:00:00", *ENTRY, "date")),
    "an original that is none": ("report", frozenset({"REP-19"}), _of("DiagnosticReport", _with("SGVsbG8=", "presentedForm", 0, "data"))),
    "the spine of a manifest": ("report", frozenset({"REP-26"}), _of("DiagnosticReport", _with("1141981001", *SPINE))),
}  # fmt: skip


def _count(node: Any) -> Any:
    """The number of instances of the first group."""
    items = [item for group in node["0040A730"][3]["0040A730"] for item in group.get("0040A730", [])]
    return next(
        item for item in items if item.get("0040A043", [{}])[0].get("00080100") == PACK.kos["series_instances"][0]
    )


def _listed(node: Any) -> Any:
    return node["0040A375"][0]["00081115"][0]["00081199"]


@pytest.mark.parametrize("how", BY_HAND)
def test_what_is_spoilt_by_hand_fails_exactly_what_it_must(how: str) -> None:
    sample, expected, change = BY_HAND[how]
    kind, node = (EMITTED[sample][0], orjson.loads(EMITTED[sample][1])) if sample in EMITTED else samples()[sample]

    change(node)

    assert {finding.requirement for finding in examine(kind, node, PACK)} == expected


def test_every_requirement_of_a_resource_is_failed_by_something() -> None:
    noticed = {id for sample in table().values() for row in sample.values() for id in row.replace(";", " ").split()}
    by_hand = {id for _, ids, _ in BY_HAND.values() for id in ids}
    resources = {id for id, row in REQUIREMENTS.items() if row.kinds[0] not in SUBJECTS}

    assert resources - noticed - by_hand == {"AUD-02", "AUD-03", "AUD-04", "AUD-10", "REP-20", "WAD-11"}


NOBODY_ASKS = {("report", "entry[DocumentReference].resource.extension")}
"""The modality of a key image: the draft's profile has it, and no sentence of the border repeats it."""


@pytest.fixture(scope="module")
def drafts(tmp_path_factory: pytest.TempPathFactory) -> Profiles:
    """What the drafts and R4 make mandatory, as definitions: written apart from the requirements."""
    path = packed(tmp_path_factory.mktemp("packages") / "drafts.tgz", definitions(PACK))
    return Profiles(Packages([read_package(path)]))


def errors(findings: list[Finding]) -> list[Finding]:
    return [one for one in findings if one.severity is Severity.ERROR]


@pytest.mark.parametrize("sample", [name for name, (_, node) in samples().items() if "resourceType" in node])
def test_whatever_is_mandatory_is_missed_when_it_is_taken_away(sample: str, drafts: Profiles) -> None:
    kind, node = samples()[sample]
    unnoticed: set[tuple[str, str]] = set()
    for path in members(node):
        changed = deleted(node, path)
        if errors(structure_faults(changed)) or examine(kind, changed, PACK):
            continue
        if errors(profile_faults(changed, drafts)):
            unnoticed.add((sample, general(node, path)))

    assert unnoticed <= NOBODY_ASKS
