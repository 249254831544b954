"""Imaging report (REP)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from html import unescape

from isthmus.conformance.closure import closure_faults, document_faults
from isthmus.conformance.evidence import Arrival, Examination, studies_of
from isthmus.conformance.requirement import Kind, Severity, requirement
from isthmus.fhir import elements as el
from isthmus.fhir.bundles import Closed
from isthmus.fhir.elements import Node
from isthmus.fhir.narrative import words_in
from isthmus.model.identifiers import is_uid, plain_uid
from isthmus.model.queries import REGIONS
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
        told = {(c.get("system"), c.get("code")) for c in el.codings(_one(node, kind), "category")}
        imaging = {(system, pack.codes["category"]) for system in pack.aliases["category"]}
        if (pack.systems["loinc"], pack.codes["composition_report"]) not in told or not told & imaging:
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
        if not el.text(section, "title") or not el.child(section, "code") or not el.text(section, "text", "div"):
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
            if said and " ".join(said.split()) not in words_in(div):
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


@requirement("REP-16", Kind.REPORT, "key images name their instance, their patient and themselves", source="EUI")
def rep_16(node: Node, pack: Pack) -> Iterator[str]:
    kind = (pack.systems["loinc"], pack.codes["key_images"])
    for image in Closed(node).of_type("DocumentReference"):
        numbers = [number for number in el.children(image, "identifier") if el.text(number, "value")]
        named = pack.codes["sop_instance_uid"] in {c for number in numbers for c in _codes(number, "type")}
        if named or kind[1] in _codes(image, "category"):
            said = [(c.get("system"), c.get("code")) for c in el.codings(image, "category")]
            told = {"identifier": named, "category": kind in said, "subject": "subject" in image}
            yield from (f"DocumentReference.{name}" for name, there in told.items() if not there)


@requirement("REP-18", Kind.REPORT, "a dose comes from a study and is told in words", source="EUI")
def rep_18(node: Node, pack: Pack) -> Iterator[str]:
    closed = Closed(node)
    for dose in closed.of_type("Observation"):
        if pack.codes["radiation_dose"] in _codes(dose, "code"):
            study = closed.find(el.child(dose, "derivedFrom"), dose) or {}
            if study.get("resourceType") != "ImagingStudy" or not el.text(dose, "valueString"):
                yield "Observation[dose]"


@requirement("REP-26", Kind.REPORT, "a region is one of the report's ten, and overlaps the body sites", source="EUI")
def rep_26(node: Node, pack: Pack) -> Iterator[str]:
    ten = set(REGIONS) - {pack.codes["spine_manifest"]} | {pack.codes["spine_report"]}
    regions = set[object]()
    for resource in Closed(node).resources:
        for extension in el.extensions(resource, pack.extensions["region_report"]):
            told = _codes(extension, "valueCodeableConcept")
            regions |= told
            if told - ten:
                yield f"{resource.get('resourceType')}.extension[region]"
    studies = Closed(node).of_type("ImagingStudy")
    sites = {el.text(series, "bodySite", "code") for study in studies for series in el.children(study, "series")} & ten
    if regions and sites and not sites & regions and "38266002" not in regions:  # the entire body overlaps all
        yield "ImagingStudy.series.bodySite"


_OPTIONAL = ("comparison", "findings", "impression", "recommendation", "communication")


@requirement("REP-08", Kind.REPORT, "sections have the codes of LOINC, each once", source="EUI")
def rep_08(node: Node, pack: Pack) -> Iterator[str]:
    codings = [
        (c.get("system"), c.get("code"))
        for section in el.children(_one(node, "Composition"), "section")
        for c in el.codings(section, "code")
    ]
    told = Counter(code for _, code in codings)
    yield from (f"Composition.section[{name}]" for name in _OPTIONAL if told[pack.sections[name]] > 1)
    for system, code in codings:
        if code in pack.sections.values() and system != pack.systems["loinc"]:
            yield "Composition.section.code.system"


def _studies(node: Node) -> set[str]:
    """The studies by UID, without one that is said to be not known; a UID that is missing is an empty one."""
    named = (el.child(one, "identifier") for one in Closed(node).of_type("ImagingStudy"))
    return {plain_uid(el.text(one, "value") or "") for one in named if not el.child(one, "_value", "extension")}


@requirement("REP-11", Kind.EXAMINATION, "a report names the study by the UID of its manifest", source="EUI, MADO")
def rep_11(examination: Examination, pack: Pack) -> Iterator[str]:
    typed = (pack.systems["dcm"], pack.codes["study_instance_uid"])
    for report in examination.reports:
        if not all(is_uid(uid) for uid in _studies(report)):
            yield "ImagingStudy.identifier.value"
        for study in Closed(report).of_type("ImagingStudy"):
            numbers = [n for n in el.children(study, "identifier") if n.get("system") == pack.systems["uid"]]
            if [typed in [(c.get("system"), c.get("code")) for c in el.codings(n, "type")] for n in numbers] != [True]:
                yield "ImagingStudy.identifier"
    described = _studies(examination.manifest) | ({examination.study_instance_uid} - {""})
    for report in examination.reports if described else ():
        if not described & _studies(report):
            yield "ImagingStudy.identifier"


@requirement(
    "REP-12", Kind.EXAMINATION, "report, manifest, entries and images carry one accession number", source="EUI, MADO"
)
def rep_12(examination: Examination, pack: Pack) -> Iterator[str]:
    told = {
        "manifest": _accessions(examination.manifest, examination.study_instance_uid),
        "DICOM": {examination.accession_number} if examination.accession_number else set(),
    }
    for number, report in enumerate(examination.reports):
        told[f"report {number + 1}"] = _accessions(report, examination.study_instance_uid)
    for number, entry in enumerate(examination.entries):
        if studies_of(entry, pack) == {examination.study_instance_uid}:
            told[f"entry {number + 1}"] = set(_entry_accessions(entry, pack))
    known = {place: numbers for place, numbers in told.items() if numbers}
    first = next(iter(known.values()), set())
    yield from (f"{place}: accession number" for place, numbers in known.items() if not numbers & first)


def _accessions(node: Node, study: str) -> set[tuple[str, str]]:
    """Issuer and number of what a document's study is based on; of all its orders where no study is named."""
    closed = Closed(node)
    studies = [s for s in closed.of_type("ImagingStudy") if plain_uid(el.text(s, "identifier", "value") or "") == study]
    orders = [order for one in studies for order in closed.follow(one, "basedOn")] if study else closed.of_type(_ORDER)
    return {
        (el.text(number, "system") or "", el.text(number, "value") or "")
        for order in orders
        for number in el.children(order, "identifier")
        if "ACSN" in _codes(number, "type")
    }


