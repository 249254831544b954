"""Studies moved, deleted, restored: what is offered to whom, and what comes back.

Source: interfaces.md §11.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.archive.conftest import NOW, SANDBOX, dicom
from tests.archive.corrections.conftest import EVA, IDA, IDAS, Kept
from tests.originals.made import CDA_HEAD, cda, code, evidence, heading, report, section, text

from isthmus.archive.containers import erase
from isthmus.archive.corrections import reports, studies
from isthmus.archive.corrections.studies import What
from isthmus.archive.doors.offers import Offers
from isthmus.errors import DocumentNotFound, ImagesNotFound, PatientNotFound, SettingsProblem
from isthmus.wire.packs.pack import load_pack


@pytest.fixture
def two(kept: Kept) -> Kept:
    """Eva's study of two images; Ida is registered."""
    kept.bring(dicom(1), dicom(2))
    kept.register(IDA, "Anderssen", "Ida", "1955-12-31")
    return kept


def test_a_study_moved_to_whom_its_files_do_not_name_is_gone_for_one_and_held_for_the_other(two: Kept) -> None:
    before = two.manifests(EVA)[0]

    done = two.move(IDA, study="2.25.10")

    assert (done.held, two.states()) == (2, {"001": "corrected", "002": "corrected"})
    assert (two.served(EVA), two.served(IDA), two.manifests(EVA), two.manifests(IDA)) == ([], [], [], [])
    with pytest.raises(DocumentNotFound):
        two.open(EVA, before.id)
    with pytest.raises(DocumentNotFound):
        two.open(IDA, before.id)


def test_what_was_moved_is_offered_when_it_is_issued_anew_under_the_same_uids(two: Kept) -> None:
    two.move(IDA, study="2.25.10")

    anew = two.bring(dicom(1, **IDAS), dicom(2))

    assert [(v.outcome, v.reason or v.state) for v in anew] == [("accepted", "served"), ("unchanged", "corrected")]
    assert (two.served(IDA), two.served(EVA)) == (["001"], [])
    assert [d.instance_count for d in two.manifests(IDA)] == [1]
    assert sorted(row.reason for row in two.node.rows() if row.state == "quarantined") == ["reissued"]


def test_a_stranger_does_not_take_the_place_of_what_was_moved(two: Kept) -> None:
    two.move(IDA, study="2.25.10")

    (verdict,) = two.bring(dicom(1, PatientID="9999999", PatientName="Else^Someone"))

    assert (verdict.outcome, verdict.reason) == ("refused", "other-bytes")


def test_a_study_moved_back_is_offered_again_under_another_manifest(two: Kept) -> None:
    before = two.manifests(EVA)[0]
    two.move(IDA, study="2.25.10")

    two.move(EVA, study="2.25.10")

    (after,) = two.manifests(EVA)
    assert two.served(EVA) == ["001", "002"]
    assert after.unique_id != before.unique_id


def test_images_that_name_nobody_are_offered_where_they_are_moved_to(kept: Kept) -> None:
    kept.bring(dicom(1))
    kept.register(IDA, "Anderssen", "Ida", "1955-12-31")
    nobody: dict[str, Any] = {"PatientID": None, "PatientName": None, "PatientBirthDate": None}
    kept.bring(dicom(5, study="2.25.20", **nobody), assign=EVA)

    kept.move(IDA, study="2.25.20")

    assert (kept.served(EVA, "2.25.20"), kept.served(IDA, "2.25.20")) == ([], ["005"])


def test_one_image_can_only_leave_a_study(two: Kept) -> None:
    two.move(IDA, instance="2.25.100002")

    assert (two.served(EVA), two.served(IDA)) == (["001"], [])
    assert two.states()["002"] == "corrected"
    assert [d.instance_count for d in two.manifests(EVA)] == [1]


def test_a_move_names_a_registered_patient_and_something_that_is_there(two: Kept) -> None:
    with pytest.raises(PatientNotFound):
        two.move(EVA.__class__(EVA.system, "404"), study="2.25.10")
    with pytest.raises(ImagesNotFound):
        two.move(IDA, study="2.25.404")
    with pytest.raises(SettingsProblem):
        two.move(IDA)


def test_what_is_deleted_is_gone_and_does_not_come_back_unseen(two: Kept) -> None:
    before = two.manifests(EVA)[0]

    two.delete(instance="2.25.100001")

    (after,) = two.manifests(EVA)
    again, other = two.bring(dicom(1), dicom(1, StudyDescription="changed"))
    assert (two.served(EVA), after.instance_count) == (["002"], 1)
    assert [(v.outcome, v.reason) for v in (again, other)] == [("refused", "deleted")] * 2
    assert after.replaces == before.id  # in the index; nobody is shown what is withdrawn
    with pytest.raises(DocumentNotFound):
        two.open(EVA, before.id)


def test_a_study_of_which_all_is_deleted_is_nobodys_and_can_come_for_another(two: Kept) -> None:
    two.delete(study="2.25.10")

    (verdict,) = two.bring(dicom(7, **IDAS))

    assert (verdict.outcome, two.served(IDA), two.manifests(EVA)) == ("accepted", ["007"], [])
    with pytest.raises(SettingsProblem):
        two.restore(study="2.25.10")


def test_what_is_restored_is_offered_again(two: Kept) -> None:
    two.delete(study="2.25.10")

    two.restore(study="2.25.10")

    assert two.served(EVA) == ["001", "002"]
    assert [d.instance_count for d in two.manifests(EVA)] == [2]


def test_what_was_erased_is_noughts_and_is_let_in_again_after_a_restore(two: Kept) -> None:
    what = What(instance="2.25.100001")
    two.delete(instance="2.25.100001")
    (row,) = two.node.database.read_now(lambda c: studies.to_be_erased(c, what))

    erase(two.blobs, row.container, row.offset, row.size)
    two.node.database.write_now(lambda c: studies.erased(c, [row.id]))
    two.restore(instance="2.25.100001")

    with (two.blobs / row.container).open("rb") as file:
        file.seek(row.offset)
        assert not any(file.read(row.size))
    assert [v.outcome for v in two.bring(dicom(1))] == ["accepted"]
    assert two.served(EVA) == ["001", "002"]


def test_who_moves_a_study_is_told_where_each_report_that_names_it_is_put_right(two: Kept) -> None:
    seen = heading("121070", "Findings", text(code("121071"), "No haemorrhage"))
    of = evidence("2.25.10", "2.25.11", "2.25.100001")
    uids = {"StudyInstanceUID": "2.25.20", "SeriesInstanceUID": "2.25.12", "IssuerOfPatientID": ""}
    two.bring(report(seen, CurrentRequestedProcedureEvidenceSequence=of, **uids))
    node = two.node
    Offers(node.settings, node.database, lambda: NOW, load_pack(), SANDBOX).make(["2.25.20"])
    two.report(cda(section("19005-8", "Befund", "-"), head=CDA_HEAD.replace("2.25.1", "2.25.10")), "xml")

    done = two.move(IDA, study="2.25.10")

    names, instance = sorted((told for told in done.told if told.startswith("Report")), key=len)
    number = names.split()[1]
    assert node.database.read_now(lambda c: reports.find(c, number, ("served",))).number == int(number)
    assert "an instance of study 2.25.20" in instance
    assert two.move(IDA, study="2.25.20").instances == 1
    assert not [told for told in two.move(EVA, study="2.25.10").told if "2.25.20" in told and "stays with" in told]
