"""Keys, certificates, settings and a signed trust list for practice countries. All of it is marked demo.

The first country answers and asks, the second asks alone and has the portal, any further one is like the first. A folder is
moved or copied as a whole: nothing in it names its place.

    OUT/trustlist.jws · ca.pem · operator/ (operator.key.jwk, operator.jwk, ca.key) · negative/ (what a border refuses, if wanted)
    OUT/aa/isthmus.toml · keys/ (tls.pem, tls.key, sig.jwk, at.jwk, hpa.jwk, log.jwk, env.key, consent.jwk, consent.public.jwk)

Source: trust.md §2.3, §6.1; field-faults F54.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from isthmus.config import Settings
from isthmus.errors import SettingsProblem
from isthmus.trust.certificates import spki_sha256
from isthmus.trust.issue import issue_authority, issue_node
from isthmus.trust.keys import (
    SigningKey,
    load_log_key,
    load_public_key,
    load_signing_key,
    new_log_key,
    new_signing_key,
    read_private,
    write_private,
    write_public_key,
    write_signing_key,
)
from isthmus.trust.negative import write_negative
from isthmus.trust.operator.lists import publish, read_body, replace_file
from isthmus.trust.operator.lists import set_status as _with_status
from isthmus.trust.settings_text import HOST, CountryPorts, ncp_id, node_settings, with_ports
from isthmus.trust.trustlist import SERVICES
from isthmus.trust.turnover.phases import files_of

LIFE = timedelta(days=90)
RENEW_BEFORE = timedelta(days=60)
PACK = "eu-2026-09"
STATEMENT_KEYS: Mapping[str, Sequence[str]] = {
    "sig": ("httpsig", "trc", "nok", "receipt", "client_auth"),
    "at": ("at",),
    "hpa": ("hpa",),
}


@dataclass(frozen=True, slots=True)
class Made:
    """What was written: where each country's settings lie, by code."""

    out: Path
    trust_list: Path
    authority: Path
    settings: Mapping[str, Path]
    seq: int


def default_ports(countries: Sequence[str], base: int = 8710) -> dict[str, CountryPorts]:
    """Border at base+1 and operations at base+2; each further country 10 on. Source: interfaces.md §2."""
    return {code: CountryPorts(base + 10 * i + 1, base + 10 * i + 2) for i, code in enumerate(countries)}


def init(
    out: Path,
    *,
    countries: Sequence[str] = ("AA", "BB"),
    ports: Mapping[str, CountryPorts],
    portal_port: int = 8700,
    services: Mapping[str, Sequence[str]] | None = None,
    with_negative: bool = False,
    now: datetime,
) -> Made:
    """Make everything for practice countries; `services` says what a country offers that does not offer all, `with_negative`
    adds what a border has to refuse.

    Raises SettingsProblem when keys are there already: nothing is overwritten.
    """
    _fresh(out, countries)
    operator = out / "operator"
    operator.mkdir(mode=0o700, parents=True)
    operator_key = new_signing_key("operator-1", demo=True)
    write_signing_key(operator / "operator.key.jwk", operator_key)
    write_public_key(operator / "operator.jwk", operator_key)
    authority_key = generate_private_key(SECP256R1())
    authority = issue_authority(authority_key, now)
    write_private(operator / "ca.key", _pem(authority_key))
    write_private(out / "ca.pem", authority.public_bytes(Encoding.PEM))
    participants = []
    for number, country in enumerate(countries, 1):
        folder = out / country.lower()
        kept = _make_keys(folder / "keys", country, authority, authority_key, now, answers=_answers(number))
        offered = (services or {}).get(country, SERVICES) if _answers(number) else ()
        participants.append(_participant(country, number, ports[country], folder / "keys", kept, offered))
    if with_negative:
        asking = participants[min(1, len(participants) - 1)]
        revoked = write_negative(out / "negative", asking["country"], authority, authority_key, now)
        asking["tls"].append({"spki_sha256": revoked, "use": ["server", "client"], "status": "revoked"})
    _write_settings(out, countries, ports, portal_port)
    body = {"tls_ca": [b64encode(authority.public_bytes(Encoding.DER)).decode()], "participants": participants}
    return _sign(out, {**body, "seq": 0}, operator_key, now)


