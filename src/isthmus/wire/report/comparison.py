"""Comparison with earlier studies. Source: data set A.7; wire.md §2.2."""

from __future__ import annotations

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding
from isthmus.model.report.comparison import ComparedStudy, Comparison
from isthmus.wire.described import study_identifier, study_uid
from isthmus.wire.report.binding import Binder, Opened
from isthmus.wire.report.words import moment


def write_comparison(binder: Binder) -> Node | None:
    """The section, with an ImagingStudy for each study that is named; the text alone says that there is no entry."""
    comparison = binder.report.comparison
    if comparison is None:
        return None
    entries = [
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
        for study in comparison.studies
    ]
    lines = [comparison.text or ""]
    lines += [
        ", ".join(part for part in (s.description, "/".join(s.modalities), moment(s.started)) if part)
        for s in comparison.studies
    ]
    return binder.section("comparison", lines, entries)


def read_comparison(opened: Opened) -> Comparison | None:
    """Read the studies compared with; the words of the section are in its narrative."""
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
    return Comparison(None, tuple(studies)) if any(opened.sections("comparison")) else None
