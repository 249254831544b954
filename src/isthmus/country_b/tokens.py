"""Before anything is asked: who asks, for whom, why. Statements signed here, an access token from Country A.

Two strengths: *identify* opens the patient search, *care* (with the treatment relationship) opens everything else.
Tokens stay in this process, one per country, certificate, professional, session and patient.

Source: trust.md §2.5, §2.6 (M2, M5).
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from isthmus.audit.events import OVERRIDE_STARTED, Outcome, override
from isthmus.consent.emergency import Declared
from isthmus.consent.roles import Act
from isthmus.country_b.client import Call, Client
from isthmus.country_b.visit import Visit
from isthmus.errors import InsufficientRights, InvalidAssertion, WeakAuthentication
from isthmus.model.assurance import LOA, reaches
from isthmus.model.context import Emergency, Purpose
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import Patient
from isthmus.trust.certificates import x5t_s256
from isthmus.trust.jws import sign
from isthmus.wire.assertions import (
    CLIENT_TYPES,
    HPA_TYPE,
    NOK_TYPE,
    TRC_TYPE,
    life_s,
    write_client_assertion,
    write_hpa,
    write_nok,
    write_trc,
)
from isthmus.wire.tokens import Token, read_token, write_token_request

CLIENT_TYPE = next(t for t in CLIENT_TYPES if t != "JWT")
EARLY = timedelta(seconds=30)


async def identify(client: Client, visit: Visit, country: str, refused: str | None = None) -> str:
    """A token that opens the patient search, and nothing else; another one than was `refused`.

    Raises InsufficientRights before anything is sent.
    """
    visit.require(Act.IDENTIFY)
    return (await _token(client, visit, country, None, refused)).access_token


async def care(client: Client, visit: Visit, country: str, refused: str | None = None) -> str:
    """A token for the patient of this visit; another one than was `refused`. Raises InsufficientRights when the relationship is not
    confirmed."""
    return (await care_token(client, visit, country, refused)).access_token


async def care_token(client: Client, visit: Visit, country: str, refused: str | None = None) -> Token:
    """The same with what is said about it: life and scope."""
    if visit.relationship is None or client.clock() >= visit.expires:
        raise InsufficientRights("the treatment relationship is not confirmed, or its time is over", reason="scope")
    return await _token(client, visit, country, visit.patient_in(country), refused)


async def _token(client: Client, visit: Visit, country: str, patient: Patient | None, refused: str | None) -> Token:
    _open(client, visit, country)
    x5t = x5t_s256(client.certificate)
    handle = patient.handle if patient is not None else ""
    who, why = visit.professional, f"{visit.purpose.value} {visit.declared_at}"
    key = (country, x5t, who.sub, who.session, str(who.auth_time), why, visit.id, handle or "")
    held, good_until = client.tokens.get(key, (None, None))
    fresh = good_until is not None and client.clock() < good_until - EARLY
    if held is not None and fresh and held.access_token != refused:
        return held
    if patient is not None and visit.relationship is not None and visit.relationship.emergency is not None:
        await _declare(client, visit, country, patient, visit.relationship.emergency)
    try:
        token = await _asked(client, visit, country, patient, x5t)
    except InvalidAssertion:
        if (shown := x5t_s256(client.certificate)) == x5t:
            raise
        token = await _asked(client, visit, country, patient, shown)  # our certificate has turned over meanwhile
    now = client.clock()
    client.tokens = {k: v for k, v in client.tokens.items() if v[1] > now}
    client.tokens[key] = (token, now + timedelta(seconds=min(token.expires_in, 300)))
    return token


def _open(client: Client, visit: Visit, country: str) -> None:
    """What the country will refuse is refused here, before anything is sent: purpose, level of assurance, how the patient was recognised.

    Source: trust.md D11, T28.
    """
    policy, bond = client.directory.country(country).policy, visit.relationship
    if visit.purpose is Purpose.PATRQT or (visit.purpose is Purpose.BTG and not policy.btg):
        raise InsufficientRights(f"{country} does not answer for purpose {visit.purpose}", reason="purpose")
    if visit.purpose is Purpose.BTG:
        visit.require(Act.BREAK_GLASS)
    if not reaches(visit.professional.acr, policy.min_loa):
        raise WeakAuthentication(
            "the country asks for a stronger sign-in", acr_values=LOA + policy.min_loa, country=country
        )
    if bond is not None and bond.method != "unable" and bond.method not in policy.patient_presence:
        raise InvalidAssertion("the country does not accept this way of recognising a patient", reason="presence")


async def _declare(client: Client, visit: Visit, country: str, patient: Patient, emergency: Emergency) -> None:
    """Keep and record a professional's emergency before Country A hears of it; once for its hour. Source: trust.md §3.5."""
    who = visit.professional
    if client.emergencies is None:
        raise InsufficientRights("emergencies are not kept here, so none can be declared", reason="purpose")
    declared = Declared(
        "B", country, who.organisation.identifier or who.organisation.name, who.sub, who.name, who.role,
        f"{emergency.reason}: {emergency.words}", patient.identifier, visit.declared_at,
    )  # fmt: skip
    if await client.emergencies.is_known(declared):
        return
    begun = override(OVERRIDE_STARTED, "B", secrets.token_hex(16), country, declared.who, patient.identifier)
    await client.trail.record(begun, Outcome(outcome="complete"), client.emergencies.beginning(declared))


