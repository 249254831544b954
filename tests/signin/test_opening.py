"""From settings to providers; and what a portal in production must not be without."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from isthmus.config import Portal, Settings, SignIn, read_settings
from isthmus.errors import SettingsProblem
from isthmus.providers import Provider, Workplace
from isthmus.signin.opening import open_providers
from isthmus.storage.database import open_state
from isthmus.storage.sealed import MasterKey

SERVICE = Provider(
    name="national", label="National", issuer="https://id.example", client_id="portal", secret="s", acr={"a": "high"},
    roles={"physician": "2211"}, workplaces=(Workplace(said="H1", name="Hospital", id="urn:oid:2.999.1"),),
)  # fmt: skip
TOML = """
env = "prod"
country = "EL"
ncp_id = "urn:ehealth:el:ncp-idp"

[portal]
public = "https://portal.example"

[[signin.providers]]
name = "national"
label = "National"
issuer = "https://id.example"
client_id = "portal"
secret = "file:secret.txt"
acr = { "http://id.example/loa/3" = "high" }
roles = { physician = "2211" }

[[signin.providers.workplaces]]
said = "H1"
name = "Hospital"
id = "urn:oid:2.999.1"
"""


def settings_of(folder: Path, env: str = "prod", accounts: str = "", **portal: Any) -> Settings:
    providers = () if accounts and env != "prod" else (SERVICE,)
    return Settings(
        folder=folder, file=folder / "isthmus.toml", env=env, country="EL", ncp_id="urn:x",
        portal=Portal(**{"public": "https://portal.example", **portal}), signin=SignIn(accounts=accounts, providers=providers),
    )  # fmt: skip


def opened(settings: Settings) -> list[str]:
    state = open_state(settings)
    try:
        return list(open_providers(settings, state, MasterKey(bytes(32)), lambda: datetime.now(UTC)))
    finally:
        state.close()


def test_the_services_come_first_and_practice_accounts_are_one_more(tmp_path: Path) -> None:
    here = settings_of(tmp_path, "test")
    both = replace(here, signin=SignIn(accounts="accounts.toml", providers=(SERVICE,)))

    assert opened(both) == ["national", "accounts"]
    assert opened(settings_of(tmp_path)) == ["national"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"accounts": "accounts.toml"}, "signin.accounts"),
        ({"public": "http://portal.example"}, "portal.public"),
        ({"host": "0.0.0.0"}, "portal.host"),
        ({"host": "portal.example"}, "portal.host"),
    ],
)
def test_production_refuses_the_stand_in_and_what_is_said_in_the_clear(
    changes: dict[str, str], key: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsProblem) as refusal:
        opened(settings_of(tmp_path, **changes))

    assert refusal.value.facts["key"] == key


def test_somebody_must_be_able_to_sign_in(tmp_path: Path) -> None:
    with pytest.raises(SettingsProblem):
        opened(replace(settings_of(tmp_path, "test"), signin=SignIn()))


def test_a_provider_is_read_from_the_settings_with_its_secret_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "isthmus.toml").write_text(TOML)
    (tmp_path / "secret.txt").write_text("of-the-service\n")

    provider = read_settings(tmp_path / "isthmus.toml", {}).signin.providers[0]

    assert (provider.secret, provider.acr) == ("of-the-service", {"http://id.example/loa/3": "high"})
    assert provider.workplaces[0].id == "urn:oid:2.999.1"
    assert provider.allowed == {"https://id.example:443"}


@pytest.mark.parametrize(
    "change",
    [
        ('name = "national"', 'name = "National Service"'),
        ('name = "national"', 'name = "accounts"'),
        ('"https://id.example"', '"http://id.example"'),
        ('secret = "file:secret.txt"', ""),
        ('secret = "file:secret.txt"', 'secret = "s"\nkey = "k.jwk"'),
        ('= "high"', '= "highest"'),
        ('"2211"', '"221"'),
        ('client_id = "portal"', 'client_id = "portal"\nscope = "profile"'),
        ('client_id = "portal"', 'client_id = "portal"\nclaims = { rank = "x" }'),
        ('client_id = "portal"', 'client_id = "portal"\nkind = "saml"'),
        ("[[signin.providers.workplaces]]", "[[signin.providers.work]]"),
    ],
)
def test_a_provider_that_is_not_whole_does_not_start(change: tuple[str, str], tmp_path: Path) -> None:
    assert change[0] in TOML
    (tmp_path / "isthmus.toml").write_text(TOML.replace(*change))
    (tmp_path / "secret.txt").write_text("s")

    with pytest.raises(SettingsProblem):
        read_settings(tmp_path / "isthmus.toml", {})
