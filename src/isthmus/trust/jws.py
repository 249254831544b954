"""Sign and verify, one way: the only door of joserfc.

The library checks the signature. All else (which header members, which `typ`, whose key, for whom, how long, bound to which
certificate) is checked here, and the header before the library sees the token.

Source: trust.md §2.4; RFC 7515; RFC 7519; RFC 8725; RFC 8705 §3.1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key

from isthmus.errors import InvalidAssertion, InvalidToken, IsthmusError, TrustProblem
from isthmus.trust.encoding import base64url, unbase64url
from isthmus.trust.keys import ALGORITHMS, FOREIGN_ALGORITHMS, SigningKey, StatementKey
from isthmus.trust.strict_json import read_object

HEADER = frozenset({"alg", "kid", "typ"})
SKEW_S = 30
MAX_BYTES = 16_384
INNER_MAX_BYTES = 4_096
JTI_MIN = 22  # 128 bits in base64url
_TEXTS = ("iss", "sub", "aud", "jti")
_TIME_MAX = 2**40

KeyFor = Callable[[str, str], StatementKey]


class BadSignature(ValueError):
    """Not a compact JWS of the form we accept, or its signature does not hold. Turned into an error of ours at each slot."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A signed statement that holds: its type, the key and issuer it came from, and what it says."""

    typ: str
    kid: str
    issuer: str
    claims: dict[str, Any]

    def __repr__(self) -> str:  # claims name people
        return f"Statement({self.typ}, {self.issuer}, {self.jti})"

    @property
    def jti(self) -> str:
        return str(self.claims["jti"])

    @property
    def expires_at(self) -> int:
        return int(self.claims["exp"])


def sign(claims: Mapping[str, Any], key: SigningKey, typ: str) -> str:
    """Sign claims as a compact JWS."""
    return sign_bytes(json.dumps(claims, separators=(",", ":"), ensure_ascii=False).encode("utf-8"), key, typ)


def sign_bytes(payload: bytes, key: SigningKey, typ: str) -> str:
    """Sign any payload as a compact JWS."""
    header = {"alg": key.alg, "kid": key.kid, "typ": typ}
    registry = jws.JWSRegistry(algorithms=[key.alg])
    return jws.serialize_compact(header, payload, _imported(_frozen(key.jwk)), registry=registry)


def sign_detached(payload: bytes, key: SigningKey, typ: str) -> str:
    """Sign a payload that is kept elsewhere. Source: RFC 7515 appendix F."""
    return jws.detach_content(sign_bytes(payload, key, typ))


def verify_detached(
    payload: bytes, signature: str, key_of: Callable[[str], StatementKey | None], typ: str
) -> StatementKey:
    """Check a detached signature with the key that its `kid` names among ours. Raises BadSignature."""
    header, middle, tail = _segments(signature)
    if middle:
        raise BadSignature("the signature is not detached")
    head = _header(header)
    key = key_of(head["kid"])
    if head["typ"] != typ or key is None:
        raise BadSignature("the signature is of another type, or its key is not known")
    _verify(f"{header}.{base64url(payload)}.{tail}", head, key, payload)
    return key


def read_signed(token: str, key_of: Callable[[str], StatementKey | None], typ: str, max_bytes: int) -> bytes:
    """Give the payload of a compact JWS whose signature holds: the frame of the trust list. Raises BadSignature."""
    if len(token) > max_bytes:
        raise BadSignature(f"longer than {max_bytes} bytes")
    header, middle, _ = _segments(token)
    head = _header(header)
    key = key_of(head["kid"])
    if head["typ"] != typ or key is None:
        raise BadSignature("signed for another purpose, or by a key that is not known")
    payload = _decoded(middle)
    _verify(token, head, key, payload)
    return payload


def read_foreign(token: str, key_of: Callable[[str, str], StatementKey | None]) -> dict[str, Any]:
    """Read the claims of a token of an identity service, which knows nothing of our frame.

    The header is `alg` and, where it says them, `kid` and `typ`; the JSON is as strict as ours. `key_of(alg, kid)` gives the one key of
    that name and algorithm; which claims there are is the caller's question. Raises BadSignature. Source: OIDC Core §3.1.3.7; RFC 8725.
    """
    if len(token) > MAX_BYTES:
        raise BadSignature(f"longer than {MAX_BYTES} bytes")
    segment, middle, _ = _segments(token)
    head = _texts(segment)
    if "alg" not in head or head.keys() - HEADER or head["alg"] not in FOREIGN_ALGORITHMS:
        raise BadSignature("the header has other members than alg, kid and typ, or an algorithm that is not accepted")
    if head.get("typ", "JWT").upper() != "JWT":
        raise BadSignature("a token of another type")
    key = key_of(head["alg"], head.get("kid", ""))
    if key is None:
        raise BadSignature("signed with a key that is not known")
    payload = _decoded(middle)
    _verify(token, {"alg": head["alg"], "kid": key.kid}, key, payload)
    return _object(payload)


def read_unverified(token: str) -> bytes:
    """The payload of a compact JWS, whoever signed it: to find whose key it has to hold with. Raises BadSignature."""
    header, middle, _ = _segments(token)
    _header(header)
    return _decoded(middle)


