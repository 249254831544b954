"""Numbers that keep the digits they were written with: 19.00 is told apart from 19 by who reads it, and never by who counts with it.

Source: R4 decimal; field-faults F30.
"""

from __future__ import annotations

import re
from typing import Final

_PLAIN: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)


class Written(float):
    """A number as it was written in JSON. Equal to any other number of its value."""

    __slots__ = ("digits",)
    digits: str

    def __new__(cls, digits: str) -> Written:
        made = super().__new__(cls, digits)
        made.digits = digits
        return made


def written(text: str) -> float:
    """A number with its digits, where they are plain decimals; else its value alone. Raises ValueError for none."""
    return Written(text) if _PLAIN.fullmatch(text) else float(text)
