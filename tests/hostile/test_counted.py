"""What this room has tried: sixty hostile files and more, each by every way in.

Source: trust.md §2.9, T63 to T67, T72, T98, T99.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.hostile import test_dimse, test_evil_study, test_intake
from tests.hostile.corpus import CORPUS

WAYS_IN: dict[str, Callable[..., Any]] = {
    "import": test_intake.test_an_import_says_what_is_wrong_with_it,
    "STOW-RS": test_intake.test_a_sender_by_stow_is_told_what_is_wrong_with_it,
    "C-STORE": test_dimse.test_a_sender_over_the_line_is_told_what_is_wrong,
    "drop folder": test_intake.test_a_watched_folder_puts_it_aside_with_its_reason,
}


def test_there_are_sixty_hostile_files_and_no_two_are_the_same() -> None:
    assert len(CORPUS) >= 60
    assert len({hostile.name for hostile in CORPUS}) == len({hostile.build() for hostile in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("way", WAYS_IN)
def test_each_way_in_is_tried_with_all_of_them(way: str) -> None:
    marks = [mark for mark in vars(WAYS_IN[way])["pytestmark"] if mark.name == "parametrize"]

    assert [set(mark.args[1]) for mark in marks] == [set(CORPUS)]


def test_the_spool_of_the_other_country_is_tried_with_all_of_them() -> None:
    assert vars(test_evil_study)["CORPUS"] is CORPUS
