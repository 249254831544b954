"""Words typed into the filter, in the reader's words."""

from __future__ import annotations

import pytest

from isthmus.country_b.portal.typed import Typed, read_words, regions_named
from isthmus.pages.language import language


def said(text: str, *, whole: bool = True, reader: str = "en") -> tuple[str, str, str, str]:
    typed: Typed = read_words(text, whole=whole, spoken=language(reader))
    chosen = (typed.kinds, typed.regions, typed.contains)
    return typed.period, *("+".join(sorted(one)) for one in chosen[:2]), typed.rest  # type: ignore[return-value]  # two


@pytest.mark.parametrize(
    ("text", "reader", "meant"),
    [
        ("ct head 2 years", "en", ("2", "ct", "head", "")),
        ("CT · head · last 2 years", "en", ("2", "ct", "head", "")),
        ("ct kopf 2 jahre", "en", ("2", "ct", "head", "")),
        ("MRT Schädel letzte 10 Jahre", "en", ("10", "mr", "head", "")),
        ("αξονική κεφάλι 2 χρόνια", "el", ("2", "ct", "head", "")),
        ("ΑΚΤΙΝΟΓΡΑΦΙΑ ΘΩΡΑΚΟΣ 5 έτη", "en", ("5", "xr", "chest", "")),
        ("Röntgen thorax", "en", ("", "xr", "chest", "")),
        ("ct mr abdomen chest", "en", ("", "ct+mr", "abdomen+chest", "")),
        ("θώρακας", "el", ("", "", "chest", "")),
        ("thalassa ct 2024", "en", ("", "ct", "", "thalassa 2024")),
        ("0 years", "en", ("", "", "", "0 years")),
        ("ctx heads", "en", ("", "", "", "ctx heads")),
        ("", "en", ("", "", "", "")),
    ],
)
def test_words_become_choices_and_the_unknown_stays(text: str, reader: str, meant: tuple[str, ...]) -> None:
    assert said(text, reader=reader) == meant


def test_a_report_can_be_asked_for_in_words() -> None:
    assert read_words("ct befund", whole=True, spoken=language("en")).contains == {"rep"}


def test_the_last_word_may_still_grow_until_a_blank_follows() -> None:
    assert said("ct", whole=False) == ("", "", "", "ct")
    assert said("ct ", whole=False) == ("", "ct", "", "")
    assert said("ct hea", whole=False) == ("", "ct", "", "hea")
    assert said("2 years", whole=False) == ("", "", "", "2 years")
    assert said("2 years ", whole=False) == ("2", "", "", "")
    assert said("thalassa ", whole=False) == ("", "", "", "thalassa ")


def test_reading_again_what_is_left_changes_nothing() -> None:
    left = said("thalassa ct 2024 head")[-1]

    assert said(left) == ("", "", "", left)


def test_a_title_names_its_region_where_nothing_is_coded() -> None:
    assert regions_named("MRT des Schädels, Kopf nativ") == {"head"}
    assert regions_named("CT of the chest/abdomen") == {"chest", "abdomen"}
    assert regions_named("Examination") == frozenset()
