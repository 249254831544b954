"""Who may ask (SEC). What is encoded in a token is read here, never verified: that is the gate's."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Iterator

import orjson

from isthmus.conformance.evidence import Conversation, Exchange, Trails
from isthmus.conformance.requirement import Kind, requirement
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.identifiers import is_uid
from isthmus.wire.packs.pack import Pack

_PROTECTED = ("/fhir/", "/dicom-web/")
_OPEN = ("/fhir/metadata", "/fhir/.well-known/")
_ALGORITHMS = {"ES256", "ES384", "PS256", "EdDSA", "Ed25519", "RS384"}
_IUA = ("iss", "sub", "client_id", "aud", "jti", "exp", "iat", "scope")


def _needs_token(exchange: Exchange) -> bool:
    return exchange.path.startswith(_PROTECTED) and not exchange.path.startswith(_OPEN)


def _token(exchange: Exchange) -> str:
    scheme, _, token = exchange.sent.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _part(token: str, number: int) -> Node:
    """Header (0) or claims (1) of a JWT; empty for what is none."""
    parts = token.split(".")
    try:
        told = orjson.loads(urlsafe_b64decode(parts[number] + "=" * (-len(parts[number]) % 4)))
    except (ValueError, IndexError):
        return {}
    return told if isinstance(told, dict) else {}


@requirement(
    "SEC-01",
    Kind.EXCHANGE,
    "without a certificate that is known there is no service",
    source="API, ONCP, 03",
    cheap=True,
)
def sec_01(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if (not exchange.peer or not exchange.trusted) and exchange.status is not None and exchange.status < 400:
        yield "status"


@requirement(
    "SEC-02", Kind.EXCHANGE, "no token, or one that has ended: 401 with WWW-Authenticate", source="API, IUA", cheap=True
)
def sec_02(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if not _needs_token(exchange) or exchange.status is None:
        return
    ends = _part(_token(exchange), 1).get("exp")
    late = exchange.at is not None and isinstance(ends, int) and exchange.at.timestamp() > ends
    if (not _token(exchange) or late) and exchange.status < 400:
        yield "status"
    if exchange.status == 401 and "www-authenticate" not in exchange.headers:
        yield "WWW-Authenticate"


@requirement(
    "SEC-03",
    Kind.EXCHANGE,
    "a statement is signed asymmetrically; RS256, HS* and none are refused",
    source="API, 03",
    cheap=True,
)
def sec_03(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if exchange.path == "/oauth/token" and exchange.status == 200:
        told = {str(_part(assertion, 0).get("alg")) for assertion in exchange.values("client_assertion")}
        yield from (f"alg {name}" for name in sorted(told - _ALGORITHMS))


@requirement("SEC-04", Kind.EXCHANGE, "another patient than the token's: 403", source="IUA", cheap=True)
def sec_04(exchange: Exchange, pack: Pack) -> Iterator[str]:
    attested = _part(_token(exchange), 1).get("patient")
    asked = {value.rpartition("/")[2] for value in exchange.values("patient")}
    if exchange.is_search and attested is not None and asked - {attested} and exchange.status == 200:
        yield "patient"


@requirement("SEC-05", Kind.EXCHANGE, "a token has the claims of IUA", source="IUA", cheap=True)
def sec_05(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if exchange.path == "/oauth/token" and exchange.status == 200 and exchange.answer:
        claims = _part(el.text(exchange.node, "access_token") or "", 1)
        yield from (name for name in _IUA if not claims.get(name))


@requirement("SEC-06", Kind.EXCHANGE, "a token works on the certificate it was given to alone", source="03", cheap=True)
def sec_06(exchange: Exchange, pack: Pack) -> Iterator[str]:
    bound = el.text(_part(_token(exchange), 1), "cnf", "x5t#S256")
    given = exchange.status is not None and exchange.status < 400 and _needs_token(exchange)
    if given and bound is not None and exchange.peer not in (bound, "known"):
        yield "cnf"


@requirement("SEC-07", Kind.TRAILS, "purpose and role stand in Country A's trail", source="IUA, ONCP")
def sec_07(trails: Trails, pack: Pack) -> Iterator[str]:
    answered = {
        str(one.headers.get("x-request-id")) for one in trails.conversation if _token(one) and one.status == 200
    }
    for event in trails.answering:
        if el.text(event, "exchange_id") in answered:
            yield from (name for name in ("purpose", "role") if not event.get(name))


@requirement("SEC-08", Kind.CONVERSATION, "restricted and absent look alike", source="03")
def sec_08(conversation: Conversation, pack: Pack) -> Iterator[str]:
    asked = (one for one in conversation if one.retrieves and all(is_uid(uid) for uid in one.retrieves))
    absent = {one.answer for one in asked if one.status in (403, 404)}
    empty = {
        (one.path.partition("/_search")[0], frozenset(one.node) - {"link"})
        for one in conversation
        if one.is_search and not one.searches("Patient") and one.status == 200 and one.node.get("total") == 0
    }
    kinds = {path for path, _ in empty}
    if len(absent) > 1:
        yield "answer"
    if len(empty) > len(kinds):
        yield "Bundle"
