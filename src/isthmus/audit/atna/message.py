"""An AuditEvent as DICOM audit message in XML, and as one syslog message around it. Pure.

The two say the same: what one has and the other knows no place for stands in a detail of the object.

Source: PS3.15 §A.5.1, §A.5.2; RFC 5424 §6; RFC 5425 §4.3; ITI-20.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node

PRIORITY: Final = 85  # security and authorization messages (10), notice (5)
MESSAGE_ID: Final = "IHE+RFC-3881"
APPLICATION: Final = "isthmus"
_HOST_MAX: Final = 255
_SYSTEMS: Final = {
    "http://dicom.nema.org/resources/ontology/DCM": "DCM",
    "urn:ihe:event-type-code": "IHE Transactions",
    "http://snomed.info/sct": "SCT",
}


def write_message(event: Node) -> bytes:
    """The audit message of an event, UTF-8."""
    root = Element("AuditMessage")
    about = SubElement(root, "EventIdentification", _present({
        "EventActionCode": el.text(event, "action"),
        "EventDateTime": el.text(event, "recorded"),
        "EventOutcomeIndicator": el.text(event, "outcome"),
    }))  # fmt: skip
    _coded(about, "EventID", el.child(event, "type"))
    for code in el.children(event, "subtype"):
        _coded(about, "EventTypeCode", code)
    if words := el.text(event, "outcomeDesc"):
        SubElement(about, "EventOutcomeDescription").text = words
    for code in (c for purpose in el.children(event, "purposeOfEvent") for c in el.codings({"p": purpose}, "p")):
        _coded(about, "PurposeOfUse", code)
    for agent in el.children(event, "agent"):
        _participant(root, agent)
    observer = el.text(event, "source", "observer", "identifier", "value") or ""
    source = SubElement(root, "AuditSourceIdentification", _present({
        "AuditEnterpriseSiteID": el.text(event, "source", "site"), "AuditSourceID": observer,
    }))  # fmt: skip
    SubElement(source, "AuditSourceTypeCode", {"csd-code": "4"})
    for entity in el.children(event, "entity"):
        _object(root, entity)
    written: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def write_syslog(event: Node, host: str, process: int) -> bytes:
    """One syslog message: header, no structured data, and the audit message with its mark of UTF-8."""
    when = el.text(event, "recorded") or "-"
    name = "".join(sign for sign in host if "!" <= sign <= "~")[:_HOST_MAX] or "-"
    header = f"<{PRIORITY}>1 {when} {name} {APPLICATION} {process} {MESSAGE_ID} - "
    return header.encode("ascii") + b"\xef\xbb\xbf" + write_message(event)


def framed(message: bytes) -> bytes:
    """Its length in octets before it. Source: RFC 5425 §4.3."""
    return b"%d %s" % (len(message), message)


def _present(attributes: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in attributes.items() if value is not None}


def _coded(parent: Element, name: str, code: Node) -> None:
    system, said = el.text(code, "system") or "", el.text(code, "code") or ""
    display = el.text(code, "display") or said
    SubElement(
        parent, name, {"csd-code": said, "codeSystemName": _SYSTEMS.get(system, system), "originalText": display}
    )


def _participant(root: Element, agent: Node) -> None:
    alternative = ";".join(el.texts(agent, "policy")) or None
    at = SubElement(root, "ActiveParticipant", _present({
        "UserID": el.text(agent, "who", "identifier", "value") or el.text(agent, "who", "display") or "-",
        "AlternativeUserID": alternative,
        "UserName": el.text(agent, "name") or el.text(agent, "who", "display"),
        "UserIsRequestor": "true" if agent.get("requestor") is True else "false",
        "NetworkAccessPointID": el.text(agent, "network", "address"),
        "NetworkAccessPointTypeCode": el.text(agent, "network", "type"),
    }))  # fmt: skip
    roles = [*el.codings(agent, "type"), *(c for r in el.children(agent, "role") for c in el.codings({"r": r}, "r"))]
    for code in roles:
        _coded(at, "RoleIDCode", code)


def _object(root: Element, entity: Node) -> None:
    what, kind = el.child(entity, "what"), el.text(entity, "type", "code") or ""
    number = kind if kind.isdigit() else "2"  # a kind of ours is a thing of the system
    name = el.text(what, "identifier", "value") or el.text(what, "display")
    at = SubElement(root, "ParticipantObjectIdentification", _present({
        "ParticipantObjectID": _identifier(entity), "ParticipantObjectTypeCode": number,
        "ParticipantObjectTypeCodeRole": el.text(entity, "role", "code"),
    }))  # fmt: skip
    words = {"1": ("2", "RFC-3881", "Patient Number")}.get(kind, ("12", "RFC-3881", "URI"))
    if kind == "XrequestId":
        words = ("XrequestId", "IHE BasicAudit", "X-Request-Id")
    SubElement(at, "ParticipantObjectIDTypeCode", dict(zip(("csd-code", "codeSystemName", "originalText"), words, strict=True)))  # fmt: skip
    if query := el.text(entity, "query"):
        SubElement(at, "ParticipantObjectQuery").text = query
    elif name and kind != "1":
        SubElement(at, "ParticipantObjectName").text = el.text(what, "display") or name
    for told, value in _details(entity):
        SubElement(at, "ParticipantObjectDetail", {"type": told, "value": b64encode(value.encode()).decode()})


def _identifier(entity: Node) -> str:
    """A patient as HL7 writes it (CX), anything else by its value."""
    system, value = (el.text(entity, "what", "identifier", name) or "" for name in ("system", "value"))
    if el.text(entity, "type", "code") == "1":
        return f"{value}^^^&{system.removeprefix('urn:oid:')}&ISO"
    return value or el.text(entity, "what", "display") or "-"


def _details(entity: Node) -> Iterator[tuple[str, str]]:
    for detail in el.children(entity, "detail"):
        yield el.text(detail, "type") or "", el.text(detail, "valueString") or ""
