"""Mutual TLS: contexts for both sides, and what names a certificate.

TLS 1.3 alone, no session tickets, authorities of the trust list alone; whether the peer is the one the list names is
decided afterwards by its SPKI, per request.

Source: trust.md §2.2, D2; RFC 8705 §3.1; RFC 5280.
"""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from isthmus.config import Settings
from isthmus.errors import SettingsProblem, UntrustedCountry
from isthmus.trust.encoding import base64url
from isthmus.trust.keys import read_private

if TYPE_CHECKING:
    from isthmus.trust.directory import Directory

DEMO_POLICY = x509.ObjectIdentifier("2.999.0.1")
"""Certificate policy that marks invented authorities and nodes."""


def spki_sha256(der: bytes) -> str:
    """The digest of a certificate's public key, base64url: what the list names a peer by."""
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except ValueError as error:
        raise UntrustedCountry("the peer's certificate cannot be read") from error
    return base64url(hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest())


def x5t_s256(der: bytes) -> str:
    """The digest of a certificate, base64url: what statements are bound to."""
    return base64url(hashlib.sha256(der).digest())


def own_certificate_der(settings: Settings) -> bytes:
    """The node's own certificate. Raises SettingsProblem: not there, not readable, or demo in production."""
    return own_certificate(settings).public_bytes(Encoding.DER)


def own_certificate(settings: Settings) -> x509.Certificate:
    """The same, to be looked at."""
    file = settings.path(settings.keys.tls_certificate)
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except OSError as error:
        raise SettingsProblem(f"the certificate {file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsProblem(f"the certificate {file} is no PEM certificate") from error
    if settings.env == "prod" and is_demo(certificate):
        raise SettingsProblem(f'the certificate {file} is marked demo and cannot be used in env = "prod"')
    return certificate


def is_demo(certificate: x509.Certificate) -> bool:
    try:
        policies = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    except x509.ExtensionNotFound:
        return False
    return any(policy.policy_identifier == DEMO_POLICY for policy in policies)


def server_context(settings: Settings, directory: Directory) -> ssl.SSLContext:
    """What our border is served with. A changed authority needs a new one: nothing is taken from a live context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # a resumed session would outlive its certificate
    return _dressed(context, settings, directory)


def client_context(settings: Settings, directory: Directory) -> ssl.SSLContext:
    """What we ask other countries with; the pin of the server's key is looked at by `transport/outbound.py`."""
    return _dressed(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), settings, directory)


def intake_context(certificate: Path, key: Path, authority: Path, env: str) -> ssl.SSLContext:
    """What senders of the country are served with: modalities and PACS, whose stacks are older than other countries'.

    Source: RFC 9325 (TLS 1.2 at least).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        if env == "prod" and is_demo(x509.load_pem_x509_certificate(certificate.read_bytes())):
            raise SettingsProblem(f'the certificate {certificate} is marked demo and cannot be used in env = "prod"')
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(authority)
    except (ssl.SSLError, ValueError) as error:
        raise SettingsProblem(
            f"intake: {certificate}, its key and {authority} are not what a listener needs"
        ) from error
    except OSError as error:
        raise SettingsProblem(f"intake: {error.filename or certificate} cannot be read: {error.strerror}") from error
    return context


def _dressed(context: ssl.SSLContext, settings: Settings, directory: Directory) -> ssl.SSLContext:
    own_certificate_der(settings)
    key = settings.path(settings.keys.tls_key)
    read_private(key)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the same on every Python
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(settings.path(settings.keys.tls_certificate), key)
    except (ssl.SSLError, OSError) as error:
        raise SettingsProblem(f"certificate and key {key} do not belong together") from error
    context.load_verify_locations(cadata=b"".join(directory.current.tls_ca))
    return context
