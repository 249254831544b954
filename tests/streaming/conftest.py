"""A certificate authority of one test run, and nodes on real sockets."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from isthmus.errors import IsthmusError
from isthmus.transport.answers import Answer, Receive, Send
from isthmus.transport.inbound import Inbound, Request
from isthmus.transport.listeners import Listener
from isthmus.transport.outbound import public_key_digest


@dataclass(frozen=True)
class Identity:
    """A certificate with its key, in one PEM file."""

    pem: Path
    der: bytes

    @property
    def pins(self) -> frozenset[str]:
        return frozenset({public_key_digest(self.der)})


class Authority:
    """Issues certificates for 127.0.0.1."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._signed(self._name, self._key, ca=True).public_bytes(Encoding.PEM))

    def issue(self, name: str) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, ca=False)
        pem = self._folder / f"{name}.key.pem"
        pem.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certificate.public_bytes(Encoding.PEM)
        )
        return Identity(pem, certificate.public_bytes(Encoding.DER))

    def _signed(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, SHA256())

    def server(self, identity: Identity) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        context.num_tickets = 0
        return self._filled(context, identity)

    def client(self, identity: Identity | None) -> ssl.SSLContext:
        return self._filled(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), identity)

    def _filled(self, context: ssl.SSLContext, identity: Identity | None) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self.file)
        if identity is not None:
            context.load_cert_chain(identity.pem)
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "test authority")


@pytest.fixture(scope="session")
def ours(authority: Authority) -> Identity:
    return authority.issue("aa")


@pytest.fixture(scope="session")
def theirs(authority: Authority) -> Identity:
    return authority.issue("bb")


Handle = Callable[[Request, Send, Receive], Awaitable[None]]
Node = Callable[..., AbstractAsyncContextManager[int]]


def plain_words(error: IsthmusError, request: Request | None, exchange_id: str) -> Answer:
    return Answer(error.meaning.status, (("Content-Type", "text/plain"),), (error.meaning.code.encode(),))


@pytest.fixture
def node() -> Node:
    """`async with node(handle, tls=…) as port`: a listener whose requests come to `handle`."""

    @asynccontextmanager
    async def run(
        handle: Handle, *, tls: Callable[[], ssl.SSLContext] | None = None, app: Any = None
    ) -> AsyncIterator[int]:
        inbound = Inbound(handle, hosts=frozenset({"node.test"}), render=plain_words)
        listener = Listener("border", app or inbound, "127.0.0.1", 0, tls=tls)
        try:
            yield await listener.start()
        finally:
            await listener.stop(grace_s=1)

    return run
