"""Every sentence of the border is a function, once, under its own number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from isthmus.conformance.requirement import REQUIREMENTS, SUBJECTS, Kind
from isthmus.conformance.requirements import all as groups

WIRE = Path(__file__).resolve().parents[3] / "shared" / "design" / "wire.md"
NUMBERS = {
    "CAP": 15, "PID": 14, "DRS": 23, "DRC": 20, "RET": 12, "MFH": 30, "MKO": 24, "WAD": 22, "REP": 26, "SEC": 8,
    "AUD": 11, "TOL": 11,
}  # fmt: skip
ASSERTED = {f"{group}-{number:02}" for group, count in NUMBERS.items() for number in range(1, count + 1)}
assert groups.GROUPS


def test_each_of_the_216_is_written_down() -> None:
    assert len(ASSERTED) == 216
    assert set(REQUIREMENTS) == ASSERTED


def test_the_list_is_that_of_the_wire_contract() -> None:
    if not WIRE.exists():
        pytest.skip("the wire contract is not here; its numbers stand above")

    told = re.findall(r"^\| ([A-Z]{3}-\d\d) \| ", WIRE.read_text(encoding="utf-8"), re.MULTILINE)

    assert len(told) == len(set(told))
    assert set(told) == ASSERTED


@pytest.mark.parametrize("id", sorted(ASSERTED))
def test_a_requirement_says_what_it_asks_and_who_asks_it(id: str) -> None:
    row = REQUIREMENTS[id]

    assert row.check.__name__ == id.lower().replace("-", "_")
    assert all((row.statement, row.source, row.kinds))
    assert not row.statement.endswith(".")


def test_what_live_traffic_bears_is_asked_of_a_whole_exchange() -> None:
    cheap = {row.kinds for row in REQUIREMENTS.values() if row.cheap}

    assert cheap == {(Kind.EXCHANGE,)}
    assert Kind.EXCHANGE in SUBJECTS
