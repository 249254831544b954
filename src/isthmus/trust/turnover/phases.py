"""One of our keys turns over in three phases, without a restart and without a failed request.

*publish*: the next key is made, and the list is asked to name it. *activate*: when everybody follows a list that names it, the list calls
it current; when everybody follows that one, we sign with it and both are accepted. *retire*: when nothing lives any more that the old
one signed, the list ends it; it stays there for evidence.

Deviates: decision 0023. A statement is checked with keys that are current or previous (trust.md §2.4), so the list changes before we do.

Source: trust.md §2.3, §6.2.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from isthmus.config import Settings
from isthmus.errors import SettingsProblem, TrustListStale
from isthmus.trust.additions import key_name, tls_name
from isthmus.trust.certificates import spki_sha256
from isthmus.trust.following.attested import write_attest
from isthmus.trust.keys import (
    SigningKey,
    StatementKey,
    load_signing_key,
    new_signing_key,
    thumbprint,
    write_signing_key,
)
from isthmus.trust.operator.lists import replace_file
from isthmus.trust.trustlist import Participant, TlsKey

KEYS = ("sig", "at", "hpa", "tls")
PHASES = ("publish", "activate", "retire")
LIVES_S = 2 * 3600 + 60  # the longest life of what a key signed (a treatment relationship), and skew
STATE = "turnover.json"

Request = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Files:
    """Where one of our keys lies: what is in use, what comes next, what was before. Of TLS the key goes first, then the certificate."""

    current: tuple[Path, ...]

    def beside(self, word: str) -> tuple[Path, ...]:
        return tuple(file.with_name(f"{file.stem}.{word}{file.suffix}") for file in self.current)

    @property
    def next(self) -> tuple[Path, ...]:
        return self.beside("next")

    @property
    def previous(self) -> tuple[Path, ...]:
        return self.beside("previous")


def files_of(settings: Settings, which: str) -> Files:
    """The files of `sig`, `at`, `hpa` or `tls`. Raises SettingsProblem for another word."""
    keys = settings.keys
    names = {"sig": (keys.sig,), "at": (keys.at,), "hpa": (keys.hpa,), "tls": (keys.tls_key, keys.tls_certificate)}
    if which not in names:
        raise SettingsProblem(f"a key is one of {', '.join(KEYS)}, not {which}", reason="usage")
    return Files(tuple(settings.path(name) for name in names[which]))


def publish(settings: Settings, which: str, ours: Participant, now: datetime) -> Request:
    """Make the next key, if it is not there yet, and say what the list has to name. Raises SettingsProblem.

    The next TLS certificate is there already: it is issued for it (`isthmus pki csr`, `pki import`).
    """
    files = files_of(settings, which)
    if which == "tls":
        fresh = _tls_entry(ours, files.next[1])
        name = tls_name(ours.ncp_id, fresh)
        put = {"tls": [_written_tls(fresh, "next")]}
    else:
        current = load_signing_key(files.current[0], settings.env)
        if not files.next[0].exists():
            kids = {key.kid for key in ours.keys}
            write_signing_key(files.next[0], new_signing_key(next_kid(current.kid, kids), demo=current.demo))
        made = load_signing_key(files.next[0], settings.env)
        held = _listed(ours, current)
        entry = StatementKey(made.kid, held.uses, made.alg, made.public_jwk)
        name = key_name(ours.ncp_id, entry)
        put = {"keys": [_written_key(entry, "next")]}
    return _request(settings, ours, which, "publish", put, [name], now)


def listed_next(settings: Settings, which: str, ours: Participant) -> str:
    """What the list says of the next key: its status. Raises TrustListStale while it says nothing, SettingsProblem without a next key."""
    files = files_of(settings, which)
    if not all(file.exists() for file in files.next):
        raise SettingsProblem(f"there is no next key of {which}: begin with --phase publish", reason="usage")
    if which == "tls":
        digest = spki_sha256(_der(files.next[1]))
        found = next((key.status for key in ours.tls if key.spki_sha256 == digest), None)
    else:
        fresh = load_signing_key(files.next[0], settings.env)
        found = next((key.status for key in ours.keys if key.thumbprint == thumbprint(fresh.jwk)), None)
    if found is None:
        raise TrustListStale(f"the trust list does not name the next key of {which} yet, or it still waits there")
    return found


def activate(settings: Settings, which: str, ours: Participant, now: datetime) -> Request:
    """What the list has to say before we sign with the next key: it is current, the one in use is previous."""
    files = files_of(settings, which)
    put: dict[str, Any]
    if which == "tls":
        fresh, held = _tls_entry(ours, files.next[1]), _tls_entry(ours, files.current[1])
        put = {"tls": [_written_tls(held, "previous"), _written_tls(fresh, "current")]}
        names = [tls_name(ours.ncp_id, fresh)]
    else:
        made, current = (load_signing_key(file[0], settings.env) for file in (files.next, files.current))
        entries = _listed(ours, made), _listed(ours, current)
        put = {"keys": [_written_key(entries[1], "previous"), _written_key(entries[0], "current")]}
        names = [key_name(ours.ncp_id, entries[0])]
    return _request(settings, ours, which, "activate", put, names, now)


def switch(settings: Settings, which: str, now: datetime) -> None:
    """From here on the next key is the one in use. A running node notices by itself."""
    files = files_of(settings, which)
    for current, following, previous in zip(files.current, files.next, files.previous, strict=True):
        replace_file(previous, current.read_bytes())
        os.replace(following, current)
    folder = files.current[0].parent
    replace_file(folder / STATE, json.dumps({**_state(folder), which: int(now.timestamp())}).encode() + b"\n")


def retire(settings: Settings, which: str, ours: Participant, now: datetime, *, early: bool = False) -> Request:
    """What the list has to say when the old key is over: that it ends now. Raises SettingsProblem while something of it may live."""
    files = files_of(settings, which)
    since = _state(files.current[0].parent).get(which)
    if since is None or not files.previous[0].exists():
        raise SettingsProblem(f"no key of {which} was before this one: nothing to retire", reason="usage")
    left_s = since + LIVES_S - now.timestamp()
    if left_s > 0 and not early:
        raise SettingsProblem(
            f"what the old key signed lives for {left_s / 60:.0f} more minutes; wait, or say --early", reason="usage"
        )
    end = int(now.timestamp())
    put: dict[str, Any]
    if which == "tls":
        put = {"tls": [{**_written_tls(_tls_entry(ours, files.previous[1]), "previous"), "exp": end}]}
    else:
        held = _listed(ours, load_signing_key(files.previous[0], settings.env))
        put = {"keys": [{**_written_key(held, "previous"), "exp": end}]}
    return _request(settings, ours, which, "retire", put, [], now)


def forget(settings: Settings, which: str) -> None:
    """The old private key goes; its public half stays in the list."""
    for file in files_of(settings, which).previous:
        file.unlink(missing_ok=True)


def next_kid(kid: str, taken: Iterable[str]) -> str:
    """bb-sig-1, bb-sig-2, …"""
    stem, number = re.fullmatch(r"(.*?)-?(\d*)", kid).groups()  # type: ignore[union-attr]  # every kid matches
    count = int(number or 1) + 1
    while f"{stem}-{count}" in set(taken):
        count += 1
    return f"{stem}-{count}"


def _listed(ours: Participant, key: SigningKey) -> StatementKey:
    for entry in ours.keys:
        if entry.thumbprint == thumbprint(key.jwk):
            return entry
    raise TrustListStale(f"the trust list does not name our key {key.kid}, or it still waits there")


def _tls_entry(ours: Participant, certificate: Path) -> TlsKey:
    digest = spki_sha256(_der(certificate))
    known = next((key for key in ours.tls if key.spki_sha256 == digest), None)
    return known or TlsKey(digest, frozenset({"server", "client"}))


def _der(file: Path) -> bytes:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(Encoding.DER)
    except OSError as error:
        raise SettingsProblem(
            f"{file} is not there: `isthmus pki csr`, have it issued, then `isthmus pki import`", reason="usage"
        ) from error
    except ValueError as error:
        raise SettingsProblem(f"{file} is no PEM certificate") from error


def _written_key(key: StatementKey, status: str) -> Request:
    return {
        "kid": key.kid, "use": sorted(key.uses), "jwk": dict(key.jwk), "nbf": key.not_before, "exp": key.not_after,
        "status": status,
    }  # fmt: skip


def _written_tls(key: TlsKey, status: str) -> Request:
    return {
        "spki_sha256": key.spki_sha256, "use": sorted(key.uses), "nbf": key.not_before, "exp": key.not_after,
        "status": status,
    }  # fmt: skip


def _request(
    settings: Settings, ours: Participant, which: str, phase: str, put: Mapping[str, Any], names: list[str], now: datetime
) -> Request:  # fmt: skip
    """Countersigned with the K-sig that counts now: what it names need not wait. Source: trust.md §2.2 ("attest")."""
    sig = load_signing_key(files_of(settings, "sig").current[0], settings.env)
    attest = write_attest(ours.ncp_id, names, sig, now) if names else ""
    return {"v": 1, "ncp_id": ours.ncp_id, "key": which, "phase": phase, "put": dict(put), "attest": attest}


def _state(folder: Path) -> dict[str, int]:
    try:
        read = json.loads((folder / STATE).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsProblem(f"{folder / STATE} cannot be read") from error
    return {str(name): int(second) for name, second in read.items()}
