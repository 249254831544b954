"""A report beside its study, by number alone."""

from __future__ import annotations

import pytest

from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import Identifier
from isthmus.model.pairing import pair


def manifest(study: str, *numbers: Identifier, started: str = "2026-01-01T10:00:00+02:00") -> Document:
    return Document(
        f"m-{study}", DocumentKind.MANIFEST_FHIR, None, Identifier("urn:dicom:uid", f"urn:oid:{study}.1"), "CT", started, started,
        "application/fhir+json", (study,), numbers, period_start=started,
    )  # fmt: skip


def report(name: str, *studies: str, numbers: tuple[Identifier, ...] = (), day: str = "2026-01-02") -> Document:
    return Document(
        name, DocumentKind.REPORT_FHIR, None, Identifier("urn:ietf:rfc:3986", f"urn:uuid:{name}"), name, day, day,
        "application/fhir+json", studies, numbers,
    )  # fmt: skip


def test_a_report_stands_at_every_study_it_names() -> None:
    found = pair([manifest("2.25.1"), manifest("2.25.2"), report("r", "2.25.1", "2.25.2")])

    assert [[r.id for r in e.reports] for e in found] == [["r"], ["r"]]


def test_a_report_of_a_study_that_is_not_here_stands_alone() -> None:
    found = pair([manifest("2.25.1"), report("r", "2.25.9")])

    assert sorted((e.manifest is None, len(e.reports)) for e in found) == [(False, 0), (True, 1)]


@pytest.mark.fault("F09")
def test_an_accession_number_pairs_only_under_its_issuer() -> None:
    ours, theirs, bare = (
        Identifier("urn:oid:2.999.5.1", "4711"),
        Identifier("urn:oid:2.999.5.2", "4711"),
        Identifier(None, "4711"),
    )

    found = pair(
        [
            manifest("2.25.1", ours),
            manifest("2.25.2", theirs),
            report("r", numbers=(ours,)),
            report("b", numbers=(bare,)),
        ]
    )

    places = {e.manifest.study_instance_uids[0] if e.manifest else r.id for e in found for r in e.reports}
    assert places == {"2.25.1", "b"}


@pytest.mark.fault("F08")
def test_blanks_at_the_ends_of_an_accession_number_do_not_count_and_zeros_do() -> None:
    system = "urn:oid:2.999.5.1"

    assert Identifier(system, " 000123 ") == Identifier(system, "000123")
    assert Identifier(system, "000123") != Identifier(system, "123")
    assert Identifier(system, "A 12 B") != Identifier(system, "A12B")


def test_newest_comes_first_and_the_order_is_stable() -> None:
    documents = [
        manifest("2.25.1", started="2025-03-01T08:00:00+02:00"),
        manifest("2.25.2", started="2026-03-01T08:00:00+02:00"),
        report("r", "2.25.9", day="2025-09-01"),
    ]

    once, again = ([e.started for e in pair(order)] for order in (documents, documents[::-1]))

    assert once == again == sorted(once, reverse=True)
