"""DIMSE under TLS: both sides show a certificate, and nobody waits for another one's handshake."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.testing.engines.counterparts import HOST
from isthmus.transport.dimse.arrivals import Arrival
from isthmus.transport.dimse.inbound import Listener, Sender
from isthmus.transport.dimse.outbound import Peer, echo


class Nobody:
    def begun(self, arrival: Arrival) -> None: ...

    def stored(self, arrival: Arrival) -> tuple[int, str]:
        arrival.release()
        return 0, ""

    def broken(self, arrival: Arrival) -> None:
        arrival.release()


class Authority:
    """Issues certificates for a test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._issue(self._name, self._key, ca=True).public_bytes(serialization.Encoding.PEM))

    def _issue(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        )  # fmt: skip
        return made.sign(self._key, hashes.SHA256())

    def certificate(self, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate, private = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(self._issue(subject, key, ca=False).public_bytes(serialization.Encoding.PEM))
        forms = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        private.write_bytes(key.private_bytes(*forms))
        return certificate, private

    def server(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.file)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(*self.certificate("archive"))
        return context

    def client(self, name: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.file)
        if name is not None:
            context.load_cert_chain(*self.certificate(name))
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def port(authority: Authority, tmp_path: Path) -> Iterator[int]:
    context = authority.server()

    def shows(certificate: bytes | None) -> bool:
        assert certificate is not None
        return "ct-1" in x509.load_der_x509_certificate(certificate).subject.rfc4514_string()

    sender = Sender("MODALITY", HOST.__eq__, shows=shows)
    listener = Listener(HOST, 0, "ISTHMUS", [sender], lambda _: Nobody(), tmp_path, silence_s=1.0, tls=lambda: context)
    yield listener.start()
    listener.stop()


def peer(port: int, authority: Authority, name: str | None) -> Peer:
    return Peer(HOST, port, "ISTHMUS", "MODALITY", 3.0, lambda: authority.client(name))


def test_who_shows_his_certificate_is_answered(port: int, authority: Authority, tmp_path: Path) -> None:
    echo(peer(port, authority, "ct-1"), tmp_path)


@pytest.mark.threat("T99")
@pytest.mark.parametrize("name", ["another", None])
def test_another_certificate_or_none_is_not(port: int, authority: Authority, tmp_path: Path, name: str | None) -> None:
    with pytest.raises(NationalInfrastructureUnavailable):
        echo(peer(port, authority, name), tmp_path)


def test_who_speaks_no_tls_is_not(port: int, tmp_path: Path) -> None:
    with pytest.raises(NationalInfrastructureUnavailable):
        echo(Peer(HOST, port, "ISTHMUS", "MODALITY", 3.0), tmp_path)


def test_a_server_of_another_authority_is_not_spoken_to(port: int, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()

    with pytest.raises(NationalInfrastructureUnavailable):
        echo(peer(port, Authority(tmp_path / "other"), "ct-1"), tmp_path)


def test_nobody_waits_for_anothers_handshake(port: int, authority: Authority, tmp_path: Path) -> None:
    with socket.create_connection((HOST, port)):
        started = time.monotonic()
        echo(peer(port, authority, "ct-1"), tmp_path)

    assert time.monotonic() - started < 0.9
