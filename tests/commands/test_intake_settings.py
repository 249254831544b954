"""Settings of what comes in from outside: who may send, into which source; what no node starts with."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from isthmus.config import Settings, read_settings
from isthmus.errors import SettingsProblem
from isthmus.sections import Sender

LEAST = """env = "{env}"
country = "{country}"
ncp_id = "urn:ncp:aa"
[[sources.patients]]
[[sources.reports]]
name = "ris"
[[sources.images]]
name = "pacs"
patient_issuer = "2.999.1"
accession_issuer = "2.999.2"
time_zone = "Europe/Athens"
[[sources.images]]
name = "elsewhere"
kind = "dicomweb"
url = "https://pacs.example"
patient_issuer = "2.999.1"
accession_issuer = "2.999.2"
time_zone = "Europe/Athens"
"""
DIGEST = hashlib.sha256(b"secret").hexdigest()
TLS = 'tls_certificate = "c"\ntls_key = "k"\ntls_authority = "a"\n'


def read(folder: Path, text: str, *, env: str = "test", country: str = "AA") -> Settings:
    file = folder / "isthmus.toml"
    file.write_text(LEAST.format(env=env, country=country) + text, encoding="utf-8")
    return read_settings(file, {})


def sender(**keys: str) -> str:
    said = {"name": "ct", "source": "pacs", "token": DIGEST} | keys
    return "[[intake.senders]]\n" + "".join(f'{key} = "{value}"\n' for key, value in said.items())


def test_a_sender_has_a_name_a_source_and_a_way_to_be_known(tmp_path: Path) -> None:
    settings = read(tmp_path, "[intake]\nport = 8703\n" + sender() + sender(name="ris", source="ris"))

    assert settings.intake is not None
    assert [(one.name, one.source, one.token_sha256) for one in settings.intake.senders] == [
        ("ct", "pacs", DIGEST),
        ("ris", "ris", DIGEST),
    ]


def test_the_digest_of_a_token_stands_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "ct.sha256").write_text(f"{DIGEST.upper()}  -\n")

    settings = read(tmp_path, "[intake]\n" + sender(token="file:ct.sha256"))

    assert settings.intake is not None
    assert settings.intake.senders[0].token_sha256 == DIGEST


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (sender() + sender(), "two of senders have one name"),
        (sender(source="elsewhere"), "no source of kind files"),
        (sender(source="nowhere"), "no source of kind files"),
        (sender(token=""), "anybody would be it"),
        (sender(token="secret"), "token is no SHA-256"),
        (sender(certificate="AB:CD"), "certificate is no SHA-256"),
        (sender(address="ward 3"), "neither an address nor a network"),
        ('[[intake.folders]]\nname = "in"\npath = "in"\nsource = "pacs"\n', "no sources.reports of kind files"),
        ('[intake]\ntls_key = "k"\n', "or none of them"),
        ('[intake]\nport = 8703\nhost = "0.0.0.0"\n', "on loopback alone"),
    ],
)
def test_what_no_node_starts_with(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsProblem, match=told):
        read(tmp_path, text)


def test_without_tls_nothing_is_taken_in_production(tmp_path: Path) -> None:
    with pytest.raises(SettingsProblem, match="without TLS"):
        read(tmp_path, "[intake]\nport = 8703\n" + sender(), env="prod", country="EL")

    assert read(tmp_path, "[intake]\nport = 8703\n" + TLS + sender(), env="prod", country="EL").intake is not None


@pytest.mark.parametrize(
    ("said", "address", "one_of_them"),
    [
        ("", None, True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("10.1.2.0/24", "10.1.2.4", True),
        ("fd00::/8", "10.1.2.4", False),
        ("10.1.2.0/24", None, False),
        ("10.1.2.0/24", "ward3.example", False),
    ],
)
def test_a_sender_calls_from_its_own_addresses(said: str, address: str | None, *, one_of_them: bool) -> None:
    assert Sender(name="ct", source="pacs", address=said).calls_from(address) == one_of_them
