"""What BALP, MHD and PDQm ask of an AuditEvent, told by us from their sources as differentials, for the tests of ours.

Source: BALP 1.1.5 (PatientQuery.fsh, PatientRead.fsh, Disclose.fsh, IUAaccessToken.fsh); MHD 4.2.4 (audit-67.fsh, audit-68.fsh); PDQm 3.2.0.
"""

from __future__ import annotations

from typing import Any

from isthmus.audit.atna.patterns import BALP, INTERACTION, ITI, LIFECYCLE, MHD, PDQM
from isthmus.model.codes import DCM

Node = dict[str, Any]
CORE = "http://hl7.org/fhir/StructureDefinition/AuditEvent"
ENTITY = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
REST = ("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest")
CLIENT, SERVER, USER = "client", "server", "user"
SOURCE, DESTINATION = (DCM, "110153"), (DCM, "110152")
OBSERVER = {
    "key": "val-audit-source",
    "severity": "error",
    "human": "It is the source too.",
    "expression": "$this.who = %resource.source.observer",
}


def _element(id: str, **more: Any) -> Node:
    steps = id.split(".")
    named = {"sliceName": name} if (name := steps[-1].partition(":")[2]) else {}
    return {"id": id, "path": ".".join(step.partition(":")[0] for step in steps), **named, **more}


def _sliced(path: str, by: str) -> Node:
    return _element(f"AuditEvent.{path}", slicing={"discriminator": [{"type": "value", "path": by}], "rules": "open"})


def _agent(name: str, code: tuple[str, str], least: int, *, network: bool, observed: bool = False) -> list[Node]:
    place = f"AuditEvent.agent:{name}"
    found = [
        _element(place, min=least, max="1", **({"constraint": [OBSERVER]} if observed else {})),
        _element(f"{place}.type", min=1, patternCodeableConcept={"coding": [{"system": code[0], "code": code[1]}]}),
        _element(f"{place}.who", min=1),
    ]
    found.append(_element(f"{place}.network", **({"min": 1} if network else {"max": "0"})))
    return [*found, _element(f"{place}.media", max="0")]


def _entity(name: str, code: tuple[str, str], role: str | None, most: str, *, least: int = 1) -> list[Node]:
    place = f"AuditEvent.entity:{name}"
    found = [
        _element(place, min=least, max=most),
        _element(f"{place}.type", min=1, patternCoding={"system": code[0], "code": code[1]}),
    ]
    return found + ([_element(f"{place}.role", min=1, patternCoding={"system": ROLE, "code": role})] if role else [])


def _definition(url: str, *elements: Node) -> Node:
    return {
        "resourceType": "StructureDefinition", "url": url, "fhirVersion": "4.0.1", "type": "AuditEvent", "kind": "resource",
        "derivation": "constraint", "baseDefinition": CORE,
        "differential": {"element": [_element("AuditEvent"), *elements]},
    }  # fmt: skip


def _common(kind: tuple[str, str], action: str, *subtypes: tuple[str, str], success: bool = True) -> list[Node]:
    slices = [
        _element(f"AuditEvent.subtype:{at}", min=1, max="1", patternCoding={"system": s, "code": c})
        for at, (s, c) in enumerate(subtypes)
    ]
    return [
        _element("AuditEvent.type", patternCoding={"system": kind[0], "code": kind[1]}),
        _element("AuditEvent.subtype", min=len(subtypes), slicing={"discriminator": [{"type": "value", "path": "$this"}], "rules": "open"}),
        *slices, _element("AuditEvent.action", min=1, patternCode=action),
        _element("AuditEvent.outcome", min=1, **({"patternCode": "0"} if success else {})),
    ]  # fmt: skip


def _patient(least: int = 1) -> list[Node]:
    place = "AuditEvent.entity:patient"
    return [*_entity("patient", (ENTITY, "1"), "1", "1", least=least), _element(f"{place}.what", min=1)]


def _query(url: str, iti: str | None, *, patient: bool, observer: str = "") -> Node:
    subtypes = [(INTERACTION, "search"), *([(ITI, iti)] if iti else [])]
    query = "AuditEvent.entity:query"
    return _definition(
        url, *_common(REST, "E", *subtypes), _sliced("agent", "type"),
        *_agent(CLIENT, SOURCE, 1, network=True, observed=observer == CLIENT),
        *_agent(SERVER, DESTINATION, 1, network=True, observed=observer == SERVER),
        *_agent(USER, ("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP"), 0, network=False),
        _sliced("entity", "type"), *_patient(1 if patient else 0),
        *_entity("query", (ENTITY, "2"), "24", "1"), _element(f"{query}.what", max="0"), _element(f"{query}.query", min=1),
        _element(f"{query}.detail", max="0"),
    )  # fmt: skip


def _read(url: str, iti: str | None, observer: str = "") -> Node:
    subtypes = [(INTERACTION, "read"), *([(ITI, iti)] if iti else [])]
    return _definition(
        url, *_common(REST, "R", *subtypes), _sliced("agent", "type"),
        *_agent(CLIENT, DESTINATION, 1, network=True, observed=observer == CLIENT),
        *_agent(SERVER, SOURCE, 1, network=True, observed=observer == SERVER),
        *_agent(USER, ("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP"), 0, network=False),
        _sliced("entity", "type"), *_patient(),
        *_entity("data", (ENTITY, "2"), "3" if iti else None, "1"), _element("AuditEvent.entity:data.what", min=1),
    )  # fmt: skip


def _disclosure(url: str, kind: str, action: str, *, source: bool) -> Node:
    return _definition(
        url, _element("AuditEvent.modifierExtension", max="0"),
        *_common((DCM, kind), action, (LIFECYCLE, "disclose"), success=False), _sliced("agent", "type"),
        *_agent("source", SOURCE, 1, network=True, observed=source), *_agent("recipient", DESTINATION, 1, network=True, observed=not source),
        _element("AuditEvent.entity", min=2, slicing={"discriminator": [{"type": "value", "path": "type"}], "rules": "open"}), *_patient(),
    )  # fmt: skip


DEFINITIONS: tuple[Node, ...] = (
    _query(f"{BALP}PatientQuery", None, patient=True),
    _read(f"{BALP}PatientRead", None),
    _query(f"{MHD}FindDocumentReferences.Audit.Consumer", "ITI-67", patient=True, observer=CLIENT),
    _query(f"{MHD}FindDocumentReferences.Audit.Responder", "ITI-67", patient=True, observer=SERVER),
    _read(f"{MHD}RetrieveDocument.Audit.Consumer", "ITI-68", CLIENT),
    _read(f"{MHD}RetrieveDocument.Audit.Responder", "ITI-68", SERVER),
    _query(f"{PDQM}Query.Audit.Consumer", "ITI-78", patient=False, observer=CLIENT),
    _query(f"{PDQM}Query.Audit.Supplier", "ITI-78", patient=False, observer=SERVER),
    _query(f"{PDQM}Match.Audit.Consumer", "ITI-119", patient=False, observer=CLIENT),
    _query(f"{PDQM}Match.Audit.Supplier", "ITI-119", patient=False, observer=SERVER),
    _disclosure(f"{BALP}PrivacyDisclosure.Source", "110106", "R", source=True),
    _disclosure(f"{BALP}PrivacyDisclosure.Recipient", "110107", "C", source=False),
)