def sign_again(
    out: Path, *, ports: Mapping[str, CountryPorts] | None = None, portal_port: int = 8700, now: datetime
) -> Made:
    """Sign a kept folder's list with the next number, for another 90 days; keys stay, certificates near their end are renewed.

    With `ports`, addresses are written anew, and the ports in the settings; nothing else of them. Raises SettingsProblem when the
    folder is not ours.
    """
    operator_key = _operator_key(out)
    body = _body(out)
    if ports is not None:
        countries = [participant["country"] for participant in body["participants"]]
        for participant in body["participants"]:
            participant["endpoints"] = _endpoints(ports[participant["country"]].border)
        _move_settings(out, countries, ports, portal_port)
    _renew(out, body, now)
    for participant in body["participants"]:
        country = participant["country"]
        participant.setdefault("log", _log_entry(out / country.lower() / "keys", country))
    return _sign(out, body, operator_key, now)


def issue_next(out: Path, settings: Settings) -> None:
    """A practice country's next TLS key and certificate, by the practice authority; nothing when they are there already."""
    key_file, certificate_file = files_of(settings, "tls").next
    if certificate_file.exists():
        return
    if not key_file.exists():
        write_private(key_file, _pem(generate_private_key(SECP256R1())))
    public, now = _private(key_file).public_key(), datetime.now(UTC)
    authority, authority_key = _certificate(out / "ca.pem"), _private(out / "operator" / "ca.key")
    fresh = issue_node(settings.country, public, authority, authority_key, now, now + LIFE)
    write_private(certificate_file, fresh.public_bytes(Encoding.PEM))


def set_status(out: Path, country: str, status: str, *, now: datetime) -> Made:
    """Suspend or resume a country (`suspended`, `active`): signs the next list. Raises SettingsProblem."""
    body = _body(out)
    _with_status(body, country, status)
    return _sign(out, body, _operator_key(out), now)


def _fresh(out: Path, countries: Sequence[str]) -> None:
    if not countries or len(set(countries)) != len(countries):
        raise SettingsProblem("give one or more countries, each once", reason="usage")
    for country in countries:
        if re.fullmatch(r"[A-Z]{2}", country) is None:
            raise SettingsProblem(f"a country is two capital letters, not {country!r}", reason="usage")
    for there in (
        out / "operator",
        out / "negative",
        out / "trustlist.jws",
        *(out / code.lower() / "keys" for code in countries),
    ):
        if there.exists():
            raise SettingsProblem(f"{there} is there already: keys are never overwritten; choose another folder")


def _answers(number: int) -> bool:
    """The second country asks alone."""
    return number != 2


def _make_keys(
    folder: Path, country: str, authority: x509.Certificate, authority_key: EllipticCurvePrivateKey,
    now: datetime, *, answers: bool,
) -> dict[str, SigningKey]:  # fmt: skip
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700)
    tls_key = generate_private_key(SECP256R1())
    write_private(folder / "tls.key", _pem(tls_key))
    certificate = issue_node(country, tls_key.public_key(), authority, authority_key, now, now + LIFE)
    write_private(folder / "tls.pem", certificate.public_bytes(Encoding.PEM))
    write_private(folder / "env.key", secrets.token_hex(32).encode() + b"\n")
    kept = {name: new_signing_key(f"{country.lower()}-{name}-1", demo=True) for name in STATEMENT_KEYS}
    for name, key in kept.items():
        write_signing_key(folder / f"{name}.jwk", key)
    _log_entry(folder, country)
    if answers:
        consent = new_signing_key(f"{country.lower()}-consent-1", demo=True)
        write_signing_key(folder / "consent.jwk", consent)
        write_public_key(folder / "consent.public.jwk", consent)
    return kept


def _participant(
    country: str,
    number: int,
    ports: CountryPorts,
    keys: Path,
    kept: Mapping[str, SigningKey],
    services: Sequence[str],
) -> dict[str, Any]:
    answers = _answers(number)
    mask = {
        "identifiers": [
            {
                "system": f"urn:oid:2.999.{number}.2.1",
                "pattern": "^[0-9A-Za-z-]{4,20}$",
                "label": {"en": "National identifier", "el": "Εθνικός αριθμός ταυτότητας"},
            }
        ],
        "traits": {"family": "required", "given": "optional", "birthdate": "required", "gender": "optional"},
    }
    return {
        "ncp_id": ncp_id(country),
        "country": country,
        "status": "active",
        "roles": ["A", "B"] if answers else ["B"],
        "home_community_id": f"urn:oid:2.999.{number}.1",
        "name": {"en": f"Country {country}"},
        "phone": "+000 000 000",
        "pack": PACK,
        "endpoints": _endpoints(ports.border),
        "tls": [_tls_entry(keys / "tls.pem")],
        "keys": [
            {"kid": key.kid, "use": list(STATEMENT_KEYS[name]), "jwk": key.public_jwk, "nbf": 0, "exp": 0,
             "status": "current"}
            for name, key in kept.items()
        ],
        "policy": {
            "min_loa": "substantial",
            "patient_presence": ["id-document", "ehic", "unable"],
            "btg": answers,
            "optout_btg": False,
            "patients_per_day": 200,
        },
        "search_mask": mask if answers else {"identifiers": [], "traits": {}},
        "services": list(services),
        "log": _log_entry(keys, country),
    }  # fmt: skip


