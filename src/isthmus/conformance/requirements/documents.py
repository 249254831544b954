"""What an entry says (DRC), and the documents that are read from it (RET)."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterator

from isthmus.conformance.evidence import Arrival, Conversation, Exchange
from isthmus.conformance.requirement import Kind, Severity, requirement
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


@requirement(
    "DRC-06", Kind.ENTRY, "one content with contentType, and its url below the base of Country A", source="MHD, ONCP",
    also=(Kind.SEARCH,),
)  # fmt: skip
def drc_06(node: Node, pack: Pack) -> Iterator[str]:
    for entry in el.children(node, "entry"):
        base, _, _ = (el.text(entry, "fullUrl") or "").partition("/DocumentReference/")
        url = el.text(_attachment(el.child(entry, "resource")), "url")
        if url is not None and not url.startswith(f"{base}/"):
            yield "content.attachment.url"
    if "entry" in node or node.get("resourceType") == "Bundle":
        return
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
        for name in ("facilityType", "practiceSetting"):
            if not any(system and code for system, code in _codes(context, name)):
                yield f"context.{name}"


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
    told = {one for extension in sites for one in _codes(extension, "valueCodeableConcept")}
    nested = [el.child(one, "extension") for one in el.extensions(node, pack.extensions["body_site_once"])]
    if _is_manifest(node, pack):
        if not told or told - {(pack.systems["snomed"], code) for code in REGIONS}:
            yield "extension[bodySite]"
        if any(one.get("url") != "concept" or _codes(one, "valueCodeableConcept") != told for one in nested):
            yield "extension[bodySite].extension[concept]"


@requirement("DRC-17", Kind.ENTRY, "content profile on FHIR reports", source="EUI")
def drc_17(node: Node, pack: Pack) -> Iterator[str]:
    fhir = el.text(_attachment(node), "contentType") == "application/fhir+json"
    profile = el.extensions(el.child(node, "content"), pack.extensions["content_profile_report"])
    if fhir and not _is_manifest(node, pack) and not any(el.text(one, "valueCanonical") for one in profile):
        yield "content.extension"


@requirement("DRC-20", Kind.ENTRY, "subject is a patient by reference alone", source="API, R")
def drc_20(node: Node, pack: Pack) -> Iterator[str]:
    subject = el.child(node, "subject")
    if set(subject) != {"reference"} or not str(subject.get("reference")).startswith("Patient/"):
        yield "subject"


def _related(node: Node) -> list[Node]:
    return [el.child(related, "identifier") for related in el.children(el.child(node, "context"), "related")]


def _entries(node: Node) -> list[Node]:
    resources = (el.child(entry, "resource") for entry in el.children(node, "entry"))
    return [resource for resource in resources if resource.get("resourceType") == "DocumentReference"]


def _targets(resource: Node, code: str) -> list[str]:
    related = [relation for relation in el.children(resource, "relatesTo") if relation.get("code") == code]
    return [el.text(relation, "target", "reference") or "" for relation in related]


@requirement("DRC-11", Kind.SEARCH, "twins point to each other and carry the same masterIdentifier", source="MADO")
def drc_11(node: Node, pack: Pack) -> Iterator[str]:
    named = {f"DocumentReference/{resource.get('id')}": resource for resource in _entries(node)}
    for name, resource in named.items():
        for target in _targets(resource, "transforms"):
            twin = named.get(target)
            if twin is None:
                continue  # on another page, or of a kind that was not asked for
            same = el.text(twin, "masterIdentifier", "value") == el.text(resource, "masterIdentifier", "value")
            if not same or name not in _targets(twin, "transforms"):
                yield "relatesTo[transforms]"


@requirement(
    "DRC-18", Kind.SEARCH, "what another entry replaces is superseded, what it appends to is not", source="MHD, EUI"
)
def drc_18(node: Node, pack: Pack) -> Iterator[str]:
    entries = _entries(node)
    appended = {target for resource in entries for target in _targets(resource, "appends")}
    replaced = {target for resource in entries for target in _targets(resource, "replaces")}
    for resource in entries:
        name, superseded = f"DocumentReference/{resource.get('id')}", resource.get("status") == "superseded"
        if (name in replaced and not superseded) or (name in appended - replaced and superseded):
            yield "status"


@requirement("DRC-19", Kind.CONVERSATION, "an address is that of one document, which never changes", source="R")
def drc_19(conversation: Conversation, pack: Pack) -> Iterator[str]:
    at: dict[str, tuple[object, ...]] = {}
    for entry in (entry for one in conversation for entry in one.entries("DocumentReference")):
        attachment = _attachment(entry)
        said = entry.get("id"), attachment.get("creation"), attachment.get("size"), attachment.get("hash")
        if at.setdefault(el.text(attachment, "url") or "", said) != said:
            yield "content.attachment.url"


_DOCUMENTS = ("/fhir/Bundle/", "/fhir/Binary/")
_FHIR_JSON = "application/fhir+json"


def _only(exchange: Exchange) -> str:
    """The one media type that is accepted; nothing where there is a choice."""
    accepted = exchange.sent.get("accept", "").lower()
    single = not set(accepted) & {",", "*"} and "q=" not in accepted and not exchange.values("_format")
    media = accepted.partition(";")[0].strip() if single else ""
    return _FHIR_JSON if media in ("application/json", "application/json+fhir") else media


def _reads(exchange: Exchange, *paths: str) -> bool:
    return exchange.method == "GET" and exchange.path.startswith(paths or _DOCUMENTS)


@requirement("RET-01", Kind.EXCHANGE, "a FHIR document comes as a Bundle, not wrapped", source="API", cheap=True)
def ret_01(exchange: Exchange, pack: Pack) -> Iterator[str]:
    held = _reads(exchange, "/fhir/Bundle/") and exchange.status == 200 and exchange.answer
    if held and exchange.node.get("resourceType") != "Bundle":
        yield "resourceType"


@requirement(
    "RET-02", Kind.EXCHANGE, "other documents come as their bytes, as what they are", source="MHD, R4", cheap=True
)
def ret_02(exchange: Exchange, pack: Pack) -> Iterator[str]:
    accepted = _only(exchange)
    if _reads(exchange, "/fhir/Binary/") and exchange.status == 200 and accepted not in ("", _FHIR_JSON):
        if exchange.headers.get("content-type", "").partition(";")[0] != accepted:
            yield "Content-Type"
        if exchange.node.get("resourceType") == "Binary":
            yield "resourceType"


@requirement("RET-03", Kind.EXCHANGE, "where FHIR is asked for, a Binary with its media type and base64", source="R4")
def ret_03(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if not _reads(exchange, "/fhir/Binary/") or exchange.status != 200 or _only(exchange) != _FHIR_JSON:
        return
    if exchange.node.get("resourceType") != "Binary" or not el.text(exchange.node, "contentType"):
        yield "Binary.contentType"
    if _unwrapped(exchange) is None:
        yield "Binary.data"


def _unwrapped(exchange: Exchange) -> bytes | None:
    """The document in an answer, wrapped or not; None where base64 is broken."""
    if exchange.node.get("resourceType") != "Binary":
        return exchange.answer
    try:
        return b64decode(el.text(exchange.node, "data") or "!", validate=True)
    except ValueError:
        return None


@requirement("RET-04", Kind.ARRIVAL, "Country B takes a document wrapped or not", source="R")
def ret_04(arrival: Arrival, pack: Pack) -> Iterator[str]:
    for one in arrival.sent:
        if _reads(one, "/fhir/Binary/") and one.status == 200 and arrival.value != _unwrapped(one):
            yield "Binary"


@requirement("RET-05", Kind.ARRIVAL, "a PDF that came in its entry is taken from there", source="NCP")
def ret_05(arrival: Arrival, pack: Pack) -> Iterator[str]:
    document = arrival.document if isinstance(arrival.document, dict) else {}
    inside = el.binary(_attachment(document), "data")
    if inside is not None and (arrival.value != inside or any(_reads(one) for one in arrival.sent)):
        yield "content.attachment.data"


@requirement(
    "RET-06", Kind.EXCHANGE, "not there: 404 not-found, never 410; no such form: 406", source="MHD, 03", cheap=True
)
def ret_06(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if not _reads(exchange):
        return
    if exchange.status == 410:
        yield "status"
    if exchange.status == 404 and all(issue.get("code") != "not-found" for issue in exchange.issues):
        yield "OperationOutcome.issue.code"
    given = exchange.headers.get("content-type", "").partition(";")[0]
    if exchange.status == 200 and _only(exchange) not in ("", given):
        yield "status"


@requirement("RET-07", Kind.CONVERSATION, "another's, a restricted and an unknown document answer alike", source="03")
def ret_07(conversation: Conversation, pack: Pack) -> Iterator[str]:
    refused = {one.answer for one in conversation if _reads(one) and one.status in (403, 404, 410)}
    if len(refused) > 1:
        yield "answer"


@requirement("RET-08", Kind.CONVERSATION, "size and digest of what comes are those declared", source="03, R")
def ret_08(conversation: Conversation, pack: Pack) -> Iterator[str]:
    entries = [_attachment(entry) for one in conversation for entry in one.entries("DocumentReference")]
    for one in (one for one in conversation if _reads(one) and one.status == 200):
        data = _unwrapped(one) or b""
        for attachment in (a for a in entries if (el.text(a, "url") or "").endswith(one.path.removeprefix("/fhir"))):
            declared = attachment.get("hash")
            if attachment.get("size", len(data)) != len(data):
                yield "content.attachment.size"
            if (
                declared is not None
                and declared != b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()
            ):
                yield "content.attachment.hash"
        digest = one.headers.get("content-digest")
        if digest is not None and digest != f"sha-256=:{b64encode(hashlib.sha256(one.answer).digest()).decode()}:":
            yield "Content-Digest"


@requirement("RET-09", Kind.CONVERSATION, "the same document twice is the same bytes", source="R")
def ret_09(conversation: Conversation, pack: Pack) -> Iterator[str]:
    given: dict[tuple[str, str], bytes] = {}
    for one in (one for one in conversation if _reads(one) and one.status == 200):
        if given.setdefault((one.path, one.headers.get("content-type", "")), one.answer) != one.answer:
            yield "answer"


@requirement("RET-10", Kind.ARRIVAL, "a document about another person is not taken", source="R")
def ret_10(arrival: Arrival, pack: Pack) -> Iterator[str]:
    document = arrival.document if isinstance(arrival.document, dict) else {}
    resources = (el.child(entry, "resource") for entry in el.children(document, "entry"))
    people = [resource for resource in resources if resource.get("resourceType") == "Patient"]
    told = {(el.text(i, "system"), el.text(i, "value")) for person in people for i in el.children(person, "identifier")}
    if people and arrival.patient is not None and arrival.patient not in told and not arrival.refused:
        yield "Patient.identifier"


@requirement(
    "RET-11", Kind.ARRIVAL, "a form is asked for by its media type; that it cannot be had is told", source="MADO"
)
def ret_11(arrival: Arrival, pack: Pack) -> Iterator[str]:
    document = arrival.document if isinstance(arrival.document, dict) else {}
    media = el.text(_attachment(document), "contentType")
    for one in (one for one in arrival.sent if media is not None and _reads(one)):
        if str(media) not in one.sent.get("accept", ""):
            yield "Accept"
        if one.status == 406 and not arrival.told and not arrival.refused:
            yield "told"


@requirement(
    "RET-12", Kind.ARRIVAL, "the manifests of one study are one line", source="MADO-F", severity=Severity.WARNING
)
def ret_12(arrival: Arrival, pack: Pack) -> Iterator[str]:
    """`value` is the study of each line that is shown."""
    document = arrival.document if isinstance(arrival.document, dict) else {}
    lines = arrival.value if isinstance(arrival.value, tuple) else ()
    if document.get("type") == "searchset" and len(lines) != len(set(lines)):
        yield "lines"
