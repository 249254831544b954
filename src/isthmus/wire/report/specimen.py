"""Specimens, named by the DiagnosticReport. Source: R4 Specimen, BodyStructure; data set A.4."""

from __future__ import annotations

from typing import Final

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.report.specimen import Specimen
from isthmus.wire.report.binding import (
    Binder,
    Opened,
    read_concept,
    read_identifiers,
    write_identifier,
    write_statement,
)
from isthmus.wire.report.statements import read_site, write_site
from isthmus.wire.report.words import moment

HOLDS: Final = {
    "A.4.1": "Specimen.identifier",
    "A.4.2": "Specimen.type",
    "A.4.3": "Specimen.collection.collected[x]",
    "A.4.4": "Specimen.collection.bodySite; BodyStructure.locationQualifier",
    "A.4.5": "BodyStructure.morphology",
    "A.4.6": "Specimen.subject → Device",
    "A.4.7": "Specimen.collection.method",
    "A.4.8": "Specimen.receivedTime",
}  # fmt: skip
"""Where a report in FHIR holds each element of this chapter."""


def write_specimens(binder: Binder) -> list[Node]:
    """References to the specimens. One that was taken from a device has it as its subject, and the device has the patient."""
    return [
        binder.add(f"specimen-{number}", _specimen(specimen, binder))
        for number, specimen in enumerate(binder.report.specimens)
    ]


def _specimen(specimen: Specimen, binder: Binder) -> Node:
    patient = binder.ref("patient")
    collected: Node = {"collectedDateTime": specimen.collected}
    if specimen.collected_until:
        period = el.without_nothing({"start": specimen.collected, "end": specimen.collected_until})
        collected = {"collectedPeriod": period}
    return {
        "resourceType": "Specimen",
        "identifier": [write_identifier(one) for one in specimen.identifiers],
        "type": write_statement(specimen.material) if specimen.material else None,
        "subject": binder.device(specimen.device, patient=patient) if specimen.device else patient,
        "receivedTime": specimen.received,
        "collection": el.without_nothing(
            collected
            | {
                "method": write_statement(specimen.method) if specimen.method else None,
                "bodySite": write_site(specimen.site, binder) if specimen.site else None,
            }
        ),
        "note": [{"text": specimen.note}] if specimen.note else None,
    }


def lines_of_specimens(binder: Binder) -> list[str]:
    """What the narrative says of them."""
    lines = []
    for specimen in binder.report.specimens:
        said = [specimen.material.text if specimen.material else "", specimen.method.text if specimen.method else ""]
        said += [specimen.site.shown if specimen.site else "", specimen.device.shown if specimen.device else ""]
        said += [moment(specimen.collected), *(one.value for one in specimen.identifiers), specimen.note or ""]
        lines.append(f"{binder.words['specimen']}: {', '.join(filter(None, said))}")
    return lines


def read_specimens(opened: Opened) -> tuple[Specimen, ...]:
    """Read every specimen of the report, or of its studies."""
    named = [*opened.closed.follow(opened.diagnostic, "specimen"), *opened.closed.of_type("Specimen")]
    once = {id(node): node for node in named if node.get("resourceType") == "Specimen"}
    return tuple(_read(node, opened) for node in once.values())


def _read(node: Node, opened: Opened) -> Specimen:
    collection = el.child(node, "collection")
    period = el.child(collection, "collectedPeriod")
    return Specimen(
        identifiers=read_identifiers(node),
        material=read_concept(node, "type"),
        collected=el.text(collection, "collectedDateTime") or el.text(period, "start"),
        collected_until=el.text(period, "end"),
        site=read_site(el.child(collection, "bodySite"), node, opened),
        device=opened.device(opened.find(node, "subject")),
        method=read_concept(collection, "method"),
        received=el.text(node, "receivedTime"),
        note=el.text(node, "note", "text"),
    )
