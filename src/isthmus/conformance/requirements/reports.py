"""Imaging report (REP)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from isthmus.conformance.requirement import Kind, Severity, requirement
from isthmus.conformance.requirements.closure import closure_faults, document_faults
from isthmus.fhir import elements as el
from isthmus.fhir.bundles import Closed
from isthmus.fhir.elements import Node
from isthmus.fhir.narrative import words
from isthmus.wire.packs.pack import Pack

_ADDRESS = re.compile(r"https?://[^\"]*/studies/")


def _one(node: Node, kind: str) -> Node:
    return next(iter(Closed(node).of_type(kind)), {})


def _codes(node: Node, name: str) -> set[object]:
    return {c.get("code") for c in el.codings(node, name)}


@requirement("REP-01", Kind.REPORT, "one Composition, DiagnosticReport, Patient; a study", source="EUI")
def rep_01(node: Node, pack: Pack) -> Iterator[str]:
    closed = Closed(node)
    yield from (k for k in ("Composition", "DiagnosticReport", "Patient") if len(closed.of_type(k)) != 1)
    if not closed.of_type("ImagingStudy"):
        yield "ImagingStudy"


@requirement("REP-02", Kind.REPORT, "the frame of a document; its references stay inside", source="EUI")
def rep_02(node: Node, pack: Pack) -> Iterator[str]:
    yield from document_faults(node)
    yield from closure_faults(node)


@requirement("REP-03", Kind.REPORT, "Composition.identifier is one of the DiagnosticReport's", source="EUI")
def rep_03(node: Node, pack: Pack) -> Iterator[str]:
    if el.child(_one(node, "Composition"), "identifier") not in el.children(
        _one(node, "DiagnosticReport"), "identifier"
    ):
        yield "DiagnosticReport.identifier"


@requirement("REP-04", Kind.REPORT, "both carry the two categories", source="EUI")
def rep_04(node: Node, pack: Pack) -> Iterator[str]:
    for kind in ("Composition", "DiagnosticReport"):
        if not {pack.codes["composition_report"], pack.codes["category"]} <= _codes(_one(node, kind), "category"):
            yield f"{kind}.category"


@requirement("REP-05", Kind.REPORT, "DiagnosticReport and Composition refer to each other", source="EUI")
def rep_05(node: Node, pack: Pack) -> Iterator[str]:
    closed = Closed(node)
    composition, report = _first(closed, "Composition"), _first(closed, "DiagnosticReport")
    for source, name, target in ((report, "composition", composition), (composition, "diagnostic_report", report)):
        told = el.extensions(source, pack.extensions[name])
        if len(told) != 1 or closed.find(el.child(told[0], "valueReference"), source) is not target:
            yield f"extension[{name}]"


def _first(closed: Closed, kind: str) -> Node:
    return next(iter(closed.of_type(kind)), {})


@requirement("REP-06", Kind.REPORT, "type and code, subject and status agree", source="EUI")
def rep_06(node: Node, pack: Pack) -> Iterator[str]:
    composition, report = _one(node, "Composition"), _one(node, "DiagnosticReport")
    if _codes(composition, "type") != _codes(report, "code"):
        yield "DiagnosticReport.code"
    if el.child(composition, "subject") != el.child(report, "subject"):
        yield "DiagnosticReport.subject"
    if (composition.get("status") == "final") != (report.get("status") == "final"):
        yield "DiagnosticReport.status"


@requirement("REP-07", Kind.REPORT, "the four mandatory sections, once each", source="EUI")
def rep_07(node: Node, pack: Pack) -> Iterator[str]:
    told = [code for s in el.children(_one(node, "Composition"), "section") for code in _codes(s, "code")]
    for name in ("imaging_study", "order", "history", "procedure"):
        if told.count(pack.sections[name]) != 1:
            yield f"Composition.section[{name}]"


@requirement("REP-09", Kind.REPORT, "a section has title, code, text, and entries or a reason", source="EUI, base")
def rep_09(node: Node, pack: Pack) -> Iterator[str]:
    for section in el.children(_one(node, "Composition"), "section"):
        if not el.text(section, "title") or not _codes(section, "code") or not el.text(section, "text", "div"):
            yield "Composition.section"
        if not any(section.get(name) for name in ("entry", "section", "emptyReason", "extension")):
            yield "Composition.section.emptyReason"


@requirement("REP-10", Kind.REPORT, "narratives tell what their entries say", source="EUI", severity=Severity.WARNING)
def rep_10(node: Node, pack: Pack) -> Iterator[str]:
    closed = Closed(node)
    composition = _first(closed, "Composition")
    for section in el.children(composition, "section"):
        div = el.text(section, "text", "div") or ""
        for reference in el.children(section, "entry"):
            entry = closed.find(reference, composition) or {}
            said = el.text(entry, "valueString") or el.text(entry, "description") if "code" in entry else None
            if said and words(said) not in div:
                yield "Composition.section.text"


@requirement("REP-13", Kind.REPORT, "organisations among performers and authors are the same", source="EUI")
def rep_13(node: Node, pack: Pack) -> Iterator[str]:
    closed = Closed(node)
    told = [
        {closed.full_url(r) for r in closed.follow(source, name) if r.get("resourceType") == "Organization"}
        for source, name in (
            (_first(closed, "Composition"), "author"),
            (_first(closed, "DiagnosticReport"), "performer"),
        )
    ]
    if told[0] != told[1]:
        yield "DiagnosticReport.performer"


@requirement("REP-14", Kind.REPORT, "author, title, date; the attester has time and party", source="EUI, base")
def rep_14(node: Node, pack: Pack) -> Iterator[str]:
    composition = _one(node, "Composition")
    yield from (f"Composition.{name}" for name in ("author", "title", "date") if not composition.get(name))
    for attester in el.children(composition, "attester"):
        if not attester.get("time") or not attester.get("party"):
            yield "Composition.attester"


@requirement("REP-15", Kind.REPORT, "no Endpoint and no WADO address", source="EUI, R")
def rep_15(node: Node, pack: Pack) -> Iterator[str]:
    if Closed(node).of_type("Endpoint") or _ADDRESS.search(el.write_object(node).decode()):
        yield "Endpoint"


@requirement("REP-16", Kind.REPORT, "key images name their instance", source="EUI")
def rep_16(node: Node, pack: Pack) -> Iterator[str]:
    for image in Closed(node).of_type("DocumentReference"):
        named = {c for number in el.children(image, "identifier") for c in _codes(number, "type")}
        if pack.codes["key_images"] in _codes(image, "category") and pack.codes["sop_instance_uid"] not in named:
            yield "DocumentReference.identifier"


@requirement("REP-18", Kind.REPORT, "a dose comes from a study and is told in words", source="EUI")
def rep_18(node: Node, pack: Pack) -> Iterator[str]:
    closed = Closed(node)
    for dose in closed.of_type("Observation"):
        if pack.codes["radiation_dose"] in _codes(dose, "code"):
            study = closed.find(el.child(dose, "derivedFrom"), dose) or {}
            if study.get("resourceType") != "ImagingStudy" or not el.text(dose, "valueString"):
                yield "Observation[dose]"


@requirement("REP-26", Kind.REPORT, "a region is one of the report's ten", source="EUI")
def rep_26(node: Node, pack: Pack) -> Iterator[str]:
    for resource in Closed(node).resources:
        for extension in el.extensions(resource, pack.extensions["region_report"]):
            if _codes(extension, "valueCodeableConcept") & {pack.codes["spine_manifest"]}:
                yield f"{resource.get('resourceType')}.extension[region]"
