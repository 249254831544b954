"""Assertions: what Country B states about itself, the professional and the treatment relationship, as claims.

Claims only: signing and the checks common to all statements are `trust/jws.py`'s.

Source: trust.md §2.5; IUA.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from isthmus.errors import InsufficientRights, InvalidAssertion, MalformedRequest
from isthmus.fhir import elements as el
from isthmus.model.codes import ACT_REASON, ISCO_08
from isthmus.model.context import (
    BASES,
    EMERGENCY_LIFE,
    EMERGENCY_REASONS,
    EMERGENCY_WORDS_MAX,
    EMERGENCY_WORDS_MIN,
    Emergency,
    PointOfCare,
    Purpose,
    Representative,
    TreatmentRelationship,
    emergency_words,
)
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HealthProfessional, Organisation, Patient, Principal

CLIENT_LIFE_S = 60
HPA_LIFE_S = 300
TRC_LIFE_S = 7200
CLIENT_TYPES = frozenset({"client-authentication+jwt", "JWT"})
HPA_TYPE = "hpa+jwt"
TRC_TYPE = "trc+jwt"
NOK_TYPE = "nok+jwt"
_DIGEST = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Trc:
    """A treatment relationship confirmation as read: about whom (by Country A's handle), and in whose session."""

    relationship: TreatmentRelationship
    handle: str
    identifier: PatientIdentifier
    sub: str
    sid: str


def _frame(issuer: str, subject: str, audience: str, x5t: str, jti: str, issued: int, expires: int) -> dict[str, Any]:
    return {
        "iss": issuer,
        "sub": subject,
        "aud": audience,
        "jti": jti,
        "iat": issued,
        "exp": expires,
        "cnf": {"x5t#S256": x5t},
    }


def write_client_assertion(
    *,
    issuer: str,
    audience: str,
    x5t: str,
    jti: str,
    now: datetime,
    hpa: str,
    trc: str | None = None,
    nok: str | None = None,
) -> dict[str, Any]:
    """Claims of the client assertion, around the statements as signed."""
    issued = int(now.timestamp())
    claims = _frame(issuer, issuer, audience, x5t, jti, issued, issued + CLIENT_LIFE_S)
    return claims | {"extensions": {"ehdsi": el.without_nothing({"v": 1, "hpa": hpa, "trc": trc, "nok": nok})}}


@dataclass(frozen=True, slots=True)
class Inner:
    """The statements inside a client assertion, still signed."""

    hpa: str
    trc: str | None = None
    nok: str | None = None


def read_client_assertion(claims: dict[str, Any]) -> Inner:
    """Give the HPA and, at the care stage, the TRC and who speaks for the patient. Raises InvalidAssertion.

    An access code is refused aloud: half-read it would be worse than unread.
    """
    inner = el.child(claims, "extensions", "ehdsi")
    hpa = el.text(inner, "hpa")
    if hpa is None or inner.get("v") != 1 or not isinstance(inner.get("trc", ""), str):
        raise InvalidAssertion("no statement about the professional inside", reason="hpa-invalid")
    trc, nok = el.text(inner, "trc"), el.text(inner, "nok")
    if "nok" in inner and (nok is None or trc is None):
        raise InvalidAssertion("somebody speaks for a patient whom nobody treats", reason="nok-invalid")
    if "access_code" in inner:
        raise InvalidAssertion("access codes are not accepted here yet", reason="access-code")
    return Inner(hpa, trc, nok)


def write_hpa(
    professional: HealthProfessional,
    *,
    issuer: str,
    audience: str,
    x5t: str,
    jti: str,
    now: datetime,
    purpose: Purpose,
    point_of_care: PointOfCare,
    home_community_id: str,
) -> dict[str, Any]:
    """Claims of the health professional assertion."""
    issued = int(now.timestamp())
    organisation = professional.organisation
    iua = {
        "subject_name": professional.name,
        "subject_organization": organisation.name,
        "subject_organization_id": organisation.identifier or organisation.name,
        "subject_role": [{"system": ISCO_08, "code": professional.role}],
        "purpose_of_use": [{"system": ACT_REASON, "code": purpose.value}],
        "home_community_id": home_community_id,
        "national_provider_identifier": professional.national_identifier,
    }
    hp = {
        "facility_type": professional.facility_type,
        "point_of_care": _write_point(point_of_care),
        "sid": professional.session,
    }
    if professional.on_behalf_of is not None:
        hp["on_behalf_of"] = {"sub": professional.on_behalf_of.sub, "role": professional.on_behalf_of.role}
    return _frame(issuer, professional.sub, audience, x5t, jti, issued, issued + HPA_LIFE_S) | {
        "auth_time": professional.auth_time,
        "acr": professional.acr,
        "amr": list(professional.amr),
        "extensions": {"ihe_iua": el.without_nothing(iua), "ehdsi": {"hp": hp}},
    }


def read_hpa(claims: dict[str, Any]) -> tuple[HealthProfessional, Purpose, PointOfCare]:
    """Read who asks, for what purpose, and where. Raises InvalidAssertion (hpa-invalid)."""
    iua, hp = el.child(claims, "extensions", "ihe_iua"), el.child(claims, "extensions", "ehdsi", "hp")
    purposes, roles = el.children(iua, "purpose_of_use"), el.children(iua, "subject_role")
    required = {
        "sub": el.text(claims, "sub"),
        "acr": el.text(claims, "acr"),
        "name": el.text(iua, "subject_name"),
        "organisation": el.text(iua, "subject_organization"),
        "sid": el.text(hp, "sid"),
        "role": el.text(roles[0], "code") if roles and roles[0].get("system") == ISCO_08 else None,
        "purpose": el.text(purposes[0], "code") if len(purposes) == 1 else None,
    }
    missing = [name for name, value in required.items() if value is None]
    auth_time = el.number(claims, "auth_time")
    if missing or auth_time is None:
        raise InvalidAssertion(f"missing or not single: {', '.join(missing) or 'auth_time'}", reason="hpa-invalid")
    if len(roles) != 1:
        raise InsufficientRights("one role at a time", reason="role")
    value = {name: found or "" for name, found in required.items()}
    professional = HealthProfessional(
        sub=value["sub"],
        name=value["name"],
        role=value["role"],
        organisation=Organisation(value["organisation"], el.text(iua, "subject_organization_id")),
        facility_type=el.text(hp, "facility_type") or "Other",
        acr=value["acr"],
        auth_time=auth_time,
        amr=el.texts(claims, "amr"),
        session=value["sid"],
        on_behalf_of=_read_principal(hp),
        national_identifier=el.text(iua, "national_provider_identifier"),
    )
    point = _read_point(el.child(hp, "point_of_care"), "hpa-invalid")
    return professional, _read_purpose(value["purpose"], "hpa-invalid"), point


def _read_principal(hp: el.Node) -> Principal | None:
    if "on_behalf_of" not in hp:
        return None
    sub, role = el.text(hp, "on_behalf_of", "sub"), el.text(hp, "on_behalf_of", "role")
    if sub is None or role is None:
        raise InvalidAssertion("on whose behalf is not said whole", reason="hpa-invalid")
    return Principal(sub, role)


def write_trc(
    relationship: TreatmentRelationship,
    patient: Patient,
    *,
    issuer: str,
    audience: str,
    x5t: str,
    jti: str,
    now: datetime,
    sub: str,
    sid: str,
) -> dict[str, Any]:
    """Claims of the treatment relationship confirmation; it ends with the relationship, however often it is minted."""
    confirmed = int(relationship.confirmed_at.timestamp())
    issued = max(int(now.timestamp()), confirmed)
    trc = {
        "patient": {
            "handle": patient.handle,
            "identifier": {"system": patient.identifier.system, "value": patient.identifier.value},
        },
        "sid": sid,
        "purpose": relationship.purpose.value,
        "identification": {
            "method": relationship.method,
            "document_country": relationship.document_country,
            "verified_at": int(relationship.verified_at.timestamp()),
        },
        "information_notice": {
            "version": relationship.notice_version,
            "language": relationship.notice_language,
            "given": relationship.notice_given,
        },
        "relationship": {
            "encounter": relationship.encounter,
            "confirmed_at": confirmed,
            "point_of_care": _write_point(relationship.point_of_care),
        },
    }
    if relationship.emergency is not None:
        trc["btg"] = {
            "reason": relationship.emergency.reason,
            "text": relationship.emergency.words,
            "reauth_at": int(relationship.emergency.signed_in_at.timestamp()),
        }
    frame = _frame(issuer, sub, audience, x5t, jti, issued, confirmed + life_s(relationship.purpose))
    return frame | {"extensions": {"ehdsi": {"trc": trc}}}


def read_trc(claims: dict[str, Any]) -> Trc:
    """Read the relationship. Raises InvalidAssertion (trc-invalid) when a part is missing or contradicts another."""
    trc = el.child(claims, "extensions", "ehdsi", "trc")
    proof, notice, bond = (el.child(trc, name) for name in ("identification", "information_notice", "relationship"))
    verified, confirmed = el.number(proof, "verified_at"), el.number(bond, "confirmed_at")
    handle, method, sub, sid = (
        el.text(trc, "patient", "handle"),
        el.text(proof, "method"),
        el.text(claims, "sub"),
        el.text(trc, "sid"),
    )
    given = notice.get("given")
    if None in (verified, confirmed, handle, method, sub, sid) or not isinstance(given, bool):
        raise InvalidAssertion("a part of the relationship is missing", reason="trc-invalid")
    if not given and method != "unable":
        raise InvalidAssertion("the notice was not given, and the patient could have taken it", reason="trc-invalid")
    expires, purpose = el.number(claims, "exp") or 0, _read_purpose(el.text(trc, "purpose") or "", "trc-invalid")
    if expires > (confirmed or 0) + life_s(purpose):
        raise InvalidAssertion("it outlives the relationship", reason="trc-invalid")
    try:
        identifier = PatientIdentifier(
            el.text(trc, "patient", "identifier", "system") or "", el.text(trc, "patient", "identifier", "value") or ""
        )
    except MalformedRequest:
        raise InvalidAssertion("the patient's identifier is missing", reason="trc-invalid") from None
    relationship = TreatmentRelationship(
        purpose=purpose,
        method=method or "",
        document_country=el.text(proof, "document_country") or "",
        verified_at=_instant(verified or 0),
        notice_version=el.text(notice, "version") or "",
        notice_language=el.text(notice, "language") or "",
        notice_given=given,
        encounter=el.text(bond, "encounter") or "",
        confirmed_at=_instant(confirmed or 0),
        point_of_care=_read_point(el.child(bond, "point_of_care"), "trc-invalid"),
        emergency=_read_emergency(trc, purpose),
    )
    return Trc(relationship, handle or "", identifier, sub or "", sid or "")


def life_s(purpose: Purpose) -> int:
    """How long the relationship holds; an emergency's is half as long. Source: trust.md §2.5, §3.5."""
    return int(EMERGENCY_LIFE.total_seconds()) if purpose is Purpose.BTG else TRC_LIFE_S


def _read_emergency(trc: el.Node, purpose: Purpose) -> Emergency | None:
    """Why, in a code and in words: with BTG, and with nothing else."""
    said = el.child(trc, "btg")
    if (purpose is Purpose.BTG) != bool(said):
        raise InvalidAssertion("an emergency and its reason come together, or not at all", reason="trc-invalid")
    if not said:
        return None
    reason, words, signed_in = (
        el.text(said, "reason"),
        emergency_words(el.text(said, "text") or ""),
        el.number(said, "reauth_at"),
    )
    if reason not in EMERGENCY_REASONS or signed_in is None:
        raise InvalidAssertion("the reason of the emergency is missing", reason="trc-invalid")
    if not EMERGENCY_WORDS_MIN <= len(words) <= EMERGENCY_WORDS_MAX:
        raise InvalidAssertion("the reason of the emergency is not in words", reason="trc-invalid")
    return Emergency(reason, words, _instant(signed_in))


def write_nok(
    representative: Representative,
    handle: str,
    *,
    issuer: str,
    audience: str,
    x5t: str,
    jti: str,
    now: datetime,
    ends: datetime,
) -> dict[str, Any]:
    """Claims of the statement on who speaks for the patient of a handle; it ends with the relationship."""
    nok = {
        "represents": handle,
        "basis": representative.basis,
        "evidence_sha256": representative.evidence_sha256,
        "until": int(representative.until.timestamp()) if representative.until is not None else None,
    }
    issued, expires = int(now.timestamp()), int(ends.timestamp())
    frame = _frame(issuer, representative.identifier, audience, x5t, jti, issued, expires)
    return frame | {"extensions": {"ehdsi": {"nok": el.without_nothing(nok)}}}


def read_nok(claims: dict[str, Any], now: datetime) -> tuple[Representative, str]:
    """Read who speaks for a patient, and the handle of whom. Raises InvalidAssertion (nok-invalid): a part is missing, the ground is over."""
    nok, sub = el.child(claims, "extensions", "ehdsi", "nok"), el.text(claims, "sub")
    handle, basis, evidence = (el.text(nok, name) for name in ("represents", "basis", "evidence_sha256"))
    until = el.number(nok, "until")
    if not sub or not handle or basis not in BASES or ("until" in nok and until is None):
        raise InvalidAssertion("who speaks for whom, and on what ground, is not whole", reason="nok-invalid")
    if evidence is None or _DIGEST.fullmatch(evidence) is None:
        raise InvalidAssertion("the evidence is not named by its digest", reason="nok-invalid")
    if until is not None and until <= int(now.timestamp()):
        raise InvalidAssertion("the ground on which somebody speaks is over", reason="nok-invalid")
    return Representative(sub, basis, evidence, None if until is None else _instant(until, "nok-invalid")), handle


def _instant(seconds: int, reason: str = "trc-invalid") -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        raise InvalidAssertion("a time that the calendar does not have", reason=reason) from None


def _write_point(point: PointOfCare) -> dict[str, str]:
    return {"id": point.id, "name": point.name, "country": point.country}


def _read_point(node: el.Node, reason: str) -> PointOfCare:
    point = PointOfCare(el.text(node, "id") or "", el.text(node, "name") or "", el.text(node, "country") or "")
    if not (point.id and point.name and point.country):
        raise InvalidAssertion("the point of care is not named", reason=reason)
    return point


def _read_purpose(code: str, reason: str) -> Purpose:
    try:
        return Purpose(code)
    except ValueError:
        raise InvalidAssertion("a purpose that is none", reason=reason) from None
