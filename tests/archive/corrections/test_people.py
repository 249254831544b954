"""Merge and split: whom a number finds, whose the studies are, and what comes after."""

from __future__ import annotations

import pytest
from tests.archive.conftest import NOW, SANDBOX, dicom
from tests.archive.corrections.conftest import EVA, IDA, IDAS, OLD, OLD_EVA, Kept
from tests.archive.corrections.test_reports import written
from tests.originals.made import report as sr

from isthmus.archive import register
from isthmus.archive.doors.offers import Offers
from isthmus.archive.people import bring_people, read_people
from isthmus.errors import PatientNotFound, SettingsProblem
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import Patient
from isthmus.model.queries import PatientQuery
from isthmus.wire.packs.pack import load_pack


@pytest.fixture
def twice(kept: Kept) -> Kept:
    """Eva under two numbers, with a study under each."""
    kept.bring(dicom(1), dicom(2, study="2.25.20", **OLD))
    return kept


def found(kept: Kept, identifier: PatientIdentifier) -> list[Patient]:
    return kept.node.database.read_now(lambda c: register.find(c, PatientQuery((identifier,))))


def test_the_old_number_finds_nobody_and_the_other_has_everything(twice: Kept) -> None:
    twice.merge(OLD_EVA, EVA)

    (eva,) = found(twice, EVA)
    assert (found(twice, OLD_EVA), eva.former) == ([], (OLD_EVA,))
    assert (twice.served(EVA, "2.25.20"), twice.served(OLD_EVA, "2.25.20")) == (["002"], [])
    assert {d.study_instance_uids for d in twice.manifests(EVA)} == {("2.25.10",), ("2.25.20",)}


def test_a_merge_that_is_done_changes_nothing_when_it_is_said_again(twice: Kept) -> None:
    twice.merge(OLD_EVA, EVA)

    again = twice.merge(OLD_EVA, EVA)

    assert not again.changed


def test_two_people_are_not_merged(twice: Kept) -> None:
    twice.register(IDA, "Anderssen", "Ida", "1955-12-31")

    for former, into, problem in (
        (OLD_EVA, IDA, SettingsProblem),
        (EVA, EVA, SettingsProblem),
        (EVA, PatientIdentifier(EVA.system, "404"), PatientNotFound),
        (PatientIdentifier(EVA.system, "404"), EVA, PatientNotFound),
    ):
        with pytest.raises(problem):
            twice.merge(former, into)


def test_what_comes_under_the_old_number_is_the_survivors(twice: Kept) -> None:
    twice.merge(OLD_EVA, EVA)

    twice.bring(dicom(3, study="2.25.30", **OLD))

    assert twice.served(EVA, "2.25.30") == ["003"]


def test_a_split_gives_back_what_the_number_had_and_what_names_it_since(twice: Kept) -> None:
    twice.merge(OLD_EVA, EVA)
    twice.bring(dicom(3, study="2.25.30", **OLD), dicom(4, study="2.25.40"))

    twice.split(OLD_EVA)

    assert [twice.served(OLD_EVA, uid) for uid in ("2.25.10", "2.25.20", "2.25.30", "2.25.40")] == [
        [],
        ["002"],
        ["003"],
        [],
    ]
    assert [twice.served(EVA, uid) for uid in ("2.25.10", "2.25.20", "2.25.30", "2.25.40")] == [
        ["001"],
        [],
        [],
        ["004"],
    ]
    assert found(twice, EVA)[0].former == ()
    assert found(twice, OLD_EVA)[0].identifier == OLD_EVA


def test_what_names_the_other_in_a_study_of_both_is_held_after_a_split(twice: Kept) -> None:
    twice.merge(OLD_EVA, EVA)
    twice.bring(dicom(7, **OLD))  # into a study of the survivor's own

    done = twice.split(OLD_EVA)

    assert (twice.served(EVA), twice.served(OLD_EVA), done.held) == (["001"], [], 1)
    assert twice.states()["007"] == "corrected"


def test_what_was_never_merged_is_not_split(twice: Kept) -> None:
    with pytest.raises(SettingsProblem):
        twice.split(EVA)


def test_merges_of_merges_are_undone_one_by_one(twice: Kept) -> None:
    newest = PatientIdentifier(EVA.system, "2222222")
    twice.register(newest, "Testova", "Eva", "1970-01-01")
    twice.merge(OLD_EVA, EVA)
    twice.merge(EVA, newest)

    both = found(twice, newest)[0].former
    served = [twice.served(newest, uid) for uid in ("2.25.10", "2.25.20")]
    twice.split(EVA)

    assert (both, served) == ((EVA, OLD_EVA), [["001"], ["002"]])
    assert [twice.served(EVA, uid) for uid in ("2.25.10", "2.25.20")] == [["001"], ["002"]]
    assert found(twice, EVA)[0].former == (OLD_EVA,)


def test_the_register_does_not_bring_a_merged_number_back(twice: Kept) -> None:
    twice.merge(OLD_EVA, EVA)
    rows = (
        f"system,value,family,given,birth_date,gender\n{OLD_EVA.system},{OLD_EVA.value},Testova,Eva,1970-01-01,female\n"
    )

    count = bring_people(twice.node.database, read_people(rows.encode()))

    assert (count.registered, len(count.refused), found(twice, OLD_EVA)) == (0, 1, [])


def test_a_file_of_another_person_in_a_merged_study_stays_held_by_its_name(twice: Kept) -> None:
    twice.bring(dicom(9, study="2.25.90", **IDAS))
    twice.merge(OLD_EVA, EVA)
    twice.move(EVA, study="2.25.90")

    twice.split(OLD_EVA)

    assert twice.states()["009"] == "corrected"
    assert twice.served(EVA, "2.25.90") == []


def test_reports_that_came_since_a_merge_stay_and_are_named_one_by_one(twice: Kept) -> None:
    twice.report(written())
    twice.merge(OLD_EVA, EVA)
    twice.report(written(version="2"))

    done = twice.split(OLD_EVA)

    newest = max(int(d.id) for d in twice.documents(EVA) if not d.kind.is_manifest)
    assert [sentence for sentence in done.told if f"stay with the other number: {newest}." in sentence]
    assert len([d for d in twice.documents(EVA) if not d.kind.is_manifest]) == 2


def test_where_no_report_came_since_a_merge_that_is_said(twice: Kept) -> None:
    twice.report(written())
    twice.merge(OLD_EVA, EVA)

    assert "No report came since the merge." in twice.split(OLD_EVA).told


def test_a_report_that_is_an_instance_is_not_named_to_be_moved_for_it_goes_with_its_study(twice: Kept) -> None:
    twice.merge(OLD_EVA, EVA)
    twice.bring(sr(StudyInstanceUID="2.25.30", SeriesInstanceUID="2.25.31", IssuerOfPatientID=""))
    Offers(twice.node.settings, twice.node.database, lambda: NOW, load_pack(), SANDBOX).make(["2.25.30"])

    assert len([d for d in twice.documents(EVA) if not d.kind.is_manifest]) == 1
    assert "No report came since the merge." in twice.split(OLD_EVA).told
