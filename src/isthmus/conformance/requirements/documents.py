"""DocumentReference content (DRC)."""

from __future__ import annotations

from collections.abc import Iterator

from isthmus.conformance.requirement import Kind, requirement
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.queries import REGIONS
from isthmus.wire.packs.pack import Pack


def _codes(node: Node, name: str) -> set[tuple[object, object]]:
    return {(c.get("system"), c.get("code")) for c in el.codings(node, name)}


def _is_manifest(node: Node, pack: Pack) -> bool:
    return (pack.systems["loinc"], pack.codes["type_manifest"]) in _codes(node, "type")


def _attachment(node: Node) -> Node:
    return el.child(node, "content", "attachment")


@requirement("DRC-01", Kind.ENTRY, "masterIdentifier usual and uniqueId, repeated in identifier", source="MHD, MADO-F")
def drc_01(node: Node, pack: Pack) -> Iterator[str]:
    master = el.child(node, "masterIdentifier")
    unique = (pack.systems["identifier_type"], "uniqueId") in _codes(master, "type")
    if master.get("use") != "usual" or not unique or not el.text(master, "system") or not el.text(master, "value"):
        yield "masterIdentifier"
    if master not in el.children(node, "identifier"):
        yield "identifier"


@requirement("DRC-02", Kind.ENTRY, "status current or superseded; no docStatus, no modifierExtension", source="MHD")
def drc_02(node: Node, pack: Pack) -> Iterator[str]:
    if node.get("status") not in ("current", "superseded"):
        yield "status"
    yield from (name for name in ("docStatus", "modifierExtension") if name in node)


@requirement("DRC-03", Kind.ENTRY, "type, category, subject, date, description present", source="NCP, API")
def drc_03(node: Node, pack: Pack) -> Iterator[str]:
    yield from (name for name in ("type", "category", "subject", "date", "description") if not node.get(name))


@requirement("DRC-04", Kind.ENTRY, "one category with one Medical-Imaging coding", source="EUI, R")
def drc_04(node: Node, pack: Pack) -> Iterator[str]:
    priority = (pack.systems["category"], pack.codes["category"])
    if len(el.children(node, "category")) != 1 or priority not in _codes(node, "category"):
        yield "category"


@requirement("DRC-05", Kind.ENTRY, "custodian on report entries", source="API")
def drc_05(node: Node, pack: Pack) -> Iterator[str]:
    if not _is_manifest(node, pack) and not el.child(node, "custodian"):
        yield "custodian"


@requirement("DRC-06", Kind.ENTRY, "one content with contentType and absolute url", source="MHD, ONCP")
def drc_06(node: Node, pack: Pack) -> Iterator[str]:
    attachment = _attachment(node)
    if len(el.children(node, "content")) != 1 or not el.text(attachment, "contentType"):
        yield "content"
    if not (el.text(attachment, "url") or "").startswith("https://"):
        yield "content.attachment.url"


@requirement("DRC-07", Kind.ENTRY, "no data in the attachment, unless a PDF", source="NCP")
def drc_07(node: Node, pack: Pack) -> Iterator[str]:
    if "data" in _attachment(node) and el.text(_attachment(node), "contentType") != "application/pdf":
        yield "content.attachment.data"


@requirement("DRC-08", Kind.ENTRY, "language and creation on manifests", source="MADO-F")
def drc_08(node: Node, pack: Pack) -> Iterator[str]:
    if _is_manifest(node, pack):
        yield from (f"content.attachment.{n}" for n in ("language", "creation") if not el.text(_attachment(node), n))


def _format(node: Node) -> tuple[object, object]:
    form = el.child(node, "content", "format")
    return form.get("system"), form.get("code")


@requirement("DRC-09", Kind.ENTRY, "FHIR manifest: its format code and media type", source="MADO-F")
def drc_09(node: Node, pack: Pack) -> Iterator[str]:
    fhir = _is_manifest(node, pack) and el.text(_attachment(node), "contentType") == "application/fhir+json"
    if fhir and _format(node) != (pack.systems["format"], pack.codes["format_manifest_fhir"]):
        yield "content.format"


