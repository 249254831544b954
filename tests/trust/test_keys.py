"""Keys as files: who may read them, and what is not accepted as a key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from isthmus.errors import SettingsProblem
from isthmus.trust.encoding import base64url
from isthmus.trust.keys import (
    check_public_jwk,
    load_public_key,
    load_signing_key,
    new_signing_key,
    write_public_key,
    write_signing_key,
)

KEY = new_signing_key("aa-sig-1", demo=True)


def test_a_private_key_is_written_for_its_owner_alone_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "sig.jwk"
    write_signing_key(file, KEY)

    loaded = load_signing_key(file, "demo")

    assert loaded == KEY
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_key_file_is_never_replaced(tmp_path: Path) -> None:
    write_signing_key(tmp_path / "sig.jwk", KEY)

    with pytest.raises(FileExistsError):
        write_signing_key(tmp_path / "sig.jwk", new_signing_key("aa-sig-1", demo=True))


def test_a_private_key_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sig.jwk"
    write_signing_key(file, KEY)
    file.chmod(0o640)

    with pytest.raises(SettingsProblem, match="chmod 600"):
        load_signing_key(file, "demo")


@pytest.mark.threat("T79")
def test_production_refuses_demo_keys(tmp_path: Path) -> None:
    write_signing_key(tmp_path / "sig.jwk", KEY)
    write_public_key(tmp_path / "sig.public.jwk", KEY)

    with pytest.raises(SettingsProblem, match="marked demo"):
        load_signing_key(tmp_path / "sig.jwk", "prod")
    with pytest.raises(SettingsProblem, match="marked demo"):
        load_public_key(tmp_path / "sig.public.jwk", "prod", frozenset({"consent"}))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"kid":"a"}', '{"kid":"a","alg":"HS256","kty":"oct","k":"AAAA"}'])
def test_what_is_no_key_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "sig.jwk"
    file.write_text(content)
    file.chmod(0o600)

    with pytest.raises(SettingsProblem):
        load_signing_key(file, "demo")
    with pytest.raises(SettingsProblem):
        load_public_key(file, "demo", frozenset({"consent"}))


def _rsa(bits: int, alg: str) -> dict[str, Any]:
    numbers = rsa.generate_private_key(65537, bits).public_key().public_numbers()
    return {"kty": "RSA", "alg": alg, "e": "AQAB", "n": base64url(numbers.n.to_bytes(bits // 8))}


@pytest.mark.requirement("SEC-03")
def test_rsa_needs_3072_bits_and_rs384_one_use() -> None:
    small, large = _rsa(2048, "PS256"), _rsa(3072, "PS256")

    assert check_public_jwk(large, frozenset({"trc"})) == "PS256"
    assert check_public_jwk({**large, "alg": "RS384"}, frozenset({"client_auth"})) == "RS384"
    with pytest.raises(ValueError):
        check_public_jwk(small, frozenset({"trc"}))
    with pytest.raises(ValueError):
        check_public_jwk({**large, "alg": "RS384"}, frozenset({"client_auth", "trc"}))


@pytest.mark.parametrize(
    "changes",
    [
        {"alg": "RS256"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": None},
        {"crv": "P-384"},
        {"kty": "RSA"},
        {"x": 1},
        {"d": "AA"},
    ],
)
def test_a_public_key_of_another_kind_is_refused(changes: dict[str, Any]) -> None:
    jwk = json.loads(json.dumps({**KEY.public_jwk, **changes}))

    with pytest.raises(ValueError):
        check_public_jwk(jwk, frozenset({"trc"}))
