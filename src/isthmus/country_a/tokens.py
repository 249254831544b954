"""The knock: who asks, for whom and why. Statements are verified here, where they arrive; what follows is a token of five minutes.

Source: trust.md §2.4–2.6 (M2, M5); RFC 6749; RFC 7523; RFC 8705; RFC 9068.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection

from isthmus import telemetry
from isthmus.audit.events import OVERRIDE_STARTED, Intent, Note, Outcome, override
from isthmus.audit.trail import Trail
from isthmus.consent.emergency import ALARM_A_DAY, SUPERVISOR_A_DAY, Declared, Emergencies
from isthmus.consent.roles import Act
from isthmus.consent.rules import Rules
from isthmus.country_a.handles import Handles
from isthmus.country_a.passes import Asker, Known
from isthmus.errors import (
    InsufficientRights,
    InvalidAssertion,
    MalformedRequest,
    TooLarge,
    WeakAuthentication,
)
from isthmus.fhir import elements as el
from isthmus.model.assurance import LOA, reaches
from isthmus.model.codes import ACT_REASON, ISCO_08
from isthmus.model.context import FRESH, Emergency, PointOfCare, Purpose
from isthmus.model.people import HealthProfessional
from isthmus.terminology.valuesets import load_valueset
from isthmus.transport.answers import Answer, json_answer
from isthmus.transport.inbound import Request
from isthmus.trust.jws import INNER_MAX_BYTES, MAX_BYTES, KeyFor, Statement, read_statement, sign
from isthmus.trust.keys import SigningKey, StatementKey
from isthmus.trust.replay import remember
from isthmus.trust.trustlist import Participant, Policy
from isthmus.wire import assertions
from isthmus.wire.tokens import IDENTIFY_SCOPES, care_scope, read_token, read_token_request, token_number, write_token

BODY_MAX_BYTES = 32 << 10
TOKEN_LIFE_S = 300
SIGN_IN_MAX_S = 8 * 3600 + 60


class Keys(Protocol):
    """What the trust list says of keys. `trust/directory.py`."""

    def key(self, iss: str, kid: str, use: str) -> StatementKey: ...


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A token request whose statements hold. `asker` has a patient at the care stage."""

    asker: Asker
    statements: tuple[Statement, ...] = field(repr=False)
    latest: int  # when the token must end
    scope: str
    client: str = field(repr=False)  # the client assertion as it came, the other statements inside
    details: Mapping[str, str] = field(default_factory=dict, repr=False)  # for the trail

    @property
    def is_care(self) -> bool:
        return self.asker.patient is not None


async def read_request(
    known: Known, request: Request, ours: Participant, keys: Keys, handles: Handles, rules: Rules
) -> Asked:
    """Verify a token request: client assertion, professional, role, purpose; then the relationship and its handle.

    Raises the error of each in this order. Nothing is remembered yet.
    """
    if len(request.body) > BODY_MAX_BYTES:
        raise TooLarge("a token request is at most 32 KiB", limit_bytes=BODY_MAX_BYTES)
    form = request.form()
    desk = _Desk(known, ours, keys)
    came = read_token_request(form)
    client = desk.read(came, assertions.CLIENT_TYPES, "client_auth", "client-assertion", assertions.CLIENT_LIFE_S)
    if client.claims["sub"] != client.issuer:
        raise InvalidAssertion("the client speaks of another", reason="client-assertion")
    inner = assertions.read_client_assertion(client.claims)
    hpa = desk.read(inner.hpa, frozenset({assertions.HPA_TYPE}), "hpa", "hpa-invalid", assertions.HPA_LIFE_S)
    professional, purpose, point = assertions.read_hpa(hpa.claims)
    _strong_enough(professional, ours.policy.min_loa, known.now)
    _one_role(hpa.claims, professional.role)
    _may(professional, purpose, Act.IDENTIFY if inner.trc is None else Act.LIST, rules)
    asker = _asker_of(known, professional, purpose, point)
    latest = int(known.now.timestamp()) + TOKEN_LIFE_S
    if inner.trc is None:
        scope = _scope(form, " ".join(IDENTIFY_SCOPES))
        return Asked(asker=asker, statements=(client, hpa), latest=latest, scope=scope, client=came)
    trc = desk.read(inner.trc, frozenset({assertions.TRC_TYPE}), "trc", "trc-invalid", assertions.TRC_LIFE_S)
    relationship = assertions.read_trc(trc.claims)
    asker = await _with_patient(asker, relationship, professional, point, handles)
    if (emergency := relationship.relationship.emergency) is not None:
        asker = _in_emergency(asker, emergency, relationship.relationship.confirmed_at, professional, ours.policy)
    latest, details = min(latest, trc.expires_at), {"presence": asker.presence}
    if inner.nok is not None:
        nok = desk.read(inner.nok, frozenset({assertions.NOK_TYPE}), "nok", "nok-invalid", assertions.TRC_LIFE_S)
        asker, latest = _represented(asker, nok, known.now, details), min(latest, nok.expires_at)
    if latest <= int(known.now.timestamp()):
        raise InvalidAssertion("the relationship has ended", reason="trc-invalid")
    scope = _scope(form, _care(rules.roles.acts_of(asker.role), ours))
    return Asked(asker=asker, statements=(client, hpa), latest=latest, scope=scope, client=came, details=details)


