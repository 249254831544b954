"""Order of an examination, and why it was asked for. Source: data set A.2, A.3."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.model.codes import Code
from isthmus.model.identifiers import Identifier
from isthmus.model.report.header import Person
from isthmus.model.report.key_images import KeyImage


@dataclass(frozen=True, slots=True)
class Statement:
    """Something said, in words, and in a code where there is one; of a finding or impression, the images it is seen in."""

    text: str
    code: Code | None = None
    images: tuple[KeyImage, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """A.2 and A.3. `history` is what the reader of the images was told about the patient."""

    accession_numbers: tuple[Identifier, ...] = ()
    placer_order_numbers: tuple[Identifier, ...] = ()
    requested: str | None = None  # what, in words
    placed: str | None = None  # FHIR dateTime
    requester: Person | None = None
    reasons: tuple[Statement, ...] = ()
    history: tuple[Statement, ...] = ()
