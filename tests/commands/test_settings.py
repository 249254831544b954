"""Settings as they are read at start: nearest name, overlay by the environment, secrets in files, what no node starts with."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from isthmus.config import Settings, read_settings
from isthmus.errors import SettingsProblem

LEAST = 'env = "test"\ncountry = "AA"\nncp_id = "urn:ncp:aa"\n'
BORDER = '[border]\npublic = "https://ncp.example"\n'


def read(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "isthmus.toml"
    file.write_text(text, encoding="utf-8")
    return read_settings(file, environment or {})


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ('contry = "AA"\n', "contry", "country"),
        ("[trust]\npoll_seconds = 5\n", "trust.poll_seconds", "trust.poll_s"),
        ('[[sources.images]]\ntimezone = "Europe/Athens"\n', "sources.images.timezone", "sources.images.time_zone"),
        ("folder = 1\n", "folder", "border"),
    ],
)
def test_an_unknown_setting_is_named_with_the_nearest_known_one(
    tmp_path: Path, text: str, key: str, nearest: str
) -> None:
    with pytest.raises(SettingsProblem, match=f"unknown setting {key}; the nearest known one is {nearest}"):
        read(tmp_path, text if text.startswith("[") else text + LEAST)


@pytest.mark.parametrize(
    ("asked", "good"), [("0", True), ("5", True), ("60.0", True), ("4.9", False), ("-1", False), ("nan", False)]
)
def test_open_pages_ask_again_not_more_often_than_every_five_seconds(tmp_path: Path, asked: str, good: bool) -> None:
    text = f'{LEAST}[portal]\npublic = "http://127.0.0.1:8700"\nask_again_s = {asked}\n'

    with contextlib.nullcontext() if good else pytest.raises(SettingsProblem, match="ask_again_s is 0, or at least 5"):
        assert read(tmp_path, text).portal is not None


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('kind = "dimse"', "kind is files, fhir or module:Class; 'dimse' is for images"),
        ('patient_issuer = "urn:oid:2.999.4.1"', "patient_issuer is an OID, without urn:oid:"),
        (
            'patient_issuer = "2.999.4.1"\ntime_zone = "Europe/Athens"\nissuers = { HIS = "HIS" }',
            "issuers says 'HIS' for 'HIS'",
        ),
        ('patient_issuer = "2.999.4.1"\ntime_zone = "Europe/Athen"', "time_zone 'Europe/Athen' is no IANA name"),
    ],
)
def test_what_a_source_says_wrongly_is_named_with_the_source(tmp_path: Path, lines: str, words: str) -> None:
    with pytest.raises(SettingsProblem, match=f"sources.patients 'register': {words}"):
        read(tmp_path, f'{LEAST}[[sources.patients]]\nname = "register"\n{lines}\n')


def test_the_environment_stands_over_the_file(tmp_path: Path) -> None:
    environment = {
        "ISTHMUS_TRUST__POLL_S": "0.5",
        "ISTHMUS_BORDER__PORT": "9443",
        "ISTHMUS_COUNTRY": "BB",
        "ISTHMUS_LIMITS__SEARCHES_PER_10_MIN": "3",
        "ISTHMUS_CONSENT__KEYS": '["a.jwk", "b.jwk"]',
        "ISTHMUS_CONFIG": "not a setting",
    }

    settings = read(tmp_path, LEAST + BORDER + "[trust]\npoll_s = 60\n", environment)

    assert settings.border is not None
    assert (settings.trust.poll_s, settings.border.port, settings.country) == (0.5, 9443, "BB")
    assert settings.limits.searches_per_10_min == 3
    assert settings.consent.keys == ("a.jwk", "b.jwk")


def test_a_value_of_the_wrong_kind_names_its_place(tmp_path: Path) -> None:
    with pytest.raises(SettingsProblem, match=r"isthmus\.toml: .*border\.port"):
        read(tmp_path, LEAST + BORDER, {"ISTHMUS_BORDER__PORT": "many"})


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ISTHMUS_COUNTRY__X", "ISTHMUS_COUNTRY__X points into a setting that is no section"),
        ("ISTHMUS_SOURCES__IMAGES__NAME", "no section"),
        ("ISTHMUS_TRUSTS__POLL_S", "unknown setting trusts; the nearest known one is trust"),
        ("ISTHMUS_TRUST__POLL", r"unknown setting trust\.poll; the nearest known one is trust\.poll_s"),
    ],
)
def test_an_overlay_that_overrides_nothing_is_refused(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(SettingsProblem, match=told):
        read(tmp_path, LEAST + "[[sources.images]]\n", {name: "1"})


def test_a_secret_is_read_from_the_file_it_names(tmp_path: Path) -> None:
    (tmp_path / "id.txt").write_text("urn:ncp:secret\n", encoding="utf-8")

    settings = read(tmp_path, LEAST.replace('"urn:ncp:aa"', '"file:id.txt"'))

    assert settings.ncp_id == "urn:ncp:secret"
    assert settings.blobs == "file:///archive"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (LEAST.replace("test", "staging"), "env is one of"),
        (LEAST.replace("test", "prod"), "invented country"),
        (LEAST + 'database = "postgresql://db"\n', "built yet"),
        (LEAST + 'blobs = "s3://bucket"\n', "built yet"),
        (LEAST + '[[sources.images]]\nname = "pacs"\n', "patient_issuer, accession_issuer, time_zone"),
        (
            LEAST + '[[sources.images]]\npatient_issuer = "1"\naccession_issuer = "2"\ntime_zone = "Mars/Olympus"\n',
            "IANA",
        ),
        ("env = \n", "cannot be read"),
    ],
)
def test_a_node_does_not_start_with_what_it_cannot_keep(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsProblem, match=told):
        read(tmp_path, text)


def test_settings_that_are_not_there_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsProblem, match="does not exist; give one with --config"):
        read_settings(tmp_path / "none.toml", {})
