"""Every forgery in every slot: client assertion, statement on the professional, relationship, access token. Nothing is fetched, nothing opens.

The library alone would let most of them pass; where they stand decides only with which code they are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from isthmus.testing.border import PracticeBorder, Reply
from isthmus.testing.register import SEEN
from isthmus.trust.encoding import base64url, unbase64url
from isthmus.trust.keys import SigningKey, load_signing_key, new_signing_key
from isthmus.wire.tokens import write_token_request

pytestmark = pytest.mark.anyio
SLOTS = {
    "client": (401, "client-assertion"),
    "hpa": (400, "hpa-invalid"),
    "trc": (400, "trc-invalid"),
    "at": (401, "token"),
}
TYPES = {"client": "client-authentication+jwt", "hpa": "hpa+jwt", "trc": "trc+jwt", "at": "at+jwt"}
Forge = Callable[[dict[str, Any], dict[str, Any], SigningKey, str], str]


def signed(header: Any, payload: Any, key: SigningKey) -> str:
    """A token whose signature holds, whatever stands in it."""
    parts = [base64url(p if isinstance(p, bytes) else json.dumps(p).encode()) for p in (header, payload)]
    private = ec.derive_private_key(int.from_bytes(unbase64url(key.jwk["d"])), ec.SECP256R1())
    r, s = decode_dss_signature(private.sign(".".join(parts).encode(), ec.ECDSA(hashes.SHA256())))
    return ".".join([*parts, base64url(r.to_bytes(32) + s.to_bytes(32))])


def with_head(**changes: Any) -> Forge:
    return lambda head, claims, key, canary: signed(
        {**head, **{k: v.replace("CANARY", canary) if isinstance(v, str) else v for k, v in changes.items()}},
        claims,
        key,
    )


def with_claims(**changes: Any) -> Forge:
    return lambda head, claims, key, canary: signed(
        head, {k: v for k, v in {**claims, **changes}.items() if v is not None}, key
    )


def with_text(text: str | bytes) -> Forge:
    """More text at the end of the claims."""
    more = text.encode() if isinstance(text, str) else text
    return lambda head, claims, key, canary: signed(head, json.dumps(claims).encode()[:-1] + b", " + more + b"}", key)


def unsigned(head: dict[str, Any], claims: dict[str, Any], key: SigningKey, canary: str) -> str:
    parts = (json.dumps({**head, "alg": "none"}).encode(), json.dumps(claims).encode())
    return ".".join([*(base64url(part) for part in parts), ""])


def with_public_key_as_secret(head: dict[str, Any], claims: dict[str, Any], key: SigningKey, canary: str) -> str:
    parts = [base64url(json.dumps(p).encode()) for p in ({**head, "alg": "HS256"}, claims)]
    secret = json.dumps(key.public_jwk).encode()
    return ".".join([*parts, base64url(hmac.digest(secret, ".".join(parts).encode(), "sha256"))])


def by_a_stranger(embedded: bool) -> Forge:
    def forge(head: dict[str, Any], claims: dict[str, Any], key: SigningKey, canary: str) -> str:
        stranger = new_signing_key(key.kid, demo=True)
        return signed({**head, **({"jwk": stranger.public_jwk} if embedded else {})}, claims, stranger)

    return forge


def reshaped(shape: Callable[[str], str]) -> Forge:
    return lambda head, claims, key, canary: shape(signed(head, claims, key))


def without(member: str) -> Forge:
    return lambda head, claims, key, canary: signed({k: v for k, v in head.items() if k != member}, claims, key)


FORGERIES: Mapping[str, Forge] = {
    "no algorithm": unsigned,
    "alg none, signed": with_head(alg="none"),
    "HS256 with the public key": with_public_key_as_secret,
    "ES384 by name": with_head(alg="ES384"),
    "RS256": with_head(alg="RS256"),
    "EdDSA": with_head(alg="EdDSA"),
    "a stranger's signature": by_a_stranger(embedded=False),
    "a key inside": by_a_stranger(embedded=True),
    "jku": with_head(jku="CANARY/keys"),
    "x5u": with_head(x5u="CANARY/certificate"),
    "x5c": with_head(x5c=["MIIB"]),
    "crit": with_head(crit=["exp"]),
    "b64": with_head(b64=False, crit=["b64"]),
    "zip": with_head(zip="DEF"),
    "cty": with_head(cty="JWT"),
    "kid an address": with_head(kid="CANARY/key"),
    "kid a path": with_head(kid="../../../../etc/passwd"),
    "kid as SQL": with_head(kid="x' OR 1=1 --"),
    "kid a number": with_head(kid=1),
    "no kid": without("kid"),
    "no typ": without("typ"),
    "typ of none": with_head(typ="JOSE"),
    "claim twice": with_text('"aud": "urn:ehealth:aa:ncp-idp"'),
    "member twice inside": with_text('"x": {"a": 1, "a": 2}'),
    "NaN": with_text('"x": NaN'),
    "beyond numbers": with_text('"x": 1e400'),
    "lone surrogate": with_text('"x": "\\ud800"'),
    "no UTF-8": with_text(b'"x": "\xff"'),
    "deep": with_text('"x": ' + "[" * 2000 + "]" * 2000),
    "audience list": with_claims(aud=["urn:ehealth:aa:ncp-idp"]),
    "two audiences": with_claims(aud=["urn:ehealth:aa:ncp-idp", "urn:ehealth:cc:ncp-idp"]),
    "another country's audience": with_claims(aud="urn:ehealth:cc:ncp-idp"),
    "audience with a slash": with_claims(aud="urn:ehealth:aa:ncp-idp/"),
    "ten years": with_claims(exp=int(time.time()) + 315_360_000),
    "no end": with_claims(exp=None),
    "end as text": with_claims(exp="9999999999"),
    "end a truth": with_claims(exp=True),
    "from tomorrow": with_claims(iat=int(time.time()) + 86_400, exp=int(time.time()) + 86_430),
    "no jti": with_claims(jti=None),
    "short jti": with_claims(jti="1"),
    "another certificate": with_claims(cnf={"x5t#S256": base64url(hashlib.sha256(b"other").digest())}),
    "no certificate": with_claims(cnf=None),
    "padded": reshaped(lambda token: token + "=="),
    "blank": reshaped(lambda token: token.replace(".", " .", 1)),
    "four parts": reshaped(lambda token: token + ".e30"),
    "two parts": reshaped(lambda token: token.rpartition(".")[0]),
    "no signature": reshaped(lambda token: token.rpartition(".")[0] + "."),
}


@contextmanager
def canary() -> Iterator[tuple[str, list[str]]]:
    """A server that nobody has a reason to ask, and who did."""
    asked: list[str] = []

    class Note(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Note)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


async def put(border: PracticeBorder, slot: str, forge: Forge, address: str) -> Reply:
    """One forged statement in its slot; all else is right, and new."""
    bb, patient = border.bb, replace(SEEN, handle=border.known)  # type: ignore[attr-defined]  # set by the fixture
    claims = {"client": {}, "hpa": bb.hpa_claims(), "trc": bb.trc_claims(patient), "at": {}}
    right = {"hpa": bb.sign_hpa(claims["hpa"]), "trc": bb.sign_trc(claims["trc"])}
    if slot == "client":
        claims["client"] = bb.client_claims(**right)
    if slot == "at":
        reply = await border.knock(bb.request(trc=claims["trc"]))
        claims["at"] = json.loads(unbase64url(reply.json()["access_token"].split(".")[1]))
    ours = border.settings
    at_key = load_signing_key(ours.path(ours.keys.at), ours.env)
    key = {"client": bb.sig, "hpa": bb.hpa_key, "trc": bb.sig, "at": at_key}[slot]
    forged = forge({"alg": "ES256", "kid": key.kid, "typ": TYPES[slot]}, claims[slot], key, address)
    if slot == "at":
        return await border.ask("/fhir/DocumentReference", token=forged, query={"patient": patient.handle or ""})
    if slot == "client":
        return await border.knock(write_token_request(forged))
    return await border.knock(write_token_request(bb.sign_client(bb.client_claims(**{**right, slot: forged}))))


@pytest.fixture
async def at_work(border: PracticeBorder) -> PracticeBorder:
    border.known = await border.find(SEEN, await border.token())  # type: ignore[attr-defined]  # for `put`
    return border


@pytest.mark.parametrize("slot", SLOTS)
async def test_the_same_statement_unforged_is_accepted(at_work: PracticeBorder, slot: str) -> None:
    """Or the corpus would be refused for another reason."""
    reply = await put(at_work, slot, lambda head, claims, key, canary: signed(head, claims, key), "")

    assert reply.status == 200, reply.body


@pytest.mark.threat("T13")
@pytest.mark.threat("T14")
@pytest.mark.threat("T16")
@pytest.mark.threat("T17")
@pytest.mark.threat("T18")
@pytest.mark.parametrize("slot", SLOTS)
async def test_no_forgery_opens_a_slot_and_nothing_is_fetched(at_work: PracticeBorder, slot: str) -> None:
    opened, slow = {}, {}
    with canary() as (address, asked):
        for name, forge in FORGERIES.items():
            began = time.process_time()
            reply = await put(at_work, slot, forge, address)
            slow[name] = time.process_time() - began
            if (reply.status, reply.code) != SLOTS[slot]:
                opened[name] = (reply.status, reply.code)

    assert opened == {}
    assert asked == []
    assert {name for name, s in slow.items() if s > 1.0} == set()


@pytest.mark.threat("T16")
@pytest.mark.parametrize("size", [20_000, 40_000, 2_000_000])
async def test_a_token_without_measure_is_refused_before_it_is_read(at_work: PracticeBorder, size: int) -> None:
    began = time.process_time()

    knocked = await at_work.knock(write_token_request("a" * size))
    asked = await at_work.ask("/fhir/DocumentReference", token="a" * size)

    assert (knocked.status, knocked.code) in ((401, "client-assertion"), (413, "limit"))
    assert asked.status == 401
    assert time.process_time() - began < 1.0
