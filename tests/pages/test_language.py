"""Dates, languages and the completeness of catalogues."""

from __future__ import annotations

import importlib.util
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest
from babel.messages.pofile import read_po

from isthmus.errors import MEANINGS
from isthmus.pages.language import LANGUAGES, choose, language

ROOT = Path(__file__).parents[2]
LOCALES = ROOT / "src/isthmus/pages/locales"


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("locales_tool", ROOT / "tools/locales.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_message_has_a_greek_translation() -> None:
    with (LOCALES / "el/LC_MESSAGES/isthmus.po").open("rb") as text:
        known = {m.id: m.string for m in read_po(text, locale="el") if m.id}

    lacking = [m.id for m in _tool().gather() if m.id and not _whole(known.get(m.id))]

    assert lacking == []


def _whole(translated: object) -> bool:
    return all(translated) if isinstance(translated, (tuple, list)) else bool(translated)


def test_a_translation_keeps_the_places_of_its_message() -> None:
    import re

    places = re.compile(r"%\(\w+\)[sd]|\{\w+\}")
    with (LOCALES / "el/LC_MESSAGES/isthmus.po").open("rb") as text:
        pairs = [(m.id, m.string) for m in read_po(text, locale="el") if isinstance(m.id, str) and m.id]

    wrong = [i for i, s in pairs if sorted(places.findall(i)) != sorted(places.findall(str(s)))]

    assert wrong == []


def test_every_error_speaks_greek() -> None:
    greek = language("el")

    alike = [m.words for m in MEANINGS.values() if greek.say(m.words) == m.words]

    assert alike == []


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("1961-03-14", "14 Mar 1961"),
        ("1961-03", "Mar 1961"),
        ("1961", "1961"),
        ("2026-10-14T00:10:00+14:00", "14 Oct 2026"),
        ("2026-10-14T23:50:00-11:00", "14 Oct 2026"),
        ("not a date", "not a date"),
        ("2026-02-31", "2026-02-31"),
        ("", ""),
    ],
)
@pytest.mark.fault("F13")
def test_a_calendar_date_is_shown_as_written(written: str, shown: str) -> None:
    assert language("en").date(written) == shown


def test_greek_months_are_words() -> None:
    assert language("el").date("2026-11-03") == "3 Νοε 2026"


def test_a_time_stands_as_it_stood_at_its_place() -> None:
    assert language("en").time("2026-10-14T08:31:17+03:00") == "08:31"


@pytest.mark.parametrize(
    ("accepted", "kept", "code"),
    [
        ("el-GR,el;q=0.9,en;q=0.8", "", "el"),
        ("en-GB,en;q=0.9", "", "en"),
        ("de-DE,de;q=0.9,el;q=0.2", "", "el"),
        ("el;q=0", "", "en"),
        ("en", "el", "el"),
        ("", "xx", "en"),
        ("el;q=nonsense", "", "en"),
    ],
)
def test_the_readers_own_choice_comes_before_the_browsers(accepted: str, kept: str, code: str) -> None:
    assert choose(accepted, kept).code == code


def test_an_age_counts_whole_years() -> None:
    english = language("en")

    assert english.age("1961-03-14", date(2026, 3, 13)) == 64
    assert english.age("1961-03-14", date(2026, 3, 14)) == 65
    assert english.age("1961", date(2026, 3, 14)) is None


def test_the_time_beside_a_date_is_counted_in_days() -> None:
    english, today = language("en"), date(2026, 11, 12)

    assert english.ago("2026-11-03T23:59:00+02:00", today) == "9 days ago"
    assert english.ago("2026-11-12", today) == "today"
    assert english.ago("2025-11-03", today) == ""


def test_a_country_goes_by_its_own_code() -> None:
    assert language("en").territory("EL") == "Greece"
    assert language("el").territory("EL") == "Ελλάδα"
    assert language("en").language("el-GR") == "Greek"


def test_every_language_of_the_switch_has_a_catalogue() -> None:
    lacking = [code for code in LANGUAGES if code != "en" and not (LOCALES / code / "LC_MESSAGES/isthmus.po").exists()]

    assert lacking == []


@pytest.mark.parametrize("code", LANGUAGES)
def test_nothing_is_nothing_in_every_language(code: str) -> None:
    assert language(code).say("") == ""
