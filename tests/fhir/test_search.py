"""Search grammar: escapes, tokens, dates."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import MalformedRequest, UnsupportedRequest
from isthmus.fhir import search
from isthmus.model.intervals import DateFilter

VALUE = st.text(alphabet="ab,|$\\é 1", min_size=1, max_size=12)


@pytest.mark.fault("F07")
@given(st.lists(VALUE, min_size=1, max_size=4))
def test_what_is_escaped_comes_back_from_a_list(values: list[str]) -> None:
    written = ",".join(search.escape(value) for value in values)

    assert [search.unescape(part) for part in search.alternatives(written, "x")] == values


@pytest.mark.fault("F07")
@given(st.none() | st.just("") | VALUE, VALUE)
def test_a_token_comes_back(system: str | None, code: str) -> None:
    assert search.read_token(search.write_token(system, code)) == (system, code)


def test_only_the_first_bar_separates() -> None:
    assert search.read_token("urn:a|b|c") == ("urn:a", "b|c")


@pytest.mark.parametrize("value", ["", ",", "a,", ",a"])
def test_an_empty_alternative_is_refused(value: str) -> None:
    with pytest.raises(MalformedRequest):
        search.alternatives(value, "type")


def test_an_unknown_name_is_told_without_what_could_hurt_a_log() -> None:
    with pytest.raises(UnsupportedRequest) as caught:
        search.plain_name("x\r\nSet-Cookie: <a>" + "y" * 200, ["patient"])

    assert "\n" not in caught.value.message
    assert len(str(caught.value.facts["path"])) == 64


@pytest.mark.parametrize(
    "value",
    ["2024", "ge2024-02", "le2024-02-29", "lt2024-12-31", "gt2024-01-15T10:20Z", "eq2024-01-15T10:20:30+01:00",
     "ge2024-01-15T10:20:30.125+01:00"],
)  # fmt: skip
def test_a_date_keeps_its_meaning(value: str) -> None:
    zone = ZoneInfo("America/Los_Angeles")
    wanted = DateFilter.read(value, zone)

    again = DateFilter.read(search.write_date(wanted), zone)

    assert again == wanted
