"""Rows, filters and their counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
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
        ([("q", "MÁGNETIC")], []),
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


def test_a_by_product_is_no_kind_of_image() -> None:
    assert [row.kinds for row in ROWS][1] == {"mr"}


def test_without_filters_nothing_but_old_versions_is_hidden() -> None:
    assert not Filters.read([]).any
    assert Filters.read([("q", "x")]).any
