"""Reports moved, retracted, deleted, restored."""

from __future__ import annotations

from typing import Any

import pytest
from tests.archive.corrections.conftest import EVA, IDA, Kept

from isthmus.archive.corrections import reports
from isthmus.errors import DocumentNotFound, PatientNotFound
from isthmus.model.documents import Document
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.header import Header
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import write_report

NUMBER = Identifier("urn:ietf:rfc:3986", "urn:uuid:5f0c1e10-0000-4000-8000-000000000001")


def written(of: PatientIdentifier = EVA, version: str = "1", **header: Any) -> bytes:
    name = HumanName("Anderssen", ("Ida",)) if of == IDA else HumanName("Testova", ("Eva",))
    born = "1955-12-31" if of == IDA else "1970-01-01"
    said = {"title": "CT report", "date": "2026-03-01T09:00:00+02:00", "version": version, **header}
    return write_report(ImagingReport(Header(NUMBER, Patient(of, (name,), born, "female"), **said)), load_pack())


@pytest.fixture
def two(kept: Kept) -> Kept:
    """A report of Eva's in two versions; Ida is registered."""
    for version in ("1", "2"):
        assert kept.report(written(version=version)).outcome == "accepted"
    kept.register(IDA, "Anderssen", "Ida", "1955-12-31")
    return kept


def listed(kept: Kept, patient: PatientIdentifier = EVA) -> list[tuple[str | None, str]]:
    return [(d.report_version, d.status) for d in kept.documents(patient)]


def newest(kept: Kept) -> Document:
    return next(d for d in kept.documents(EVA) if d.status == "current")


def test_what_a_retracted_report_replaced_does_not_become_the_current_one(two: Kept) -> None:
    id_ = newest(two).id

    done = two.retract(id_)

    assert listed(two) == [("1", "superseded"), ("2", "withdrawn")]
    assert any("stays superseded" in words for words in done.told)
    with pytest.raises(DocumentNotFound):
        two.open(EVA, id_)


def test_a_retracted_version_does_not_come_back_by_being_brought_again(two: Kept) -> None:
    two.retract(newest(two).id)

    same = two.report(written(version="2"))
    other = two.report(written(version="2", title="CT report, changed"))
    newer = two.report(written(version="3"))

    assert [(v.outcome, v.reason) for v in (same, other)] == [("refused", "retracted"), ("refused", "other-document")]
    assert (newer.outcome, listed(two)[-1]) == ("accepted", ("3", "current"))


def test_a_retraction_taken_back_leaves_a_newer_version_the_current_one(two: Kept) -> None:
    id_ = newest(two).id
    two.retract(id_)
    two.report(written(version="3"))

    two.node.database.write_now(lambda c: reports.restore(c, id_))

    assert listed(two) == [("1", "superseded"), ("2", "superseded"), ("3", "current")]


def test_a_report_that_names_somebody_else_is_held_with_all_its_versions(two: Kept) -> None:
    done = two.move_reports(IDA, newest(two).id, says=(EVA,))

    assert (done.documents, done.held) == (2, 2)
    assert listed(two) == []
    assert listed(two, IDA) == [("1", "withdrawn"), ("2", "withdrawn")]
    assert two.report(written(IDA, version="2")).outcome == "accepted"
    assert listed(two, IDA)[-1] == ("2", "current")


def test_a_report_that_names_its_patient_or_nobody_is_offered_where_it_is_moved_to(two: Kept) -> None:
    two.move_reports(IDA, newest(two).id, says=())

    assert listed(two, IDA) == [("1", "superseded"), ("2", "current")]


def test_a_report_is_found_by_its_own_identifier_too_and_nothing_else_is(two: Kept) -> None:
    two.retract(NUMBER.value.removeprefix("urn:uuid:"))

    assert listed(two)[0] == ("1", "withdrawn")
    with pytest.raises(DocumentNotFound):
        two.retract("404")
    with pytest.raises(PatientNotFound):
        two.move_reports(PatientIdentifier(EVA.system, "404"), newest(two).id)


def test_a_deleted_report_is_refused_until_it_is_restored(two: Kept) -> None:
    id_ = newest(two).id
    two.node.database.write_now(lambda c: reports.delete_(c, id_))

    again = two.report(written(version="2"))
    two.node.database.write_now(lambda c: reports.restore(c, id_))

    assert (again.outcome, again.reason) == ("refused", "deleted")
    assert listed(two) == [("1", "superseded"), ("2", "current")]
