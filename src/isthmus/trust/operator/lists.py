"""A trust list as its operator changes it: read with our own signature, one thing changed, signed as the next number.

What would be refused by a node is not published. Source: trust.md §2.2, §6.1, §6.3.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from isthmus.errors import SettingsProblem, TrustListStale
from isthmus.trust.jws import read_signed
from isthmus.trust.keys import SigningKey, StatementKey, check_public_jwk, write_private
from isthmus.trust.strict_json import read_object
from isthmus.trust.trustlist import MAX_BYTES, TYP, TrustList, read_trust_list, write_trust_list

PROD_LIFE_S = 24 * 3600
PRACTICE_LIFE_S = 90 * 86400
STATUSES = ("active", "suspended")

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Signed:
    """What was published."""

    file: Path
    listed: TrustList


def pinned(key: SigningKey) -> StatementKey:
    """The public half of the operator's key, as nodes pin it."""
    public = key.public_jwk
    return StatementKey(key.kid, frozenset({"trustlist"}), check_public_jwk(public, frozenset()), public)


def read_body(file: Path, key: StatementKey) -> Body:
    """The list as we signed it last: what somebody else put in its place is not signed again. Raises SettingsProblem."""
    try:
        token = file.read_text("ascii").strip()
        return read_object(read_signed(token, {key.kid: key}.get, TYP, MAX_BYTES))
    except (OSError, ValueError) as error:
        raise SettingsProblem(f"{file} is no trust list that this operator's key signed") from error


def publish(file: Path, body: Mapping[str, Any], key: SigningKey, *, env: str, life_s: int, now: datetime) -> Signed:
    """Sign with the next number, for `life_s` from now, and put it in the place of the list before. Raises SettingsProblem."""
    issued = int(now.timestamp())
    seq = int(body.get("seq", 0)) + 1
    signed = {**body, "seq": seq, "issued": issued, "next_update": issued + life_s, "env": env}
    token = write_trust_list(signed, key)
    try:
        listed = read_trust_list(token, [pinned(key)], env=env, now=now, after_seq=seq)
    except TrustListStale as refusal:
        raise SettingsProblem(f"this list would be refused, and is not signed: {refusal}") from refusal
    replace_file(file, token.encode())
    return Signed(file, listed)


def life_of(body: Mapping[str, Any], env: str) -> int:
    """How long the list before was good for; for a first one, a day in production and 90 in practice."""
    if "next_update" in body and "issued" in body:
        return int(body["next_update"]) - int(body["issued"])
    return PROD_LIFE_S if env == "prod" else PRACTICE_LIFE_S


def replace_file(file: Path, content: bytes) -> None:
    """A reader sees the old file or the new one."""
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    write_private(fresh, content)
    os.replace(fresh, file)


# one change


def participant_of(body: Mapping[str, Any], country: str) -> Body:
    """A country's entry, by its two letters or its ncp_id. Raises SettingsProblem."""
    for participant in body.get("participants", ()):
        if country in (participant.get("country"), participant.get("ncp_id")):
            found: Body = participant
            return found
    raise SettingsProblem(f"the trust list has no country {country}", reason="usage")


def set_status(body: Mapping[str, Any], country: str, status: str) -> None:
    """Suspend a country or let it come back."""
    participant_of(body, country)["status"] = status


def revoke(body: Mapping[str, Any], name: str) -> str:
    """Revoke one key, by its kid or the digest of its SPKI (or a beginning of it); gives whose it was. Raises SettingsProblem."""
    found = [
        (participant["country"], entry)
        for participant in body.get("participants", ())
        for entry in (*participant.get("keys", ()), *participant.get("tls", ()))
        if entry.get("kid") == name or (len(name) >= 8 and str(entry.get("spki_sha256", "")).startswith(name))
    ]
    if len(found) != 1:
        words = "no key" if not found else "more than one key"
        raise SettingsProblem(
            f"the trust list has {words} of that name; `isthmus trust show` lists them", reason="usage"
        )
    country, entry = found[0]
    entry["status"] = "revoked"
    return str(country)


# what countries ask for


def write_request(file: Path, request: Mapping[str, Any]) -> None:
    """What a country asks the operator to change in its own entry. Nothing of it is secret."""
    replace_file(file, json.dumps(request, indent=1).encode() + b"\n")


def apply_request(body: Mapping[str, Any], request: Mapping[str, Any]) -> str:
    """Put a country's request into its entry; gives the country. Raises SettingsProblem for what is no request.

    `put`: entries of `keys` and `tls`, whole, in the place of those of the same name. Who asked is the operator's to make sure of;
    `attest` lets the nodes see for themselves that the country's present key agrees.
    """
    try:
        participant = participant_of(body, str(request["ncp_id"]))
        for part, name in (("keys", "kid"), ("tls", "spki_sha256")):
            for entry in request.get("put", {}).get(part, ()):
                kept = [held for held in participant[part] if held[name] != entry[name]]
                participant[part] = [*kept, {k: entry[k] for k in _MEMBERS[part] if k in entry}]
        if request.get("attest"):
            participant["attest"] = [str(request["attest"])]
    except (KeyError, TypeError, AttributeError) as error:
        raise SettingsProblem("this is no request of a country: `isthmus keys rotate` writes them") from error
    return str(participant["country"])


_MEMBERS = {
    "keys": ("kid", "use", "jwk", "nbf", "exp", "status"),
    "tls": ("spki_sha256", "use", "nbf", "exp", "status"),
}