def read_statement(
    token: str,
    *,
    typ: frozenset[str],
    key_for: KeyFor,
    audience: frozenset[str],
    max_life_s: int,
    now: datetime,
    x5t: str | None,
    max_bytes: int = MAX_BYTES,
    reason: str = "client-assertion",
    error: type[TrustProblem] = InvalidAssertion,
) -> Statement:
    """Read a statement of another country: everything that can be said of one alone.

    `key_for(iss, kid)` gives the key the list has for that issuer and this slot's use, or raises UntrustedCountry. `x5t` is
    the digest of this connection's certificate, None where the profile has no `cnf`. What statements say of each other,
    and whether one was seen before, is the caller's question. Raises `error` with `reason`.

    Source: trust.md §2.4 rules 1-7.
    """

    def refused(why: str, reason: str = reason) -> IsthmusError:
        return error(why, reason=reason)

    try:
        if len(token) > max_bytes:
            raise BadSignature(f"longer than {max_bytes} bytes")
        header, middle, _ = _segments(token)
        head = _header(header)
        if head["typ"] not in typ:
            raise BadSignature("a statement of another type")
        payload = _decoded(middle)
        claims = _claims(payload)
        key = key_for(claims["iss"], head["kid"])
        if not key.holds(None, now):
            raise BadSignature("the key is not valid now")
        _verify(token, head, key, payload)
        _bound(claims, audience, x5t)
        _lives(claims, max_life_s, now)
    except BadSignature as fault:
        raise refused(str(fault)) from None
    except TrustProblem as fault:
        raise refused("the list has no key for this issuer, kid and use") from fault
    if claims["exp"] <= int(now.timestamp()) - SKEW_S:
        raise refused("expired", "token-expired" if issubclass(error, InvalidToken) else reason)
    return Statement(head["typ"], head["kid"], claims["iss"], claims)


def _segments(token: str) -> tuple[str, str, str]:
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        raise BadSignature("not a compact JWS")
    return parts[0], parts[1], parts[2]


def _decoded(segment: str) -> bytes:
    try:
        return unbase64url(segment)
    except ValueError as error:
        raise BadSignature(str(error)) from None


def _object(content: bytes) -> dict[str, Any]:
    try:
        return read_object(content)
    except (ValueError, RecursionError) as error:
        why = "not JSON" if isinstance(error, json.JSONDecodeError | UnicodeError) else str(error)
        raise BadSignature(why) from None


def _header(segment: str) -> dict[str, str]:
    """Exactly `alg`, `kid`, `typ`, each once, judged before the library sees the token."""
    header = _texts(segment)
    if header.keys() != HEADER:
        raise BadSignature("the header does not consist of alg, kid and typ")
    if header["alg"] not in ALGORITHMS:
        raise BadSignature("an algorithm that is not accepted")
    return header


def _texts(segment: str) -> dict[str, str]:
    """A header of a few texts."""
    if len(segment) > 512:
        raise BadSignature("the header is longer than 512 bytes")
    header = _object(_decoded(segment))
    if not all(isinstance(value, str) and value for value in header.values()):
        raise BadSignature("the header has members that are no text")
    return header


def _claims(payload: bytes) -> dict[str, Any]:
    claims = _object(payload)
    for name in _TEXTS:
        if not isinstance(claims.get(name), str) or not claims[name]:
            raise BadSignature(f"{name} is missing or not one string")
    for name in ("iat", "exp"):
        _time(claims.get(name), name)
    if "nbf" in claims:
        _time(claims["nbf"], "nbf")
    if not JTI_MIN <= len(claims["jti"]) <= 128:
        raise BadSignature("jti has fewer than 128 bits, or is too long")
    return claims


def _time(value: object, name: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _TIME_MAX:
        raise BadSignature(f"{name} is missing or not a time in whole seconds")


def _bound(claims: Mapping[str, Any], audience: frozenset[str], x5t: str | None) -> None:
    if claims["aud"] not in audience:
        raise BadSignature("meant for another audience")
    if x5t is None:
        return
    cnf = claims.get("cnf")
    if not isinstance(cnf, dict) or cnf.get("x5t#S256") != x5t:
        raise BadSignature("not bound to this connection's certificate")


def _lives(claims: Mapping[str, Any], max_life_s: int, now: datetime) -> None:
    second = int(now.timestamp())
    if claims["iat"] > second + SKEW_S or claims.get("nbf", 0) > second + SKEW_S:
        raise BadSignature("issued in the future: compare clocks")
    if not 0 < claims["exp"] - claims["iat"] <= max_life_s:
        raise BadSignature(f"lives longer than {max_life_s} s, or not at all")


def _verify(token: str, header: Mapping[str, str], key: StatementKey, payload: bytes) -> None:
    """The signature, with this one key and its one algorithm."""
    if header["alg"] != key.alg or header["kid"] != key.kid:
        raise BadSignature("another algorithm than the key's")
    registry = jws.JWSRegistry(algorithms=[key.alg])
    registry.max_payload_length = max(len(payload) * 4 // 3 + 4, 1)
    try:
        signed = jws.deserialize_compact(token, _imported(_frozen(key.jwk)), registry=registry)
    except (JoseError, ValueError, TypeError, RecursionError):
        raise BadSignature("the signature does not hold") from None
    if signed.payload != payload:
        raise BadSignature("the signature does not hold")


def _frozen(jwk: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in jwk.items() if name != "demo"}, sort_keys=True)


@lru_cache(maxsize=256)
def _imported(jwk: str) -> Key:
    return import_key(json.loads(jwk))