def _log_entry(keys: Path, country: str) -> dict[str, str]:
    """The log's entry; its key is made where there is none yet, as in folders that an earlier version made."""
    file = keys / "log.jwk"
    if not file.exists():
        write_signing_key(file, new_log_key(f"ncp.{country.lower()}.test/audit", demo=True))
    public = load_log_key(file, "demo").public
    return {"origin": public.name, "vkey": public.vkey}


def _endpoints(port: int) -> dict[str, str]:
    base = f"https://{HOST}:{port}"
    return {
        "token": f"{base}/oauth/token",
        "fhir": f"{base}/fhir",
        "dicomweb": f"{base}/dicom-web",
        "ncp": f"{base}/ncp",
    }


def _tls_entry(file: Path) -> dict[str, Any]:
    der = _certificate(file).public_bytes(Encoding.DER)
    return {"spki_sha256": spki_sha256(der), "use": ["server", "client"], "nbf": 0, "exp": 0, "status": "current"}


def _write_settings(out: Path, countries: Sequence[str], ports: Mapping[str, CountryPorts], portal_port: int) -> None:
    for number, country in enumerate(countries, 1):
        text = node_settings(
            country, number, ports[country], answers=_answers(number), portal_port=portal_port if number == 2 else None
        )
        replace_file(out / country.lower() / "isthmus.toml", text.encode())


def _move_settings(out: Path, countries: Sequence[str], ports: Mapping[str, CountryPorts], portal_port: int) -> None:
    for country in countries:
        file = out / country.lower() / "isthmus.toml"
        try:
            before = file.read_text(encoding="utf-8")
            after = with_ports(before, ports[country], portal_port)
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsProblem(f"the settings file {file} cannot be read: {error}") from error
        except SettingsProblem as error:
            raise SettingsProblem(f"{file}: {error.message}", key=str(error.facts.get("key", ""))) from error
        if after != before:
            replace_file(file, after.encode())


def _renew(out: Path, body: Mapping[str, Any], now: datetime) -> None:
    """A certificate near its end is issued again for the same key: what the list names it by stays."""
    authority = _certificate(out / "ca.pem")
    authority_key = _private(out / "operator" / "ca.key")
    for participant in body["participants"]:
        file = out / participant["country"].lower() / "keys" / "tls.pem"
        held = _certificate(file)
        if held.not_valid_after_utc - now < RENEW_BEFORE:
            public = _private(file.with_name("tls.key")).public_key()
            fresh = issue_node(participant["country"], public, authority, authority_key, now, now + LIFE)
            replace_file(file, fresh.public_bytes(Encoding.PEM))


def _sign(out: Path, body: Mapping[str, Any], key: SigningKey, now: datetime) -> Made:
    signed = publish(out / "trustlist.jws", body, key, env="demo", life_s=int(LIFE.total_seconds()), now=now)
    codes = [participant["country"] for participant in body["participants"]]
    settings = {code: out / code.lower() / "isthmus.toml" for code in codes}
    return Made(out, out / "trustlist.jws", out / "ca.pem", settings, signed.listed.seq)


def _operator_key(out: Path) -> SigningKey:
    return load_signing_key(out / "operator" / "operator.key.jwk", "demo")


def _body(out: Path) -> dict[str, Any]:
    operator = load_public_key(out / "operator" / "operator.jwk", "demo", frozenset({"trustlist"}))
    return read_body(out / "trustlist.jws", operator)


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _private(file: Path) -> EllipticCurvePrivateKey:
    key = load_pem_private_key(read_private(file), None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise SettingsProblem(f"{file} holds no EC key")
    return key


def _certificate(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsProblem(f"{file} holds no certificate") from error
