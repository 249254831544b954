"""The data set: which of its elements a document tells, and where each form holds them.

The readers' own tables (`HOLDS`) are joined here, so that what is claimed stands beside what reads it. `docs/conformance/data-set.md` is
written from the same join.

Source: data set A.1 to A.8; interfaces.md §2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from isthmus.conformance.elements import MANIFEST, REPORT
from isthmus.model.imaging import Manifest
from isthmus.model.report.document import ImagingReport
from isthmus.originals import pdf
from isthmus.originals.cda import report as cda
from isthmus.originals.sr import report as sr
from isthmus.wire import kos_values, manifests
from isthmus.wire.report import (
    comparison,
    dose,
    examination,
    header,
    key_images,
    order,
    presented_form,
    specimen,
)

CHAPTERS: Final = (header, order, specimen, examination, dose, key_images, comparison, presented_form)
PLACES: Final[Mapping[str, Mapping[str, str]]] = {
    "report": {element: place for chapter in CHAPTERS for element, place in chapter.HOLDS.items()},
    "cda": cda.HOLDS,
    "sr": sr.HOLDS,
    "pdf": pdf.HOLDS,
    "manifest": manifests.HOLDS,
    "kos": kos_values.HOLDS,
}
"""Form, element, where that form holds it."""
NOWHERE: Final[Mapping[str, str]] = {
    "B.1.4.4": "the guideline itself leaves the dose to dose reports inside the study; of the report's dose see A.5",
    "B.1.3.2": "a key object selection has no place for it: there an address would go stale",
    "B.1.3.3": "a key object selection has no place for it: there a telephone would go stale",
}
"""What has no place in one form or in any, and why."""


@dataclass(frozen=True, slots=True)
class Unused:
    """A place of the drafts that we neither write nor read, and where its elements stand instead."""

    place: str
    elements: tuple[str, ...]
    instead: str


UNUSED: Final = (
    Unused(
        "ImagingStudy.series.performer[custodian]",
        ("B.1.3.1", "B.1.3.2", "B.1.3.3"),
        "in Composition.custodian of the manifest, once for the study; a custodian of one series alone is not told",
    ),
    Unused(
        "DocumentReference.content.attachment.data",
        ("A.6.3", "A.6.10"),
        "a key image is named by its SOP Instance UID and not carried; of a picture that is no DICOM instance, a photograph or a film, "
        "only the words of its section are told",
    ),
)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Whether a document tells one element. `obligation` is MyHealth@EU's: M, R, O, `in` scope, or `-`."""

    element: str
    obligation: str
    present: bool


def coverage(told: ImagingReport | Manifest) -> list[Coverage]:
    """Which elements a report, or a manifest of either form, tells; all of its part of the data set, in order."""
    elements = REPORT if isinstance(told, ImagingReport) else MANIFEST
    return [Coverage(one.id, one.obligation, bool(one.told(told))) for one in elements]
