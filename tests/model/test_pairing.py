"""A report beside its study, by number alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import Identifier
from isthmus.model.pairing import pair, resemblances
from isthmus.model.people import Organisation


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


def test_versions_of_a_report_without_its_study_are_one_line() -> None:
    first, second = report("1"), replace(report("2"), replaces="1")
    circle = [replace(report("a"), replaces="b"), replace(report("b"), replaces="a")]

    assert [[r.id for r in e.reports] for e in pair([first, second])] == [["2", "1"]]
    assert sorted(r.id for e in pair(circle) for r in e.reports) == ["a", "b"]


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


ISSUER, OTHER_ISSUER = "urn:oid:2.999.5.1", "urn:oid:2.999.5.2"
HOUSE = Organisation("General Hospital", "H-1", "urn:oid:2.999.7")


def test_an_order_number_pairs_where_no_study_and_no_accession_number_does() -> None:
    order = Identifier(ISSUER, "P-9")
    first = replace(manifest("2.25.1"), order_numbers=(order,))
    second = replace(manifest("2.25.2", Identifier(ISSUER, "A-2")), order_numbers=(order,))

    by_order = pair([first, replace(report("r"), order_numbers=(order,))])
    accession_first = pair(
        [first, second, replace(report("r", numbers=(Identifier(ISSUER, "A-2"),)), order_numbers=(order,))]
    )
    bare = pair([first, replace(report("r"), order_numbers=(Identifier(None, "P-9"),))])

    assert [len(e.reports) for e in by_order] == [1]
    assert {e.manifest.study_instance_uids[0] for e in accession_first if e.manifest and e.reports} == {"2.25.2"}
    assert len(bare) == 2


def lone(*studies: str, numbers: tuple[Identifier, ...] = (), **changes: object) -> Document:
    """A report that resembles the study of `plain`."""
    told = {"period_start": "2026-01-01", "custodian": HOUSE, "modalities": ("CT", "SR")} | changes
    return replace(report("r", *studies, numbers=numbers), **told)  # type: ignore[arg-type]  # a test's shorthand


def plain(*numbers: Identifier) -> Document:
    return replace(manifest("2.25.1", *numbers), custodian=HOUSE, modalities=("CT",))


def test_a_likeness_is_told_and_never_a_pair() -> None:
    found = pair([plain(), lone()])

    told = resemblances(found)

    assert [(e.manifest is None, len(e.reports)) for e in found] == [(False, 0), (True, 1)]
    assert [(r.study.manifest is not None, r.report.reports[0].id) for r in told] == [(True, "r")]


@pytest.mark.parametrize(
    ("what", "manifest_numbers", "document"),
    [
        ("another day", (), lone(period_start="2026-01-02")),
        ("another kind", (), lone(modalities=("MR",))),
        ("a by-product alone", (), lone(modalities=("SR",))),
        ("no kind", (), lone(modalities=())),
        ("another hospital", (), lone(custodian=Organisation("General Hospital", "H-2", "urn:oid:2.999.7"))),
        ("no hospital", (), lone(custodian=None)),
        ("another study by its number", (), lone("2.25.9")),
        ("another number of the same issuer", (Identifier(ISSUER, "1"),), lone(numbers=(Identifier(ISSUER, "2"),))),
    ],
)
def test_what_differs_or_is_contradicted_by_a_number_does_not_resemble(
    what: str, manifest_numbers: tuple[Identifier, ...], document: Document
) -> None:
    assert resemblances(pair([plain(*manifest_numbers), document])) == [], what


@pytest.mark.fault("F09")
def test_equal_numbers_of_two_issuers_are_a_likeness_at_most() -> None:
    found = pair([plain(Identifier(ISSUER, "4711")), lone(numbers=(Identifier(OTHER_ISSUER, "4711"),))])

    assert len(found) == 2
    assert len(resemblances(found)) == 1


def test_a_study_that_has_its_report_resembles_no_other() -> None:
    found = pair([plain(), report("own", "2.25.1"), lone()])

    assert resemblances(found) == []
