"""Writes a record of the trail as AuditEvent (R4). Pure: records in, resource out; the same record is the same event each time.

An event says who recorded it, both ends of the line, the professional with role, purpose and number of the token (never the token),
the organisation, one patient, the number of the exchange, and what was asked or read.

Source: wire.md §3.2; BALP; AUD-01 to AUD-08; R4 AuditEvent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from isthmus.audit.atna.patterns import APPLICATION, Pattern, pattern_of
from isthmus.errors import MEANINGS
from isthmus.fhir import elements as el
from isthmus.fhir.bundles import match, searchset
from isthmus.fhir.elements import Node, coding, concept, without_nothing
from isthmus.model.codes import ACT_REASON, ISCO_08, SNOMED
from isthmus.model.identifiers import is_uid

ENTITY_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
ENTITY_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
BASIC_ENTITY: Final = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
ROLE_CLASS: Final = "http://terminology.hl7.org/CodeSystem/v3-RoleClass"
SOURCE_TYPE: Final = "http://terminology.hl7.org/CodeSystem/security-source-type"
COUNTRY_LETTERS: Final = 2
JTI: Final = "urn:ietf:params:oauth:jti:"
URI: Final = "urn:ietf:rfc:3986"
UNMET: Final = "8"
_MINOR: Final = "4"
_OUTCOMES: Final = {"complete": "0", "incomplete": _MINOR, "refused": _MINOR, "failed": UNMET}


@dataclass(frozen=True, slots=True)
class Site:
    """The node that recorded it, and what it knows of the others: their identifiers by country."""

    country: str
    ncp_id: str
    address: str
    peers: Mapping[str, str] = field(default_factory=dict)

    def peer(self, country: str) -> Node:
        """Who is at the other end, always in the same words."""
        known = self.ncp_id if country == self.country else self.peers.get(country, country)
        return _party(known, f"NCPeH of {country}")

    @property
    def observer(self) -> Node:
        return _party(self.ncp_id, f"NCPeH of {self.country}")


def write_event(record: Mapping[str, Any], ending: Mapping[str, Any] | None, number: int, site: Site) -> Node:
    """The event of an exchange (its intent and, once there, its outcome) or of a note. `number` is that of the record in the trail."""
    if ending is not None and ending.get("patient") and not record["patient"]:
        record = {**record, "patient": ending["patient"]}  # whom a search found
    outcome = _outcome(record, ending)
    pattern = pattern_of(record, failed=outcome not in (None, "0"))
    agents, entities = _agents(record, pattern, site), _entities(record, ending, pattern, number, site)
    claimed = _claims(record, pattern, outcome, entities)
    purpose = concept(coding(ACT_REASON, record["purpose"])) if _is_reason(record.get("purpose", "")) else None
    return without_nothing({
        "resourceType": "AuditEvent",
        "id": str(uuid5(NAMESPACE_URL, f"{site.ncp_id}#{number}")),
        "meta": {"profile": claimed} if claimed else None,
        "type": pattern.type,
        "subtype": list(pattern.subtypes),
        "action": pattern.action,
        "period": {"start": record["at"], "end": ending["at"]} if ending else None,
        "recorded": ending["at"] if ending else record["at"],
        "outcome": outcome,
        "outcomeDesc": _words(ending, record),
        "purposeOfEvent": [purpose] if purpose else None,
        "agent": agents,
        "source": {"site": site.country, "observer": site.observer, "type": [coding(SOURCE_TYPE, "4", "Application Server")]},
        "entity": entities,
    })  # fmt: skip


def write_searchset(events: list[Node], self_link: str) -> Node:
    """Events as the answer to a search for them. Source: BALP."""
    return searchset([match(f"urn:uuid:{event['id']}", event) for event in events], total=len(events), self_link=self_link)  # fmt: skip


def _outcome(record: Mapping[str, Any], ending: Mapping[str, Any] | None) -> str | None:
    if "event" in record:
        return _MINOR if record["details"].get("what") in ("failed", "refused") else "0"
    if ending is None:
        return None
    meaning = MEANINGS.get(ending.get("reason") or "") if ending["outcome"] in ("refused", "failed") else None
    return str(meaning.outcome) if meaning is not None else _OUTCOMES[ending["outcome"]]


def _words(ending: Mapping[str, Any] | None, record: Mapping[str, Any]) -> str | None:
    if ending is None:
        return None if "event" in record else "going on"
    return ending["reason"] if ending["outcome"] != "complete" else None


def _claims(record: Mapping[str, Any], pattern: Pattern, outcome: str | None, entities: list[Node]) -> list[str]:
    """The profiles that hold: every member they ask for is there."""
    claimed = (pattern.profiles or {}).get(record.get("side", ""))
    if claimed is None or outcome != "0" or not record.get("address"):
        return []
    about = any(el.text(one, "type", "code") == "1" for one in entities)
    named = not pattern.holds or any(el.text(one, "role", "code") == "3" for one in entities)
    asked = not pattern.asks or bool(record.get("query"))
    needs_patient = "PDQm." not in claimed
    return [claimed] if named and asked and (about or not needs_patient) else []


def _agents(record: Mapping[str, Any], pattern: Pattern, site: Site) -> list[Node]:
    here, there = _end(site.observer, site.address), _end(site.peer(record.get("peer", "")), record.get("address", ""))
    answering = record["side"] == "A"
    ends = [(pattern.client, there if answering else here), (pattern.server, here if answering else there)]
    if pattern.server is None:  # at home
        ends = [(pattern.client, here)]
    user = _user(record, site)
    agents = [{"type": concept(role), **end, "requestor": user is None and at == 0} for at, (role, end) in enumerate(ends) if role]  # fmt: skip
    if user is not None:
        agents.append(user)
    if organisation := record.get("organisation"):
        agents.append({"type": concept(coding(ROLE_CLASS, "PROV", "healthcare provider")), "who": {"display": organisation}, "requestor": False})  # fmt: skip
    if record.get("token_jti") and APPLICATION not in (pattern.client, pattern.server):
        agents.append({"type": concept(APPLICATION), **ends[0][1], "requestor": False})
    if pattern.discloses and record["patient"]:
        custodian = site.observer if answering else site.peer(record["peer"])
        agents.append({"type": concept(coding(SNOMED, "159541003", "Record keeping/library clerk")), "who": custodian, "requestor": False})  # fmt: skip
        agents.append({"type": concept(coding(SNOMED, "429577009", "Patient Advocate")), "who": _patient(record), "requestor": False})  # fmt: skip
    return agents


def _end(who: Node, address: str) -> Node:
    """One end of the line; its address is an IP address or a name."""
    if not address:
        return {"who": who}
    try:
        ip_address(address)
    except ValueError:
        return {"who": who, "network": {"address": address, "type": "1"}}
    return {"who": who, "network": {"address": address, "type": "2"}}


def _user(record: Mapping[str, Any], site: Site) -> Node | None:
    """The person who asked."""
    person = record.get("person") or record.get("details", {}).get("person")
    if not person:
        return None
    abroad = len(record.get("peer", "")) == COUNTRY_LETTERS  # at home a person is written as it was typed
    identifier, _, name = person.partition(" ") if abroad else (person, "", "")
    asking = record.get("peer", site.country) if record["side"] == "A" else site.country
    issuer = site.peer(asking)["identifier"]["value"]
    role, jti, purpose = record.get("role"), record.get("token_jti"), record.get("purpose", "")
    return without_nothing({
        "type": concept(coding(PARTICIPATION, "IRCP", "information recipient")),
        "role": [concept(coding(ISCO_08, role))] if role else None,
        "who": {"identifier": {"system": _system(issuer), "value": identifier}, "display": name or identifier},
        "name": name or identifier,
        "requestor": True,
        "policy": [f"{JTI}{jti}"] if jti else None,
        "purposeOfUse": [concept(coding(ACT_REASON, purpose))] if _is_reason(purpose) else None,
    })  # fmt: skip


def _entities(
    record: Mapping[str, Any], ending: Mapping[str, Any] | None, pattern: Pattern, number: int, site: Site
) -> list[Node]:
    found = []
    if record.get("patient"):
        found.append({"what": _patient(record), "type": _entity("1", "Person"), "role": _role("1", "Patient")})
    if record.get("exchange_id"):
        name = {"identifier": {"value": record["exchange_id"]}}
        found.append({"what": name, "type": coding(BASIC_ENTITY, "XrequestId")})
    if query := record.get("query"):
        found.append({"type": _entity("2", "System Object"), "role": _role("24", "Query"), "query": query})
    if pattern.holds and (held := _held(record)):
        detail = [{"type": name, "valueString": str(ending[name])} for name in ("instances", "bytes") if ending and ending.get(name)]  # fmt: skip
        found.append(without_nothing({"what": held, "type": _entity("2", "System Object"), "role": _role("3", "Report"), "detail": detail}))  # fmt: skip
    place = {"identifier": {"system": _system(site.ncp_id), "value": str(number)}}
    details = [{"type": name, "valueString": value} for name, value in record.get("details", {}).items() if value]
    found.append(without_nothing({"what": place, "type": _entity("4", "Other"), "detail": details}))
    return found


def _held(record: Mapping[str, Any]) -> Node | None:
    """What was read: a study by its UID, else the path, else the kind of thing."""
    details = record["details"]
    about = details.get("study") or details.get("of", "").removeprefix("/studies/")
    study, _, rest = about.strip("/").partition("/")
    if is_uid(study):
        words = f"series {rest.split('/')[1]}" if rest.startswith("series/") else None
        return without_nothing({"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{study}"}, "display": words})  # fmt: skip
    text = about or details.get("what") or details.get("kind") or details.get("reason")
    return {"display": text} if text else None


def _patient(record: Mapping[str, Any]) -> Node:
    patient = record["patient"]
    return {"type": "Patient", "identifier": {"system": patient["system"], "value": patient["value"]}}


def _party(identifier: str, words: str) -> Node:
    return {"identifier": {"system": URI, "value": identifier}, "display": words}


def _system(ncp_id: str) -> str:
    return ncp_id if ":" in ncp_id else f"urn:iso:std:iso:3166:{ncp_id}"


def _entity(code: str, words: str) -> Node:
    return coding(ENTITY_TYPE, code, words)


def _role(code: str, words: str) -> Node:
    return coding(ENTITY_ROLE, code, words)


def _is_reason(purpose: str) -> bool:
    """Whether it is a purpose of use; a command of ours writes its own word there."""
    return purpose.isupper()
