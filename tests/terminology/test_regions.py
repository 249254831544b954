"""Body parts as regions."""

from __future__ import annotations

import pytest

from isthmus.model.queries import REGIONS
from isthmus.terminology import regions


@pytest.mark.parametrize(
    ("body_part", "code"),
    [
        ("HEAD", "774007"), ("brain", "774007"), ("C-SPINE", "1141981001"), ("CSPINE", "1141981001"), ("CHEST", "67734004"),
        ("THORAX", "67734004"), ("ABDOMEN", "63337009"), ("Lumbar Spine", "1141981001"), ("HAND", "53120007"), ("KNEE", "61685007"),
        ("HEART", "80891009"), ("BREAST", "76752008"), ("AORTA", "113257007"), ("WHOLEBODY", "38266002"),
    ],
)  # fmt: skip
def test_a_body_part_is_one_of_the_ten_regions(body_part: str, code: str) -> None:
    assert regions.find_region(body_part, None) == REGIONS[code]


def test_the_sources_own_table_comes_first() -> None:
    table = {"Schädel 2E": "774007", "CHEST": "80891009"}

    assert regions.find_region("SCHÄDEL-2e", "CR", table) == REGIONS["774007"]
    assert regions.find_region("CHEST", "CR", table) == REGIONS["80891009"]


def test_a_mammogram_is_of_the_breast_whatever_it_says() -> None:
    assert regions.find_region(None, "MG") == REGIONS["76752008"]


@pytest.mark.parametrize(("body_part", "modality"), [(None, "CT"), ("", None), ("EXTREMITY", "CR"), ("PHANTOM", "CT")])
def test_what_nobody_says_is_not_guessed(body_part: str | None, modality: str | None) -> None:
    assert regions.find_region(body_part, modality) is None


def test_a_table_with_a_code_that_is_no_region_is_not_believed() -> None:
    assert regions.find_region("CHEST", "CT", {"CHEST": "12345"}) is None
