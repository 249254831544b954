"""Who looked at my data: what a patient reads of the trail."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from isthmus.audit.access import MORE, SUPERVISION, Access, Accesses, as_csv, as_json, as_searchset, reading
from isthmus.audit.atna.event import Site
from isthmus.audit.events import Intent, Outcome
from isthmus.audit.trail import Trail
from isthmus.conformance.structure import structure_faults
from isthmus.model.identifiers import PatientIdentifier
from isthmus.storage.database import Database
from isthmus.storage.schema.audit import audit_key
from isthmus.storage.schema.metadata import STATE
from isthmus.storage.sealed import MasterKey

MASTER = MasterKey(bytes(range(32)))
AMARA = PatientIdentifier("urn:oid:2.999.2.1", "0123456789")
OTHER = PatientIdentifier("urn:oid:2.999.2.1", "123456789")
GIVEN = Outcome(outcome="complete", status=200, instances=3, bytes=1234)
STUDY = "2.25.4711"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "state.sqlite", STATE)
    database.create()
    yield database
    database.close()


@pytest.fixture
def trail(state: Database, tmp_path: Path) -> Iterator[Trail]:
    trail = Trail(state, MASTER, lambda: datetime.now(UTC), tmp_path)
    trail.start()
    yield trail
    trail.stop()


def intent(transaction: str = "RAD-107", patient: PatientIdentifier | None = AMARA, **more: object) -> Intent:
    values: dict[str, object] = {
        "side": "A", "exchange_id": "x-1", "peer": "BB", "organisation": "Clinic of BB", "person": "hp-7 Dr Demo",
        "role": "2212", "purpose": "TREAT", "categories": ("imaging-study",), "details": {"of": f"{STUDY}/series/1"},
    }  # fmt: skip
    return Intent(transaction=transaction, patient=patient, **{**values, **more})  # type: ignore[arg-type]  # kinds vary


def seen_by(state: Database, *patients: PatientIdentifier) -> tuple[Access, ...]:
    return Accesses(state, MASTER).of_now(patients or (AMARA,)).accesses


def test_a_patient_reads_who_from_where_when_what_and_why(trail: Trail, state: Database) -> None:
    trail.record_now(intent(), GIVEN)

    (access,) = seen_by(state)

    assert (access.person, access.country, access.organisation) == ("Dr Demo", "BB", "Clinic of BB")
    assert access.words() == {
        "kind": "fetched images",
        "role": "specialist doctor",
        "purpose": "treatment",
        "outcome": "given",
    }
    assert (access.study, access.instances, access.categories) == (STUDY, 3, ("imaging-study",))
    assert abs((datetime.now(UTC) - datetime.fromisoformat(access.at)).total_seconds()) < 60


def test_an_access_is_seen_while_it_still_goes_on(trail: Trail, state: Database) -> None:
    trail.open_now(intent())

    assert [access.outcome for access in seen_by(state)] == ["open"]


def test_a_refused_access_is_seen_as_refused(trail: Trail, state: Database) -> None:
    trail.record_now(intent(), Outcome(outcome="refused", status=403, reason="role"))

    assert [access.words()["outcome"] for access in seen_by(state)] == ["refused"]


def test_nobody_reads_of_another_patient_whose_number_differs_by_a_zero(trail: Trail, state: Database) -> None:
    trail.record_now(intent(patient=OTHER), GIVEN)

    assert seen_by(state, AMARA) == ()
    assert len(seen_by(state, AMARA, OTHER)) == 1


def test_the_reason_of_an_emergency_stands_at_everything_fetched_under_it(trail: Trail, state: Database) -> None:
    trail.record_now(intent("RAD-107"), GIVEN)
    trail.record_now(intent("ITI-71", purpose="BTG", details={"reason": "unconscious after a crash"}), GIVEN)
    trail.record_now(intent("RAD-107", purpose="BTG"), GIVEN)
    trail.record_now(intent("RAD-107", purpose="BTG", person="hp-8 Dr Other"), GIVEN)

    reasons = [(access.kind, access.purpose, access.person, access.reason) for access in seen_by(state)]

    assert reasons == [
        ("RAD-107", "BTG", "Dr Other", None),
        ("RAD-107", "BTG", "Dr Demo", "unconscious after a crash"),
        ("ITI-71", "BTG", "Dr Demo", "unconscious after a crash"),
        ("RAD-107", "TREAT", "Dr Demo", None),
    ]


def test_images_count_as_viewed_when_the_other_country_told_so_and_not_before(trail: Trail, state: Database) -> None:
    trail.record_now(intent("RAD-107"), GIVEN)
    trail.record_now(intent("RAD-107", details={"of": "2.25.99"}), GIVEN)
    silent = [access.viewed for access in seen_by(state)]
    trail.record_now(intent("view", person="hp-7", details={"of": STUDY}), Outcome(outcome="complete"))

    assert silent == [None, None]
    assert {access.person for access in seen_by(state)} == {"Dr Demo"}
    assert [(access.kind, access.viewed) for access in seen_by(state)] == [
        ("view", True),
        ("RAD-107", None),
        ("RAD-107", True),
    ]


def test_a_search_that_found_the_patient_is_seen_and_one_that_did_not_is_not(trail: Trail, state: Database) -> None:
    for found in (AMARA, None, OTHER):
        trail.record_now(intent("ITI-78", patient=None), Outcome(outcome="complete", patient=found))

    assert [(access.kind, access.words()["kind"]) for access in seen_by(state)] == [("ITI-78", "looked you up")]


def test_a_look_that_names_its_exchange_is_of_that_one_and_no_other(trail: Trail, state: Database) -> None:
    trail.record_now(intent("ITI-68", exchange_id="x-7", details={"of": "abc"}), GIVEN)
    trail.record_now(intent("ITI-68", exchange_id="x-8", details={"of": "def"}), GIVEN)
    trail.record_now(intent("view", details={"exchange": "x-7"}), Outcome(outcome="complete"))

    assert [(access.exchange_id, access.viewed) for access in seen_by(state)][1:] == [("x-8", None), ("x-7", True)]


def test_an_auditors_reading_stands_in_the_list_it_reads_with_its_case(trail: Trail, state: Database) -> None:
    read = reading(
        AMARA, ncp_id="urn:aa", exchange_id="r-1", purpose=SUPERVISION, person="N. Officer", case="2026-117"
    )  # fmt: skip
    trail.record_now(read, Outcome(outcome="complete"))

    (access,) = seen_by(state)

    assert (access.person, access.reason, access.words()["kind"]) == ("N. Officer", "2026-117", "read this list")


def test_a_record_that_does_not_open_is_counted_and_not_left_out_in_silence(trail: Trail, state: Database) -> None:
    trail.record_now(intent(), GIVEN)
    state.write_now(lambda connection: connection.execute(audit_key.delete()) and None)

    view = Accesses(state, MASTER).of_now([AMARA])

    assert (view.accesses, view.unreadable) == ((), 1)


def test_json_and_csv_hold_the_same_accesses(trail: Trail, state: Database) -> None:
    trail.record_now(intent("ITI-67"), GIVEN)
    trail.record_now(intent("RAD-107"), GIVEN)
    view = Accesses(state, MASTER).of_now([AMARA])

    told, table = as_json(view), list(csv.DictReader(io.StringIO(as_csv(view))))

    assert [row["exchange_id"] for row in table] == [access["exchange_id"] for access in told["accesses"]]
    assert [row["kind_words"] for row in table] == [access["words"]["kind"] for access in told["accesses"]]


def test_the_view_is_a_searchset_of_whole_events_too(trail: Trail, state: Database) -> None:
    trail.record_now(intent("ITI-68", details={"of": "abc"}, address="192.0.2.7"), GIVEN)
    trail.open_now(intent("ITI-67"))
    view = Accesses(state, MASTER).of_now([AMARA])

    bundle = as_searchset(view, Site("AA", "urn:ehealth:aa:ncp-idp", "ncp.aa.example"))

    assert structure_faults(bundle) == []
    assert (bundle["type"], bundle["total"]) == ("searchset", 2)
    assert [entry["resource"].get("outcome") for entry in bundle["entry"]] == [None, "0"]


def test_a_name_that_a_spreadsheet_would_run_stays_text(trail: Trail, state: Database) -> None:
    trail.record_now(intent(organisation="=HYPERLINK(1)"), GIVEN)

    (row,) = csv.DictReader(io.StringIO(as_csv(Accesses(state, MASTER).of_now([AMARA]))))

    assert row["organisation"] == "'=HYPERLINK(1)"


@pytest.mark.threat("T81")
def test_no_number_of_later_looks_pushes_an_access_off_the_list(trail: Trail, state: Database) -> None:
    trail.record_now(intent("RAD-107", purpose="BTG", exchange_id="x-7"), GIVEN)
    for person in ("hp-7", "hp-7", "hp-8", "hp-9", "hp-9"):
        trail.record_now(intent("view", person=person, details={"exchange": "x-7", "of": STUDY}), GIVEN)

    whole, cut = Accesses(state, MASTER).of_now((AMARA,)), Accesses(state, MASTER).of_now((AMARA,), limit=2)

    assert [access.kind for access in whole.accesses] == ["view", "view", "view", "RAD-107"]
    assert [access.kind for access in cut.accesses] == ["view", "view", "RAD-107"]
    assert (whole.more, cut.more) == (False, True)


@pytest.mark.threat("T81")
def test_a_list_that_was_cut_says_that_there_are_more(trail: Trail, state: Database) -> None:
    for _ in range(3):
        trail.record_now(intent(), GIVEN)

    cut, whole = (Accesses(state, MASTER).of_now((AMARA,), limit=limit) for limit in (2, 3))

    assert (len(cut.accesses), as_json(cut)["more"], as_json(whole)["more"]) == (2, True, False)
    assert MORE in as_csv(cut)
    assert MORE not in as_csv(whole)