def _asker_of(known: Known, professional: HealthProfessional, purpose: Purpose, point: PointOfCare) -> Asker:
    organisation, principal = professional.organisation, professional.on_behalf_of
    return Asker(
        peer=known.peer.ncp_id, sub=professional.sub, name=professional.name, role=professional.role,
        organisation=organisation.identifier or organisation.name, point_of_care=point.id, purpose=purpose.value,
        on_behalf_of="" if principal is None else f"{principal.sub} {principal.role}",
    )  # fmt: skip


def _represented(asker: Asker, nok: Statement, now: datetime, details: dict[str, str]) -> Asker:
    """Who speaks for the patient: for the one attested, and told in the trail whether it has an effect here or not."""
    representative, handle = assertions.read_nok(nok.claims, now)
    if handle != asker.handle:
        raise InvalidAssertion("somebody speaks for another patient", reason="nok-invalid")
    details |= {"nok": nok.jti, "representative": representative.identifier, "basis": representative.basis}
    details["evidence"] = representative.evidence_sha256
    return replace(asker, represented=representative.basis)


async def declare(asker: Asker, country: str, exchange_id: str, emergencies: Emergencies, trail: Trail) -> None:
    """Keep the emergency of a token, if it is a new one; nothing for a token of another purpose. Raises TooOften, AuditUnavailable."""
    if not asker.emergency or asker.patient is None:
        return
    declared = Declared(
        "A", country, asker.organisation, asker.sub, asker.name, asker.role, asker.emergency, asker.patient, asker.since
    )
    if await emergencies.is_known(declared):
        return
    begun = override(OVERRIDE_STARTED, "A", exchange_id, country, declared.who, declared.patient)
    await trail.record(begun, Outcome(outcome="complete"), emergencies.beginning(declared))
    telemetry.emergency(country=country, word="declared")
    today = await emergencies.of_today(declared)
    words = {ALARM_A_DAY: "many-of-one-professional", SUPERVISOR_A_DAY: "supervisor"}
    if today in words:
        await alarm(trail, words[today], declared, exchange_id)


async def alarm(trail: Trail, word: str, declared: Declared, number: str) -> None:
    """Somebody at home has to look: a line for the operator, and a note on the trail. Names nobody but the country."""
    telemetry.emergency(country=declared.country, word=word)
    details = {"word": word, "what": declared.country, "emergency": number}
    await trail.note(Note(kind="alarm", side="A", exchange_id="alarm", details=details))


def intent_of(asked: Asked, known: Known, answer: Answer, did: str, followed: str) -> Intent:
    """What the trail says of a token request, the statements and the token beside it; `followed` is the trust list that counted.

    Source: trust.md §4.1, §4.5.
    """
    token = read_token(answer.whole or b"").access_token
    return Intent(
        side="A",
        transaction="ITI-71",
        exchange_id=known.exchange_id,
        peer=known.peer.country,
        organisation=asked.asker.organisation,
        person=f"{asked.asker.sub} {asked.asker.name}",
        role=asked.asker.role,
        purpose=asked.asker.purpose,
        patient=asked.asker.patient,
        details={
            "stage": "care" if asked.is_care else "identify",
            "hpa": asked.statements[1].jti,
            "kid": asked.statements[1].kid,
            "list": followed,
            **({"reason": asked.asker.emergency} if asked.asker.emergency else {}),
            **({"on-behalf-of": asked.asker.on_behalf_of} if asked.asker.on_behalf_of else {}),
            **asked.details,
        },
        token_jti=token_number(token),
        decision_id=did,
        parts={"client": asked.client.encode(), "token": token.encode()},
    )


def remembering(asked: Asked, known: Known) -> Callable[[Connection], None]:
    """One use each: the client assertion and the statement about the professional. In the transaction of the record."""
    client, hpa = asked.statements

    def also(connection: Connection) -> None:
        for statement, reason in ((client, "replay"), (hpa, "replay-hpa")):
            remember(
                connection,
                statement.issuer,
                statement.typ,
                statement.jti,
                statement.expires_at,
                known.now,
                reason=reason,
            )

    return also


def write_answer(asked: Asked, known: Known, ours: Participant, signing: SigningKey, did: str) -> Answer:
    """The access token: bound to this certificate, naming the handle, saying nothing of what the patient said."""
    issued = int(known.now.timestamp())
    asker = asked.asker
    claims: dict[str, Any] = {
        "iss": ours.ncp_id,
        "aud": ours.ncp_id,
        "sub": asker.sub,
        "client_id": asker.peer,
        "jti": secrets.token_urlsafe(16),
        "iat": issued,
        "exp": asked.latest,
        "scope": asked.scope,
        "cnf": {"x5t#S256": known.x5t},
        "did": did,
        "extensions": {
            "ihe_iua": {
                "purpose_of_use": [{"system": ACT_REASON, "code": asker.purpose}],
                "subject_role": [{"system": ISCO_08, "code": asker.role}],
                "subject_organization_id": asker.organisation,
            }
        },
    }
    if asker.handle is not None:
        claims["patient"] = asker.handle
    body = write_token(sign(claims, signing, "at+jwt"), asked.latest - issued, asked.scope, asker.handle)
    return json_answer(200, body, "application/json")