_ORDER = "ServiceRequest"


def _entry_accessions(entry: Node, pack: Pack) -> Iterator[tuple[str, str]]:
    for one in el.children(el.child(entry, "context"), "related"):
        number = el.child(one, "identifier")
        if pack.codes["accession_number"] in _codes(number, "type"):
            yield el.text(number, "system") or "", el.text(number, "value") or ""


@requirement("REP-17", Kind.REPORT, "findings and impressions are reached from both ends", source="EUI")
def rep_17(node: Node, pack: Pack) -> Iterator[str]:
    closed = Closed(node)
    composition, report = _first(closed, "Composition"), _first(closed, "DiagnosticReport")
    results = {id(one) for one in closed.follow(report, "result")}
    told = {pack.sections["findings"], pack.sections["impression"]}
    sections = [s for s in el.children(composition, "section") if _codes(s, "code") & told]
    held = [closed.find(reference, composition) for s in sections for reference in el.children(s, "entry")]
    said = {id(one) for one in held if one is not None and one.get("resourceType") == "Observation"}
    if None in held or said - results:
        yield "DiagnosticReport.result"
    if results - said:
        yield "Composition.section.entry"


@requirement("REP-19", Kind.REPORT, "the original is inside, as PDF", source="API", also=(Kind.MINIMAL,))
def rep_19(node: Node, pack: Pack) -> Iterator[str]:
    closed = Closed(node)
    held = [form for report in closed.of_type("DiagnosticReport") for form in el.children(report, "presentedForm")]
    for form in (*held, *closed.of_type("Binary")):
        data = el.binary(form, "data")
        inside = data is not None or closed.find({"reference": el.text(form, "url") or ""}, {}) is not None
        if not inside:
            yield "DiagnosticReport.presentedForm"
        elif data is not None and (el.text(form, "contentType") == "application/pdf") != (data[:5] == b"%PDF-"):
            yield "DiagnosticReport.presentedForm.contentType"


