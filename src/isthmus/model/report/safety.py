"""Safety: what was given, what was not borne, what a next examination has to know. Source: data set A.5.2, A.5.3, A.3."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.model.codes import Code
from isthmus.model.report.statements import Quantity, Statement


@dataclass(frozen=True, slots=True)
class Ingredient:
    """An active ingredient and how much of it is in the product: `strength`, in `per` of it."""

    substance: Statement
    strength: Quantity | None = None
    per: Quantity | None = None

    @property
    def shown(self) -> str:
        return " ".join((self.substance.text, strength(self.strength, self.per))).strip()


def strength(amount: Quantity | None, per: Quantity | None) -> str:
    """`300 mg/mL`, `500 mg/5 mL`, as it is printed on a product."""
    if amount is None:
        return ""
    unit = "" if per is None else f"/{(per.unit or per.code or '') if per.value == 1 else per.shown}"
    return f"{amount.shown}{unit}"


@dataclass(frozen=True, slots=True)
class Medication:
    """A.5.2: contrast agent, radiopharmaceutical, sedation, stress agent; or what was taken before."""

    name: str
    code: Code | None = None
    brand: str | None = None
    ingredients: tuple[Ingredient, ...] = ()
    form: Code | None = None  # EDQM
    route: Code | None = None  # EDQM, or CID 11
    dose: Quantity | None = None
    given: str | None = None  # FHIR dateTime
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Reaction:
    """A.5.3: a reaction during the examination, or one known from before.

    `kind`, `severity`, `criticality` and `certainty` are the words of R4: allergy or intolerance; mild, moderate, severe;
    low, high, unable-to-assess; unconfirmed, confirmed, refuted.
    """

    text: str
    agent: Statement | None = None
    kind: str | None = None
    manifestations: tuple[Statement, ...] = ()
    severity: str | None = None
    criticality: str | None = None
    certainty: str | None = None
    onset: str | None = None  # FHIR dateTime


@dataclass(frozen=True, slots=True)
class Pregnancy:
    """What was known of a pregnancy when the examination was made."""

    status: Statement  # IPS: pregnant, not pregnant, unknown
    gestational_age: Quantity | None = None
    observed: str | None = None  # FHIR dateTime
