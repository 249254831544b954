"""What a patient said, as a value and as a FHIR Consent; the two say the same.

A Consent that says more than a directive of ours can hold is refused: half-read would be ignored in part.

Source: R4 Consent; PCF; trust.md §3.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

import orjson

from isthmus.errors import MalformedRequest, NationalInfrastructureUnavailable
from isthmus.model.codes import ACT_CODE, ACT_REASON, CONFIDENTIALITY, DCM, ISCO_08, SNOMED
from isthmus.model.identifiers import PatientIdentifier, checked_uid, plain_uid
from isthmus.model.intervals import Interval

CATEGORY = "urn:ncp:consent"
_COUNTRY = "urn:iso:std:iso:3166"
_ORGANISATION = "urn:ncp:organisation"
_DOCUMENT = "urn:ncp:document"
_PERSON = "urn:ncp:person"
_IMAGING = {
    "system": "http://hl7.eu/fhir/health-data-api/CodeSystem/eehrxf-document-priority-category-cs",
    "code": "Medical-Imaging",
}
SUBJECTS = (
    "study", "report", "period", "modality", "region", "label", "country", "organisation", "person", "role", "purpose",
)  # fmt: skip
PERMITTED = tuple(
    subject for subject in SUBJECTS if subject not in ("report", "label")
)  # what an exception may be about
BARE = ("opt-out", "permit", "restrict-imaging")  # those without a scope
KINDS = (*BARE, *(f"restrict-{one}" for one in SUBJECTS), *(f"permit-{one}" for one in PERMITTED))
LABELS = ("R", "V")  # confidentiality; every other label is a kind of sensitivity
_FORMS = {  # what has another form would never match, and restrict nothing
    "country": (r"(?!GR)[A-Z]{2}", "a country is two capital letters as the EU writes them, Greece EL"),
    "modality": (r"[A-Z][A-Z0-9]{1,15}", "a modality is a DICOM code, CT or MR"),
    "region": (r"[0-9]{6,18}", "a region is a SNOMED CT code"),
    "label": (r"[A-Z][A-Z0-9]{0,15}", "a label is a code of v3-ActCode, PSY or HIV, or R"),
    "person": (r"(?!GR)[A-Z]{2}/[!-~]{1,200}", "a person is COUNTRY/ID, the id as that country gives it"),
    "role": (r"[1-9][0-9]{0,3}", "a role is an ISCO-08 code or its beginning, 2221 for nurses"),
    "purpose": (r"TREAT|ETREAT|BTG", "a purpose is TREAT, ETREAT or BTG"),
}


@dataclass(frozen=True, slots=True)
class Directive:
    """One choice of a patient. `scope` is a UID, an id, `D..D`, a code, a country, an organisation or a person; empty for the whole."""

    id: str
    kind: str
    scope: str
    patient: PatientIdentifier
    since: datetime
    until: datetime | None = None
    active: bool = True

    def holds(self, now: datetime) -> bool:
        return self.active and self.since <= now and (self.until is None or now < self.until)

    @property
    def permits(self) -> bool:
        return self.kind.partition("-")[0] == "permit"

    @property
    def subject(self) -> str:
        """What it is about: one of SUBJECTS, imaging, or empty for the whole record."""
        return "" if self.kind in ("opt-out", "permit") else self.kind.partition("-")[2]


def checked_scope(kind: str, scope: str) -> str:
    """The scope as it is kept. Raises MalformedRequest."""
    if kind not in KINDS:
        raise MalformedRequest(f"{kind} is no directive", reason="value", path="kind")
    if (kind in BARE) != (scope == ""):
        raise MalformedRequest(
            f"{kind} is about the whole record" if scope else f"{kind} needs a scope", reason="value"
        )
    subject = kind.partition("-")[2]
    if subject == "study":
        return checked_uid(plain_uid(scope), kind)
    if subject == "period":
        period_of(scope, UTC)
    form = _FORMS.get(subject)
    if form is not None and re.fullmatch(form[0], scope) is None:
        raise MalformedRequest(form[1], reason="value", path=kind)
    return scope


def period_of(scope: str, zone: tzinfo) -> Interval:
    """`2024-01-01..2024-06-30`: days in the country's zone, both included. Raises MalformedRequest."""
    first, dots, last = scope.partition("..")
    try:
        start, end = date.fromisoformat(first), date.fromisoformat(last)
        if not dots or end < start:
            raise ValueError
        return Interval(datetime.combine(start, time(), zone), datetime.combine(end + timedelta(days=1), time(), zone))
    except (ValueError, OverflowError):
        raise MalformedRequest("a period is written YYYY-MM-DD..YYYY-MM-DD", reason="value", path="period") from None


def _data(system: str, value: str, meaning: str) -> dict[str, Any]:
    return {"data": [{"meaning": meaning, "reference": {"identifier": {"system": system, "value": value}}}]}


def _actor(system: str, value: str) -> dict[str, Any]:
    role = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}
    return {"actor": [{"role": role, "reference": {"identifier": {"system": system, "value": value}}}]}


