"""What is filled when it is known: must-support elements, and what a creator shall be able to tell (MFH-26, MFH-28, MFH-29, REP-25).

A table for each: the path, the value that is known, and what the document has there.
"""

from __future__ import annotations

from collections.abc import Iterator

from isthmus.conformance.evidence import Written
from isthmus.conformance.requirement import Kind, requirement
from isthmus.fhir import elements as el
from isthmus.fhir.bundles import Closed
from isthmus.fhir.elements import Node
from isthmus.model.imaging import Instance, Manifest, Series
from isthmus.model.report.document import ImagingReport
from isthmus.wire.packs.pack import Pack


def _one(node: Node, kind: str) -> Node:
    return next(iter(Closed(node).of_type(kind)), {})


def _coded(node: Node, name: str, code: str) -> bool:
    return any(c.get("code") == code for c in el.codings(node, name))


Row = tuple[str, object, object]  # path, what is known, what is told


def _unfilled(rows: Iterator[Row]) -> Iterator[str]:
    yield from dict.fromkeys(path for path, known, told in rows if known not in (None, "", ()) and not told)


@requirement("MFH-26", Kind.WRITTEN, "what must be supported is filled when it is known", source="MADO-F")
def mfh_26(written: Written, pack: Pack) -> Iterator[str]:
    if isinstance(written.value, Manifest) and written.document.get("resourceType") == "Bundle":
        yield from _unfilled(_supported(written.value, written.document, pack))


def _supported(manifest: Manifest, node: Node, pack: Pack) -> Iterator[Row]:
    study, told = manifest.study, _one(node, "ImagingStudy")
    yield from (
        ("ImagingStudy.modality", study.modalities, told.get("modality")),
        ("ImagingStudy.started", study.started, told.get("started")),
        ("ImagingStudy.description", study.description, told.get("description")),
        ("Patient.identifier", study.patient.identifier, _one(node, "Patient").get("identifier")),
        ("Patient.name", study.patient.names, _one(node, "Patient").get("name")),
        ("Patient.birthDate", study.patient.birth_date, _one(node, "Patient").get("birthDate")),
        ("Patient.gender", study.patient.gender, _one(node, "Patient").get("gender")),
        ("Organization.name", manifest.source.name, _one(node, "Organization").get("name")),
        ("Device.manufacturer", manifest.device_manufacturer, _one(node, "Device").get("manufacturer")),
    )
    for series, one in _side_by_side(manifest, node):
        for name, known in (("number", series.number), ("modality", series.modality), ("started", series.started)):
            yield f"ImagingStudy.series.{name}", known, name in one
        for name, words in (("description", series.description), ("bodySite", series.body_site)):
            yield f"ImagingStudy.series.{name}", words, one.get(name)
        for instance, told_instance in _instances_side_by_side(series, one):
            named = (("number", instance.number), ("sopClass", instance.sop_class_uid), ("title", instance.description))
            yield from ((f"ImagingStudy.series.instance.{n}", known, n in told_instance) for n, known in named)


def _side_by_side(manifest: Manifest, node: Node) -> Iterator[tuple[Series, Node]]:
    told = {el.text(one, "uid"): one for one in el.children(_one(node, "ImagingStudy"), "series")}
    yield from ((series, told.get(series.series_instance_uid, {})) for series in manifest.study.series)


def _instances_side_by_side(series: Series, node: Node) -> Iterator[tuple[Instance, Node]]:
    told = {el.text(one, "uid"): one for one in el.children(node, "instance")}
    yield from ((instance, told.get(instance.sop_instance_uid, {})) for instance in series.instances)


@requirement(
    "MFH-29", Kind.WRITTEN, "what a creator shall be able to populate is filled when it is known", source="EUM"
)
def mfh_29(written: Written, pack: Pack) -> Iterator[str]:
    if isinstance(written.value, Manifest) and written.document.get("resourceType") == "Bundle":
        yield from _unfilled(_able(written.value, written.document, pack))


def _able(manifest: Manifest, node: Node, pack: Pack) -> Iterator[Row]:
    study, told, composition = manifest.study, _one(node, "ImagingStudy"), _one(node, "Composition")
    for name in ("type", "subject", "author", "date", "status", "language"):
        yield f"Composition.{name}", True, composition.get(name)
    yield "Composition.custodian", study.custodian, composition.get("custodian")
    numbers = [n for order in Closed(node).of_type("ServiceRequest") for n in el.children(order, "identifier")]
    yield (
        "ServiceRequest.identifier[placer]",
        study.placer_order_numbers,
        any(_coded(n, "type", "PLAC") for n in numbers),
    )
    yield "ImagingStudy.extension[region]", study.regions, el.extensions(told, pack.extensions["region_manifest"])
    yield "ImagingStudy.procedureCode", study.procedure, told.get("procedureCode")
    yield "ImagingStudy.numberOfSeries", True, told.get("numberOfSeries")
    yield "ImagingStudy.numberOfInstances", True, told.get("numberOfInstances")
    device, endpoint, organisation = (_one(node, kind) for kind in ("Device", "Endpoint", "Organization"))
    yield from ((f"Device.{name}", True, device.get(name)) for name in ("manufacturer", "type", "owner"))
    yield "Organization.identifier", manifest.source.identifier, organisation.get("identifier")
    yield (
        "Endpoint.extension[location]",
        manifest.location_uid,
        el.extensions(endpoint, pack.extensions["location_uid"]),
    )
    yield "Endpoint.address", True, endpoint.get("address")
    for series, one in _side_by_side(manifest, node):
        yield "ImagingStudy.series.laterality", series.laterality, one.get("laterality")
        yield "ImagingStudy.series.numberOfInstances", True, one.get("numberOfInstances")
        for instance, held in _instances_side_by_side(series, one):
            frames = el.extensions(held, pack.extensions["frames_manifest"])
            yield "ImagingStudy.series.instance.extension[frames]", instance.number_of_frames, frames
            titled = el.extensions(held, pack.extensions["key_object_title"])
            yield "ImagingStudy.series.instance.extension[title]", instance.title, titled


