"""Words for codes in 24 languages: every language has every term, and every code is shown in one of four ways."""

from __future__ import annotations

import re
from typing import Any

import pytest

from isthmus.model.codes import DCM, ISCO_08, LOINC, SNOMED, Code
from isthmus.model.queries import REGIONS
from isthmus.terminology.display import GROUPS, LANGUAGES, MISSING, State, Words, is_draft, read_language
from isthmus.terminology.valuesets import REPORT_STATUS, load_valueset

OTHERS = tuple(language for language in LANGUAGES if language != "en")
FOREIGN = {
    "da": {"Optometrist"},
    "et": {"Optometrist"},
    "fr": {"Segmentation", "Document", "Technique"},
    "hr": {"Optometrist"},
    "mt": {"Ultrasound", "Dentist"},
    "nl": {"Document", "Optometrist"},
    "ro": {"Document", "Optometrist"},
    "sl": {"Optometrist"},
}
"""Words that a language writes as English does."""
SCRIPTS = {"bg": "[Ѐ-ӿ]", "el": "[Ͱ-Ͽἀ-῿]"}


def words_of(language: str) -> dict[str, str]:
    data = read_language(language)
    return {f"{group}.{key}": text for group in ("modality", *GROUPS) for key, text in data[group].items()}


def test_there_are_the_24_languages_of_the_union() -> None:
    assert len(LANGUAGES) == 24
    assert set(LANGUAGES) >= {"bg", "ga", "mt", "hr", "el"}


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_every_term_and_no_other(language: str) -> None:
    words = words_of(language)

    assert words.keys() == words_of("en").keys()
    assert len(words) >= 130
    assert all(text.strip() == text and text for text in words.values())
    assert not [text for text in words.values() if re.search(r"\(s\)|\(e\)|/|\s{2}|%", text)], (
        "one form, in the singular or plural it has"
    )


@pytest.mark.parametrize("language", OTHERS)
def test_no_english_is_left_where_the_language_has_its_own_word(language: str) -> None:
    english, words = words_of("en"), words_of(language)

    same = {text for key, text in words.items() if text.casefold() == english[key].casefold()}

    assert same == FOREIGN.get(language, set())


