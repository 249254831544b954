"""The trail as AuditEvents: what each transaction becomes on each side, held against R4, the border's list and IHE's profiles."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.audit.balp import DEFINITIONS
from tests.conformance.packed import packed

from isthmus.audit.atna.event import Site, write_event
from isthmus.audit.events import Intent, Note, Outcome, override
from isthmus.conformance.profiles.claims import profile_faults
from isthmus.conformance.profiles.known import Profiles
from isthmus.conformance.profiles.packages import Packages, read_package
from isthmus.conformance.requirement import Kind, Severity, examine
from isthmus.conformance.structure import structure_faults
from isthmus.model.identifiers import PatientIdentifier
from isthmus.wire.packs.pack import load_pack

Node = dict[str, Any]
PACK = load_pack()
AT = datetime(2026, 11, 25, 14, 0, tzinfo=UTC)
AMARA = PatientIdentifier("urn:oid:2.999.2.1", "0123456789")
PEERS = {"AA": "urn:ehealth:aa:ncp-idp", "BB": "urn:ehealth:bb:ncp-idp"}
SITES = {
    "A": Site("AA", PEERS["AA"], "ncp.aa.example", PEERS),
    "B": Site("BB", PEERS["BB"], "ncp.bb.example", PEERS),
}
QUERY = b"POST /fhir/DocumentReference/_search\n\npatient.identifier=urn:oid:2.999.2.1%7C0123456789&status=current"
CROSSING: dict[str, dict[str, Any]] = {
    "ITI-71": {},
    "ITI-78": {"query": b"POST /fhir/Patient/_search\n\nidentifier=urn:oid:2.999.2.1%7C0123456789", "patient": None},
    "ITI-119": {"query": b"POST /fhir/Patient/$match\n\n{}", "patient": None},
    "ITI-67": {"query": QUERY},
    "ITI-68": {"details": {"of": "/Bundle/abc"}},
    "ImagingStudy": {"query": b"GET /fhir/ImagingStudy?patient=x"},
    "RAD-129": {"query": b"GET /dicom-web/studies"},
    "RAD-107": {"details": {"of": "2.25.4711/series/2.25.7"}},
}
HOME = ("view", "consent", "correction", "trial", "ITI-81", "receipt", "emergency", "notice", "review", "explain")
GIVEN = Outcome(outcome="complete", status=200, instances=3, bytes=1234, digest="ab" * 32)
REFUSED = Outcome(outcome="refused", status=403, reason="scope")


def event(transaction: str, side: str = "A", outcome: Outcome | None = GIVEN, **more: Any) -> Node:
    values: dict[str, Any] = {
        "exchange_id": "x-1", "peer": "BB" if side == "A" else "AA", "organisation": "Clinic of BB", "person": "hp-7 Dr Demo",
        "role": "2212", "purpose": "TREAT", "patient": AMARA, "token_jti": "jti-1", "address": "192.0.2.7" if side == "A" else "ncp.aa.example",
    }  # fmt: skip
    intent = Intent(side=side, transaction=transaction, **{**values, **CROSSING.get(transaction, {}), **more})  # type: ignore[arg-type]  # kinds vary
    record = intent.record(AT) | {"exchange_id": intent.exchange_id}
    return write_event(record, None if outcome is None else outcome.record(AT, 12), 7, SITES[side])


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Profiles:
    path: Path = packed(tmp_path_factory.mktemp("ihe") / "ihe.tgz", DEFINITIONS)
    return Profiles(Packages([read_package(path)]))


def entity(event: Node, kind: str) -> Node:
    (found,) = [one for one in event["entity"] if one["type"]["code"] == kind]
    return dict(found)


def agents(event: Node, code: str) -> list[Node]:
    return [one for one in event["agent"] if one["type"]["coding"][0]["code"] == code]


ALL: list[tuple[str, str, Outcome]] = [(t, side, o) for t in CROSSING for side in "AB" for o in (GIVEN, REFUSED)] + [
    (t, "A", GIVEN) for t in HOME
]


@pytest.mark.requirement("AUD-02")
@pytest.mark.requirement("AUD-03")
@pytest.mark.requirement("AUD-04")
@pytest.mark.requirement("AUD-06")
@pytest.mark.requirement("AUD-10")
@pytest.mark.parametrize(("transaction", "side", "outcome"), ALL)
def test_every_transaction_of_either_side_is_a_whole_event(
    transaction: str, side: str, outcome: Outcome, profiles: Profiles
) -> None:
    made = event(transaction, side, outcome)

    found = [*structure_faults(made), *examine(Kind.EVENT, made, PACK), *profile_faults(made, profiles)]
    assert [one for one in found if one.severity is not Severity.INFORMATION] == []


@pytest.mark.parametrize("side", ["A", "B"])
@pytest.mark.parametrize("transaction", [name for name in CROSSING if name != "ITI-71"])
def test_a_success_claims_the_profile_of_its_side_and_a_failure_none(transaction: str, side: str) -> None:
    given, refused = event(transaction, side), event(transaction, side, REFUSED)

    assert len(given["meta"]["profile"]) == 1
    assert "meta" not in refused
    assert refused["outcome"] == "4"


def test_what_lacks_for_a_profile_is_not_claimed() -> None:
    assert "meta" not in event("ITI-67", address="")
    assert "meta" not in event("RAD-107", patient=None)
    assert "meta" not in event("RAD-107", details={})


@pytest.mark.requirement("AUD-02")
def test_a_search_holds_the_whole_question_as_it_was_sent() -> None:
    (query,) = [one["query"] for one in event("ITI-67")["entity"] if "query" in one]

    assert b64decode(query) == QUERY


@pytest.mark.requirement("AUD-08")
def test_the_number_of_the_token_is_there_and_never_the_token() -> None:
    (user,) = agents(event("ITI-68"), "IRCP")

    assert user["policy"] == ["urn:ietf:params:oauth:jti:jti-1"]
    assert (user["name"], user["requestor"], user["role"][0]["coding"][0]["code"]) == ("Dr Demo", True, "2212")


@pytest.mark.requirement("AUD-07")
def test_images_are_an_export_here_and_an_import_there_with_study_count_and_bytes() -> None:
    sent, came = event("RAD-107", "A"), event("RAD-107", "B")

    assert (sent["type"]["code"], sent["action"]) == ("110106", "R")
    assert (came["type"]["code"], came["action"]) == ("110107", "C")
    for made in (sent, came):
        (study,) = [one for one in made["entity"] if one.get("role", {}).get("code") == "3"]
        assert study["what"]["identifier"]["value"] == "urn:oid:2.25.4711"
        assert study["detail"] == [
            {"type": "instances", "valueString": "3"},
            {"type": "bytes", "valueString": "1234"},
        ]


def test_who_recorded_it_is_the_end_of_the_line_that_it_is() -> None:
    answered, asked = event("ITI-67", "A"), event("ITI-67", "B")

    assert agents(answered, "110152")[0]["who"] == answered["source"]["observer"]
    assert agents(asked, "110153")[0]["who"] == asked["source"]["observer"]
    assert answered["source"]["observer"] != asked["source"]["observer"]


def test_a_refused_token_is_an_alert_and_an_emergency_says_so() -> None:
    who = {"organisation": "Clinic", "person": "hp-7 Dr Demo", "role": "2211", "reason": "crash"}
    started = override("110127", "A", "x-1", "BB", who, AMARA)
    refused = event("ITI-71", "A", REFUSED)
    emergency = write_event(started.record(AT), GIVEN.record(AT, 1), 7, SITES["A"])

    assert refused["type"]["code"] == "110113"
    assert "110127" in [code["code"] for code in emergency["subtype"]]
    assert emergency["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"


def test_the_same_record_is_the_same_event_and_another_is_another() -> None:
    assert event("ITI-67") == event("ITI-67")
    assert event("ITI-67")["id"] != event("ITI-67", "B")["id"]


@pytest.mark.parametrize("kind", ["sign-in", "start", "stop", "trust-list"])
def test_a_note_is_an_event_of_r4_too(kind: str) -> None:
    record = Note(kind=kind, side="A", details={"what": "accepted"}).record(AT) | {"exchange_id": ""}

    made = write_event(record, None, 8, SITES["A"])

    assert [one for one in structure_faults(made) if one.severity is Severity.ERROR] == []
    assert json.dumps(made)
