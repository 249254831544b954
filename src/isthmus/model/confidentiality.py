"""Labels of confidentiality: what sources say in many ways, as one of the six codes that count.

Doubt closes: a code that nobody knows is restricted. Of several the highest holds for the whole, since nothing is cut out of a document.

Source: trust.md §3.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
NORMAL, RESTRICTED, VERY_RESTRICTED = "N", "R", "V"
LEVELS: Final = ("U", "L", "M", NORMAL, RESTRICTED, VERY_RESTRICTED)


def label_of(code: str | None, system: str | None = None) -> str | None:
    """The label that a code is; None where none is said, or by a code of another list that says something else."""
    if not code or code in LEVELS:
        return code or None
    return RESTRICTED if system in (None, SYSTEM) else None


def highest(labels: Iterable[str | None]) -> str | None:
    """What holds for the whole."""
    return max((label for label in labels if label), key=LEVELS.index, default=None)


def beyond_normal(label: str | None) -> tuple[str, ...]:
    """The label as a document carries it for the decision: what is normal, or less, needs none."""
    return (label,) if label in (RESTRICTED, VERY_RESTRICTED) else ()
