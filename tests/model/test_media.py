"""Media ranges: lists, weights, and which of the offered forms is wanted most."""

from __future__ import annotations

import pytest

from isthmus.country_a.media import takes, wants_fhir
from isthmus.errors import UnsupportedRequest
from isthmus.model.media import best, quality, read_ranges


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("", []),
        (" , ,, ", []),
        (",a/b,,c/d;q=0.5,", [("a/b", 1.0), ("c/d", 0.5)]),
        ("a/b;q=0.1, c/d;q=0, e/f;q=1.5, g/h;q=x", [("e/f", 1.0), ("g/h", 1.0), ("a/b", 0.1)]),
        ("*/*;Q=0.3, A/B", [("a/b", 1.0), ("*/*", 0.3)]),
    ],
)
def test_a_list_is_read_best_first_with_what_holds_nothing_passed_over(
    value: str, read: list[tuple[str, float]]
) -> None:
    assert [(one.media, one.quality) for one in read_ranges(value)] == read


def test_a_comma_in_a_quoted_parameter_parts_nothing() -> None:
    (one,) = read_ranges('multipart/related; type="a,b"; x="\\"q"')

    assert one.parameters == {"type": "a,b", "x": '"q'}


@pytest.mark.parametrize("value", ["a", "a/b c/d", 'a/b; x="', "a/b; =x", "a/b;;", "/", "a/b, c"])
def test_what_cannot_be_read_is_said(value: str) -> None:
    with pytest.raises(UnsupportedRequest):
        read_ranges(value)


@pytest.mark.parametrize(
    ("media", "weight"), [("image/png", 0.0), ("image/gif", 0.5), ("text/html", 0.1), ("application/json", 1.0)]
)
def test_the_most_particular_range_counts(media: str, weight: float) -> None:
    said = [("*/*", 0.1), ("image/*", 0.5), ("image/png", 0.0), ("application/json", 1.0)]

    assert quality(media, said) == weight


@pytest.mark.parametrize(
    ("value", "chosen"),
    [
        ("*/*", "image/jpeg"),
        ("image/png, image/jpeg", "image/png"),
        ("image/png;q=0.1, image/jpeg", "image/jpeg"),
        ("image/jpeg;q=0, image/*", "image/png"),
        ("image/*;q=0, */*", None),
        ("text/html", None),
    ],
)
def test_the_form_that_is_wanted_most_is_chosen_and_none_that_is_refused(value: str, chosen: str | None) -> None:
    assert best(value, ("image/jpeg", "image/png")) == chosen


def test_the_border_gives_no_form_that_is_refused_by_name() -> None:
    assert takes("application/json", "application/dicom+json", "application/json")
    assert not takes("application/dicom+json;q=0, */*", "application/dicom+json", "application/json")
    assert wants_fhir("application/pdf;q=0, application/fhir+json;q=0.1, */*", "application/pdf")
    with pytest.raises(UnsupportedRequest):
        wants_fhir("application/pdf;q=0, */*", "application/pdf")
