"""Keys: our own private ones, and the public ones that others' statements are checked with.

A key good for everything is good for nothing: each has its uses and its one algorithm, told by the key and never by a token.

Source: trust.md §2.2, §2.3; RFC 7517; RFC 7638.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from isthmus.errors import SettingsProblem
from isthmus.trust.encoding import base64url, unbase64url
from isthmus.trust.strict_json import read_object
from isthmus.wire.notes import NoteKey

ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    # alg: (kty, crv); RS384 is for SMART clients that cannot do better, and for client_auth alone
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "Ed25519": ("OKP", "Ed25519"),
    "PS256": ("RSA", None),
    "RS384": ("RSA", None),
}
FOREIGN_ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    # what identity services sign with
    **ALGORITHMS,
    "RS256": ("RSA", None),
    "EdDSA": ("OKP", "Ed25519"),
}
USES = frozenset({"httpsig", "trc", "receipt", "client_auth", "at", "hpa", "nok"})
GOOD_STATUSES = frozenset({"current", "previous"})  # previous: for verification alone
_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
RSA_MIN_BITS = 3072
FOREIGN_RSA_MIN_BITS = 2048


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key of ours."""

    kid: str
    alg: str
    jwk: dict[str, Any] = field(repr=False)
    demo: bool = False

    @property
    def public_jwk(self) -> dict[str, Any]:
        return {**{name: self.jwk[name] for name in _MEMBERS[self.jwk["kty"]]}, "alg": self.alg}


@dataclass(frozen=True, slots=True)
class StatementKey:
    """A public key as the trust list (or our settings) name it. Bounds of 0 mean none."""

    kid: str
    uses: frozenset[str]
    alg: str
    jwk: Mapping[str, Any] = field(repr=False)
    not_before: int = 0
    not_after: int = 0
    status: str = "current"

    def holds(self, use: str | None, now: datetime) -> bool:
        """Whether a signature made for `use` may be checked with it at `now`."""
        second = int(now.timestamp())
        return (
            (use is None or use in self.uses)
            and self.status in GOOD_STATUSES
            and self.not_before <= second
            and (self.not_after == 0 or second < self.not_after)
        )

    @property
    def thumbprint(self) -> str:
        return thumbprint(self.jwk)


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """One name for one key, whatever stands around it. Source: RFC 7638."""
    required = {name: jwk[name] for name in _MEMBERS[jwk["kty"]]}
    digest = hashes.Hash(hashes.SHA256())
    digest.update(json.dumps(required, sort_keys=True, separators=(",", ":")).encode())
    return base64url(digest.finalize())


def check_public_jwk(jwk: Mapping[str, Any], uses: frozenset[str]) -> str:
    """Give back the algorithm of a public JWK. Raises ValueError when kind, curve, size or content do not fit."""
    alg = jwk.get("alg")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise ValueError(f"a key names the algorithm {alg!r}, which is not accepted")
    kty, crv = ALGORITHMS[alg]
    if jwk.get("kty") != kty or jwk.get("crv") != crv or "d" in jwk or "k" in jwk:
        raise ValueError(f"a key is not a public key for {alg}")
    if not all(isinstance(jwk.get(name), str) for name in _MEMBERS[kty]):
        raise ValueError(f"a key lacks members of its kind {kty}")
    if kty == "RSA" and int.from_bytes(unbase64url(jwk["n"])).bit_length() < RSA_MIN_BITS:
        raise ValueError(f"an RSA key has fewer than {RSA_MIN_BITS} bits")
    if alg == "RS384" and uses != {"client_auth"}:
        raise ValueError("RS384 is accepted for client_auth alone")
    return alg


def foreign_key(jwk: Mapping[str, Any], alg: str) -> StatementKey | None:
    """A key of an identity service's set, for one algorithm; None when it is not good for it. Source: RFC 7517 §4."""
    kty, crv = FOREIGN_ALGORITHMS[alg]
    kid = jwk.get("kid", "")
    fits = (
        jwk.get("kty") == kty
        and jwk.get("crv") == crv
        and jwk.get("alg", alg) == alg
        and jwk.get("use", "sig") == "sig"
    )
    if not fits or not isinstance(kid, str) or not all(isinstance(jwk.get(name), str) for name in _MEMBERS[kty]):
        return None
    try:
        if kty == "RSA" and int.from_bytes(unbase64url(jwk["n"])).bit_length() < FOREIGN_RSA_MIN_BITS:
            return None
    except ValueError:
        return None
    return StatementKey(kid, frozenset(), alg, {name: jwk[name] for name in _MEMBERS[kty]})


