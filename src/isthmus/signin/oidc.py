"""Sign-in by OpenID Connect: authorization code with PKCE, pushed where the service takes it; every answer is held against its question.

The service is known by its issuer alone. What it says of itself is taken from its discovery document, and only for origins that the
settings name. An identity token is read as strictly as a statement at the border; userinfo only fills in what it leaves out.

Source: trust.md §2.13, §2.14, T28; OIDC Core §3.1; OIDC Discovery §4; RFC 7636; RFC 9126; RFC 9207; RFC 9470; RFC 9700.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from isthmus.errors import InsufficientRights, IsthmusError, NationalInfrastructureUnavailable, WeakAuthentication
from isthmus.model.assurance import LEVELS, LOA, reaches
from isthmus.model.people import HealthProfessional
from isthmus.providers import Provider, origin
from isthmus.signin.claims import asked_for, needed, professional_of
from isthmus.signin.id_tokens import IdToken, Keys, read_id_token
from isthmus.signin.provider import Attempt, Elsewhere, Wish
from isthmus.transport.services import Services
from isthmus.transport.upstream import Reply
from isthmus.trust.encoding import base64url
from isthmus.trust.jws import sign
from isthmus.trust.keys import SigningKey
from isthmus.trust.strict_json import read_object

KNOWN_S = 3600  # how long what it says of itself holds
KEYS_AGAIN_S = 10  # how soon its keys are asked for again when a signature does not hold
SIGN_IN_MAX_S = 8 * 3600
CLIENT_LIFE_S = 60
BEARER_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_MUST = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_MAY = ("pushed_authorization_request_endpoint", "userinfo_endpoint")


@dataclass(frozen=True, slots=True)
class Discovered:
    """What the service says of itself, as far as it is used."""

    endpoints: Mapping[str, str]
    says_iss: bool
    posts_secret: bool  # the only way it takes a secret


@dataclass
class _Held:
    """What is kept of the service, and since when."""

    discovered: Discovered | None = None
    at: float = 0.0
    keys: Keys | None = None
    keys_at: float = field(default=0.0)


class OpenIdProvider:
    """One identity service. `back` is our address that a browser comes back to; `key` ours, where we show ourselves with one."""

    def __init__(
        self,
        section: Provider,
        services: Services,
        *,
        back: str,
        key: SigningKey | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._section, self._services, self._back, self._key, self._clock = section, services, back, key, clock
        self._held = _Held()

    @property
    def name(self) -> str:
        return self._section.name

    @property
    def label(self) -> str:
        return self._section.label

    async def close(self) -> None:
        await self._services.close()

    async def begin(self, wish: Wish) -> Elsewhere | None:
        """Where the browser goes. Whatever can be pushed is pushed; the address then says nothing but who asks."""
        found = await self._discovered()
        attempt = Attempt(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            begun=self._second(),
        )
        asked = self._question(wish, attempt)
        pushed = found.endpoints.get("pushed_authorization_request_endpoint")
        if pushed is not None:
            said = _object(await self._posted(found, pushed, asked), 201)
            asked = [("client_id", self._section.client_id), ("request_uri", _text(said, "request_uri"))]
        url = found.endpoints["authorization_endpoint"]
        return Elsewhere(f"{url}{'&' if '?' in url else '?'}{urlencode(asked, quote_via=quote)}", attempt)

    async def finish(self, said: Mapping[str, str], wish: Wish, attempt: Attempt | None) -> HealthProfessional:
        """The professional whom the service vouches for.

        Raises InsufficientRights (identity, no-role) for an answer that does not belong to the attempt, does not hold, or names nobody here;
        WeakAuthentication when the level is missing or too low.
        """
        if attempt is None:
            raise _no("nothing was begun in this browser")
        found = await self._discovered()
        self._belongs(said, attempt, found)
        form = [
            ("grant_type", "authorization_code"),
            ("code", said["code"]),
            ("redirect_uri", self._back),
            ("code_verifier", attempt.verifier),
        ]
        answer = _object(await self._posted(found, found.endpoints["token_endpoint"], form), 200)
        if str(answer.get("token_type", "")).lower() != "bearer":
            raise _no("the token endpoint gives no bearer token")
        access = _text(answer, "access_token")
        token = await self._read(found, _text(answer, "id_token"), attempt, access)
        fresh_after = attempt.begun if wish.again else self._second() - SIGN_IN_MAX_S
        token.fresh(fresh_after, self._second())
        claims = await self._filled(found, token.claims, access)
        who = professional_of(self._section, claims, token.auth_time)
        _as_wished(who, wish)
        return who

    def _question(self, wish: Wish, attempt: Attempt) -> list[tuple[str, str]]:
        challenge = base64url(hashlib.sha256(attempt.verifier.encode()).digest())
        return [
            ("response_type", "code"),
            ("client_id", self._section.client_id),
            ("redirect_uri", self._back),
            ("scope", self._section.scope),
            ("state", attempt.state),
            ("nonce", attempt.nonce),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
            ("acr_values", asked_for(self._section, wish.least)),
            ("max_age", "0" if wish.again else str(SIGN_IN_MAX_S)),
            *([("prompt", "login")] if wish.again else []),
        ]

    def _belongs(self, said: Mapping[str, str], attempt: Attempt, found: Discovered) -> None:
        """Whether what came back answers this attempt, and comes from this service."""
        if not hmac.compare_digest(said.get("state", "").encode(), attempt.state.encode()):
            raise _no("the state is another: this browser did not begin it")
        if said.get("iss", self._section.issuer if not found.says_iss else "") != self._section.issuer:
            raise _no("the answer comes from another issuer, or does not say from which")
        if "error" in said or not said.get("code"):
            raise _no(f"the identity service refuses ({said.get('error', 'no code')[:40]!r})")

    async def _read(self, found: Discovered, token: str, attempt: Attempt, access: str) -> IdToken:
        """The identity token; with the service's keys asked for anew when none of those at hand made it."""
        section, second = self._section, self._second()

        def read(keys: Keys) -> IdToken:
            return read_id_token(
                token, keys, section.issuer, section.client_id, nonce=attempt.nonce, access_token=access, second=second
            )

        keys, fresh = await self._keys(found, again=False)
        try:
            return read(keys)
        except InsufficientRights:
            if fresh or second - self._held.keys_at < KEYS_AGAIN_S:
                raise
        return read((await self._keys(found, again=True))[0])

    async def _filled(self, found: Discovered, claims: Mapping[str, Any], access: str) -> Mapping[str, Any]:
        """With what userinfo adds; it never replaces what was signed."""
        endpoint = found.endpoints.get("userinfo_endpoint")
        if endpoint is None or needed(self._section) <= claims.keys():
            return claims
        more = _object(await self._services.ask(endpoint, headers={"Authorization": f"Bearer {access}"}), 200)
        if more.get("sub") != claims.get("sub"):
            raise _no("userinfo is about another person")
        return {**more, **claims}

    async def _posted(self, found: Discovered, url: str, form: Sequence[tuple[str, str]]) -> Reply:
        """Post a form as the client that we are. Source: OIDC Core §9; RFC 7523."""
        us, section = [("client_id", self._section.client_id)], self._section
        headers: dict[str, str] = {}
        if self._key is not None:
            second = self._second()
            claims = {"iss": section.client_id, "sub": section.client_id, "aud": section.issuer, "iat": second}
            claims |= {"exp": second + CLIENT_LIFE_S, "jti": secrets.token_urlsafe(18)}
            shown = sign(claims, self._key, "JWT")
            us += [("client_assertion_type", BEARER_ASSERTION), ("client_assertion", shown)]
        elif found.posts_secret:
            us += [("client_secret", section.secret)]
        else:
            pair = f"{quote(section.client_id, safe='')}:{quote(section.secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        given = {name for name, _ in form}
        return await self._services.ask(url, form=[*form, *(p for p in us if p[0] not in given)], headers=headers)

    async def _discovered(self) -> Discovered:
        """What the service says of itself; asked for once an hour."""
        held = self._held
        if held.discovered is None or self._second() - held.at >= KNOWN_S:
            url = f"{self._section.issuer.rstrip('/')}/.well-known/openid-configuration"
            held.discovered = _discovered(_object(await self._services.ask(url), 200), self._section)
            held.at = self._second()
        return held.discovered

    async def _keys(self, found: Discovered, *, again: bool) -> tuple[Keys, bool]:
        """Its keys, and whether they were asked for just now."""
        held = self._held
        if held.keys is not None and not again and self._second() - held.keys_at < KNOWN_S:
            return held.keys, False
        held.keys = Keys.of(_object(await self._services.ask(found.endpoints["jwks_uri"]), 200))
        held.keys_at = self._second()
        return held.keys, True

    def _second(self) -> int:
        return int(self._clock().timestamp())


