"""The reason of an emergency is what somebody can read of it."""

from __future__ import annotations

import pytest

from isthmus.model.context import emergency_words


@pytest.mark.parametrize("unseen", ["\0", "\u200b", "\u202e", "\u3164", "\u2800", "\xa0", "\x1b", "\n"])
def test_what_no_screen_shows_is_no_reason(unseen: str) -> None:
    assert emergency_words(unseen * 30) == ""
    assert emergency_words(f"{unseen}fell{unseen * 9}from a roof{unseen}") == "fell from a roof"


def test_words_in_greek_stay_as_they_were_written() -> None:
    assert emergency_words("Έπεσε από τη στέγη, αναίσθητη") == "Έπεσε από τη στέγη, αναίσθητη"
