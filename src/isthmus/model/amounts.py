"""How many of what, in words."""

from __future__ import annotations


def amount(number: int, one: str, many: str = "") -> str:
    """`1 document`, `2 documents`; `many` where a noun does not take an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
