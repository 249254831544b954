"""Who may do what: roles by ISCO-08 code, checked in Country B before any token and again in Country A.

A longer code before a shorter one; a role that is not here is refused.

Source: trust.md §3.4.
"""

from __future__ import annotations

from enum import StrEnum


class Act(StrEnum):
    """What a role may do."""

    IDENTIFY = "identify"
    LIST = "list"
    REPORT = "report"
    MANIFEST = "manifest"
    PIXELS = "pixels"
    BREAK_GLASS = "btg"


_ALL = frozenset(Act)
_CARE = _ALL - {Act.BREAK_GLASS}
_KNOCK = frozenset({Act.IDENTIFY})

MATRIX: dict[str, frozenset[Act]] = {
    "221": _ALL,  # medical doctors
    "2261": _ALL,  # dentists
    "2222": _CARE,  # midwives
    "2221": _CARE - {Act.PIXELS},  # nurses
    "3211": _CARE - {Act.REPORT},  # imaging technicians
    "2262": _KNOCK,  # pharmacists
    "2264": _KNOCK,
    "2265": _KNOCK,
    "2266": _KNOCK,
    "2267": _KNOCK,
    "2269": _KNOCK,
}

PHYSICIANS = ("221", "2261", "2222")  # who may see what is labelled restricted, in treatment


def acts_of(role: str) -> frozenset[Act]:
    """What the role may do; nothing for an unknown one."""
    for length in (4, 3):
        if role[:length] in MATRIX:
            return MATRIX[role[:length]]
    return frozenset()


def is_physician(role: str) -> bool:
    """Physician, dentist or midwife."""
    return role.startswith(PHYSICIANS)
