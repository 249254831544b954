"""Rejection notes: what they name is left out, whichever comes first.

Source: PS3.16 CID 7011.
"""

from __future__ import annotations

import pytest
from tests.archive.conftest import dicom
from tests.archive.corrections.conftest import EVA, IDA, IDAS, Kept, note

from isthmus.errors import SettingsProblem


@pytest.mark.parametrize("code", ["113001", "113037", "113038", "113039"])
def test_what_a_note_rejects_is_left_out_at_once_and_the_note_is_not_offered(kept: Kept, code: str) -> None:
    kept.bring(dicom(1), dicom(2))
    before = kept.manifests(EVA)[0]

    (verdict,) = kept.bring(note("2.25.100001", code=code))

    assert (verdict.outcome, verdict.state) == ("accepted", "note")
    assert (kept.states(), kept.served(EVA)) == ({"001": "rejected", "002": "served", "900": "note"}, ["002"])
    assert [(d.id == before.id, d.instance_count) for d in kept.manifests(EVA)] == [(False, 1)]


def test_a_note_that_comes_first_waits_for_what_it_names(kept: Kept) -> None:
    kept.bring(note("2.25.100001"))

    first, second = kept.bring(dicom(1), dicom(2))

    assert (first.state, second.state) == ("rejected", "served")
    assert kept.served(EVA) == ["002"]


def test_a_note_says_nothing_of_a_strangers_images(kept: Kept) -> None:
    kept.bring(dicom(1), dicom(5, study="2.25.50", **IDAS))

    (verdict,) = kept.bring(note("2.25.100001", "2.25.100005"))

    assert (verdict.outcome, verdict.reason) == ("quarantined", "strangers-note")
    assert (kept.served(EVA), kept.served(IDA, "2.25.50")) == (["001"], ["005"])


def test_a_strangers_image_that_comes_later_is_not_rejected(kept: Kept) -> None:
    kept.bring(note("2.25.100005"))

    (verdict,) = kept.bring(dicom(5, study="2.25.50", **IDAS))

    assert (verdict.state, kept.served(IDA, "2.25.50")) == ("served", ["005"])


def test_a_note_whose_content_cannot_be_read_is_held(kept: Kept) -> None:
    (verdict,) = kept.bring(note())

    assert (verdict.outcome, verdict.reason) == ("quarantined", "unreadable-note")


def test_what_was_rejected_comes_back_only_by_the_operator(kept: Kept) -> None:
    kept.bring(dicom(1), dicom(2), note("2.25.100001"))

    (again,) = kept.bring(dicom(1))
    kept.restore(instance="2.25.100001")
    kept.bring(note("2.25.100001"))

    assert (again.outcome, again.reason) == ("refused", "rejected")
    assert kept.served(EVA) == ["001", "002"]


def test_a_note_that_names_nobody_takes_effect_when_it_is_assigned(kept: Kept) -> None:
    kept.bring(dicom(1), dicom(2))
    kept.bring(note("2.25.100001", PatientID=None))
    before = kept.served(EVA)

    kept.assign(EVA, instance="2.25.100900")

    assert (before, kept.served(EVA)) == (["001", "002"], ["002"])


def test_images_are_assigned_only_to_whom_they_do_not_contradict(kept: Kept) -> None:
    kept.bring(dicom(1), dicom(3, study="2.25.30", PatientID=None))
    kept.register(IDA, "Anderssen", "Ida", "1955-12-31")

    with pytest.raises(SettingsProblem):
        kept.assign(IDA, study="2.25.30")
    kept.assign(EVA, study="2.25.30")

    assert kept.served(EVA, "2.25.30") == ["003"]


def test_clinical_key_images_are_no_rejection(kept: Kept) -> None:
    (verdict,) = kept.bring(note("2.25.100001", code="113000"))

    assert verdict.state == "served"
