"""Which event each transaction of the trail is: one table. What an event holds is written by `event.py`.

A profile is claimed for a success alone, and only when all it asks for is there: BALP fixes the outcome. Deviates: no event claims
IHE.IUA.71 or AuthZconsent, which close their entities and would leave out the patient and the number of the exchange.

Source: wire.md §3.2; trust.md §4.1; BALP; MHD; PDQm; PS3.15 §A.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from isthmus.fhir.elements import Node, coding
from isthmus.model.codes import DCM

EVENT_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-event-type"
INTERACTION: Final = "http://hl7.org/fhir/restful-interaction"
ITI: Final = "urn:ihe:event-type-code"
BALP: Final = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
MHD: Final = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/IHE.MHD."
PDQM: Final = "https://profiles.ihe.net/ITI/PDQm/StructureDefinition/IHE.PDQm."
LIFECYCLE: Final = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
USER_AGENTS: Final = "https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes"

SOURCE: Final = coding(DCM, "110153", "Source Role ID")
DESTINATION: Final = coding(DCM, "110152", "Destination Role ID")
APPLICATION: Final = coding(DCM, "110150", "Application")
TOKEN_SERVICE: Final = coding(USER_AGENTS, "AuthzOauthService", "Authorization Server")

_REST: Final = coding(EVENT_TYPE, "rest", "RESTful Operation")


@dataclass(frozen=True, slots=True)
class Pattern:
    """How one kind of record is told. `client` and `server` are the roles of the two ends, `profiles` what a success claims, by side;
    `asks` says that it holds the query, `holds` that it names what was read."""

    type: Node
    subtypes: tuple[Node, ...]
    action: str  # C, R, U, D, E
    client: Node | None = None
    server: Node | None = None
    profiles: Mapping[str, str] | None = None
    asks: bool = False
    holds: bool = False
    discloses: bool = False


def _interaction(code: str) -> Node:
    return coding(INTERACTION, code, code)


def _iti(code: str) -> Node:
    return coding(ITI, code)


_SEARCH: Final = Pattern(
    _REST, (_interaction("search"),), "E", SOURCE, DESTINATION,
    {"A": f"{BALP}PatientQuery", "B": f"{BALP}PatientQuery"}, asks=True,
)  # fmt: skip
_READ: Final = Pattern(
    _REST, (_interaction("read"),), "R", DESTINATION, SOURCE,
    {"A": f"{BALP}PatientRead", "B": f"{BALP}PatientRead"}, holds=True,
)  # fmt: skip
_EXPORT: Final = Pattern(
    coding(DCM, "110106", "Export"), (coding(LIFECYCLE, "disclose"), _iti("RAD-107")), "R", DESTINATION, SOURCE,
    {"A": f"{BALP}PrivacyDisclosure.Source"}, holds=True, discloses=True,
)  # fmt: skip
_IMPORT: Final = replace(
    _EXPORT, type=coding(DCM, "110107", "Import"), action="C", profiles={"B": f"{BALP}PrivacyDisclosure.Recipient"}
)
_TOKEN: Final = Pattern(
    coding(DCM, "110114", "User Authentication"), (_iti("ITI-71"),), "E", APPLICATION, TOKEN_SERVICE
)
_EMERGENCY: Final = coding(DCM, "110127", "Emergency Override Started")
_ALERT: Final = coding(DCM, "110113", "Security Alert")
_OVERRIDES: Final = {"110127": _EMERGENCY, "110138": coding(DCM, "110138", "Emergency Override Stopped")}
_SEARCHES: Final = {  # the profile of a search, by side
    "ITI-78": {"A": f"{PDQM}Query.Audit.Supplier", "B": f"{PDQM}Query.Audit.Consumer"},
    "ITI-119": {"A": f"{PDQM}Match.Audit.Supplier", "B": f"{PDQM}Match.Audit.Consumer"},
    "ITI-67": {"A": f"{MHD}FindDocumentReferences.Audit.Responder", "B": f"{MHD}FindDocumentReferences.Audit.Consumer"},
}
_READS: Final = {"ITI-68": {"A": f"{MHD}RetrieveDocument.Audit.Responder", "B": f"{MHD}RetrieveDocument.Audit.Consumer"}}  # fmt: skip
_HOME: Final = {  # what is no exchange with another country
    "view": Pattern(coding(DCM, "110103", "DICOM Instances Accessed"), (_interaction("read"),), "R", APPLICATION, holds=True),
    "consent": Pattern(_REST, (_interaction("update"),), "U", APPLICATION, holds=True),
    "correction": Pattern(coding(DCM, "110103", "DICOM Instances Accessed"), (_interaction("update"),), "U", APPLICATION, holds=True),
    "trial": Pattern(_REST, (_interaction("read"),), "R", APPLICATION),
    "ITI-81": Pattern(coding(DCM, "110101", "Audit Log Used"), (_iti("ITI-81"),), "R", APPLICATION),
    "notice": Pattern(_REST, (_interaction("create"),), "C", APPLICATION),
    "contact": Pattern(_REST, (_interaction("update"),), "U", APPLICATION),
    "own-data": Pattern(_REST, (_interaction("read"),), "R", APPLICATION),
    "explain": Pattern(_REST, (_interaction("read"),), "R", APPLICATION),
    "review": Pattern(_REST, (_interaction("read"),), "R", APPLICATION),
    "capability": Pattern(_REST, (_interaction("capabilities"),), "R", DESTINATION, SOURCE),
    "receipt": Pattern(_REST, (_interaction("create"),), "C", SOURCE, DESTINATION, holds=True),
}  # fmt: skip
_NOTES: Final = {  # what is no exchange at all
    "sign-in": Pattern(coding(DCM, "110114", "User Authentication"), (coding(DCM, "110122", "Login"),), "E", APPLICATION),
    "start": Pattern(coding(DCM, "110100", "Application Activity"), (coding(DCM, "110120", "Application Start"),), "E", APPLICATION),
    "stop": Pattern(coding(DCM, "110100", "Application Activity"), (coding(DCM, "110121", "Application Stop"),), "E", APPLICATION),
}  # fmt: skip


def pattern_of(record: Mapping[str, Any], *, failed: bool) -> Pattern:
    """The pattern of an intent, or of a note (which has `event`)."""
    if "event" in record:
        other = Pattern(coding(DCM, "110100", "Application Activity"), (coding("", str(record["event"])),), "E", APPLICATION)  # fmt: skip
        return _NOTES.get(record["event"], other)
    transaction = record["transaction"]
    if transaction == "emergency":
        return Pattern(_ALERT, (_OVERRIDES.get(record["details"].get("event", ""), _EMERGENCY),), "E", APPLICATION)
    found = _HOME.get(transaction) or _crossing(transaction, record)
    if transaction == "ITI-71" and failed:
        found = replace(found, type=_ALERT)
    if record["purpose"] == "BTG" and transaction == "ITI-71":
        found = replace(found, subtypes=(*found.subtypes, _EMERGENCY))
    return found


def _crossing(transaction: str, record: Mapping[str, Any]) -> Pattern:
    if transaction == "ITI-71":
        return _TOKEN
    if transaction == "RAD-107":
        return _EXPORT if record["side"] == "A" else _IMPORT
    base = _SEARCH if record.get("query") else _READ
    named = (_SEARCHES if base is _SEARCH else _READS).get(transaction)
    which = (_iti(transaction),) if transaction.startswith(("ITI-", "RAD-")) else ()
    return replace(base, subtypes=(*base.subtypes, *which), profiles=named or base.profiles)
