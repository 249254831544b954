"""The trust list: one signed file, the only source of peers, authorities, keys, addresses and search masks.

Whole or not at all: anything in it that is not right refuses all of it, and the list before stays. Nothing is ever learned
from a message.

Source: trust.md §2.2.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
import re2
from cryptography import x509

from isthmus.errors import TrustListStale
from isthmus.model.masks import MaskIdentifier, SearchMask
from isthmus.trust import jws
from isthmus.trust.encoding import base64url, unbase64url
from isthmus.trust.keys import USES, SigningKey, StatementKey, check_public_jwk
from isthmus.trust.strict_json import read_object
from isthmus.wire.notes import LogKey

TYP = "ncp-trustlist+jwt"
MAX_BYTES = 2 * 1024 * 1024
SKEW_S = 30
SERVICES = ("imaging-report", "imaging-manifest", "imaging-pixels", "imaging-metadata")
TLS_USES = frozenset({"server", "client"})
TRAITS = frozenset({"family", "given", "birthdate", "gender"})


@dataclass(frozen=True, slots=True)
class TlsKey:
    """A key that a participant uses on its connections, named by the digest of its SPKI. Bounds of 0 mean none."""

    spki_sha256: str
    uses: frozenset[str]
    not_before: int = 0
    not_after: int = 0
    status: str = "current"

    def holds(self, use: str, now: datetime) -> bool:
        """`next` counts: while a certificate turns over, both are met on connections."""
        second = int(now.timestamp())
        return (
            use in self.uses
            and self.status in ("current", "next", "previous")
            and self.not_before <= second
            and (self.not_after == 0 or second < self.not_after)
        )


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a participant is reached; addresses are built from these alone."""

    token: str
    fhir: str
    dicomweb: str
    ncp: str

    @property
    def origins(self) -> frozenset[str]:
        return frozenset(origin(url) for url in (self.token, self.fhir, self.dicomweb, self.ncp))


@dataclass(frozen=True, slots=True)
class Policy:
    """What a country asks of those who ask it."""

    min_loa: str = "substantial"
    patient_presence: frozenset[str] = frozenset()
    btg: bool = False
    optout_btg: bool = False
    patients_per_day: int = 200


@dataclass(frozen=True, slots=True)
class Participant:
    """One NCPeH as the list describes it."""

    ncp_id: str
    country: str
    status: str
    roles: frozenset[str]
    name: Mapping[str, str]
    phone: str
    pack: str
    endpoints: Endpoints
    tls: tuple[TlsKey, ...]
    keys: tuple[StatementKey, ...]
    policy: Policy
    mask: SearchMask
    services: frozenset[str]
    home_community_id: str = ""
    log: LogKey | None = None  # whose checkpoints are this participant's
    attest: tuple[str, ...] = field(default=(), repr=False)  # its own word on its next keys, see following/attested.py

    @property
    def active(self) -> bool:
        """An unknown status counts as suspended."""
        return self.status == "active"


@dataclass(frozen=True, slots=True)
class TrustList:
    """An accepted list. `digest` names its bytes."""

    seq: int
    issued: int
    next_update: int
    env: str
    tls_ca: tuple[bytes, ...] = field(repr=False)  # DER
    participants: tuple[Participant, ...]
    digest: str

    def runs(self, now: datetime) -> bool:
        return now.timestamp() < self.next_update


