"""Every requirement of the border is a function over what is emitted, or a marked test, or stands here with the reason why not yet."""

from __future__ import annotations

import re
from pathlib import Path

from isthmus.conformance.requirement import REQUIREMENTS
from isthmus.conformance.requirements import all as groups

NUMBERS = {"CAP": 15, "PID": 14, "DRS": 23, "DRC": 20, "RET": 12, "MFH": 30, "WAD": 22}
NOT_YET = {
    "PID-11": "$match is not offered",
    "WAD-17": "the XC-WADO form of an address is not offered",
    "WAD-21": "no hospital viewer is launched",
    "WAD-22": "nothing is fetched ahead",
}
ELSEWHERE = {
    "RET-08": "country_b", "WAD-09": "country_b",
    "WAD-10": "archive", "WAD-11": "streaming", "WAD-12": "country_b", "WAD-13": "archive", "WAD-15": "hostile",
    "WAD-16": "country_b", "WAD-18": "hostile",
}  # fmt: skip
"""Shown by tests of that folder which carry no mark."""


def marked() -> set[str]:
    pages = Path(__file__).resolve().parents[1].rglob("test_*.py")
    return {id for page in pages for id in re.findall(r'requirement\("([A-Z]+-\d+)"', page.read_text(encoding="utf-8"))}


def test_no_requirement_is_forgotten() -> None:
    assert groups.GROUPS
    known = {f"{group}-{number:02}" for group, count in NUMBERS.items() for number in range(1, count + 1)}

    shown = set(REQUIREMENTS) | marked()

    assert known - shown - set(ELSEWHERE) == set(NOT_YET)
