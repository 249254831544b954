"""FHIR manifest (MFH)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from isthmus.conformance.closure import closure_faults, document_faults
from isthmus.conformance.evidence import Examination, studies_of
from isthmus.conformance.requirement import Kind, Severity, requirement
from isthmus.fhir import elements as el
from isthmus.fhir.bundles import Closed
from isthmus.fhir.elements import Node
from isthmus.model.identifiers import is_uid, plain_uid
from isthmus.model.queries import REGIONS
from isthmus.wire.packs.pack import Pack

KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
_ENHANCED = {
    f"1.2.840.10008.5.1.4.1.1.{tail}"
    for tail in ("2.1", "2.2", "3.1", "4.1", "4.4", "128.1", "130", "13.1.1", "13.1.3")
}
_INSIDE = re.compile(
    r"file:|dicom://|\\\\\\\\|[a-z]:\\\\|\.dcm\b|/(?:var|mnt|home|srv)/|\.(?:local|internal|lan)\b"
    r"|//(?:10\.\d|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|169\.254\.)",
    re.IGNORECASE,
)


def _one(node: Node, kind: str) -> Node:
    return next(iter(Closed(node).of_type(kind)), {})


def _coded(node: Node, name: str, code: str, *systems: str) -> bool:
    """Whether a concept has this code, of one of these systems where any is named."""
    return any(c.get("code") == code and (not systems or c.get("system") in systems) for c in el.codings(node, name))


@requirement("MFH-01", Kind.MANIFEST, "a document: identifier, timestamp, no total, Composition first", source="MADO-F")
def mfh_01(node: Node, pack: Pack) -> Iterator[str]:
    yield from document_faults(node)


@requirement("MFH-02", Kind.MANIFEST, "one of each: Composition, study, patient, device; organisation", source="EUM")
def mfh_02(node: Node, pack: Pack) -> Iterator[str]:
    closed = Closed(node)
    yield from (k for k in ("Composition", "ImagingStudy", "Patient", "Device") if len(closed.of_type(k)) != 1)
    yield from (k for k in ("Organization", "Endpoint") if not closed.of_type(k))


@requirement(
    "MFH-03", Kind.EXAMINATION, "Bundle, Composition, key object selection and entry carry one UID", source="MADO"
)
def mfh_03(examination: Examination, pack: Pack) -> Iterator[str]:
    node = examination.manifest
    told = {_value(node, "identifier"), _value(_one(node, "Composition"), "identifier")} if node else set()
    told |= {str(examination.kos.get("00080018"))} if examination.kos else set()
    for entry in examination.entries if told else ():
        if _manifest_form(entry, pack) and entry.get("status") == "current":
            told.add(_value(entry, "masterIdentifier"))
    if len(told) > 1:
        yield "Bundle.identifier"
    if not all(is_uid(uid) for uid in told):
        yield "Bundle.identifier.value"


def _value(node: Node, name: str) -> str:
    return plain_uid(el.text(node, name, "value") or "")


def _manifest_form(entry: Node, pack: Pack) -> str:
    code = el.text(entry, "content", "format", "code") or ""
    return code if code in (pack.codes["format_manifest_fhir"], pack.codes["format_manifest_kos"]) else ""


@requirement("MFH-04", Kind.MANIFEST, "type 18748-4, category Medical-Imaging", source="EUM, R")
def mfh_04(node: Node, pack: Pack) -> Iterator[str]:
    composition = _one(node, "Composition")
    if not _coded(composition, "type", pack.codes["composition_manifest"], pack.systems["loinc"]):
        yield "Composition.type"
    if not _coded(composition, "category", pack.codes["category"], *pack.aliases["category"]):
        yield "Composition.category"


@requirement("MFH-05", Kind.MANIFEST, "the narrative tells the eleven facts", source="MADO-F")
def mfh_05(node: Node, pack: Pack) -> Iterator[str]:
    div = el.text(_one(node, "Composition"), "text", "div") or ""
    study = _one(node, "ImagingStudy")
    facts = [
        plain_uid(el.text(study, "identifier", "value") or ""),
        el.text(_one(node, "Patient"), "name", "family") or "",
        el.text(_one(node, "Organization"), "name") or "",
        el.text(_one(node, "Composition"), "date") or "",
        el.text(study, "started") or "",
        *(str(modality.get("code")) for modality in el.children(study, "modality")),
    ]
    if div.count("<tr>") < 11 or any(fact not in div for fact in facts if "&" not in fact and "'" not in fact):
        yield "Composition.text"


@requirement("MFH-06", Kind.MANIFEST, "one device and one organisation as authors", source="MADO-F")
def mfh_06(node: Node, pack: Pack) -> Iterator[str]:
    kinds = sorted(str(a.get("resourceType")) for a in Closed(node).follow(_one(node, "Composition"), "author"))
    if kinds != ["Device", "Organization"]:
        yield "Composition.author"


@requirement("MFH-07", Kind.MANIFEST, "event.detail refers to the study", source="MADO-F")
def mfh_07(node: Node, pack: Pack) -> Iterator[str]:
    closed = Closed(node)
    composition = next(iter(closed.of_type("Composition")), {})
    detail = closed.find(el.child(composition, "event", "detail"), composition) or {}
    if detail.get("resourceType") != "ImagingStudy":
        yield "Composition.event.detail"


@requirement("MFH-09", Kind.MANIFEST, "one study UID of type 110180", source="MADO-F")
def mfh_09(node: Node, pack: Pack) -> Iterator[str]:
    numbers = el.children(_one(node, "ImagingStudy"), "identifier")
    named = [i for i in numbers if _coded(i, "type", pack.codes["study_instance_uid"], pack.systems["dcm"])]
    if len(named) != 1 or named[0].get("system") != pack.systems["uid"]:
        yield "ImagingStudy.identifier"
    elif not is_uid(plain_uid(el.text(named[0], "value") or "")):
        yield "ImagingStudy.identifier.value"


@requirement("MFH-10", Kind.MANIFEST, "counts agree with what is listed", source="MADO-F")
def mfh_10(node: Node, pack: Pack) -> Iterator[str]:
    study = _one(node, "ImagingStudy")
    series = el.children(study, "series")
    if study.get("numberOfSeries") != len(series):
        yield "ImagingStudy.numberOfSeries"
    if study.get("numberOfInstances") != sum(len(el.children(one, "instance")) for one in series):
        yield "ImagingStudy.numberOfInstances"
    for number, one in enumerate(series):
        if one.get("numberOfInstances") != len(el.children(one, "instance")):
            yield f"ImagingStudy.series[{number}].numberOfInstances"


@requirement("MFH-11", Kind.MANIFEST, "each series: UID, an instance, an endpoint that is here", source="MADO-F")
def mfh_11(node: Node, pack: Pack) -> Iterator[str]:
    closed = Closed(node)
    study = next(iter(closed.of_type("ImagingStudy")), {})
    for one in el.children(study, "series"):
        if not is_uid(el.text(one, "uid") or "") or not el.children(one, "instance"):
            yield "ImagingStudy.series"
        if not all(is_uid(el.text(instance, "uid") or "") for instance in el.children(one, "instance")):
            yield "ImagingStudy.series.instance.uid"
        if not any(closed.find(reference, study) for reference in el.children(one, "endpoint")):
            yield "ImagingStudy.series.endpoint"


@requirement("MFH-12", Kind.MANIFEST, "procedureCode can be shown", source="MADO-F")
def mfh_12(node: Node, pack: Pack) -> Iterator[str]:
    codes = el.children(_one(node, "ImagingStudy"), "procedureCode")
    if not codes or not all(el.text(c, "text") or el.text(c, "coding", "display") for c in codes):
        yield "ImagingStudy.procedureCode"


@requirement("MFH-13", Kind.MANIFEST, "a region, of the ten", source="EUM")
def mfh_13(node: Node, pack: Pack) -> Iterator[str]:
    regions = el.extensions(_one(node, "ImagingStudy"), pack.extensions["region_manifest"])
    told = {
        (c.get("system"), c.get("code")) for extension in regions for c in el.codings(extension, "valueCodeableConcept")
    }
    if not told or told - {(pack.systems["snomed"], code) for code in REGIONS}:
        yield "ImagingStudy.extension"


def _endpoints(node: Node, viewer: bool = False) -> list[Node]:
    """Where images are fetched; or where a page shows them."""
    held = Closed(node).of_type("Endpoint")
    return [one for one in held if ("text/html" in el.texts(one, "payloadMimeType")) is viewer]


@requirement("MFH-15", Kind.MANIFEST, "WADO endpoint: location, active, dicom-wado-rs, payload", source="MADO-F")
def mfh_15(node: Node, pack: Pack) -> Iterator[str]:
    for endpoint in _endpoints(node):
        location = el.extensions(endpoint, pack.extensions["location_uid"])
        payload = el.child(endpoint, "payloadType")
        if len(location) != 1 or not el.text(location[0], "valueString") or endpoint.get("status") != "active":
            yield "Endpoint"
        kind = el.child(endpoint, "connectionType")
        if (kind.get("system"), kind.get("code")) != (pack.systems["connection_type"], "dicom-wado-rs"):
            yield "Endpoint.connectionType"
        if payload.get("text") != "DICOM WADO-RS" or not _coded(
            endpoint, "payloadType", "none", pack.systems["payload_type"]
        ):
            yield "Endpoint.payloadType"


@requirement("MFH-16", Kind.MANIFEST, "a real address, or the placeholder marked unknown", source="MADO-F")
def mfh_16(node: Node, pack: Pack) -> Iterator[str]:
    for endpoint in _endpoints(node):
        absent = el.extensions(el.child(endpoint, "_address"), pack.extensions["absent"])
        address = el.text(endpoint, "address") or ""
        if bool(absent) != (address == "http://notspecified") or not address.startswith("http"):
            yield "Endpoint.address"


@requirement("MFH-17", Kind.MANIFEST, "the device is a mado-creator", source="MADO-F")
def mfh_17(node: Node, pack: Pack) -> Iterator[str]:
    if not _coded(_one(node, "Device"), "type", "mado-creator", pack.systems["device_type"]):
        yield "Device.type"


@requirement(
    "MFH-18",
    Kind.EXAMINATION,
    "an order: one accession number with its issuer, placer, status, intent",
    source="MADO-F",
)
def mfh_18(examination: Examination, pack: Pack) -> Iterator[str]:
    told, closed = set(), Closed(examination.manifest)
    study = next(iter(closed.of_type("ImagingStudy")), {})
    based_on = [id(order) for order in closed.follow(study, "basedOn")]
    for order in closed.of_type("ServiceRequest"):
        if id(order) not in based_on:
            yield "ImagingStudy.basedOn"
        numbers = el.children(order, "identifier")
        accession = [n for n in numbers if _coded(n, "type", "ACSN")]
        if len(accession) > 1 or not numbers or any(_coded(n, "type", "PLAC") and not n.get("value") for n in numbers):
            yield "ServiceRequest.identifier"
        told |= {(el.text(n, "system") or "", el.text(n, "value") or "") for n in accession}
        yield from (f"ServiceRequest.{name}" for name in ("status", "intent") if not order.get(name))
    in_kos = _kos_numbers(examination.kos)
    if told and in_kos and told != in_kos:
        yield "ServiceRequest.identifier.system"


def _kos_numbers(node: Node) -> set[tuple[str, str]]:
    """The accession numbers of a key object selection, with their issuers."""
    found = set()
    for request in el.children(node, "0040A370"):
        issuer = el.child(request, "00080051")
        system, kind = el.text(issuer, "00400032") or "", el.text(issuer, "00400033")
        number = el.text(request, "00080050")
        if number:
            found.add((f"urn:oid:{system}" if system and kind == "ISO" else system, number))
    return found


@requirement("MFH-21", Kind.MANIFEST, "patient: identifier, name, birth date", source="EUM")
def mfh_21(node: Node, pack: Pack) -> Iterator[str]:
    patient = _one(node, "Patient")
    yield from (f"Patient.{name}" for name in ("identifier", "name", "birthDate") if not patient.get(name))
    if not all(el.text(i, "system") and el.text(i, "value") for i in el.children(patient, "identifier")):
        yield "Patient.identifier"
    if not any(name.get(n) for name in el.children(patient, "name") for n in ("family", "given", "text")):
        yield "Patient.name"


@requirement("MFH-22", Kind.MANIFEST, "every reference is answered inside, every entry is reached", source="EUI, R4")
def mfh_22(node: Node, pack: Pack) -> Iterator[str]:
    yield from closure_faults(node)


@requirement("MFH-08", Kind.MANIFEST, "sections, if any, have title, code and text", source="base")
def mfh_08(node: Node, pack: Pack) -> Iterator[str]:
    for section in el.children(_one(node, "Composition"), "section"):
        yield from (f"Composition.section.{name}" for name in ("title", "code", "text") if not section.get(name))


def _regions(node: Node, pack: Pack) -> set[object]:
    told = el.extensions(_one(node, "ImagingStudy"), pack.extensions["region_manifest"])
    return {c.get("code") for extension in told for c in el.codings(extension, "valueCodeableConcept")}


@requirement("MFH-14", Kind.MANIFEST, "a series' body site that is a region is one of the study's", source="MADO-F")
def mfh_14(node: Node, pack: Pack) -> Iterator[str]:
    sites = {el.text(s, "bodySite", "code") for s in el.children(_one(node, "ImagingStudy"), "series")}
    spine = {pack.codes["spine_manifest"] for site in sites if site in pack.aliases["spine"]}
    if ((sites & set(REGIONS)) - set(pack.aliases["spine"]) | spine) - _regions(node, pack):
        yield "ImagingStudy.series.bodySite"


def _instances(node: Node) -> list[tuple[str, Node]]:
    """Every instance with its SOP class."""
    held = [i for s in el.children(_one(node, "ImagingStudy"), "series") for i in el.children(s, "instance")]
    return [(plain_uid(el.text(instance, "sopClass", "code") or ""), instance) for instance in held]


@requirement(
    "MFH-19", Kind.MANIFEST, "multi-frame instances count their frames", source="MADO-F", severity=Severity.WARNING
)
def mfh_19(node: Node, pack: Pack) -> Iterator[str]:
    for sop_class, instance in _instances(node):
        told = el.extensions(instance, pack.extensions["frames_manifest"])
        if sop_class in _ENHANCED and not any(el.number(one, "valueInteger") for one in told):
            yield "ImagingStudy.series.instance.extension"


@requirement(
    "MFH-20", Kind.MANIFEST, "key objects carry title and description", source="MADO-F", severity=Severity.WARNING
)
def mfh_20(node: Node, pack: Pack) -> Iterator[str]:
    for sop_class, instance in _instances(node):
        told = el.extensions(instance, pack.extensions["key_object_title"])
        titled = any(c.get("code") for one in told for c in el.codings(one, "valueCodeableConcept"))
        if sop_class == KEY_OBJECTS and (not titled or not el.text(instance, "title")):
            yield "ImagingStudy.series.instance.title"


@requirement(
    "MFH-23", Kind.MANIFEST, "no inner name, file or PACS path", source="R",
    also=(Kind.REPORT, Kind.SEARCH, Kind.PATIENTS, Kind.STUDIES, Kind.CAPABILITY, Kind.SMART),
)  # fmt: skip
def mfh_23(node: Node, pack: Pack) -> Iterator[str]:
    if _INSIDE.search(el.write_object(node).decode()):
        yield str(node.get("resourceType") or "configuration")


@requirement("MFH-24", Kind.SEARCH, "every study is told in the same forms", source="MADO")
def mfh_24(node: Node, pack: Pack) -> Iterator[str]:
    forms: dict[str, set[str]] = {}
    for entry in (el.child(one, "resource") for one in el.children(node, "entry")):
        for uid in studies_of(entry, pack) if _manifest_form(entry, pack) else ():
            forms.setdefault(uid, set()).add(_manifest_form(entry, pack))
    if len({frozenset(one) for one in forms.values()}) > 1 and node.get("total") == len(el.children(node, "entry")):
        yield "content.format"


@requirement("MFH-25", Kind.EXAMINATION, "every instance that is listed can be had", source="MADO")
def mfh_25(examination: Examination, pack: Pack) -> Iterator[str]:
    listed = {el.text(one, "uid") for _, one in _instances(examination.manifest)}
    if examination.delivered is not None and listed - examination.delivered:
        yield "ImagingStudy.series.instance"


@requirement("MFH-27", Kind.EXAMINATION, "what stands in several places is the same in all of them", source="MADO-F")
def mfh_27(examination: Examination, pack: Pack) -> Iterator[str]:
    closed = Closed(examination.manifest)
    study = next(iter(closed.of_type("ImagingStudy")), {})
    told = {el.text(c, "code") for c in el.children(study, "modality")}
    said = [el.child(series, "modality") for series in el.children(study, "series")]
    foreign = any(c.get("system") != pack.systems["dcm"] for c in (*el.children(study, "modality"), *said))
    if foreign or told != {el.text(c, "code") for c in said}:
        yield "ImagingStudy.modality"
    for reference in el.children(study, "basedOn"):
        order, number = closed.find(reference, study) or {}, el.child(reference, "identifier")
        if number and number not in el.children(order, "identifier"):
            yield "ImagingStudy.basedOn"
    subjects = {el.text(r, "subject", "reference") for r in closed.resources if r.get("subject")}
    if len(subjects) > 1:
        yield "subject"
    for entry in examination.entries:
        if study and _manifest_form(entry, pack) and entry.get("status") == "current":
            starts = el.text(study, "started"), el.text(entry, "context", "period", "start")
            if None not in starts and starts[0] != starts[1]:
                yield "context.period.start"
            if not {c.get("code") for c in _entry_modalities(entry, pack)} <= told:
                yield "extension[modality]"


def _entry_modalities(entry: Node, pack: Pack) -> Iterator[Node]:
    for extension in el.extensions(entry, pack.extensions["modality"]):
        yield from el.codings(extension, "valueCodeableConcept")


@requirement("MFH-30", Kind.MANIFEST, "a web viewer: no payload type, HTML, a whole address", source="MADO-F")
def mfh_30(node: Node, pack: Pack) -> Iterator[str]:
    for endpoint in _endpoints(node, viewer=True):
        if not re.match(r"https?://.", el.text(endpoint, "address") or ""):
            yield "Endpoint.address"
        if not _coded(endpoint, "payloadType", "none", pack.systems["payload_type"]):
            yield "Endpoint.payloadType"
