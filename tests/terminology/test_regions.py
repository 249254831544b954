"""Body parts as regions."""

from __future__ import annotations

import pytest

from isthmus.model.codes import SNOMED, Code
from isthmus.model.queries import REGIONS
from isthmus.terminology.regions import find_body_part, find_regions
from isthmus.terminology.valuesets import load_valueset


@pytest.mark.parametrize(
    ("body_part", "code"),
    [
        ("HEAD", "774007"), ("brain", "774007"), ("C-SPINE", "1141981001"), ("CSPINE", "1141981001"), ("CHEST", "67734004"),
        ("THORAX", "67734004"), ("ABDOMEN", "63337009"), ("Lumbar Spine", "1141981001"), ("HAND", "53120007"), ("KNEE", "61685007"),
        ("HEART", "80891009"), ("BREAST", "76752008"), ("ARTERY", "113257007"), ("WHOLEBODY", "38266002"), ("KUB", "63337009"),
    ],
)  # fmt: skip
def test_a_body_part_is_one_of_the_ten_regions(body_part: str, code: str) -> None:
    assert find_regions(body_part, None) == (REGIONS[code],)


@pytest.mark.parametrize(
    ("body_part", "codes"),
    [
        ("CAROTID", ("774007", "113257007")),
        ("Aorta", ("67734004", "63337009", "113257007")),
        ("CHESTABDPELVIS", ("67734004", "63337009")),
        ("NECKCHEST", ("774007", "67734004")),
        ("CORONARY ARTERY", ("80891009", "113257007")),
        ("SIJOINT", ("1141981001", "63337009")),
    ],
)
def test_a_body_part_that_lies_in_several_regions_is_found_in_each(body_part: str, codes: tuple[str, ...]) -> None:
    assert find_regions(body_part, None) == tuple(REGIONS[code] for code in codes)


def test_the_sources_own_table_comes_first() -> None:
    table = {"Schädel 2E": "774007", "CHEST": "80891009"}

    assert find_regions("SCHÄDEL-2e", "CR", table) == (REGIONS["774007"],)
    assert find_regions("CHEST", "CR", table) == (REGIONS["80891009"],)


def test_a_code_says_more_than_a_word_beside_it() -> None:
    assert find_regions("EXTREMITY", "CR", body_site=Code(SNOMED, "72696002")) == (REGIONS["61685007"],)


@pytest.mark.parametrize("spine", ["1141981001", "421060004", "737561001"])
def test_the_spine_is_one_by_any_of_its_codes(spine: str) -> None:
    assert find_regions(None, None, body_site=Code(SNOMED, spine)) == (REGIONS["1141981001"],)


def test_a_code_of_another_system_is_no_body_part() -> None:
    assert find_regions(None, None, body_site=Code("urn:oid:2.999.1", "72696002")) == ()


def test_a_mammogram_is_of_the_breast_whatever_it_says() -> None:
    assert find_regions(None, "MG") == (REGIONS["76752008"],)


@pytest.mark.parametrize(("body_part", "modality"), [(None, "CT"), ("", None), ("EXTREMITY", "CR"), ("PHANTOM", "CT")])
def test_what_nobody_says_is_not_guessed(body_part: str | None, modality: str | None) -> None:
    assert find_regions(body_part, modality) == ()


def test_a_table_with_a_code_that_is_no_region_is_not_believed() -> None:
    assert find_regions("CHEST", "CT", {"CHEST": "12345"}) == (REGIONS["67734004"],)


def test_a_term_stands_for_a_code_however_it_is_spelt() -> None:
    assert find_body_part("C-Spine") == find_body_part("CERVICAL SPINE") == Code(SNOMED, "122494005")
    assert find_body_part("Thor.Bereich") is None


def test_every_body_part_lies_in_regions_there_are() -> None:
    parts = load_valueset("body-parts")

    assert len(parts.concepts) >= 300
    assert {c for part in parts.concepts.values() for c in part.facts["regions"]} <= set(REGIONS)
    assert {t for t, part in parts.concepts.items() if not part.facts["regions"]} == {"EXTREMITY", "JOINT", "PHANTOM"}
    assert set(parts.more["spellings"].values()) <= set(parts.concepts)
    assert set(parts.more["regions"]) <= set(REGIONS)
