"""What an identity service must say to be believed. The corpus are services that lie, and others that stand in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from isthmus.errors import InsufficientRights, IsthmusError, NationalInfrastructureUnavailable, WeakAuthentication
from isthmus.model.people import Principal
from isthmus.providers import Provider, Workplace
from isthmus.signin.oidc import OpenIdProvider
from isthmus.signin.provider import Attempt, Wish
from isthmus.transport.services import Services
from isthmus.transport.upstream import Reply
from isthmus.trust.encoding import base64url
from isthmus.trust.jws import sign
from isthmus.trust.keys import SigningKey, new_signing_key

ISSUER, BACK = "https://id.example", "https://portal.example/sign-in/callback"
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
SECOND = int(NOW.timestamp())
KEY, STRANGER = new_signing_key("id-1", demo=True), new_signing_key("id-1", demo=True)
SECTION = Provider(
    name="national", label="National identity service", issuer=ISSUER, client_id="portal", secret="s",
    acr={"urn:low": "low", "urn:card": "high"}, roles={"physician": "2211", "nurse": "2221"},
    workplaces=(Workplace(said="H1", name="Hospital", id="urn:oid:2.999.1", point_of_care="Ward 3", point_of_care_id="urn:oid:2.999.1.3"),),
)  # fmt: skip
pytestmark = pytest.mark.anyio


@dataclass
class IdentityService(Services):
    """One that says what a test has it say."""

    about_itself: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    token: Callable[[dict[str, Any]], str] | None = None
    answer: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    keys: list[dict[str, Any]] = field(default_factory=lambda: [{**KEY.public_jwk, "kid": KEY.kid}])
    key: SigningKey = KEY
    nonce: str = ""
    asked: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    async def ask(
        self, url: str, *, form: Sequence[tuple[str, str]] | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        self.asked.append(url)
        self.forms += [dict(form)] if form is not None else []
        self.headers.append(headers or {})
        match urlsplit(url).path:
            case "/.well-known/openid-configuration":
                return self._said(self._discovery())
            case "/keys":
                return self._said({"keys": self.keys})
            case "/token":
                return self._said(
                    {"token_type": "Bearer", "access_token": "a", "id_token": self._token(), **self.answer}
                )
            case "/userinfo":
                return self._said(
                    {"sub": "p1", "name": "Dr. Eir", "role": ["nurse", "physician"], "organisation": "H1"}
                    | self.userinfo
                )
        return Reply(404, {}, b"")  # fmt: skip

    async def close(self) -> None:
        return None

    def _said(self, body: Mapping[str, Any]) -> Reply:
        return Reply(200, {}, json.dumps({k: v for k, v in body.items() if v is not None}).encode())

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": ISSUER, "authorization_endpoint": f"{ISSUER}/auth", "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys", "userinfo_endpoint": f"{ISSUER}/userinfo", **self.about_itself,
        }  # fmt: skip

    def _token(self) -> str:
        whole = {
            "iss": ISSUER, "sub": "p1", "aud": "portal", "nonce": self.nonce, "iat": SECOND, "exp": SECOND + 300,
            "auth_time": SECOND - 10, "acr": "urn:card", **self.claims,
        }  # fmt: skip
        said = {name: value for name, value in whole.items() if value is not None}
        return self.token(said) if self.token is not None else sign(said, self.key, "JWT")


def provider_of(service: IdentityService, **changes: Any) -> OpenIdProvider:
    return OpenIdProvider(replace(SECTION, **changes), service, back=BACK, key=None, clock=lambda: NOW)


async def signed_in(service: IdentityService, wish: Wish = Wish(), said: Mapping[str, str] | None = None) -> Any:
    provider = provider_of(service)
    elsewhere = await provider.begin(wish)
    assert elsewhere is not None
    service.nonce = service.nonce or elsewhere.attempt.nonce
    back = {"code": "c", "state": elsewhere.attempt.state} | dict(said or {})
    return await provider.finish({k: v for k, v in back.items() if v}, wish, elsewhere.attempt)


def service(**changes: Any) -> IdentityService:
    return IdentityService(**changes)


async def test_a_person_becomes_a_professional_by_the_tables_of_the_settings() -> None:
    who = await signed_in(service())

    assert (who.sub, who.name, who.role) == ("national:p1", "Dr. Eir", "2211")  # of two roles, the first of the table
    assert (who.organisation.name, who.organisation.identifier) == ("Hospital", "urn:oid:2.999.1")
    assert who.place is not None
    assert (who.place.name, who.place.identifier) == ("Ward 3", "urn:oid:2.999.1.3")
    assert (who.acr, who.auth_time) == ("http://eidas.europa.eu/LoA/high", SECOND - 10)


async def test_the_question_has_a_state_a_nonce_and_a_challenge_of_its_own() -> None:
    provider = provider_of(service())

    one, other = await provider.begin(Wish(least="high")), await provider.begin(Wish(again="national:p1"))

    assert one is not None
    assert other is not None
    first, second = (dict(parse_qsl(urlsplit(each.url).query)) for each in (one, other))
    assert first["redirect_uri"] == BACK
    assert (first["code_challenge_method"], first["response_type"]) == ("S256", "code")
    assert not {first[name] for name in ("state", "nonce", "code_challenge")} & set(second.values())
    assert (first["acr_values"], second["acr_values"]) == ("urn:card", "urn:low urn:card")
    assert (first.get("prompt"), second["prompt"], second["max_age"]) == (None, "login", "0")
    assert one.attempt.verifier not in one.url
    assert repr(one.attempt).count("=") == 1, "an attempt shows nothing but when it was begun"


LIES: dict[str, dict[str, Any]] = {
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "an issuer with a slash": {"claims": {"iss": f"{ISSUER}/"}},
    "another audience": {"claims": {"aud": "other"}},
    "two audiences": {"claims": {"aud": ["portal", "other"]}},
    "no audience": {"claims": {"aud": None}},
    "for another party": {"claims": {"azp": "other"}},
    "another nonce": {"claims": {"nonce": "x" * 43}},
    "no nonce": {"claims": {"nonce": None}},
    "expired": {"claims": {"iat": SECOND - 200, "exp": SECOND - 30}},
    "old": {"claims": {"iat": SECOND - 301}},
    "from the future": {"claims": {"iat": SECOND + 31}},
    "no exp": {"claims": {"exp": None}},
    "exp as text": {"claims": {"exp": str(SECOND + 300)}},
    "no sub": {"claims": {"sub": None}},
    "no auth_time": {"claims": {"auth_time": None}},
    "signed in yesterday": {"claims": {"auth_time": SECOND - 86_400}},
    "signed in tomorrow": {"claims": {"auth_time": SECOND + 31}},
    "another access token": {"claims": {"at_hash": base64url(b"0" * 16)}},
    "none": {"token": lambda c: ".".join((base64url(b'{"alg":"none"}'), base64url(json.dumps(c).encode()), ""))},
    "a strangers key": {"key": STRANGER},
    "a key inside": {"token": lambda c: sign(c, KEY, "JWT").replace("eyJhbGciOi", "eyJqd2siOn", 1)},
    "an access token's type": {"token": lambda c: sign(c, KEY, "at+jwt")},
    "a claim twice": {"token": lambda c: raw(json.dumps(c)[:-1] + ', "sub": "p2"}')},
    "no keys": {"keys": []},
    "two keys of one name": {"keys": [{**STRANGER.public_jwk, "kid": KEY.kid}, {**KEY.public_jwk, "kid": KEY.kid}]},
    "a key for encryption": {"keys": [{**KEY.public_jwk, "kid": KEY.kid, "use": "enc"}]},
    "userinfo of another": {"userinfo": {"sub": "p2"}},
    "no bearer": {"answer": {"token_type": "mac"}},
    "no identity token": {"answer": {"id_token": None}},
    "no name": {"userinfo": {"name": None}},
    "a name of controls": {"userinfo": {"name": "Dr.\nEir"}},
}


def raw(payload: str) -> str:
    from isthmus.trust.jws import sign_bytes

    return sign_bytes(payload.encode(), KEY, "JWT")


@pytest.mark.threat("T13")
@pytest.mark.threat("T17")
@pytest.mark.threat("T18")
@pytest.mark.parametrize("changes", LIES.values(), ids=LIES.keys())
async def test_an_answer_that_does_not_hold_signs_nobody_in(changes: dict[str, Any]) -> None:
    with pytest.raises(InsufficientRights) as refusal:
        await signed_in(service(**changes))

    assert refusal.value.reason == "identity"


@pytest.mark.parametrize(
    ("said", "itself"),
    [
        ({"state": "x"}, {}),
        ({"state": ""}, {}),
        ({"iss": "https://evil.example"}, {}),
        ({}, {"authorization_response_iss_parameter_supported": True}),
        ({"error": "access_denied"}, {}),
        ({"code": ""}, {}),
    ],
    ids=["another state", "no state", "another iss", "no iss where it is promised", "an error", "no code"],
)
async def test_an_answer_to_another_question_is_not_taken_to_the_token_endpoint(
    said: dict[str, str], itself: dict[str, Any]
) -> None:
    here = service(about_itself=itself)

    with pytest.raises(InsufficientRights) as refusal:
        await signed_in(here, said=said)

    assert refusal.value.reason == "identity"
    assert f"{ISSUER}/token" not in here.asked


async def test_without_an_attempt_of_this_browser_nobody_signs_in() -> None:
    with pytest.raises(InsufficientRights):
        await provider_of(service()).finish({"code": "c", "state": "s"}, Wish(), None)


@pytest.mark.threat("T28")
@pytest.mark.parametrize("acr", [None, "urn:unknown", "http://eidas.europa.eu/LoA/high", ["urn:card"]])
async def test_a_level_that_is_missing_or_in_no_table_is_too_weak(acr: object) -> None:
    with pytest.raises(WeakAuthentication):
        await signed_in(service(claims={"acr": acr}))


@pytest.mark.threat("T28")
async def test_a_level_below_the_wished_one_is_too_weak_and_says_which_was_asked() -> None:
    with pytest.raises(WeakAuthentication) as refusal:
        await signed_in(service(claims={"acr": "urn:low"}), Wish(least="substantial"))

    assert refusal.value.facts["acr_values"] == "http://eidas.europa.eu/LoA/substantial"


@pytest.mark.threat("T28")
async def test_once_more_needs_a_sign_in_after_it_was_asked_for() -> None:
    wish = Wish(again="national:p1")

    fresh = await signed_in(service(claims={"auth_time": SECOND}), wish)
    with pytest.raises(InsufficientRights):
        await signed_in(service(claims={"auth_time": SECOND - 31}), wish)
    with pytest.raises(InsufficientRights):
        await signed_in(service(claims={"auth_time": SECOND, "sub": "p2"}, userinfo={"sub": "p2"}), wish)

    assert fresh.auth_time == SECOND


ELSEWHERE: dict[str, dict[str, Any]] = {
    "of another issuer": {"issuer": "https://evil.example"},
    "a token endpoint elsewhere": {"token_endpoint": "https://evil.example/token"},
    "keys elsewhere": {"jwks_uri": "https://169.254.169.254/keys"},
    "userinfo on another port": {"userinfo_endpoint": f"{ISSUER}:8443/userinfo"},
    "a login page in the clear": {"authorization_endpoint": "http://id.example/auth"},
    "no token endpoint": {"token_endpoint": None},
    "plain PKCE alone": {"code_challenge_methods_supported": ["plain"]},
}


@pytest.mark.threat("T54")
@pytest.mark.parametrize("itself", ELSEWHERE.values(), ids=ELSEWHERE.keys())
async def test_a_service_that_leads_elsewhere_is_not_followed(itself: dict[str, Any]) -> None:
    here = service(about_itself=itself)

    with pytest.raises(NationalInfrastructureUnavailable):
        await provider_of(here).begin(Wish())

    assert here.asked == [f"{ISSUER}/.well-known/openid-configuration"]


@pytest.mark.parametrize("url", ["http://id.example/x", "https://evil.example/x", "https://u@id.example/x"])
async def test_the_way_out_opens_no_connection_to_an_origin_that_is_not_listed(url: str) -> None:
    services = Services("national", SECTION.allowed, None)

    with pytest.raises(NationalInfrastructureUnavailable, match="not among its origins"):
        await services.ask(url)

    assert services._session is None


@pytest.mark.parametrize(
    "changes", [{"role": "gardener"}, {"role": None}, {"organisation": "H9"}, {"organisation": ["H8", 9]}]
)
async def test_a_role_or_workplace_in_no_table_is_refused_in_words_of_its_own(changes: dict[str, Any]) -> None:
    with pytest.raises(InsufficientRights) as refusal:
        await signed_in(service(userinfo=changes))

    assert refusal.value.reason == "no-role"


async def test_a_clerk_names_the_physician_for_whom_they_act() -> None:
    words = {"on_behalf_of": "for", "on_behalf_of_role": "for_role"}
    here = service(userinfo={"for": "dr-7", "for_role": "physician"})
    provider = provider_of(here, claims={**SECTION.claims, "workplace": "organisation", **words})
    elsewhere = await provider.begin(Wish())
    assert elsewhere is not None
    here.nonce = elsewhere.attempt.nonce

    who = await provider.finish({"code": "c", "state": elsewhere.attempt.state}, Wish(), elsewhere.attempt)

    assert who.on_behalf_of == Principal("dr-7", "2211")


async def test_userinfo_adds_and_never_replaces_what_was_signed() -> None:
    who = await signed_in(service(userinfo={"acr": "urn:low", "auth_time": 0}))

    assert who.acr.endswith("/high")
    assert who.auth_time == SECOND - 10


async def test_keys_that_were_turned_over_are_asked_for_once_more() -> None:
    now, here = NOW, service()
    provider = OpenIdProvider(SECTION, here, back=BACK, key=None, clock=lambda: now)

    async def sign_in() -> str:
        elsewhere = await provider.begin(Wish())
        assert elsewhere is not None
        here.nonce = elsewhere.attempt.nonce
        said = {"code": "c", "state": elsewhere.attempt.state}
        return (await provider.finish(said, Wish(), elsewhere.attempt)).sub

    await sign_in()
    fresh = new_signing_key("id-2", demo=True)
    here.key, here.keys = fresh, [{**fresh.public_jwk, "kid": "id-2"}]
    with pytest.raises(InsufficientRights):
        await sign_in()  # within seconds: nobody makes us ask again and again
    now = NOW.replace(second=30)
    here.claims = {"iat": SECOND + 30, "exp": SECOND + 300}

    assert await sign_in() == "national:p1"
    assert here.asked.count(f"{ISSUER}/keys") == 2


async def test_the_secret_goes_in_the_way_the_service_takes_it() -> None:
    basic, post = service(), service(about_itself={"token_endpoint_auth_methods_supported": ["client_secret_post"]})

    await signed_in(basic)
    await signed_in(post)

    assert any(headers.get("Authorization", "").startswith("Basic ") for headers in basic.headers)
    assert "client_secret" not in basic.forms[0]
    assert post.forms[0]["client_secret"] == "s"
    assert all(form["code_verifier"] for form in (*basic.forms, *post.forms))


async def test_a_long_identifier_is_told_by_its_digest() -> None:
    long, other = "p" * 255, "p" * 254 + "q"

    who = await signed_in(service(claims={"sub": long}, userinfo={"sub": long}))
    else_ = await signed_in(service(claims={"sub": other}, userinfo={"sub": other}))

    assert who.sub != else_.sub
    assert max(len(who.sub), len(else_.sub)) <= 128


async def test_what_is_refused_says_nothing_that_the_service_said_at_length() -> None:
    with pytest.raises(IsthmusError) as refusal:
        await signed_in(service(), said={"error": "x" * 1000})

    assert len(str(refusal.value)) < 200


def test_an_attempt_is_a_secret() -> None:
    shown = repr(Attempt("state", "nonce", "verifier", 1))

    assert "verifier=" not in shown
    assert "nonce=" not in shown
