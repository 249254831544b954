"""Certificates of practice countries, in full: a strict verifier takes them as they are.

Source: RFC 5280 §4.2; field-faults F54.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from isthmus.trust.certificates import DEMO_POLICY

SLACK = timedelta(minutes=10)  # clocks differ
BOTH_SIDES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
AUTHORITY_LIFE = timedelta(days=3650)


def issue_authority(key: EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """The invented authority."""
    name = _name("Isthmus practice authority (demo)", None)
    builder = _begun(name, name, key.public_key(), now, now + AUTHORITY_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(certifies=True), critical=True)
    return builder.sign(key, SHA256())


def issue_node(
    country: str,
    public: EllipticCurvePublicKey,
    authority: x509.Certificate,
    authority_key: EllipticCurvePrivateKey,
    now: datetime,
    until: datetime,
    purposes: Sequence[x509.ObjectIdentifier] | None = None,
) -> x509.Certificate:
    """One certificate for a node's border and for its own requests, unless it is for other `purposes`."""
    builder = _begun(authority.subject, _name(f"NCPeH {country} (demo)", country), public, now, until)
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
    for extension, critical in (
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(certifies=False), True),
        (x509.ExtendedKeyUsage(purposes or BOTH_SIDES), False),
        (x509.SubjectAlternativeName(names), False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(authority_key, SHA256())


def _begun(
    issuer: x509.Name, subject: x509.Name, public: EllipticCurvePublicKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SLACK)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.CertificatePolicies([x509.PolicyInformation(DEMO_POLICY, None)]), critical=False)
    )


def _name(common: str, country: str | None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if country is not None:
        parts.insert(0, x509.NameAttribute(NameOID.COUNTRY_NAME, country))
    return x509.Name(parts)


def _usage(*, certifies: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certifies,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certifies,
        crl_sign=certifies,
        encipher_only=False,
        decipher_only=False,
    )
