"""The identity token of an OpenID Connect sign-in, read as strictly as a statement at the border.

Source: OIDC Core §2, §3.1.3.7, §3.1.3.8; trust.md §2.4 (rules 1, 4, 5).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.errors import InsufficientRights
from isthmus.trust.encoding import base64url
from isthmus.trust.jws import SKEW_S, BadSignature, read_foreign
from isthmus.trust.keys import StatementKey, foreign_key

AGE_MAX_S = 300  # it comes straight from the token endpoint
KEYS_MAX = 100
_TIME_MAX = 2**40


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of an identity service."""

    jwks: tuple[Mapping[str, Any], ...] = field(repr=False)

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Keys:
        """From its JWK set; what is no key in it is passed over."""
        keys = said.get("keys")
        return cls(tuple(k for k in (keys if isinstance(keys, list) else [])[:KEYS_MAX] if isinstance(k, dict)))

    def find(self, alg: str, kid: str) -> StatementKey | None:
        """The one key of that name for that algorithm; a token that names none needs a service that has one."""
        good = [key for jwk in self.jwks if (key := foreign_key(jwk, alg)) is not None]
        named = [key for key in good if key.kid == kid] if kid else good
        return named[0] if len(named) == 1 else None


@dataclass(frozen=True, slots=True)
class IdToken:
    """An identity token that holds."""

    claims: Mapping[str, Any] = field(repr=False)
    auth_time: int

    def fresh(self, after: int, second: int) -> None:
        """Whether the person signed in after that moment, by the service's own clock. Raises InsufficientRights."""
        if not after - SKEW_S <= self.auth_time <= second + SKEW_S:
            raise _no("the sign-in is older than what was asked for, or from the future")


def read_id_token(
    token: str, keys: Keys, issuer: str, client_id: str, *, nonce: str, access_token: str, second: int
) -> IdToken:
    """Read it for this attempt. Raises InsufficientRights (identity): whose, for whom, for what question, when, with which access token."""
    try:
        claims = read_foreign(token, keys.find)
    except BadSignature as fault:
        raise _no(f"the identity token: {fault}") from None
    audience = claims.get("aud")
    if (
        claims.get("iss") != issuer
        or audience not in (client_id, [client_id])
        or claims.get("azp", client_id) != client_id
    ):
        raise _no("the identity token is another issuer's, or for others too")
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise _no("the identity token answers another question")
    times = {name: _time(claims, name) for name in ("iat", "exp", "auth_time")}
    if not second - AGE_MAX_S <= times["iat"] <= second + SKEW_S or times["exp"] <= second - SKEW_S:
        raise _no("the identity token is old, expired, or from the future: compare clocks")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise _no("the identity token names nobody")
    if "at_hash" in claims and claims["at_hash"] not in _left_halves(access_token):
        raise _no("the identity token belongs to another access token")
    return IdToken(claims, times["auth_time"])


def _time(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _TIME_MAX:
        raise _no(f"the identity token does not say {name} in whole seconds")
    return value


def _left_halves(access_token: str) -> set[str]:
    """By each hash that an accepted algorithm goes with. Source: OIDC Core §3.1.3.6."""
    digests = [made(access_token.encode()).digest() for made in (hashlib.sha256, hashlib.sha384, hashlib.sha512)]
    return {base64url(digest[: len(digest) // 2]) for digest in digests}


def _no(why: str) -> InsufficientRights:
    return InsufficientRights(why, reason="identity")