async def _asked(client: Client, visit: Visit, country: str, patient: Patient | None, x5t: str) -> Token:
    assertion = statements(client, visit, country, patient, x5t)
    identifier: PatientIdentifier | None = patient.identifier if patient is not None else None
    call = Call(
        "ITI-71", "token", "", "POST", write_token_request(assertion), accept="application/json", patient=identifier
    )
    async with client.exchange(visit, country, call) as exchange:
        token = read_token(await exchange.read(1 << 16))
        exchange.parts = {"client": assertion.encode(), "token": token.access_token.encode()}
        return token


def statements(client: Client, visit: Visit, country: str, patient: Patient | None, x5t: str) -> str:
    """The client assertion for a country, with the statements on professional and relationship inside, all signed."""
    now, audience = client.clock(), client.directory.country(country).ncp_id
    ours = client.directory.ours
    issuer = ours.ncp_id
    hpa = write_hpa(
        visit.professional,
        purpose=visit.purpose,
        point_of_care=visit.point_of_care,
        home_community_id=ours.home_community_id,
        issuer=issuer,
        audience=audience,
        x5t=x5t,
        jti=_jti(),
        now=now,
    )
    trc = nok = None
    if patient is not None and visit.relationship is not None:
        claims = write_trc(
            visit.relationship,
            patient,
            sub=visit.professional.sub,
            sid=visit.professional.session,
            issuer=issuer,
            audience=audience,
            x5t=x5t,
            jti=_jti(),
            now=now,
        )
        trc, nok = sign(claims, client.sig, TRC_TYPE), _represented(client, visit, patient, issuer, audience, x5t)
    signed = sign(hpa, client.hpa, HPA_TYPE)
    outer = write_client_assertion(
        issuer=issuer, audience=audience, x5t=x5t, jti=_jti(), now=now, hpa=signed, trc=trc, nok=nok
    )
    return sign(outer, client.sig, CLIENT_TYPE)


def _represented(client: Client, visit: Visit, patient: Patient, issuer: str, audience: str, x5t: str) -> str | None:
    """The statement on who speaks for the patient, where somebody does."""
    bond = visit.relationship
    if bond is None or bond.representative is None:
        return None
    ends = bond.confirmed_at + timedelta(seconds=life_s(bond.purpose))
    claims = write_nok(
        bond.representative, patient.handle or "", issuer=issuer, audience=audience, x5t=x5t, jti=_jti(),
        now=client.clock(), ends=ends,
    )  # fmt: skip
    return sign(claims, client.sig, NOK_TYPE)


def _jti() -> str:
    return secrets.token_urlsafe(18)
