"""Statements: what a report says, in words, in codes, in numbers; and where in the body. Source: data set A.3, A.5.4, A.5.5."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from isthmus.errors import MalformedRequest
from isthmus.model.codes import Code
from isthmus.model.numbers import Written
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.sites import Site


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit: `unit` as it is shown, `code` as UCUM writes it."""

    value: float
    unit: str | None = None
    code: str | None = None  # UCUM
    comparator: str | None = None  # < | <= | >= | >
    uncertainty: float | None = None  # in the same unit

    def __post_init__(self) -> None:
        if not isfinite(self.value) or not isfinite(self.uncertainty or 0.0):
            raise MalformedRequest("a quantity is a finite number", reason="value", path="quantity")

    @property
    def shown(self) -> str:
        return " ".join(
            filter(None, (f"{self.comparator or ''}{number(self.value)}", self._give, self.unit or self.code))
        )

    @property
    def _give(self) -> str | None:
        return f"± {number(self.uncertainty)}" if self.uncertainty is not None else None


def number(value: float) -> str:
    """A number as it was written; else as people write it: `12`, `0.5`."""
    if isinstance(value, Written):
        return value.digits
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


@dataclass(frozen=True, slots=True)
class ReferenceRange:
    """Between what a value is expected; `text` where that is not two numbers."""

    low: Quantity | None = None
    high: Quantity | None = None
    text: str | None = None

    @property
    def shown(self) -> str:
        low, high = (end.shown if end else "" for end in (self.low, self.high))
        between = f"{low} – {high}" if low and high else f"≥ {low}" if low else f"≤ {high}" if high else ""
        return " ".join(filter(None, (between, self.text)))


@dataclass(frozen=True, slots=True)
class Statement:
    """Something said, in words, and in a code where there is one."""

    text: str
    code: Code | None = None

    @property
    def shown(self) -> str:
        return self.text


Value = Quantity | Statement
"""A result that is not words alone: a number, or one of a list of codes."""


@dataclass(frozen=True, slots=True)
class Part:
    """One value of several that belong together: the systolic pressure, a score."""

    name: Statement
    value: Value


@dataclass(frozen=True, slots=True)
class Finding:
    """Something seen, measured or concluded.

    `text` is what is said of it, empty where the value says all; `code` and `name` tell what it is that was looked at. A
    condition has stages or a certainty, and no value.
    """

    text: str
    code: Code | None = None
    images: tuple[KeyImage, ...] = ()
    name: str | None = None
    value: Value | None = None
    reference: ReferenceRange | None = None
    interpretations: tuple[Code, ...] = ()  # ObservationInterpretation: H, L, A …
    site: Site | None = None
    method: Statement | None = None
    observed: str | None = None  # FHIR dateTime
    parts: tuple[Part, ...] = ()
    stages: tuple[Statement, ...] = ()  # TNM, BI-RADS …
    certainty: str | None = (
        None  # of a condition, as R4 says: unconfirmed, provisional, differential, confirmed, refuted
    )

    @property
    def shown(self) -> str:
        """What is said, in a line: `Diameter: 12 mm (≤ 10 mm)`."""
        name = self.name or (self.code.display if self.code and self.value is not None else None)
        value = "" if self.value is None else told(self.value)
        expected = f"({self.reference.shown})" if self.reference and self.reference.shown else ""
        parts = "; ".join(f"{part.name.text}: {told(part.value)}" for part in self.parts)
        said = "; ".join(filter(None, (" ".join(filter(None, (value, expected))), self.text, parts)))
        return ": ".join(filter(None, (name, said))) or (self.code.display or self.code.code if self.code else "")


def told(value: Value) -> str:
    return value.shown
