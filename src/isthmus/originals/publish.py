"""A document as a system of the country publishes it by FHIR: a DocumentReference that carries it, alone or in a transaction with its Binary.

Read is what says whose it is, what it is about and what it replaces; never an address to fetch something from. Content decides what the
document is, and must not contradict what is said of it.

Source: ITI-105 (Simplified Publish); ITI-65 (Provide Document Bundle); R4 DocumentReference.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from isthmus.errors import MalformedRequest, UnsupportedRequest
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.fhir.labels import labels_of
from isthmus.model.confidentiality import highest
from isthmus.model.identifiers import Identifier, PatientIdentifier, checked_uid, plain_uid

REASON_SYSTEM: Final = "urn:ncp:intake"
DICOM_UID: Final = "urn:dicom:uid"
FORMS: Final[Mapping[str, str]] = {
    "application/pdf": "pdf",
    "text/xml": "xml",
    "application/xml": "xml",
    "application/hl7-cda+xml": "xml",
    "application/fhir+json": "json",
    "application/json": "json",
}
"""Media types that are taken, and what the content has to be."""

_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")
_OURS: Final = re.compile(r"(?:.*/)?DocumentReference/(\d{1,18})")
_TITLE_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Published:
    """What was brought. `patients` are all identifiers that are said of the person."""

    body: bytes
    form: str
    patients: tuple[PatientIdentifier, ...]
    studies: tuple[str, ...]
    accession_numbers: tuple[Identifier, ...]
    unique_id: Identifier | None
    title: str | None
    created: str | None
    language: str | None
    replaces: Identifier | int | None
    confidentiality: str | None = None
    entries: tuple[str, ...] = ()  # the types of a transaction's entries, in their order


def read_publication(body: bytes) -> Published:
    """Read a DocumentReference or a transaction Bundle. Raises MalformedRequest, UnsupportedRequest."""
    node = el.read_object(body, MalformedRequest)
    if node.get("resourceType") == "DocumentReference":
        return _read(node, {}, ())
    if node.get("resourceType") != "Bundle" or node.get("type") != "transaction":
        raise UnsupportedRequest(
            "a DocumentReference, or a Bundle of type transaction", reason="body-media", path="resourceType"
        )
    entries = el.children(node, "entry")
    resources = {url: el.child(entry, "resource") for entry in entries if (url := el.text(entry, "fullUrl"))}
    documents = [r for e in entries if (r := el.child(e, "resource")).get("resourceType") == "DocumentReference"]
    if len(documents) != 1:
        raise UnsupportedRequest("one document in a transaction", path="Bundle.entry")
    kinds = tuple(str(el.text(entry, "resource", "resourceType")) for entry in entries)
    return _read(documents[0], resources, kinds)


def _read(node: Node, around: Mapping[str, Node], entries: tuple[str, ...]) -> Published:
    if node.get("status") != "current" or node.get("docStatus") == "entered-in-error":
        raise MalformedRequest("only a current document is published", path="DocumentReference.status")
    contents = el.children(node, "content")
    if len(contents) != 1:
        raise MalformedRequest("one content in a DocumentReference", path="DocumentReference.content")
    attachment = el.child(contents[0], "attachment")
    body, said = _content(attachment, around)
    form = FORMS.get(said.partition(";")[0].strip().lower())
    if form is None:
        raise UnsupportedRequest(
            f"documents are {', '.join(FORMS)}", reason="body-media", path="attachment.contentType"
        )
    studies, numbers = _about(el.children(el.child(node, "context"), "related"))
    created = el.text(attachment, "creation") or el.text(node, "date") or ""
    language = el.text(attachment, "language") or ""
    title = el.text(node, "description") or el.text(attachment, "title")
    return Published(
        body=body,
        form=form,
        patients=_patients(node, around),
        studies=studies,
        accession_numbers=numbers,
        unique_id=_identifier(el.child(node, "masterIdentifier")) or _identifier(el.child(node, "identifier")),
        title=title[:_TITLE_MAX] if title else None,
        created=created if _INSTANT.fullmatch(created) else None,
        language=language if _LANGUAGE.fullmatch(language) else None,
        replaces=_replaces(node),
        confidentiality=highest(labels_of(node)),
        entries=entries,
    )


def _content(attachment: Node, around: Mapping[str, Node]) -> tuple[bytes, str]:
    """The document, and its media type as said. What stands beside it in the transaction is found by its address there."""
    said = el.text(attachment, "contentType") or ""
    if "data" in attachment:
        body = el.binary(attachment, "data")
    elif (held := around.get(el.text(attachment, "url") or "")) is not None and held.get("resourceType") == "Binary":
        body, said = el.binary(held, "data"), said or el.text(held, "contentType") or ""
    elif held is not None and held.get("resourceType") == "Bundle":
        body = orjson.dumps(held)
    else:
        raise MalformedRequest(
            "the document comes along, in attachment.data: nothing is fetched", path="attachment.url"
        )
    if body is None:
        raise MalformedRequest("the document is empty, or is not base64", path="attachment.data")
    size, digest = el.number(attachment, "size"), el.binary(attachment, "hash")
    if size not in (None, len(body)):
        raise MalformedRequest("the document is not as long as is said", reason="value", path="attachment.size")
    if digest is not None and not hmac.compare_digest(digest, hashlib.sha1(body, usedforsecurity=False).digest()):
        raise MalformedRequest("the document has another digest than is said", reason="value", path="attachment.hash")
    return body, said


def _patients(node: Node, around: Mapping[str, Node]) -> tuple[PatientIdentifier, ...]:
    """Whose it is: by the subject's identifier, or those of the Patient that comes along. What lies elsewhere is not asked."""
    subject = el.child(node, "subject")
    reference = el.text(subject, "reference") or ""
    contained = {f"#{el.text(one, 'id')}": one for one in el.children(node, "contained")}
    patient = contained.get(reference) or around.get(reference) or {}
    found = [el.child(subject, "identifier"), *el.children(patient, "identifier")]
    pairs = [(el.text(one, "system"), el.text(one, "value")) for one in found]
    return tuple(dict.fromkeys(PatientIdentifier(system, value) for system, value in pairs if system and value))