@pytest.mark.parametrize(("language", "letters"), SCRIPTS.items())
def test_a_language_of_another_script_is_written_in_it(language: str, letters: str) -> None:
    assert [text for text in words_of(language).values() if not re.match(letters, text)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_terms_that_differ_are_not_called_alike(language: str) -> None:
    data = read_language(language)

    for group in ("modality", "region", "laterality", "status", "document"):
        assert len(set(data[group].values())) == len(data[group]), group


def test_the_terms_are_those_of_the_value_sets() -> None:
    data = read_language("en")

    assert set(data["modality"]) == {c.facts["family"] for c in load_valueset("modalities").concepts.values()}
    assert set(data["region"]) == set(REGIONS)
    for group, name in GROUPS.items():
        assert set(data[group]) <= set(load_valueset(name).concepts), group
    for group in ("status", "section", "laterality", "role", "document"):
        assert set(data[group]) == set(load_valueset(GROUPS[group]).concepts), group


@pytest.mark.parametrize(
    ("language", "code", "words"),
    [
        ("de", Code(DCM, "MR"), "Magnetresonanztomographie"),
        ("fi", Code(DCM, "US"), "Ultraäänitutkimus"),
        ("fr", Code(DCM, "PT"), "Tomographie par émission de positons"),
        ("el", Code(SNOMED, "774007"), "Κεφαλή και τράχηλος"),
        ("pl", Code(SNOMED, "76752008"), "Pierś"),
        ("hu", Code(SNOMED, "7771000"), "Bal"),
        ("mt", Code(SNOMED, "24028007"), "Lemin"),
        ("ga", Code(SNOMED, "80891009"), "Croí"),
        ("bg", Code(REPORT_STATUS, "final"), "Окончателен"),
        ("cs", Code(REPORT_STATUS, "preliminary"), "Předběžná"),
        ("lt", Code(LOINC, "59776-5"), "Radiniai"),
        ("sv", Code(LOINC, "19005-8"), "Bedömning"),
        ("hr", Code(ISCO_08, "2221"), "Medicinska sestra"),
        ("et", Code(ISCO_08, "2222"), "Ämmaemand"),
        ("lv", Code(DCM, "113000"), "Ievērības cienīgs"),
        ("es", Code(LOINC, "85430-7"), "Informe de imagen"),
    ],
)
def test_spot_checks_of_the_words(language: str, code: Code, words: str) -> None:
    assert Words(language).term(code).words == words


@pytest.mark.parametrize("spine", ["1141981001", "421060004", "737561001"])
def test_the_spine_is_called_the_same_by_any_of_its_codes(spine: str) -> None:
    assert Words("it").term(Code(SNOMED, spine)).words == "Colonna vertebrale"


# the four ways


def test_a_translated_term_has_the_original_beside_it() -> None:
    home = Code("urn:oid:2.999.6", "B4", "Θώρακας", is_original=True)

    term = Words("de").term(Code(SNOMED, "67734004", "Upper trunk", original=home))

    assert (term.words, term.language, term.state) == ("Oberer Rumpf", "de", State.TRANSLATED)
    assert term.original == "Θώρακας"
    assert term.draft


def test_the_words_of_the_sender_stand_beside_a_translation_and_not_twice() -> None:
    assert Words("de").term(Code(DCM, "CT", "Computed Tomography")).original == "Computed Tomography"
    assert Words("en").term(Code(DCM, "CT", "computed tomography")).original == ""
    assert Words("de").term(Code(DCM, "CT")).original == ""


def test_a_code_that_is_known_in_english_alone_is_shown_in_english_as_such() -> None:
    term = Words("de").term(Code(SNOMED, "10200004", "Ήπαρ"))

    assert (term.words, term.language, term.state, term.original) == ("Liver", "en", State.ENGLISH, "Ήπαρ")
    assert Words("en").term(Code(SNOMED, "10200004")).state is State.TRANSLATED


def test_a_code_that_nobody_knows_is_shown_as_it_came() -> None:
    home = Code("99GR", "CT-17", "Αξονική θώρακος", is_original=True)

    term = Words("de").term(home)

    assert (term.words, term.language, term.state, term.original) == ("Αξονική θώρακος", "", State.ORIGINAL, "")
    assert Words("de").term(Code("99GR", "CT-17")).words == "CT-17"


@pytest.mark.parametrize("nothing", [None, Code("", "")])
def test_where_nothing_came_that_is_said(nothing: Code | None) -> None:
    assert Words("de").term(nothing) == MISSING
    assert MISSING.state is State.MISSING


def test_imported_words_come_after_those_of_the_product() -> None:
    loaded = {
        (SNOMED, "10200004", "de"): "Leber",
        (SNOMED, "80891009", "de"): "Herzstruktur",
        ("urn:oid:2.999.6", "B4", "en"): "Chest wall",
    }
    words = Words("de", loaded)

    liver, heart, wall = (
        words.term(Code(s, c)) for s, c in ((SNOMED, "10200004"), (SNOMED, "80891009"), ("urn:oid:2.999.6", "B4"))
    )

    assert (liver.words, liver.state, liver.draft) == ("Leber", State.TRANSLATED, False)
    assert heart.words == "Herz"
    assert (wall.words, wall.state) == ("Chest wall", State.ENGLISH)


def test_a_language_outside_the_union_reads_english() -> None:
    assert Words("ja").term(Code(DCM, "CT")).words == "Computed tomography"


def test_drafts_are_marked_until_somebody_has_reviewed_them() -> None:
    assert {language for language in LANGUAGES if not is_draft(language)} == {"en"}


def test_every_modality_has_words_in_every_language() -> None:
    shown: list[Any] = [
        Words(language).term(c.code) for language in LANGUAGES for c in load_valueset("modalities").concepts.values()
    ]

    assert {term.state for term in shown} == {State.TRANSLATED}
    assert {term.language for term in shown} == set(LANGUAGES)