@requirement("DRC-10", Kind.ENTRY, "KOS manifest: its format code and media type", source="MADO-F")
def drc_10(node: Node, pack: Pack) -> Iterator[str]:
    kos = el.text(_attachment(node), "contentType") == "application/dicom"
    if kos and _format(node) != (pack.systems["dcmuid"], pack.codes["format_manifest_kos"]):
        yield "content.format"


@requirement("DRC-12", Kind.ENTRY, "study start, facility type and practice setting on manifests", source="MADO-F")
def drc_12(node: Node, pack: Pack) -> Iterator[str]:
    context = el.child(node, "context")
    if _is_manifest(node, pack):
        if not el.text(context, "period", "start"):
            yield "context.period.start"
        yield from (f"context.{name}" for name in ("facilityType", "practiceSetting") if not context.get(name))


@requirement("DRC-13", Kind.ENTRY, "one study UID reference, of type DCM 110180, on manifests", source="MADO-F")
def drc_13(node: Node, pack: Pack) -> Iterator[str]:
    study = (pack.systems["dcm"], pack.codes["study_instance_uid"])
    named = [i for i in _related(node) if study in _codes(i, "type")]
    if _is_manifest(node, pack) and len(named) != 1:
        yield "context.related"
    for identifier in named:
        uid = identifier.get("system") == pack.systems["uid"]
        if not uid or not str(identifier.get("value")).startswith("urn:oid:"):
            yield "context.related.identifier"


@requirement("DRC-14", Kind.ENTRY, "accession reference: both codings, system when known, value", source="MADO-F")
def drc_14(node: Node, pack: Pack) -> Iterator[str]:
    both = {(pack.systems["v2_0203"], "ACSN"), (pack.systems["dcm"], pack.codes["accession_number"])}
    for identifier in _related(node):
        codes = _codes(identifier, "type")
        if codes & both and (not both <= codes or not el.text(identifier, "value") or identifier.get("system") == ""):
            yield "context.related.identifier"


@requirement("DRC-15", Kind.ENTRY, "modality in both families, the older once, in the DCM system", source="EUI, MADO-F")
def drc_15(node: Node, pack: Pack) -> Iterator[str]:
    once = el.extensions(node, pack.extensions["modality_once"])
    many = el.extensions(node, pack.extensions["modality"])
    told = [_codes(extension, "valueCodeableConcept") for extension in (*once, *many)]
    if len(once) != 1 or set().union(*told[:1]) != set().union(*told[1:]):
        yield "extension[modality]"
    if any(system != pack.systems["dcm"] for codes in told for system, _ in codes):
        yield "extension[modality].system"


@requirement("DRC-16", Kind.ENTRY, "body site of manifests from the ten", source="EUM")
def drc_16(node: Node, pack: Pack) -> Iterator[str]:
    sites = el.extensions(node, pack.extensions["body_site"])
    codes = {code for extension in sites for _, code in _codes(extension, "valueCodeableConcept")}
    if _is_manifest(node, pack) and (not codes or codes - set(REGIONS)):
        yield "extension[bodySite]"


@requirement("DRC-17", Kind.ENTRY, "content profile on FHIR reports", source="EUI")
def drc_17(node: Node, pack: Pack) -> Iterator[str]:
    fhir = el.text(_attachment(node), "contentType") == "application/fhir+json"
    profile = el.extensions(el.child(node, "content"), pack.extensions["content_profile_report"])
    if fhir and not _is_manifest(node, pack) and not profile:
        yield "content.extension"


@requirement("DRC-20", Kind.ENTRY, "subject is a patient by reference alone", source="API, R")
def drc_20(node: Node, pack: Pack) -> Iterator[str]:
    subject = el.child(node, "subject")
    if set(subject) != {"reference"} or not str(subject.get("reference")).startswith("Patient/"):
        yield "subject"


def _related(node: Node) -> list[Node]:
    return [el.child(related, "identifier") for related in el.children(el.child(node, "context"), "related")]
