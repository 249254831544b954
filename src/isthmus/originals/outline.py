"""Outline: what the body of a document says, in whichever form it is kept: sections, and in them what is told, in their order.

A reader of a form gives an outline and judges nothing; `chapters.py` alone knows which section is which chapter of the report. What it
does not know stays a section.
"""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.model.codes import Code
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.statements import Quantity

PROCEDURE, MEDICATION = "procedure", "medication"


@dataclass(frozen=True, slots=True)
class Told:
    """One thing told: of `name`, a value, or words; the images it is seen in, and what is told of it in turn."""

    name: str = ""
    code: Code | None = None  # of the name
    text: str = ""
    value: Quantity | Code | None = None
    images: tuple[KeyImage, ...] = ()
    more: tuple[Told, ...] = ()
    observed: str | None = None  # FHIR dateTime
    interpretations: tuple[Code, ...] = ()
    kind: str = ""  # PROCEDURE or MEDICATION, where a form says so of an entry

    @property
    def shown(self) -> str:
        """In a line, without what is told of it in turn."""
        value = self.value
        said = value.shown if isinstance(value, Quantity) else (value.display or value.code) if value else ""
        return ": ".join(filter(None, (self.name, "; ".join(filter(None, (said, self.text))))))


@dataclass(frozen=True, slots=True)
class Part:
    """A section: its title and code, what is told in it, and the sections in it.

    `narrative` is XHTML that was made here, of nothing but words and structure; `lines` are its words alone.
    """

    title: str
    code: Code | None = None
    told: tuple[Told, ...] = ()
    parts: tuple[Part, ...] = ()
    narrative: str | None = None
    lines: tuple[str, ...] = ()
