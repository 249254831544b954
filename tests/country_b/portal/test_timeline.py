"""Rows, filters and their counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.country_b.portal.fakes import FakeCountry

from isthmus.country_b.portal.timeline import Filters, chips, kept, rows_of
from isthmus.demo.people import PEOPLE
from isthmus.model.documents import Document
from isthmus.model.pairing import pair
from isthmus.model.queries import REGIONS
from isthmus.pages.language import language

ENGLISH, TODAY = language("en"), date(2026, 11, 25)


def _documents() -> list[Document]:
    country, patient = FakeCountry(), PEOPLE["irini"]
    country.with_study(patient, started="2026-10-29T08:31:17+02:00", description="CT of the chest")
    country.with_study(
        patient,
        started="2023-02-06T14:15:00+02:00",
        modalities=("MR", "SR"),
        regions=(REGIONS["774007"],),
        description="MR of the head",
    )
    country.with_report("ct-abdomen-oskar", study_instance_uids=(), modalities=("CT",))
    documents = [d for listed in country.documents.values() for d in listed]
    return [replace(d, period_start="2019-01-01") if d.id == "ct-abdomen-oskar" else d for d in documents]


ROWS = rows_of(pair(_documents()), ENGLISH)


def _found(query: list[tuple[str, str]]) -> list[str]:
    return [row.started[:4] for row in kept(ROWS, Filters.read(query), TODAY)]


def test_the_newest_examination_is_first() -> None:
    assert [row.started[:4] for row in ROWS] == ["2026", "2023", "2019"]


@pytest.mark.parametrize(
    ("query", "years"),
    [
        ([], ["2026", "2023", "2019"]),
        ([("p", "1")], ["2026"]),
        ([("p", "5")], ["2026", "2023"]),
        ([("m", "mr")], ["2023"]),
        ([("m", "mr"), ("m", "ct")], ["2026", "2023", "2019"]),
        ([("m", "mr"), ("p", "1")], []),
        ([("r", "chest")], ["2026"]),
        ([("c", "rep")], ["2019"]),
        ([("c", "img")], ["2026", "2023"]),
        ([("q", "mr head")], ["2023"]),
        ([("q", "MÁGNETIC")], ["2023"]),
        ([("q", "2026")], ["2026"]),
        ([("m", "nonsense"), ("p", "nonsense"), ("x", "y")], ["2026", "2023", "2019"]),
    ],
)
def test_filters_keep_what_fits_all_of_them(query: list[tuple[str, str]], years: list[str]) -> None:
    assert _found(query) == years


def test_a_chip_counts_what_choosing_it_would_show() -> None:
    counted = chips(ROWS, Filters.read([("p", "5"), ("m", "mr")]), TODAY, ENGLISH)

    assert {c.value: c.count for c in counted["p"]} == {"1": 0, "5": 1, "all": 1}
    assert {c.value: c.count for c in counted["m"] if c.count} == {"ct": 1, "mr": 1}
    assert {c.value: c.count for c in counted["r"] if c.count} == {"head": 1}
    assert [c.value for c in counted["p"] if c.chosen] == ["5"]


@given(
    period=st.sampled_from(["1", "3", "5", "all"]),
    kinds=st.frozensets(st.sampled_from(["ct", "mr", "us"])),
    regions=st.frozensets(st.sampled_from(["head", "chest", "limb"])),
    contains=st.frozensets(st.sampled_from(["rep", "img"])),
    words=st.sampled_from(["", "chest", "hospital"]),
)
def test_each_chip_counts_what_it_shows_with_the_others(
    period: str, kinds: frozenset[str], regions: frozenset[str], contains: frozenset[str], words: str
) -> None:
    now = Filters(period, kinds, regions, contains, words)
    chosen: dict[str, Callable[[str], Filters]] = {
        "p": lambda value: replace(now, period=value),
        "m": lambda value: replace(now, kinds=frozenset({value})),
        "r": lambda value: replace(now, regions=frozenset({value})),
        "c": lambda value: replace(now, contains=now.contains | {value}),
    }

    counted = chips(ROWS, now, TODAY, ENGLISH)

    for name, group in counted.items():
        for chip in group:
            assert chip.count == len(kept(ROWS, chosen[name](chip.value), TODAY)), (name, chip.value)
            read = Filters.read([*now.query, (name, chip.value)]) if name != "p" else chosen[name](chip.value)
            if chip.value in {*kinds, *regions, *contains, period}:
                assert chip.chosen
                assert read == now
    assert Filters.read(now.query) == now


def test_a_typed_period_stands_among_the_others() -> None:
    counted = chips(ROWS, Filters.read([("p", "3")]), TODAY, ENGLISH)

    assert [(c.value, c.words, c.chosen) for c in counted["p"]] == [
        ("1", "1 year", False),
        ("3", "3 years", True),
        ("5", "5 years", False),
        ("all", "all", False),
    ]


def test_a_likeness_stands_at_its_study_and_has_no_row_of_its_own() -> None:
    country, patient = FakeCountry(), PEOPLE["irini"]
    country.with_study(patient, started="2026-10-29T08:31:17+02:00")
    report = country.with_report(
        "ct-irini", study_instance_uids=(), accession_numbers=(), modalities=("CT",), period_start="2026-10-29"
    )
    documents = [replace(d, custodian=report.custodian) for listed in country.documents.values() for d in listed]

    (row,) = rows_of(pair(documents), ENGLISH)

    assert ([r.id for r in row.maybe], row.reports) == (["ct-irini"], ())
    assert len(kept([row], Filters(contains=frozenset({"rep", "img"})), TODAY)) == 1


def test_a_region_that_only_the_title_names_counts() -> None:
    country = FakeCountry()
    country.with_study(PEOPLE["irini"], regions=(), description="CT Kopf nativ")

    (row,) = rows_of(pair([d for listed in country.documents.values() for d in listed]), ENGLISH)

    assert row.regions == {"head"}


def test_a_by_product_is_no_kind_of_image() -> None:
    assert [row.kinds for row in ROWS][1] == {"mr"}


def test_without_filters_nothing_but_old_versions_is_hidden() -> None:
    assert not Filters.read([]).any
    assert Filters.read([("q", "x")]).any
