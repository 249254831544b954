"""Comparison with earlier studies and reports. Source: data set A.7; wire.md §2.2."""

from __future__ import annotations

from typing import Final

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding
from isthmus.model.report.comparison import ComparedReport, ComparedStudy, Comparison
from isthmus.wire.described import study_identifier, study_uid
from isthmus.wire.report.binding import Binder, Opened, read_identifier, write_identifier
from isthmus.wire.report.words import moment

HOLDS: Final = {
    "A.7.1": "Composition.section[comparison].entry → ImagingStudy, or DiagnosticReport by identifier; .extension[note]",
}  # fmt: skip
"""Where a report in FHIR holds each element of this chapter."""


def write_comparison(binder: Binder) -> Node | None:
    """The section: an ImagingStudy for each study that is named, an identifier for each report, the words as its note."""
    comparison = binder.report.comparison
    if comparison is None:
        return None
    entries = write_compared(binder)
    entries += [
        el.without_nothing(
            {"type": "DiagnosticReport", "identifier": write_identifier(one.identifier), "display": one.title}
        )
        for one in comparison.reports
    ]
    lines = [
        ", ".join(part for part in (s.description, "/".join(s.modalities), moment(s.started)) if part)
        for s in comparison.studies
    ]
    lines += [one.title or one.identifier.value for one in comparison.reports]
    return binder.section("comparison", lines, entries, note=comparison.text)


def write_compared(binder: Binder) -> list[Node]:
    """References to the studies compared with."""
    comparison = binder.report.comparison
    return [
        binder.add(
            f"compared-{study.study_instance_uid}",
            {
                "resourceType": "ImagingStudy",
                "identifier": [study_identifier(study.study_instance_uid, binder.pack)],
                "status": "available",
                "modality": [coding(binder.pack.systems["dcm"], modality) for modality in study.modalities],
                "subject": binder.ref("patient"),
                "started": study.started,
                "description": study.description,
            },
        )
        for study in (comparison.studies if comparison else ())
    ]


def read_comparison(opened: Opened) -> Comparison | None:
    """Read what was compared with; words that stand in the narrative alone stay there."""
    studies = [
        ComparedStudy(
            uid,
            el.text(node, "started"),
            el.text(node, "description"),
            tuple(code for c in el.children(node, "modality") if (code := el.text(c, "code"))),
        )
        for node in opened.entries("comparison", "ImagingStudy")
        if (uid := study_uid(node, opened.pack)) is not None
    ]
    sections = list(opened.sections("comparison"))
    reports = [
        ComparedReport(identifier, el.text(entry, "display"))
        for section in sections
        for entry in el.children(section, "entry")
        if entry.get("type") == "DiagnosticReport" and (identifier := read_identifier(el.child(entry, "identifier")))
    ]
    return Comparison(opened.note("comparison"), tuple(studies), tuple(reports)) if sections else None