@dataclass(frozen=True)
class _Desk:
    """Reads the statements of one request: all from the country at the other end, all for us, on this certificate."""

    known: Known
    ours: Participant
    keys: Keys

    def read(self, token: str, typ: frozenset[str], use: str, reason: str, max_life_s: int) -> Statement:
        is_client = use == "client_auth"
        audience = {self.ours.ncp_id} | ({self.ours.endpoints.token} if is_client else set())
        key_for: KeyFor = lambda iss, kid: self.keys.key(iss, kid, use)  # noqa: E731
        statement = read_statement(
            token, typ=typ, key_for=key_for, audience=frozenset(audience), max_life_s=max_life_s,
            now=self.known.now, x5t=self.known.x5t, reason=reason, max_bytes=MAX_BYTES if is_client else INNER_MAX_BYTES,
        )  # fmt: skip
        if statement.issuer != self.known.peer.ncp_id:
            raise InvalidAssertion("a statement of another country than the one on the line", reason=reason)
        return statement


def _strong_enough(professional: HealthProfessional, least: str, now: datetime) -> None:
    age = int(now.timestamp()) - professional.auth_time
    if not reaches(professional.acr, least) or not -60 <= age <= SIGN_IN_MAX_S:
        raise WeakAuthentication(
            "the professional's sign-in is weaker or older than this country asks",
            acr_values=LOA + least,
        )


def _one_role(claims: dict[str, Any], role: str) -> None:
    """A code beside the words of another role is two roles. Words that nobody knows say nothing: T48."""
    said = el.children(el.child(claims, "extensions", "ihe_iua"), "subject_role")
    words = (el.text(said[0], "display") or "").casefold()
    named = [
        code
        for code, one in load_valueset("roles").concepts.items()
        if words and (one.code.display or "").casefold() == words
    ]
    if named and not any(role.startswith(code) or code.startswith(role) for code in named):
        raise InsufficientRights("the role's code and its words are of two roles", reason="role")


def _may(professional: HealthProfessional, purpose: Purpose, act: Act, rules: Rules) -> None:
    """By the country's roles, and for the purposes that it answers: what a patient asks for never crosses."""
    rules.roles.require(professional, act)
    if purpose is Purpose.BTG:
        rules.roles.require(professional, Act.BREAK_GLASS)
    if purpose.value not in rules.purposes:
        raise InsufficientRights("this purpose of use is not answered across the border", reason="purpose")


def _in_emergency(
    asker: Asker, emergency: Emergency, declared: datetime, professional: HealthProfessional, policy: Policy
) -> Asker:
    """The emergency was declared by somebody who had just signed in, and has signed in since at the earliest.

    Source: trust.md §3.5 (2).
    """
    signed_in = int(emergency.signed_in_at.timestamp())
    age = declared.timestamp() - signed_in
    if signed_in > professional.auth_time or not 0 <= age <= FRESH.total_seconds():
        raise WeakAuthentication(
            "an emergency is declared within five minutes of a sign-in",
            acr_values=LOA + policy.min_loa,
        )
    return replace(asker, emergency=f"{emergency.reason}: {emergency.words}", since=int(declared.timestamp()))


async def _with_patient(
    asker: Asker, trc: assertions.Trc, professional: HealthProfessional, point: PointOfCare, handles: Handles
) -> Asker:
    """The relationship against the professional, and the handle against whom it was given to."""
    bond = trc.relationship
    if (trc.sub, trc.sid, bond.purpose.value) != (professional.sub, professional.session, asker.purpose):
        raise InvalidAssertion("professional and relationship are not of one session", reason="trc-invalid")
    if bond.point_of_care.id != point.id:
        raise InvalidAssertion("professional and relationship are not of one point of care", reason="trc-invalid")
    patient = await handles.patient_of(trc.handle, asker.peer, asker.sub)
    if patient is None or patient != trc.identifier:
        raise InvalidAssertion("no such handle was given to this professional", reason="trc-invalid")
    return replace(asker, presence=bond.method, handle=trc.handle, patient=patient)


def _care(acts: frozenset[Act], ours: Participant) -> str:
    """By role and offered services alone."""
    needs = {"imaging-report": Act.REPORT, "imaging-manifest": Act.MANIFEST, "imaging-pixels": Act.PIXELS}
    return care_scope(frozenset(s for s in ours.services if needs.get(s) in acts))


def _scope(form: tuple[tuple[str, str], ...], granted: str) -> str:
    """What is granted; a scope asked for beyond it is refused, a narrower one followed."""
    asked = dict(form).get("scope", "").split()
    if set(asked) - set(granted.split()):
        raise MalformedRequest("a scope beyond this stage", reason="grant-scope", path="scope")
    return " ".join(asked) or granted
