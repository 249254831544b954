"""The imaging report: its chapters, and its sections as they were written.

Source: eHN imaging report data set A.1 to A.8; EU imaging report.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from isthmus.model.codes import Code
from isthmus.model.report.comparison import Comparison
from isthmus.model.report.dose import Dose
from isthmus.model.report.examination import Examination
from isthmus.model.report.header import Header
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.order import Order
from isthmus.model.report.presented_form import PresentedForm
from isthmus.model.report.specimen import Specimen
from isthmus.model.report.statements import Statement


@dataclass(frozen=True, slots=True)
class Section:
    """A section as it came: in its place, known or not.

    `narrative` is XHTML as sent, to be cleaned before it is shown. `lines` are plain: notes, and what the entries say when
    there is no narrative.
    """

    title: str
    code: Code | None
    narrative: str | None
    lines: tuple[str, ...] = ()
    empty_reason: Statement | None = None
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, slots=True)
class ImagingReport:
    """A report by chapters. `sections` is filled by reading, in the order of the document; writing makes its own."""

    header: Header
    order: Order = field(default_factory=Order)
    examination: Examination = field(default_factory=Examination)
    doses: tuple[Dose, ...] = ()
    key_images: tuple[KeyImage, ...] = ()
    comparison: Comparison | None = None
    presented_forms: tuple[PresentedForm, ...] = ()
    specimens: tuple[Specimen, ...] = ()
    sections: tuple[Section, ...] = ()

    @property
    def study_instance_uids(self) -> tuple[str, ...]:
        return tuple(study.study_instance_uid for study in self.examination.studies)
