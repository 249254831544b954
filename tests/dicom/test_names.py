from __future__ import annotations

import unicodedata

import pytest

from isthmus.dicom.names import PersonName, fold, read_person_name


@pytest.mark.fault("F01")
def test_three_spellings_of_one_name_are_three_names() -> None:
    names = read_person_name("Yamada^Tarou=山田^太郎=やまだ^たろう")

    assert names == (
        PersonName("alphabetic", "Yamada", "Tarou"),
        PersonName("ideographic", "山田", "太郎"),
        PersonName("phonetic", "やまだ", "たろう"),
    )


@pytest.mark.fault("F01")
def test_an_empty_first_group_is_not_no_name() -> None:
    assert read_person_name("=山田^太郎") == (PersonName("ideographic", "山田", "太郎"),)


@pytest.mark.parametrize("text", ["", "^^^^", "==", " \0"])
def test_a_name_without_letters_is_none(text: str) -> None:
    assert read_person_name(text) == ()


def test_five_components_have_their_places() -> None:
    assert read_person_name("Adams^John^Quincy^Rev.^B.A. M.Div.^more") == (
        PersonName("alphabetic", "Adams", "John", "Quincy", "Rev.", "B.A. M.Div.^more"),
    )


def test_a_name_shows_nothing_in_its_repr() -> None:
    assert "Adams" not in repr(read_person_name("Adams^John"))


@pytest.mark.fault("F06")
@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("Müller", "muller"),
        ("Ó Briain", "o briain"),
        ("O\u2019Brien", "O'BRIEN"),
        ("ΤΖΌΖΕΦ", "τζόζεφ"),
        ("Łukasz", "lukasz"),
        ("Straße", "STRASSE"),
        ("İpek", "ipek"),
        ("Søren Ærø", "soren aero"),
        ("Anne\u2011Marie", "anne-marie"),
        ("Παπαδόπουλος", "ΠΑΠΑΔΟΠΟΥΛΟΣ"),
    ],
)
def test_a_name_matches_itself_in_another_writing(stored: str, asked: str) -> None:
    assert fold(stored) == fold(asked)
    assert fold(unicodedata.normalize("NFD", stored)) == fold(asked)


def test_folding_twice_changes_nothing_and_other_names_stay_apart() -> None:
    assert fold(fold("Łukasz Müller")) == fold("Łukasz Müller")
    assert fold("Müller") != fold("Mueller")