_POPULATED = {
    "Composition": ("identifier", "text", "title", "event", "type", "subject", "author", "date", "status"),
    "ImagingStudy": ("identifier", "procedureCode", "series", "subject", "modality"),
    "Endpoint": ("address", "status", "connectionType", "payloadType"),
    "Device": ("manufacturer", "type"),
    "Organization": ("name",),
}


@requirement("MFH-28", Kind.MANIFEST, "what the EU guide says shall be populated is there", source="EUM")
def mfh_28(node: Node, pack: Pack) -> Iterator[str]:
    for kind, names in _POPULATED.items():
        for resource in Closed(node).of_type(kind):
            yield from (f"{kind}.{name}" for name in names if not resource.get(name))


@requirement(
    "REP-25", Kind.WRITTEN, "what a producer shall be able to populate is filled when it is known", source="EUI"
)
def rep_25(written: Written, pack: Pack) -> Iterator[str]:
    if isinstance(written.value, ImagingReport):
        yield from _unfilled(_producer(written.value, written.document, pack))


def _producer(report: ImagingReport, node: Node, pack: Pack) -> Iterator[Row]:
    header, done = report.header, report.examination
    composition, diagnostic = _one(node, "Composition"), _one(node, "DiagnosticReport")
    for name in ("identifier", "category", "subject", "date", "author", "title"):
        yield f"Composition.{name}", True, composition.get(name)
    yield "Composition.attester", header.attester, composition.get("attester")
    yield "DiagnosticReport.extension[composition]", True, el.extensions(diagnostic, pack.extensions["composition"])
    for name in ("identifier", "subject"):
        yield f"DiagnosticReport.{name}", True, diagnostic.get(name)
    yield "DiagnosticReport.issued", "T" in header.date, diagnostic.get("issued")
    yield "DiagnosticReport.performer", header.organisation, diagnostic.get("performer")
    yield "DiagnosticReport.resultsInterpreter", header.authors, diagnostic.get("resultsInterpreter")
    yield "DiagnosticReport.conclusion", done.impressions, diagnostic.get("conclusion")
    yield "DiagnosticReport.result", done.findings, diagnostic.get("result")
    filled = {c.get("code"): s for s in el.children(composition, "section") for c in el.codings(s, "code")}
    known = {
        "imaging_study": done.studies,
        "procedure": done.procedures,
        "comparison": report.comparison and report.comparison.studies,
        "findings": done.findings,
        "impression": done.impressions,
    }
    for name, value in known.items():
        yield f"Composition.section[{name}].entry", value, filled.get(pack.sections[name], {}).get("entry")
    closed = Closed(node)
    yield "AdverseEvent", done.reactions, closed.of_type("AdverseEvent") or closed.of_type("AllergyIntolerance")
    given = closed.of_type("MedicationAdministration")
    yield "MedicationAdministration", done.medications, given
    linked = any(one.get("partOf") for one in given)
    yield "MedicationAdministration.partOf", done.procedures if done.medications else (), linked
    orders = closed.of_type("ServiceRequest")
    numbers = [n for order in orders for n in el.children(order, "identifier")]
    yield "ServiceRequest.identifier", report.order.accession_numbers, any(_coded(n, "type", "ACSN") for n in numbers)
    coded = [statement for statement in report.order.reasons if statement.code]
    yield "ServiceRequest.reasonCode", tuple(coded), any(order.get("reasonCode") for order in orders)
    told = {el.text(one, "identifier", "value"): one for one in closed.of_type("ImagingStudy")}
    for study in done.studies:
        one = told.get(f"urn:oid:{study.study_instance_uid}", {})
        yield "ImagingStudy.subject", True, one.get("subject")
        yield "ImagingStudy.started", study.started, one.get("started")
        yield "ImagingStudy.description", study.description, one.get("description")
        yield "ImagingStudy.numberOfSeries", study.series, one.get("numberOfSeries")
        yield "ImagingStudy.numberOfInstances", study.series, one.get("numberOfInstances")
        yield "ImagingStudy.series", study.series, one.get("series")
        held = {el.text(series, "uid"): series for series in el.children(one, "series")}
        for series in study.series:
            shown = held.get(series.series_instance_uid, {})
            for name, kept in (
                ("modality", series.modality),
                ("description", series.description),
                ("bodySite", series.body_site),
            ):
                yield f"ImagingStudy.series.{name}", kept, shown.get(name)
            for instance, there in _instances_side_by_side(series, shown):
                yield "ImagingStudy.series.instance.sopClass", instance.sop_class_uid, there.get("sopClass")
                yield "ImagingStudy.series.instance.number", instance.number, "number" in there
