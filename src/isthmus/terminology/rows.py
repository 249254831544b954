"""A row of a mapping, whichever file it stands in: what kind of code, the code at home, what it stands for.

Source: requirements.md §5.10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from isthmus.model.codes import Code

PROCEDURE, BODY_PART, REGION = "procedure", "body-part", "region"
KINDS: Final = (PROCEDURE, BODY_PART, REGION)


@dataclass(frozen=True, slots=True)
class Row:
    """One code and its target; `line` or `place` says where in the file it stands."""

    kind: str
    system: str
    code: str
    target: Code
    display: str = ""
    line: int = 0
    place: str = ""
