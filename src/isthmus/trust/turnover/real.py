"""Real certificates: what an authority is asked for, and what is looked at before its answer is used.

Source: trust.md §6.1 (pki csr, import), §2.3; RFC 2986; RFC 5280.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from isthmus.config import Settings
from isthmus.errors import SettingsProblem
from isthmus.trust.certificates import is_demo, spki_sha256
from isthmus.trust.keys import read_private, write_private
from isthmus.trust.operator.lists import replace_file
from isthmus.trust.turnover.phases import files_of

NEEDED = {ExtendedKeyUsageOID.SERVER_AUTH: "server", ExtendedKeyUsageOID.CLIENT_AUTH: "client"}


def write_csr(settings: Settings) -> Path:
    """Make the next TLS key, if there is none, and a request for its certificate; gives the request's file."""
    key_file, certificate_file = files_of(settings, "tls").next
    if not key_file.exists():
        key = generate_private_key(SECP256R1())
        write_private(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    names = [
        x509.NameAttribute(NameOID.COUNTRY_NAME, settings.country),
        x509.NameAttribute(NameOID.COMMON_NAME, f"NCPeH {settings.country}"),
    ]
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name(names))
        .add_extension(x509.SubjectAlternativeName([_host(settings)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(list(NEEDED)), critical=False)
        .sign(_key(key_file), SHA256())
    )
    out = certificate_file.with_suffix(".csr")
    replace_file(out, request.public_bytes(Encoding.PEM))
    return out


def import_certificate(settings: Settings, file: Path, authorities: tuple[bytes, ...], now: datetime) -> Path:
    """Put an issued certificate (with intermediates after it, if any) beside the next key; gives its place.

    Raises SettingsProblem, saying which, when it is not for that key, not for our address, not for both sides, not valid now, not of an
    authority that the trust list has, or marked demo in production.
    """
    key_file, certificate_file = files_of(settings, "tls").next
    try:
        held = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsProblem(f"{file} holds no PEM certificate", reason="usage") from error
    leaf, *between = held
    if leaf.public_key() != _key(key_file).public_key():
        raise SettingsProblem(f"the certificate in {file} is not for the key {key_file}", reason="usage")
    if settings.env == "prod" and is_demo(leaf):
        raise SettingsProblem(f'the certificate in {file} is marked demo and cannot be used in env = "prod"')
    _purposes(leaf, file)
    _named(settings, leaf, file)
    store = Store([x509.load_der_x509_certificate(der) for der in authorities])
    try:
        PolicyBuilder().store(store).time(now).build_client_verifier().verify(leaf, between)
    except VerificationError as error:
        raise SettingsProblem(
            f"the certificate in {file} does not lead to an authority of the trust list, or is not valid now: {error}",
            reason="usage",
        ) from error
    replace_file(certificate_file, b"".join(each.public_bytes(Encoding.PEM) for each in held))
    return certificate_file


def told(file: Path) -> dict[str, str]:
    """What is said of a certificate: the name the list gives it, and when it ends."""
    held = x509.load_pem_x509_certificate(file.read_bytes())
    return {
        "file": str(file),
        "spki_sha256": spki_sha256(held.public_bytes(Encoding.DER)),
        "ends_at": f"{held.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
    }


def _purposes(leaf: x509.Certificate, file: Path) -> None:
    try:
        usage = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        usage = set()
    lacking = [word for purpose, word in NEEDED.items() if purpose not in usage]
    if lacking:
        raise SettingsProblem(f"the certificate in {file} is not for a {' and a '.join(lacking)}", reason="usage")


def _named(settings: Settings, leaf: x509.Certificate, file: Path) -> None:
    host = _host(settings)
    where = str(host.value)
    try:
        names = set(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = set()
    if host not in names:
        raise SettingsProblem(
            f"the certificate in {file} is not for {where}, the address of the border", reason="usage"
        )


def _host(settings: Settings) -> x509.DNSName | x509.IPAddress:
    if settings.border is None:
        raise SettingsProblem("the settings have no [border]: which address is the certificate for?", key="border")
    host = urlsplit(settings.border.public).hostname or ""
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key(file: Path) -> EllipticCurvePrivateKey:
    key = load_pem_private_key(read_private(file), None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise SettingsProblem(f"{file} holds no EC key")
    return key