def origin(url: str) -> str:
    """Scheme, host and port, compared as parts. Raises ValueError for what is no plain https address."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("an endpoint is not a plain https address")
    return f"https://{parts.hostname.lower()}:{parts.port or 443}"


def read_trust_list(
    token: str, operator_keys: Sequence[StatementKey], *, env: str, now: datetime, after_seq: int
) -> TrustList:
    """Read a signed list whole, or raise TrustListStale saying why it is refused.

    `after_seq` is the lowest sequence number still accepted: that of the stored list (whose bytes must then be the same,
    which the directory compares), or `trust.min_seq` at first use.
    """
    pinned = {key.kid: key for key in operator_keys}
    try:
        if token.partition(".")[0] == "" or not token.isascii():
            raise jws.BadSignature("not a compact JWS")
        body = read_object(jws.read_signed(token, pinned.get, TYP, MAX_BYTES))
        raw = msgspec.convert(body, _List)
        listed = _made(raw, digest_of(token))
        _agrees(listed, env, now, after_seq)
    except (ValueError, msgspec.ValidationError, re2.error) as error:
        raise TrustListStale(f"the trust list is refused: {error}") from error
    return listed


def draft_of(body: Mapping[str, Any]) -> TrustList:
    """A list that is not signed yet, to be looked at; it has no digest and counts nowhere. Raises TrustListStale."""
    try:
        return _made(msgspec.convert({"seq": 0, "issued": 0, "next_update": 0, "env": "", **body}, _List), "")
    except (ValueError, msgspec.ValidationError, re2.error) as error:
        raise TrustListStale(f"this is no trust list: {error}") from error


def said_by(token: str) -> TrustList:
    """What a list says, whoever signed it and whenever: for evidence, where that is judged apart. Raises ValueError."""
    try:
        body = read_object(unbase64url(token.split(".")[1]))
        return _made(msgspec.convert(body, _List), digest_of(token))
    except (IndexError, UnicodeEncodeError, msgspec.ValidationError, re2.error) as error:
        raise ValueError(f"not a trust list: {error}") from error


def write_trust_list(body: Mapping[str, Any], key: SigningKey) -> str:
    """Sign a list."""
    return jws.sign_bytes(json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8"), key, TYP)


def digest_of(token: str) -> str:
    return base64url(hashlib.sha256(token.encode("ascii")).digest())


# How it is written; members we do not know are left for later drafts.


class _Tls(msgspec.Struct):
    spki_sha256: str
    use: list[str]
    status: str
    nbf: int = 0
    exp: int = 0


class _Key(msgspec.Struct):
    kid: str
    use: list[str]
    jwk: dict[str, Any]
    status: str
    nbf: int = 0
    exp: int = 0


class _Identifier(msgspec.Struct):
    system: str
    pattern: str
    label: dict[str, str] = {}


class _Mask(msgspec.Struct):
    identifiers: list[_Identifier] = []
    traits: dict[str, str] = {}


class _Policy(msgspec.Struct):
    min_loa: str = "substantial"
    patient_presence: list[str] = []
    btg: bool = False
    optout_btg: bool = False
    patients_per_day: int = 200


class _Log(msgspec.Struct):
    origin: str
    vkey: str


class _Participant(msgspec.Struct):
    ncp_id: str
    country: str
    status: str
    roles: list[str]
    name: dict[str, str]
    pack: str
    endpoints: dict[str, str]
    tls: list[_Tls]
    keys: list[_Key]
    services: list[str]
    phone: str = ""
    home_community_id: str = ""
    attest: list[str] = []
    policy: _Policy = msgspec.field(default_factory=_Policy)
    search_mask: _Mask = msgspec.field(default_factory=_Mask)
    log: _Log | None = None


class _List(msgspec.Struct):
    seq: int
    issued: int
    next_update: int
    env: str
    tls_ca: list[str]
    participants: list[_Participant]


def _made(raw: _List, digest: str) -> TrustList:
    authorities = tuple(b64decode(entry, validate=True) for entry in raw.tls_ca)
    for der in authorities:
        x509.load_der_x509_certificate(der)  # raises ValueError
    participants = tuple(_participant(entry) for entry in raw.participants)
    return TrustList(raw.seq, raw.issued, raw.next_update, raw.env, authorities, participants, digest)


def _participant(raw: _Participant) -> Participant:
    try:
        endpoints = Endpoints(**raw.endpoints)
    except TypeError:
        raise ValueError("endpoints are token, fhir, dicomweb and ncp") from None
    if len(raw.country) != 2 or not raw.country.isupper() or not raw.ncp_id:
        raise ValueError("a participant lacks its id or its country's two letters")
    if raw.policy.min_loa not in ("low", "substantial", "high"):
        raise ValueError("min_loa is low, substantial or high")
    for entry in endpoints.origins:
        origin(entry)
    return Participant(
        ncp_id=raw.ncp_id,
        country=raw.country,
        status=raw.status,
        roles=frozenset(raw.roles),
        name=raw.name,
        phone=raw.phone,
        pack=raw.pack,
        endpoints=endpoints,
        tls=tuple(_tls(entry) for entry in raw.tls),
        keys=tuple(_key(entry) for entry in raw.keys),
        policy=Policy(
            raw.policy.min_loa,
            frozenset(raw.policy.patient_presence),
            raw.policy.btg,
            raw.policy.optout_btg,
            raw.policy.patients_per_day,
        ),
        mask=_mask(raw.search_mask),
        services=frozenset(raw.services) & set(SERVICES),
        home_community_id=raw.home_community_id,
        log=None if raw.log is None else _log(raw.log),
        attest=tuple(raw.attest),
    )


def _log(raw: _Log) -> LogKey:
    key = LogKey.read(raw.vkey)
    if key.name != raw.origin:
        raise ValueError("a log's origin is the name of its key")
    return key


def _tls(raw: _Tls) -> TlsKey:
    if len(unbase64url(raw.spki_sha256)) != 32:
        raise ValueError("spki_sha256 is not a SHA-256")
    return TlsKey(raw.spki_sha256, frozenset(raw.use) & TLS_USES, raw.nbf, raw.exp, raw.status)


def _key(raw: _Key) -> StatementKey:
    alg = check_public_jwk(raw.jwk, frozenset(raw.use))
    return StatementKey(raw.kid, frozenset(raw.use) & USES, alg, raw.jwk, raw.nbf, raw.exp, raw.status)


def _mask(raw: _Mask) -> SearchMask:
    """Patterns of others run in RE2 alone; one that does not compile refuses the list."""
    for entry in raw.identifiers:
        re2.compile(entry.pattern)
    if not raw.traits.keys() <= TRAITS or not set(raw.traits.values()) <= {"required", "optional"}:
        raise ValueError("a search mask asks for traits that are not known")
    identifiers = tuple(MaskIdentifier(entry.system, entry.pattern, entry.label) for entry in raw.identifiers)
    return SearchMask(identifiers, raw.traits)


def _agrees(listed: TrustList, env: str, now: datetime, after_seq: int) -> None:
    """What a list must be as a whole. Raises ValueError."""
    second = int(now.timestamp())
    if listed.env != env:
        raise ValueError(f"it is for env {listed.env!r}, this node is {env!r}")
    if listed.seq < after_seq:
        raise ValueError(f"its number {listed.seq} is lower than {after_seq}")
    if listed.issued > second + SKEW_S:
        raise ValueError("it is issued in the future: compare clocks")
    if listed.next_update <= second:
        raise ValueError("it has run out")
    if not listed.tls_ca:
        raise ValueError("it names no certificate authority")
    for what, names in _NAMES_OF_ONE.items():
        _one_owner(listed.participants, what, names)
    kids = [key.kid for participant in listed.participants for key in participant.keys]
    if len(set(kids)) != len(kids):
        raise ValueError("two keys share a kid")


_NAMES_OF_ONE: Mapping[str, Callable[[Participant], Iterable[str]]] = {
    "an ncp_id": lambda p: (p.ncp_id,),
    "an origin": lambda p: p.endpoints.origins,
    "a TLS key": lambda p: {key.spki_sha256 for key in p.tls},
    "a key": lambda p: {key.thumbprint for key in p.keys},
    "a log": lambda p: () if p.log is None else {p.log.name, p.log.public.hex()},
}


def _one_owner(participants: Sequence[Participant], what: str, names: Callable[[Participant], Iterable[str]]) -> None:
    seen: set[str] = set()
    for participant in participants:
        mine = set(names(participant))
        if mine & seen:
            raise ValueError(f"two participants share {what}")
        seen |= mine