def new_signing_key(kid: str, *, demo: bool) -> SigningKey:
    """Make an ES256 key."""
    numbers = ec.generate_private_key(ec.SECP256R1()).private_numbers()
    public = numbers.public_numbers
    members = {"x": public.x, "y": public.y, "d": numbers.private_value}
    jwk = {"kid": kid, "alg": "ES256", "kty": "EC", "crv": "P-256"}
    jwk.update({name: base64url(value.to_bytes(32)) for name, value in members.items()})
    return SigningKey(kid, "ES256", jwk, demo)


def new_log_key(origin: str, *, demo: bool) -> SigningKey:
    """Make the Ed25519 key of a log; its kid is the log's origin. Source: trust.md §2.3 (K-log)."""
    private = Ed25519PrivateKey.generate()
    members = {"x": private.public_key().public_bytes_raw(), "d": private.private_bytes_raw()}
    jwk = {"kid": origin, "alg": "Ed25519", "kty": "OKP", "crv": "Ed25519"}
    return SigningKey(origin, "Ed25519", {**jwk, **{name: base64url(raw) for name, raw in members.items()}}, demo)


def load_log_key(path: Path, env: str) -> NoteKey:
    """Load the key that signs our checkpoints. Raises SettingsProblem as `load_signing_key` does."""
    jwk = _read_jwk(path, read_private, env)
    try:
        if (jwk.get("kty"), jwk.get("crv")) != ("OKP", "Ed25519"):
            raise ValueError("it is no Ed25519 key")
        return NoteKey.of_seed(jwk["kid"], unbase64url(str(jwk.get("d", ""))))
    except ValueError as error:
        raise SettingsProblem(f"the key file {path} holds no key of a log: {error}") from error


def write_signing_key(file: Path, key: SigningKey) -> None:
    """Write the private JWK, mode 0600; refuses to replace a file."""
    write_private(file, json.dumps({**key.jwk, "demo": key.demo}, indent=1).encode() + b"\n")


def write_public_key(file: Path, key: SigningKey) -> None:
    write_private(file, json.dumps({"kid": key.kid, **key.public_jwk, "demo": key.demo}, indent=1).encode() + b"\n")


def write_private(file: Path, content: bytes) -> None:
    """Make a file only its owner can read; refuses to replace one."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)


def read_private(file: Path) -> bytes:
    """Read a key file. Raises SettingsProblem when it is not there or others could read it."""
    try:
        mode = file.stat().st_mode & 0o777
        if mode & 0o077:
            raise SettingsProblem(f"the key file {file} has mode {mode:04o}; make it 0600 (chmod 600 {file})")
        return file.read_bytes()
    except OSError as error:
        raise SettingsProblem(f"the key file {file} cannot be read: {error.strerror}") from error


def load_signing_key(path: Path, env: str) -> SigningKey:
    """Load one of the node's private JWKs. Raises SettingsProblem: missing, readable by others, no ES256 key, demo in prod."""
    jwk = _read_jwk(path, read_private, env)
    if jwk.get("alg") not in ("ES256", "ES384") or not isinstance(jwk.get("d"), str):
        raise SettingsProblem(f"the key file {path} holds no private ES256 or ES384 key")
    try:
        check_public_jwk({name: value for name, value in jwk.items() if name != "d"}, frozenset())
    except ValueError as error:
        raise SettingsProblem(f"the key file {path}: {error}") from error
    private = {name: jwk[name] for name in ("kid", "alg", "kty", "crv", "x", "y", "d")}
    return SigningKey(jwk["kid"], jwk["alg"], private, bool(jwk.get("demo")))


def load_public_key(path: Path, env: str, uses: frozenset[str]) -> StatementKey:
    """Load a public key that our settings pin: the list operator's, the consent service's. Raises SettingsProblem."""
    jwk = _read_jwk(path, Path.read_bytes, env)
    try:
        alg = check_public_jwk(jwk, uses)
    except ValueError as error:
        raise SettingsProblem(f"the key file {path}: {error}") from error
    return StatementKey(jwk["kid"], uses, alg, {name: jwk[name] for name in (*_MEMBERS[jwk["kty"]], "alg")})


def _read_jwk(path: Path, read: Callable[[Path], bytes], env: str) -> dict[str, Any]:
    try:
        jwk = read_object(read(path))
    except OSError as error:
        raise SettingsProblem(f"the key file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsProblem(f"the key file {path} holds no JWK") from error
    if not isinstance(jwk.get("kid"), str):
        raise SettingsProblem(f"the key in {path} has no kid")
    if env == "prod" and jwk.get("demo"):
        raise SettingsProblem(f'the key in {path} is marked demo and cannot be used in env = "prod"')
    return jwk
