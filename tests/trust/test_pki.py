"""What practice countries get, and that nothing of it is lost or mistaken for the real thing."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from tests.trust.conftest import COUNTRIES, Clock, Practice

from isthmus.config import read_settings
from isthmus.errors import SettingsProblem
from isthmus.trust import pki
from isthmus.trust.directory import Directory
from isthmus.trust.keys import load_signing_key
from isthmus.trust.trustlist import SERVICES


def test_it_takes_less_than_five_seconds(tmp_path: Path, clock: Clock) -> None:
    started = time.monotonic()

    pki.init(tmp_path / "pki", countries=COUNTRIES, ports=pki.default_ports(COUNTRIES), now=clock.now)

    assert time.monotonic() - started < 5


def test_every_file_is_its_owners_alone(practice: Practice) -> None:
    files = [file for file in practice.out.rglob("*") if file.is_file()]

    modes = {file.name: file.stat().st_mode & 0o777 for file in files}

    assert set(modes.values()) == {0o600}
    assert {"tls.key", "sig.jwk", "at.jwk", "hpa.jwk", "env.key", "consent.jwk", "trustlist.jws"} <= modes.keys()


def test_keys_are_never_overwritten(practice: Practice, clock: Clock) -> None:
    before = {file: file.read_bytes() for file in practice.out.rglob("*") if file.is_file()}

    with pytest.raises(SettingsProblem, match="never overwritten"):
        pki.init(practice.out, countries=COUNTRIES, ports=pki.default_ports(COUNTRIES), now=clock.now)

    assert {file: file.read_bytes() for file in practice.out.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("countries", [(), ("AA", "AA"), ("aa",), ("../x",), ("AAA",)])
def test_odd_countries_are_refused(countries: tuple[str, ...], tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(SettingsProblem):
        pki.init(tmp_path / "pki", countries=countries, ports=pki.default_ports(countries), now=clock.now)


def test_a_country_offers_what_it_was_told_to_offer(tmp_path: Path, clock: Clock) -> None:
    services = {"CC": ("imaging-report",)}

    made = pki.init(tmp_path, countries=COUNTRIES, ports=pki.default_ports(COUNTRIES), services=services, now=clock.now)
    directory = Directory(read_settings(made.settings["BB"], {}), None, clock)
    directory.refresh()

    assert {entry.country: entry.services for entry in directory.current.participants} == {
        "AA": frozenset(SERVICES), "BB": frozenset(), "CC": frozenset({"imaging-report"}),
    }  # fmt: skip


def test_settings_are_read_as_written(practice: Practice) -> None:
    aa, bb = practice.settings("AA"), practice.settings("BB")

    assert (aa.env, aa.country, aa.answers, bb.answers) == ("demo", "AA", True, False)
    assert aa.border is not None
    assert bb.border is not None
    assert (aa.border.port, bb.border.port) == (8711, 8721)
    assert aa.portal is None
    assert bb.portal is not None
    assert bb.portal.public == "http://127.0.0.1:8700"
    assert aa.sources.images[0].patient_system == "urn:oid:2.999.1.2.1"
    assert aa.path(aa.consent.keys[0]).is_file()
    assert bb.signin.accounts == "accounts.toml"


def test_a_node_in_production_refuses_what_it_made(practice: Practice) -> None:
    for name in ("sig", "at", "hpa", "consent"):
        file = practice.out / "aa" / "keys" / f"{name}.jwk"

        with pytest.raises(SettingsProblem, match="marked demo"):
            load_signing_key(file, "prod")


def test_a_folder_can_be_copied_as_a_whole(practice: Practice, clock: Clock, tmp_path: Path) -> None:
    copied = shutil.copytree(practice.out, tmp_path / "elsewhere")
    shutil.rmtree(practice.out)

    directory = Directory(read_settings(copied / "bb" / "isthmus.toml", {}), None, clock)
    directory.refresh()

    assert directory.country("AA").name == {"en": "Country AA"}
    assert str(practice.out) not in (copied / "bb" / "isthmus.toml").read_text()


def test_a_kept_folder_opens_later_with_its_keys_and_other_ports(practice: Practice, clock: Clock) -> None:
    keys = {file: file.read_bytes() for file in practice.out.rglob("*.jwk")}
    clock.forward(days=400)

    made = pki.sign_again(practice.out, ports=pki.default_ports(COUNTRIES, 9710), portal_port=9700, now=clock.now)

    directory = Directory(practice.settings("BB"), None, clock)
    directory.refresh()
    assert made.seq == 2
    assert directory.country("AA").endpoints.token == "https://127.0.0.1:9711/oauth/token"
    assert directory.peer(practice.der("BB")).country == "BB"
    assert practice.settings("BB").portal is not None
    assert "9700" in (practice.out / "bb" / "isthmus.toml").read_text()
    assert {file: file.read_bytes() for file in practice.out.rglob("*.jwk")} == keys


def test_what_an_operator_wrote_into_the_settings_stays_when_ports_move(practice: Practice, clock: Clock) -> None:
    file = practice.out / "bb" / "isthmus.toml"
    edited = (
        file.read_text().replace("[portal]\n", "[portal]\nask_again_s = 7 # seven\n") + "\n[limits]\ntokens_per_s = 3\n"
    )
    file.write_text(edited)

    pki.sign_again(practice.out, ports=pki.default_ports(COUNTRIES, 9710), portal_port=9700, now=clock.now)

    settings, lines = practice.settings("BB"), zip(edited.splitlines(), file.read_text().splitlines(), strict=True)
    assert settings.portal is not None
    assert settings.border is not None
    assert (settings.portal.ask_again_s, settings.limits.tokens_per_s) == (7, 3)
    assert (settings.portal.port, settings.portal.public) == (9700, "http://127.0.0.1:9700")
    assert (settings.border.port, settings.border.public) == (9721, "https://127.0.0.1:9721")
    assert {before.partition(" =")[0] for before, after in lines if before != after} == {"port", "public"}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[portal]", "[portal", "the settings cannot be read"),
        ("port = 8722", "", r"\[operations\] needs a line with port"),
        ('public = "https://127.0.0.1:8721"', 'public = "https://bb.example"', r"\[border\] needs a line"),
    ],
)
def test_settings_that_cannot_take_their_ports_are_named_and_left_alone(
    practice: Practice, clock: Clock, before: str, after: str, said: str
) -> None:
    file = practice.out / "bb" / "isthmus.toml"
    file.write_text(edited := file.read_text().replace(before, after))
    assert before not in edited.splitlines()

    with pytest.raises(SettingsProblem, match=f"bb/isthmus.toml: {said}"):
        pki.sign_again(practice.out, ports=pki.default_ports(COUNTRIES, 9710), portal_port=9700, now=clock.now)

    assert file.read_text() == edited


def test_a_suspended_country_can_come_back(practice: Practice, clock: Clock) -> None:
    directory = Directory(practice.settings("BB"), None, clock)
    pki.set_status(practice.out, "AA", "suspended", now=clock.now)
    directory.refresh()
    assert [participant.country for participant in directory.countries] == ["CC"]

    pki.set_status(practice.out, "AA", "active", now=clock.now)
    directory.refresh()

    assert [participant.country for participant in directory.countries] == ["AA", "CC"]


def test_another_folder_is_not_signed(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(SettingsProblem):
        pki.sign_again(tmp_path, now=clock.now)