def _about(related: Iterable[Node]) -> tuple[tuple[str, ...], tuple[Identifier, ...]]:
    """Studies by UID, and accession numbers."""
    studies: list[str] = []
    numbers: list[Identifier] = []
    for one in related:
        identifier = el.child(one, "identifier")
        system, value = el.text(identifier, "system"), el.text(identifier, "value") or ""
        codes = {coding.get("code") for coding in el.codings(identifier, "type")}
        if system == DICOM_UID or (value.startswith("urn:oid:") and not codes & {"ACSN"}):
            studies.append(checked_uid(plain_uid(value), "context.related"))
        elif "ACSN" in codes and value:
            numbers.append(Identifier(system, value))
    return tuple(dict.fromkeys(studies)), tuple(dict.fromkeys(numbers))


def _replaces(node: Node) -> Identifier | int | None:
    """The document that this one takes the place of. Raises UnsupportedRequest for any other relation."""
    relations = el.children(node, "relatesTo")
    if not relations:
        return None
    if len(relations) > 1 or relations[0].get("code") != "replaces":
        raise UnsupportedRequest("of relations, one: replaces", path="DocumentReference.relatesTo")
    target = el.child(relations[0], "target")
    named = _identifier(el.child(target, "identifier"))
    ours = _OURS.fullmatch(el.text(target, "reference") or "")
    if named is None and ours is None:
        raise MalformedRequest("what is replaced is named by identifier, or as we named it", path="relatesTo.target")
    return named if named is not None else int(ours[1]) if ours is not None else None


def _identifier(node: Node) -> Identifier | None:
    value = el.text(node, "value")
    return Identifier(el.text(node, "system"), value) if value else None


def write_result(reason: str | None, words: str, *, kept: bool) -> bytes:
    """What became of a document, as OperationOutcome: `reason` a word of the fixed list."""
    severity = "information" if reason is None else "warning" if kept else "error"
    code = "informational" if reason is None else "business-rule"
    details: Node = {"text": words} | ({"coding": [{"system": REASON_SYSTEM, "code": reason}]} if reason else {})
    return el.write_object(
        {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code, "details": details}]}
    )


def write_transaction(entries: Iterable[str], status: str, location: str) -> bytes:
    """The answer to a transaction, an entry each in their order."""
    said: dict[str, Any] = {"status": status, "location": location}
    answers = [{"response": said if kind == "DocumentReference" else {"status": "200"}} for kind in entries]
    return el.write_object({"resourceType": "Bundle", "type": "transaction-response", "entry": answers})


def write_capability(base: str, version: str, date: str) -> bytes:
    """What can be published here."""
    create: Node = {"type": "DocumentReference", "interaction": [{"code": "create"}]}
    rest: Node = {"mode": "server", "resource": [create], "interaction": [{"code": "transaction"}]}
    return el.write_object(
        {
            "resourceType": "CapabilityStatement",
            "name": "IsthmusIntake",
            "status": "active",
            "date": date,
            "kind": "instance",
            "software": {"name": "Isthmus", "version": version},
            "implementation": {"description": "Intake of imaging reports", "url": base},
            "fhirVersion": "4.0.1",
            "format": [el.MEDIA_TYPE],
            "rest": [rest],
        }
    )
