"""What a statement must be to be believed. The corpus names what joserfc alone would let pass."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from isthmus.errors import InvalidAssertion, InvalidToken, UntrustedCountry
from isthmus.trust import jws
from isthmus.trust.encoding import base64url, unbase64url
from isthmus.trust.keys import SigningKey, StatementKey, new_signing_key

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
SECOND = int(NOW.timestamp())
B, A = "urn:ehealth:bb:ncp-idp", "urn:ehealth:aa:ncp-idp"
X5T = base64url(hashlib.sha256(b"certificate").digest())
TYP = "client-authentication+jwt"
KEY = new_signing_key("bb-sig-1", demo=True)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def claims(**changes: Any) -> dict[str, Any]:
    whole = {
        "iss": B,
        "sub": B,
        "aud": A,
        "iat": SECOND,
        "exp": SECOND + 60,
        "jti": base64url(bytes(range(16))),
        "cnf": {"x5t#S256": X5T},
    }
    return {name: value for name, value in {**whole, **changes}.items() if value is not None}


def public(key: SigningKey, **changes: Any) -> StatementKey:
    values: dict[str, Any] = {"kid": key.kid, "uses": frozenset({"client_auth"}), "alg": "ES256", "jwk": key.public_jwk}
    return StatementKey(**{**values, **changes})


def key_for(iss: str, kid: str) -> StatementKey:
    if (iss, kid) != (B, KEY.kid):
        raise UntrustedCountry("no such key")
    return public(KEY)


def read(token: str, **changes: Any) -> jws.Statement:
    options: dict[str, Any] = {
        "typ": frozenset({TYP}),
        "key_for": key_for,
        "audience": frozenset({A}),
        "max_life_s": 60,
        "now": NOW,
        "x5t": X5T,
    }
    return jws.read_statement(token, **{**options, **changes})


def raw(header: str | bytes, payload: str | bytes, key: SigningKey = KEY) -> str:
    """A token whose signature holds, whatever stands in it."""
    parts = [base64url(part if isinstance(part, bytes) else part.encode()) for part in (header, payload)]
    private = ec.derive_private_key(int.from_bytes(unbase64url(key.jwk["d"])), ec.SECP256R1())
    r, s = decode_dss_signature(private.sign(".".join(parts).encode(), ec.ECDSA(hashes.SHA256())))
    return ".".join([*parts, base64url(r.to_bytes(32) + s.to_bytes(32))])


def head(**changes: Any) -> str:
    return json.dumps({"alg": "ES256", "kid": KEY.kid, "typ": TYP, **changes})


def said(**changes: Any) -> str:
    return json.dumps(claims(**changes))


def mac() -> str:
    """HS256 with the public key as its secret."""
    parts = f"{base64url(head(alg='HS256').encode())}.{base64url(said().encode())}"
    secret = json.dumps(KEY.public_jwk).encode()
    return f"{parts}.{base64url(hmac.digest(secret, parts.encode(), 'sha256'))}"


def padded(part: int) -> str:
    parts = jws.sign(claims(), KEY, TYP).split(".")
    parts[part] += "=" * (-len(parts[part]) % 4 or 4)
    return ".".join(parts)


def flipped() -> str:
    header, payload, tail = jws.sign(claims(), KEY, TYP).split(".")
    return f"{header}.{payload}.{'A' if tail[0] != 'A' else 'B'}{tail[1:]}"


def twin(token: str) -> str:
    header, payload, tail = token.split(".")
    signature = unbase64url(tail)
    s = int.from_bytes(signature[32:])
    return f"{header}.{payload}.{base64url(signature[:32] + (ORDER - s).to_bytes(32))}"


STRANGER = new_signing_key(KEY.kid, demo=True)
JWK = KEY.public_jwk
MALFORMED = {
    "none": lambda: f"{base64url(head(alg='none').encode())}.{base64url(said().encode())}.",
    "none with a signature": lambda: raw(head(alg="none"), said()),
    "HS256 with the public key": mac,
    "ES384 by name": lambda: raw(head(alg="ES384"), said()),
    "RS256": lambda: raw(head(alg="RS256"), said()),
    "EdDSA": lambda: raw(head(alg="EdDSA"), said()),
    "embedded jwk": lambda: raw(head(jwk=STRANGER.public_jwk), said(), STRANGER),
    "jku": lambda: raw(head(jku="http://127.0.0.1:1/keys"), said()),
    "x5u": lambda: raw(head(x5u="http://127.0.0.1:1/cert"), said()),
    "x5c": lambda: raw(head(x5c=["MIIB"]), said()),
    "crit": lambda: raw(head(crit=["exp"]), said()),
    "b64": lambda: raw(head(b64=False, crit=["b64"]), said()),
    "zip": lambda: raw(head(zip="DEF"), said()),
    "cty": lambda: raw(head(cty="JWT"), said()),
    "no kid": lambda: raw(json.dumps({"alg": "ES256", "typ": TYP}), said()),
    "no typ": lambda: raw(json.dumps({"alg": "ES256", "kid": KEY.kid}), said()),
    "kid a number": lambda: raw(head(kid=1), said()),
    "kid a path": lambda: raw(head(kid="../../etc/passwd"), said()),
    "kid as SQL": lambda: raw(head(kid="x' OR 1=1 --"), said()),
    "header member twice": lambda: raw(head()[:-1] + ', "alg": "ES256"}', said()),
    "header a list": lambda: raw("[]", said()),
    "header deep": lambda: raw('{"alg":' + "[" * 150 + "]" * 150 + "}", said()),
    "claim twice": lambda: raw(head(), said()[:-1] + f', "aud": "{A}"}}'),
    "inner member twice": lambda: raw(head(), said()[:-1] + ', "x": {"a": 1, "a": 2}}'),
    "NaN": lambda: raw(head(), said()[:-1] + ', "x": NaN}'),
    "infinite": lambda: raw(head(), said()[:-1] + ', "x": 1e400}'),
    "minus infinity": lambda: raw(head(), said()[:-1] + ', "x": -Infinity}'),
    "deep": lambda: raw(head(), said()[:-1] + ', "x": ' + "[" * 8 + "]" * 8 + "}"),
    "very deep": lambda: raw(head(), '{"x":' + "[" * 5000 + "]" * 5000 + "}"),
    "lone surrogate": lambda: raw(head(), said()[:-1] + ', "x": "\\ud800"}'),
    "lone surrogate in a name": lambda: raw(head(), said()[:-1] + ', "\\udc00": 1}'),
    "not UTF-8": lambda: raw(head(), said()[:-1].encode() + b', "x": "\xff"}'),
    "byte order mark": lambda: raw(head(), "\ufeff" + said()),
    "not JSON": lambda: raw(head(), "claims"),
    "a list": lambda: raw(head(), "[]"),
    "huge number": lambda: raw(head(), said()[:-1] + ', "x": ' + "9" * 5000 + "}"),
    "padded header": lambda: padded(0),
    "padded payload": lambda: padded(1),
    "padded signature": lambda: padded(2),
    "blank at the end": lambda: jws.sign(claims(), KEY, TYP) + " ",
    "line break at the end": lambda: jws.sign(claims(), KEY, TYP) + "\n",
    "two segments": lambda: jws.sign(claims(), KEY, TYP).rpartition(".")[0],
    "four segments": lambda: jws.sign(claims(), KEY, TYP) + ".",
    "beyond ASCII": lambda: jws.sign(claims(), KEY, TYP) + "é",
    "empty": lambda: "",
    "oversized": lambda: raw(head(), said(x="x" * 13_000)),
    "another's signature": lambda: jws.sign(claims(), STRANGER, TYP),
    "a bit flipped": flipped,
}
UNTRUE = {
    "no iss": {"iss": None},
    "no sub": {"sub": None},
    "no jti": {"jti": None},
    "empty jti": {"jti": ""},
    "short jti": {"jti": "abc"},
    "no iat": {"iat": None},
    "no exp": {"exp": None},
    "exp as text": {"exp": str(SECOND + 60)},
    "exp a truth": {"exp": True},
    "exp a fraction": {"exp": SECOND + 60.0},
    "iat a fraction": {"iat": SECOND + 0.9},
    "iat below zero": {"iat": -1},
    "times absurd": {"iat": 2**60, "exp": 2**60 + 60},
    "ten years": {"exp": SECOND + 315_360_000},
    "a second over the life": {"exp": SECOND + 61},
    "no life": {"exp": SECOND},
    "issued in the future": {"iat": SECOND + 31, "exp": SECOND + 60},
    "not before the future": {"nbf": SECOND + 31},
    "expired": {"iat": SECOND - 90, "exp": SECOND - 30},
    "audience list": {"aud": [A]},
    "audience list of two": {"aud": [A, "urn:ehealth:cc:ncp-idp"]},
    "other audience": {"aud": "urn:ehealth:cc:ncp-idp"},
    "audience with a slash": {"aud": A + "/"},
    "audience in capitals": {"aud": A.upper()},
    "no audience": {"aud": None},
    "no cnf": {"cnf": None},
    "cnf a text": {"cnf": X5T},
    "other certificate": {"cnf": {"x5t#S256": base64url(hashlib.sha256(b"other").digest())}},
    "other issuer": {"iss": "urn:ehealth:cc:ncp-idp"},
}


def test_a_statement_may_have_the_most_bytes_and_not_one_more() -> None:
    tokens = [jws.sign(claims(x="x" * more), KEY, TYP) for more in (100, 200)]
    longest = max(tokens, key=len)

    assert read(longest, max_bytes=len(longest)).issuer == B
    with pytest.raises(InvalidAssertion, match="longer than"):
        read(longest, max_bytes=len(longest) - 1)


def test_times_end_before_anything_absurd() -> None:
    with pytest.raises(InvalidAssertion, match="not a time"):
        read(raw(head(), said(iat=2**40 - 30, exp=2**40)))


def test_a_statement_that_keeps_all_rules_is_read() -> None:
    token = jws.sign(claims(), KEY, TYP)

    statement = read(token)

    assert (statement.typ, statement.kid, statement.issuer, statement.claims) == (TYP, KEY.kid, B, claims())


@pytest.mark.requirement("SEC-03")
@pytest.mark.threat("T13")
@pytest.mark.threat("T14")
@pytest.mark.threat("T16")
@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_token_is_refused(make: Callable[[], str]) -> None:
    token = make()

    with pytest.raises(InvalidAssertion) as refusal:
        read(token)

    assert refusal.value.reason == "client-assertion"


@pytest.mark.threat("T17")
@pytest.mark.threat("T18")
@pytest.mark.threat("T20")
@pytest.mark.threat("T21")
@pytest.mark.parametrize("changes", UNTRUE.values(), ids=UNTRUE.keys())
def test_a_claim_that_does_not_hold_is_refused(changes: dict[str, Any]) -> None:
    token = raw(head(), said(**changes))

    with pytest.raises(InvalidAssertion):
        read(token)


@pytest.mark.threat("T17")
@pytest.mark.fault("F52")
@pytest.mark.parametrize(
    "changes",
    [
        {"iat": SECOND + 30, "exp": SECOND + 60},
        {"iat": SECOND - 89, "exp": SECOND - 29},
        {"exp": SECOND + 60},
        {"exp": SECOND + 1},
    ],
)
def test_clocks_may_differ_by_thirty_seconds(changes: dict[str, Any]) -> None:
    token = raw(head(), said(**changes))

    statement = read(token)

    assert statement.expires_at == changes["exp"]


@pytest.mark.threat("T15")
@pytest.mark.parametrize(
    "typ", ["hpa+jwt", "trc+jwt", "nok+jwt", "at+jwt", "ncp-receipt+jwt", "Client-Authentication+JWT"]
)
def test_a_statement_of_another_type_is_refused(typ: str) -> None:
    token = jws.sign(claims(), KEY, typ)

    with pytest.raises(InvalidAssertion):
        read(token)


@pytest.mark.parametrize(
    "changes",
    [{"status": "revoked"}, {"status": "next"}, {"status": "novel"}, {"not_before": SECOND + 1}, {"not_after": SECOND}],
)
def test_a_key_outside_its_time_or_status_is_refused(changes: dict[str, Any]) -> None:
    token = jws.sign(claims(), KEY, TYP)

    with pytest.raises(InvalidAssertion):
        read(token, key_for=lambda iss, kid: public(KEY, **changes))


def test_an_outgoing_key_still_verifies() -> None:
    token = jws.sign(claims(), KEY, TYP)

    statement = read(token, key_for=lambda iss, kid: public(KEY, status="previous"))

    assert statement.issuer == B


def test_inner_statements_have_a_smaller_limit() -> None:
    token = jws.sign(claims(x="x" * 4_000), KEY, TYP)

    with pytest.raises(InvalidAssertion) as refusal:
        read(token, max_bytes=jws.INNER_MAX_BYTES, reason="hpa-invalid")

    assert refusal.value.reason == "hpa-invalid"


def test_an_expired_access_token_says_so() -> None:
    token = jws.sign(claims(iat=SECOND - 400, exp=SECOND - 100), KEY, "at+jwt")

    with pytest.raises(InvalidToken) as refusal:
        read(token, typ=frozenset({"at+jwt"}), max_life_s=300, reason="token", error=InvalidToken)

    assert refusal.value.reason == "token-expired"


@pytest.mark.threat("T19")
def test_the_twin_of_a_signature_holds_and_carries_the_same_jti() -> None:
    token = jws.sign(claims(), KEY, TYP)

    first, second = read(token), read(twin(token))

    assert twin(token) != token
    assert (first.issuer, first.typ, first.jti) == (second.issuer, second.typ, second.jti)


def test_no_claim_shows_in_a_representation() -> None:
    statement = read(jws.sign(claims(extensions={"name": "Eleni"}), KEY, TYP))

    shown = repr(statement) + repr(KEY)

    assert "Eleni" not in shown
    assert KEY.jwk["d"] not in shown


def test_a_detached_signature_holds_for_its_bytes_alone() -> None:
    payload = b'{"resourceType":"Consent"}'
    signature = jws.sign_detached(payload, KEY, "ncp-directive+jws")
    keys = {KEY.kid: public(KEY, uses=frozenset({"consent"}))}

    key = jws.verify_detached(payload, signature, keys.get, "ncp-directive+jws")

    assert key.kid == KEY.kid
    assert ".." in signature
    with pytest.raises(jws.BadSignature):
        jws.verify_detached(payload + b" ", signature, keys.get, "ncp-directive+jws")
    with pytest.raises(jws.BadSignature):
        jws.verify_detached(payload, signature, keys.get, "other+jws")
    with pytest.raises(jws.BadSignature):
        jws.verify_detached(payload, signature, lambda kid: None, "ncp-directive+jws")
    with pytest.raises(jws.BadSignature):
        jws.verify_detached(payload, jws.sign_bytes(payload, KEY, "ncp-directive+jws"), keys.get, "ncp-directive+jws")
