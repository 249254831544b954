"""What a border must refuse, for tests: certificates that are wrong in one respect each, with their keys.

Source: trust.md §6.1 (`--with-negative`), T01, T02.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from ssl import DER_cert_to_PEM_cert

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from isthmus.trust.certificates import spki_sha256
from isthmus.trust.issue import issue_authority, issue_node
from isthmus.trust.keys import write_private

FLAWS = ("rogue", "expired", "not-yet-valid", "wrong-eku", "unlisted", "revoked", "sha1")
_ECDSA_SHA256, _ECDSA_SHA1 = bytes.fromhex("300a06082a8648ce3d040302"), bytes.fromhex("300906072a8648ce3d0401")
_SEQUENCE, _BITS = 0x30, 0x03


def write_negative(
    folder: Path, country: str, authority: x509.Certificate, authority_key: EllipticCurvePrivateKey, now: datetime
) -> str:
    """Write FLAW.pem and FLAW.key for each flaw, and rogue-ca.pem; gives the SPKI digest that the list has to call revoked."""
    folder.mkdir(mode=0o700)
    rogue_key = generate_private_key(SECP256R1())
    rogue = issue_authority(rogue_key, now)
    write_private(folder / "rogue-ca.pem", rogue.public_bytes(Encoding.PEM))
    year, month = timedelta(days=365), timedelta(days=30)
    spans = {"expired": (now - year, now - month), "not-yet-valid": (now + month, now + year)}
    revoked = ""
    for flaw in FLAWS:
        key = generate_private_key(SECP256R1())
        issuer, signer = (rogue, rogue_key) if flaw == "rogue" else (authority, authority_key)
        begins, ends = spans.get(flaw, (now, now + year))
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH] if flaw == "wrong-eku" else None
        held = issue_node(country, key.public_key(), issuer, signer, begins, ends, purposes)
        pem = held.public_bytes(Encoding.PEM) if flaw != "sha1" else _with_sha1(held, authority_key)
        write_private(folder / f"{flaw}.pem", pem)
        write_private(folder / f"{flaw}.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        if flaw == "revoked":
            revoked = spki_sha256(held.public_bytes(Encoding.DER))
    return revoked


def _with_sha1(held: x509.Certificate, key: EllipticCurvePrivateKey) -> bytes:
    """The same certificate, signed with SHA-1: nothing that issues certificates does it any more, so it is put together here."""
    content = held.tbs_certificate_bytes
    body = content[len(content) - _length(content) :].replace(_ECDSA_SHA256, _ECDSA_SHA1, 1)
    begun = _wrapped(_SEQUENCE, body)
    signature = key.sign(begun, ECDSA(SHA1()))  # noqa: S303  # it has to be refused
    der = _wrapped(_SEQUENCE, begun + _ECDSA_SHA1 + _wrapped(_BITS, b"\x00" + signature))
    return DER_cert_to_PEM_cert(der).encode()


def _length(der: bytes) -> int:
    first = der[1]
    return first if first < 0x80 else int.from_bytes(der[2 : 2 + (first & 0x7F)])


def _wrapped(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 0x80 else bytes([0x82]) + size.to_bytes(2)
    return bytes([tag]) + length + content
