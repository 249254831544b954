"""The fewest requests that bring what is missing."""

from __future__ import annotations

import pytest

from isthmus.country_b.fetch import Wanted, plan
from isthmus.model.queries import ImagesQuery

STUDY = "2.25.1"
ALL = tuple(Wanted(f"2.25.{s}", f"2.25.{s}{i}") for s in (2, 3) for i in (1, 2, 3))


def test_nothing_missing_asks_for_nothing() -> None:
    assert plan(STUDY, ALL, ()) == []


def test_everything_missing_asks_for_the_study_once() -> None:
    assert plan(STUDY, ALL, ALL) == [ImagesQuery(STUDY)]


@pytest.mark.requirement("WAD-12")
def test_a_whole_series_and_one_instance_missing_ask_for_just_these() -> None:
    asked = plan(STUDY, ALL, ALL[:4])

    assert asked == [ImagesQuery(STUDY, "2.25.2"), ImagesQuery(STUDY, "2.25.3", "2.25.31")]


def test_a_study_whose_key_images_alone_are_asked_for_is_asked_image_by_image() -> None:
    marked = (ALL[1], ALL[4])

    asked = plan(STUDY, ALL, marked)

    assert asked == [ImagesQuery(STUDY, "2.25.2", "2.25.22"), ImagesQuery(STUDY, "2.25.3", "2.25.32")]