@requirement("REP-20", Kind.MINIMAL, "the minimal form: a collection; study and order by identifier", source="EUI")
def rep_20(node: Node, pack: Pack) -> Iterator[str]:
    reports = Closed(node).of_type("DiagnosticReport")
    if node.get("type") != "collection" or len(reports) != 1:
        yield "Bundle"
    for report in reports:
        if not el.children(report, "presentedForm"):
            yield "DiagnosticReport.presentedForm"
        for name in ("imagingStudy", "basedOn"):
            if not any(_names(reference, pack) for reference in el.children(report, name)):
                yield f"DiagnosticReport.{name}"


def _names(reference: Node, pack: Pack) -> bool:
    """Whether something is referred to, by identifier or otherwise, or said to be not known."""
    identifier = el.child(reference, "identifier")
    absent = el.extensions(el.child(identifier, "_value"), pack.extensions["absent"])
    return bool(el.text(identifier, "value") or reference.get("reference") or absent)


_CLOCK = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)?")
_MANDATORY = (("Patient", "name"), ("Patient", "birthDate"), ("Composition", "date"), ("Composition", "author"))


@requirement("REP-21", Kind.REPORT, "what is missing says so; a time has its offset", source="EUI")
def rep_21(node: Node, pack: Pack) -> Iterator[str]:
    for kind, name in _MANDATORY:
        one = _one(node, kind)
        if not one.get(name) and not el.extensions(el.child(one, f"_{name}"), pack.extensions["absent"]):
            yield f"{kind}.{name}"
    for path, value in _texts(node, "Bundle"):
        clock = _CLOCK.fullmatch(value)
        if clock is not None and clock[1] is None:
            yield path


def _texts(node: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _texts(value, f"{path}.{name}")
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value, path)
    elif isinstance(node, str):
        yield path, node


@requirement("REP-22", Kind.EXAMINATION, "versions share their identifier and count up", source="EUI")
def rep_22(examination: Examination, pack: Pack) -> Iterator[str]:
    """Versions that name each other by `replaces` in their entries, or that share an identifier."""
    lines: dict[tuple[str | None, str | None], list[str]] = {}
    for report in examination.reports:
        composition = _one(report, "Composition")
        identifier = el.text(composition, "identifier", "system"), el.text(composition, "identifier", "value")
        told = el.extensions(composition, pack.extensions["composition_version"])
        lines.setdefault(identifier, []).append((el.text(told[0], "valueString") if told else None) or "")
    for versions in lines.values():
        if len(versions) > 1 and (len(set(versions)) != len(versions) or versions != sorted(versions, key=_natural)):
            yield "Composition.extension[version]"
    if (
        len(lines) > 1
        and any(_replaces(entry) for entry in examination.entries)
        and len(lines) == len(examination.reports)
    ):
        yield "Composition.identifier"


def _natural(version: str) -> tuple[int, str]:
    return int(version) if version.isdecimal() else 0, version


def _replaces(entry: Node) -> bool:
    report = el.text(entry, "content", "format", "code") is None
    return report and any(one.get("code") == "replaces" for one in el.children(entry, "relatesTo"))


@requirement("REP-23", Kind.ARRIVAL, "every section is shown, whatever its code", source="R")
def rep_23(arrival: Arrival, pack: Pack) -> Iterator[str]:
    document = arrival.document if isinstance(arrival.document, dict) else {}
    if not arrival.told or not Closed(document).of_type("DiagnosticReport"):
        return
    shown = _plain(arrival.told)
    for section in el.children(_one(document, "Composition"), "section"):
        words_told = _plain(el.text(section, "text", "div") or "").split()
        known = _codes(section, "code") & set(pack.sections.values())  # these have a heading of the reader's own
        title = "" if known else el.text(section, "title") or ""
        if any(word not in shown for word in (title, *words_told)):
            yield "Composition.section"


def _plain(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


_ACTIVE = re.compile(
    r"<(script|iframe|object|embed|link|meta|form|base)\b(?![^>]*data-ours)|\son\w+\s*=|javascript:|"
    r"(src|href|action|data)\s*=\s*[\"']?\s*(https?:)?//|url\(\s*[\"']?(https?:)?//|@import",
    re.IGNORECASE,
)


@requirement("REP-24", Kind.ARRIVAL, "what is shown of a document runs nothing and fetches nothing", source="R")
def rep_24(arrival: Arrival, pack: Pack) -> Iterator[str]:
    """`told` is the document's part of the page."""
    if _ACTIVE.search(arrival.told):
        yield "told"