def _discovered(said: Mapping[str, Any], section: Provider) -> Discovered:
    if said.get("issuer") != section.issuer:
        raise NationalInfrastructureUnavailable(f"{section.name} says that it is another issuer")
    endpoints = {name: said[name] for name in (*_MUST, *_MAY) if isinstance(said.get(name), str)}
    if lacking := [name for name in _MUST if name not in endpoints]:
        raise NationalInfrastructureUnavailable(f"{section.name} does not say its {', '.join(lacking)}")
    for name, url in endpoints.items():
        if not url.startswith("https://") or origin(url) not in section.allowed:
            raise NationalInfrastructureUnavailable(f"{section.name} has its {name} at an origin that is not listed")
    if "S256" not in said.get("code_challenge_methods_supported", ["S256"]):
        raise NationalInfrastructureUnavailable(f"{section.name} does not take PKCE with S256")
    methods = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    posts = "client_secret_basic" not in methods and "client_secret_post" in methods
    return Discovered(endpoints, said.get("authorization_response_iss_parameter_supported") is True, posts)


def _object(reply: Reply, status: int) -> dict[str, Any]:
    """The JSON of an answer. A refusal of 4xx is told by its code alone; anything else is a service that does not work."""
    try:
        said = read_object(reply.body)
    except (ValueError, RecursionError):
        said = {}
    if reply.status == status and said:
        return said
    if 400 <= reply.status < 500:
        raise _no(f"the identity service refuses ({str(said.get('error'))[:40]!r})")
    raise NationalInfrastructureUnavailable(f"the identity service answers with status {reply.status}, or no JSON")


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise _no(f"the identity service gives no {name}")
    return value


def _no(why: str) -> IsthmusError:
    return InsufficientRights(why, reason="identity")


def _as_wished(who: HealthProfessional, wish: Wish) -> None:
    if wish.again not in ("", who.sub):
        raise _no("another person signed in than the one who was asked to")
    if wish.least in LEVELS and not reaches(who.acr, wish.least):
        raise WeakAuthentication("the sign-in is weaker than was asked for", acr_values=LOA + wish.least)