def _code(system: str, code: str) -> dict[str, Any]:
    return {"code": [{"coding": [{"system": system, "code": code}]}]}


def _period(scope: str) -> dict[str, Any]:
    first, _, last = scope.partition("..")
    return {"dataPeriod": {"start": first, "end": last}}


def _role(scope: str) -> dict[str, Any]:
    return {"actor": [{"role": {"coding": [{"code": "IRCP"}]}, "reference": {"identifier": {"system": ISCO_08, "value": scope}}}]}  # fmt: skip


def _label(scope: str) -> dict[str, Any]:
    return {"securityLabel": [{"system": CONFIDENTIALITY if scope in LABELS else ACT_CODE, "code": scope}]}


_PROVISIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    "": lambda scope: {},
    "imaging": lambda scope: {"class": [_IMAGING]},
    "study": lambda scope: _data("urn:dicom:uid", f"urn:oid:{scope}", "related"),
    "report": lambda scope: _data(_DOCUMENT, scope, "instance"),
    "period": _period,
    "modality": lambda scope: _code(DCM, scope),
    "region": lambda scope: _code(SNOMED, scope),
    "label": _label,
    "country": lambda scope: _actor(_COUNTRY, scope),
    "organisation": lambda scope: _actor(_ORGANISATION, scope),
    "person": lambda scope: _actor(_PERSON, scope),
    "role": _role,
    "purpose": lambda scope: {"purpose": [{"system": ACT_REASON, "code": scope}]},
}
_SYSTEMS = {
    DCM: "modality", SNOMED: "region", "urn:dicom:uid": "study", _DOCUMENT: "report", _COUNTRY: "country",
    _ORGANISATION: "organisation", _PERSON: "person", ISCO_08: "role", ACT_REASON: "purpose", ACT_CODE: "label",
    CONFIDENTIALITY: "label",
}  # fmt: skip


def write_record(directive: Directive) -> bytes:
    """The directive as FHIR Consent, in one form of bytes: what is signed."""
    category = "permission" if directive.permits else "restriction"
    if directive.kind == "opt-out":
        category = "optout-crossborder"
    provision: dict[str, Any] = {
        "type": "permit" if directive.permits else "deny",
        "period": {"start": _instant(directive.since)},
        **_PROVISIONS[directive.subject](directive.scope),
    }
    if directive.until is not None:
        provision["period"]["end"] = _instant(directive.until)
    consent = {
        "resourceType": "Consent",
        "id": directive.id,
        "status": "active" if directive.active else "inactive",
        "scope": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]
        },
        "category": [{"coding": [{"system": CATEGORY, "code": category}]}],
        "patient": {"identifier": {"system": directive.patient.system, "value": directive.patient.value}},
        "dateTime": _instant(directive.since),
        "policyRule": {"coding": [{"system": ACT_CODE, "code": "OPTIN" if directive.permits else "OPTOUT"}]},
        "provision": provision,
    }
    return orjson.dumps(consent, option=orjson.OPT_SORT_KEYS)


def read_record(body: bytes) -> Directive:
    """The directive of a Consent whose signature held. Raises NationalInfrastructureUnavailable for any doubt."""
    try:
        raw: dict[str, Any] = orjson.loads(body)
        provision = raw["provision"]
        named = raw["patient"]["identifier"]
        kind, scope = _kind_and_scope(raw["category"][0]["coding"][0]["code"], provision)
        period = provision["period"]
        directive = Directive(
            raw["id"], kind, scope, PatientIdentifier(named["system"], named["value"]),
            datetime.fromisoformat(period["start"]),
            datetime.fromisoformat(period["end"]) if "end" in period else None,
            {"active": True, "inactive": False}[raw["status"]],
        )  # fmt: skip
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, ValueError, MalformedRequest) as error:
        raise NationalInfrastructureUnavailable("a directive cannot be read") from error
    if write_record(directive) != body:
        raise NationalInfrastructureUnavailable("a directive says more than can be followed")
    return directive


def _kind_and_scope(category: str, provision: dict[str, Any]) -> tuple[str, str]:
    if category == "optout-crossborder":
        return "opt-out", ""
    verb = {"permission": "permit", "restriction": "restrict"}[category]
    if "class" in provision:
        return f"{verb}-imaging", ""
    if "dataPeriod" in provision:
        return f"{verb}-period", f"{provision['dataPeriod']['start']}..{provision['dataPeriod']['end']}"
    named = _named(provision)
    if named is None:
        return verb, ""
    subject = _SYSTEMS[named[0]]
    return f"{verb}-{subject}", plain_uid(named[1]) if subject == "study" else named[1]


def _named(provision: dict[str, Any]) -> tuple[str, str] | None:
    """System and value of what a provision is about; None when it is about everything."""
    if "code" in provision:
        coding = provision["code"][0]["coding"][0]
        return coding["system"], coding["code"]
    for member in ("securityLabel", "purpose"):
        if member in provision:
            return provision[member][0]["system"], provision[member][0]["code"]
    for member in ("data", "actor"):
        if member in provision:
            named = provision[member][0]["reference"]["identifier"]
            return named["system"], named["value"]
    return None


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
