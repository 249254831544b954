"""Sign-in by OpenID Connect against a real provider: pushed or not, with a secret or a key, once more, stronger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.engines.openid.browsing import Person, said
from tests.engines.openid.real import Running, openid

from isthmus.errors import InsufficientRights, NationalInfrastructureUnavailable
from isthmus.signin.oidc import OpenIdProvider
from isthmus.signin.provider import Elsewhere, Wish
from isthmus.transport.services import Services
from isthmus.trust.keys import load_signing_key

BACK = "https://portal.example/sign-in/callback"
pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("openid")]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with openid(tmp_path_factory.mktemp("openid"), BACK) as running:
        yield running


def now() -> datetime:
    return datetime.now(UTC)


def provider_of(real: Running, **changes: object) -> OpenIdProvider:
    section = real.section(**changes)
    key = load_signing_key(real.key, "test") if section.key else None
    services = Services(section.name, section.allowed, real.authority)
    return OpenIdProvider(section, services, back=BACK, key=key, clock=now)


async def begun(provider: OpenIdProvider, wish: Wish = Wish()) -> Elsewhere:
    elsewhere = await provider.begin(wish)
    assert elsewhere is not None
    return elsewhere


@pytest.mark.parametrize(
    "changes",
    [{}, {"client_id": "keyed", "secret": "", "key": "portal.jwk"}, {"client_id": "signed-es256"}],
    ids=["a secret", "a key", "an ES256 identity token"],
)
async def test_a_professional_signs_in_at_a_real_provider(real: Running, changes: dict[str, str]) -> None:
    provider = provider_of(real, **changes)
    elsewhere = await begun(provider)

    back = Person(real.authority).sign_in(elsewhere.url, "runa", BACK)
    who = await provider.finish(said(back), Wish(), elsewhere.attempt)
    await provider.close()

    assert (who.sub, who.name, who.role) == ("practice:runa", "Dr. Runa Solvang", "2212")
    assert (who.organisation.name, who.acr) == (
        "Boreal University Hospital (demo)",
        "http://eidas.europa.eu/LoA/substantial",
    )
    assert abs(who.auth_time - now().timestamp()) < 60


async def test_what_is_asked_is_pushed_and_the_address_says_nothing(real: Running) -> None:
    provider = provider_of(real)

    elsewhere = await begun(provider)
    await provider.close()

    assert set(said(elsewhere.url)) == {"client_id", "request_uri"}


async def test_a_provider_without_pushing_is_asked_in_the_address(tmp_path: Path) -> None:
    with openid(tmp_path, BACK, pushed=False) as plain:
        provider = provider_of(plain)
        elsewhere = await begun(provider)

        back = Person(plain.authority).sign_in(elsewhere.url, "tomas", BACK)
        who = await provider.finish(said(back), Wish(), elsewhere.attempt)
        await provider.close()

    assert said(elsewhere.url)["code_challenge_method"] == "S256"
    assert who.sub == "practice:tomas"


@pytest.mark.threat("T28")
async def test_once_more_asks_for_the_form_although_the_browser_is_known_there(real: Running) -> None:
    provider, person = provider_of(real), Person(real.authority)
    first = await begun(provider)
    who = await provider.finish(said(person.sign_in(first.url, "runa", BACK)), Wish(), first.attempt)
    silent = await begun(provider)
    person.sign_in(silent.url, "runa", BACK)
    wish = Wish(again=who.sub, least="high")

    again = await begun(provider, wish)
    once_more = await provider.finish(said(person.sign_in(again.url, "runa", BACK)), wish, again.attempt)
    await provider.close()

    assert person.forms == 2, "the second visit went without the form, the fresh one did not"
    assert once_more.auth_time >= again.attempt.begun - 1
    assert once_more.acr.endswith("/high")


@pytest.mark.threat("T28")
async def test_another_person_is_not_the_same_one_again(real: Running) -> None:
    provider, wish = provider_of(real), Wish(again="practice:runa")
    elsewhere = await begun(provider, wish)
    back = Person(real.authority).sign_in(elsewhere.url, "tomas", BACK)

    with pytest.raises(InsufficientRights) as refusal:
        await provider.finish(said(back), wish, elsewhere.attempt)
    await provider.close()

    assert refusal.value.reason == "identity"


async def test_a_code_is_good_once_and_for_its_own_attempt(real: Running) -> None:
    provider = provider_of(real)
    one, other = await begun(provider), await begun(provider)
    back = said(Person(real.authority).sign_in(one.url, "runa", BACK))

    with pytest.raises(InsufficientRights):
        await provider.finish(back, Wish(), replace(other.attempt, state=one.attempt.state))
    await provider.finish(back, Wish(), one.attempt)
    with pytest.raises(InsufficientRights):
        await provider.finish(back, Wish(), one.attempt)
    await provider.close()


async def test_who_has_no_role_here_is_told_so(real: Running) -> None:
    provider = provider_of(real)
    elsewhere = await begun(provider)
    back = Person(real.authority).sign_in(elsewhere.url, "gunn", BACK)

    with pytest.raises(InsufficientRights) as refusal:
        await provider.finish(said(back), Wish(), elsewhere.attempt)
    await provider.close()

    assert refusal.value.reason == "no-role"


async def test_a_server_that_shows_another_certificate_is_not_asked(real: Running, tmp_path: Path) -> None:
    from tests.engines.openid.real import _certificate

    section, other = real.section(), _certificate(tmp_path)[2]
    provider = OpenIdProvider(section, Services("practice", section.allowed, other), back=BACK, key=None, clock=now)

    with pytest.raises(NationalInfrastructureUnavailable):
        await provider.begin(Wish())
    await provider.close()
