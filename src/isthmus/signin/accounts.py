"""Accounts in a file: the stand-in for a national identity service, in demo and test alone.

`accounts.toml` keeps scrypt hashes; passwords are nowhere. An unknown login costs as much as a wrong password.

Source: interfaces.md §8; trust.md §2.6 (M1), §2.14; RFC 7914.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from isthmus.errors import InsufficientRights, SettingsProblem
from isthmus.model import assurance
from isthmus.model.people import HealthProfessional, Organisation, Principal

STAND_IN_ENVIRONMENTS = ("demo", "test")
LOA = f"{assurance.LOA}substantial"
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}
_MEMORY_BYTES = 64 << 20
_NOBODY = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One account to be written. `role` is an ISCO-08 code."""

    login: str
    password: str = field(repr=False)
    name: str
    role: str
    organisation: str
    organisation_id: str
    facility_type: str = "Hospital"
    acr: str = LOA
    patient: str = ""  # SYSTEM|VALUE, of a patient's account


class _Account(msgspec.Struct):
    """One account as the file has it."""

    login: str
    hash: str
    salt: str
    n: int
    r: int
    p: int
    name: str
    role: str
    organisation: str
    organisation_id: str
    facility_type: str = "Hospital"
    acr: str = LOA
    on_behalf_of: str = ""  # the physician for whom a clerk acts, and their role
    on_behalf_of_role: str = ""
    patient: str = ""  # SYSTEM|VALUE, of a patient's account

    def professional(self, auth_time: int, amr: tuple[str, ...]) -> HealthProfessional:
        return HealthProfessional(
            sub=self.login,
            name=self.name,
            role=self.role,
            organisation=Organisation(self.organisation, self.organisation_id),
            facility_type=self.facility_type,
            acr=self.acr,
            auth_time=auth_time,
            amr=amr,
            national_identifier=self.patient or None,
            on_behalf_of=Principal(self.on_behalf_of, self.on_behalf_of_role) if self.on_behalf_of else None,
        )


def refuse_stand_in(env: str) -> None:
    """A stand-in speaks in demo and test alone. Asked before anything else is doubted. Raises SettingsProblem (stand-in)."""
    if env not in STAND_IN_ENVIRONMENTS:
        raise SettingsProblem(
            f'speaking for a professional without sign-in works only in env = "demo" or "test", not in {env!r}',
            reason="stand-in",
            key="env",
        )


class Accounts:
    """The accounts of one file, read at each question: a kept folder gets new passwords at each start."""

    def __init__(self, file: Path, env: str) -> None:
        self._file = file
        self._env = env

    def check(self, login: str, password: str, now: datetime) -> HealthProfessional:
        """Sign in. Takes a twentieth of a second of a processor: call it off the event loop.

        Raises InsufficientRights (reason sign-in), in the same words whatever was wrong; SettingsProblem in production.
        """
        refuse_stand_in(self._env)
        account = self._read().get(login)
        if not _fits(account, password) or account is None:
            raise InsufficientRights("login or password is wrong, or the account rests", reason="sign-in")
        return account.professional(int(now.timestamp()), ("pwd",))

    def speak_for(self, login: str, now: datetime) -> HealthProfessional:
        """The stand-in behind `--as`: no password. Raises SettingsProblem (stand-in), InsufficientRights (sign-in)."""
        refuse_stand_in(self._env)
        account = self._read().get(login)
        if account is None:
            raise InsufficientRights(f"no account is called so in {self._file.name}", reason="sign-in")
        return account.professional(int(now.timestamp()), ("stand-in",))

    def _read(self) -> dict[str, _Account]:
        try:
            raw: dict[str, Any] = tomllib.loads(self._file.read_text(encoding="utf-8"))
            accounts = msgspec.convert(raw.get("accounts", []), list[_Account])
        except OSError as error:
            raise SettingsProblem(f"the accounts {self._file} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
            raise SettingsProblem(f"the accounts {self._file} are not well-formed: {error}") from error
        return {account.login: account for account in accounts}


def write_accounts(file: Path, entries: Iterable[Entry]) -> None:
    """Write the file anew, mode 0600, with fresh salts."""
    lines = ["# Practice accounts. Passwords are not in here.", ""]
    for entry in entries:
        salt = secrets.token_bytes(16)
        digest = hashlib.scrypt(entry.password.encode(), salt=salt, maxmem=_MEMORY_BYTES, dklen=32, **_SCRYPT)
        values: dict[str, str | int] = {
            "login": entry.login,
            "hash": digest.hex(),
            "salt": salt.hex(),
            **_SCRYPT,
            "name": entry.name,
            "role": entry.role,
            "organisation": entry.organisation,
            "organisation_id": entry.organisation_id,
            "facility_type": entry.facility_type,
            "acr": entry.acr,
            **({"patient": entry.patient} if entry.patient else {}),
        }
        lines += ["[[accounts]]", *(f"{name} = {_toml(value)}" for name, value in values.items()), ""]
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines))
    os.replace(fresh, file)


def practice_entries() -> tuple[Entry, ...]:
    """Invented professionals of a practice country, with passwords of the moment. The clerk treats no patients."""
    hospital = {"organisation": "Boreal University Hospital (demo)", "organisation_id": "urn:oid:2.999.2.2.4.1"}
    people = (
        ("radiologist", "Dr. Runa Solvang", "2212"),
        ("emergency", "Dr. Tomas Brevik", "2211"),
        ("nurse", "Liv Aamodt", "2221"),
        ("clerk", "Pia Nordlund", "4110"),
    )
    return tuple(
        Entry(login=login, password=secrets.token_urlsafe(9), name=name, role=role, **hospital)
        for login, name, role in people
    )


def _fits(account: _Account | None, password: str) -> bool:
    """Same effort for an unknown login as for a wrong password."""
    cost = _SCRYPT if account is None else {"n": account.n, "r": account.r, "p": account.p}
    kept, salt = (_NOBODY, _NOBODY) if account is None else (account.hash, account.salt)
    digest = hashlib.scrypt(
        password.encode("utf-8", "replace")[:1024], salt=bytes.fromhex(salt), maxmem=_MEMORY_BYTES, dklen=32, **cost
    )
    return hmac.compare_digest(digest, bytes.fromhex(kept)) and account is not None


def _toml(value: str | int) -> str:
    """A TOML value; a JSON string is a TOML basic string."""
    return msgspec.json.encode(value).decode()
