"""The demo's accounts: a stand-in that refuses to be more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from isthmus.errors import InsufficientRights, SettingsProblem
from isthmus.signin.accounts import Accounts, practice_entries, write_accounts

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
ENTRIES = practice_entries()
RADIOLOGIST = ENTRIES[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "accounts.toml"
    write_accounts(path, ENTRIES)
    return path


def test_a_password_opens_its_account(file: Path) -> None:
    who = Accounts(file, "demo").check("radiologist", RADIOLOGIST.password, NOW)

    assert (who.sub, who.role, who.auth_time, who.amr) == ("radiologist", "2212", int(NOW.timestamp()), ("pwd",))
    assert who.organisation.name == RADIOLOGIST.organisation
    assert who.acr == "http://eidas.europa.eu/LoA/substantial"


@pytest.mark.parametrize(
    ("login", "password"), [("radiologist", "wrong"), ("nobody", "wrong"), ("", ""), ("clerk", "\ud800")]
)
def test_a_wrong_login_and_a_wrong_password_are_one_answer(login: str, password: str, file: Path) -> None:
    with pytest.raises(InsufficientRights) as refusal:
        Accounts(file, "demo").check(login, password, NOW)

    assert refusal.value.reason == "sign-in"
    assert str(refusal.value) == "login or password is wrong, or the account rests"


def test_new_passwords_count_at_once(file: Path) -> None:
    accounts = Accounts(file, "demo")
    accounts.check("radiologist", RADIOLOGIST.password, NOW)

    write_accounts(file, [replace(RADIOLOGIST, password="another one")])

    assert accounts.check("radiologist", "another one", NOW).sub == "radiologist"


def test_no_password_is_written_and_the_file_is_its_owners(file: Path) -> None:
    text = file.read_text()

    assert not [entry for entry in ENTRIES if entry.password in text]
    assert file.stat().st_mode & 0o777 == 0o600
    assert RADIOLOGIST.password not in repr(RADIOLOGIST)


@pytest.mark.threat("T79")
@pytest.mark.parametrize("env", ["prod", "", "DEMO"])
def test_production_refuses_the_stand_in_before_any_other_doubt(env: str, tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "not-there.toml", env)

    with pytest.raises(SettingsProblem) as spoken:
        accounts.speak_for("radiologist", NOW)
    with pytest.raises(SettingsProblem) as signed_in:
        accounts.check("radiologist", "x", NOW)

    assert spoken.value.reason == signed_in.value.reason == "stand-in"
    assert spoken.value.meaning.exit_status == 3


def test_speaking_for_someone_says_so(file: Path) -> None:
    who = Accounts(file, "test").speak_for("nurse", NOW)

    assert (who.role, who.amr) == ("2221", ("stand-in",))


def test_missing_accounts_are_a_settings_problem(tmp_path: Path) -> None:
    with pytest.raises(SettingsProblem, match="cannot be read"):
        Accounts(tmp_path / "accounts.toml", "demo").check("radiologist", "x", NOW)
