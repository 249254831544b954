"""The doors as a node opens them: mutual TLS, who is known by what, limits, and what is written about it.

Source: trust.md T83, T99; interfaces.md §9.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.archive.conftest import EVA, NOW, SANDBOX, dicom
from tests.archive.doors.conftest import Intakes, free_port, multipart, sender, with_intake
from tests.archive.doors.test_publish import reference, send

from isthmus.archive.doors.opening import hosts_of, open_doors
from isthmus.archive.doors.senders import Senders
from isthmus.errors import InvalidToken, SettingsProblem, TooOften, UntrustedCountry
from isthmus.sections import Sender
from isthmus.storage.database import open_index
from isthmus.trust.certificates import intake_context
from isthmus.trust.issue import issue_authority, issue_node

PEM = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True)
class Shown:
    """A certificate of an authority, and its key."""

    certificate: Path
    key: Path

    @property
    def der(self) -> bytes:
        return x509.load_pem_x509_certificate(self.certificate.read_bytes()).public_bytes(Encoding.DER)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.der).hexdigest()


class Authority:
    """One that certifies senders."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name, self._key = folder, name, ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        self._certificate = issue_authority(self._key, now)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def certify(self, country: str) -> Shown:
        now, key = datetime.now(UTC), ec.generate_private_key(ec.SECP256R1())
        made = issue_node(country, key.public_key(), self._certificate, self._key, now, now + timedelta(days=9))
        shown = Shown(self._folder / f"{self._name}-{country}.pem", self._folder / f"{self._name}-{country}.key")
        shown.certificate.write_bytes(made.public_bytes(Encoding.PEM))
        shown.key.write_bytes(key.private_bytes(*PEM))
        return shown


@dataclass
class Secured:
    """A node's intake by mutual TLS."""

    port: int
    ours: Authority
    ct: Shown
    ris: Shown
    folder: Path

    def store(self, shown: Shown | None, body: bytes, token: str = "") -> int:
        context = ssl.create_default_context(cafile=str(self.ours.file))
        if shown is not None:
            context.load_cert_chain(shown.certificate, shown.key)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=20)
        said, content_type = multipart(body)
        headers = {"Content-Type": content_type} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            connection.request("POST", "/studies", body=said, headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    ours = Authority(tmp_path, "ours")
    server, ct, ris = (ours.certify(name) for name in ("AA", "CT", "RI"))
    senders = (
        Sender(name="ct", source="archive", certificate=ct.sha256.upper()),
        Sender(
            name="ris", source="archive", certificate="CN=NCPeH RI (demo)", token=hashlib.sha256(b"both").hexdigest()
        ),
    )
    files = {"tls_certificate": server.certificate.name, "tls_key": server.key.name, "tls_authority": ours.file.name}
    port = free_port()
    settings = with_intake(tmp_path, *senders, port=port, **files)
    database = open_index(settings)
    started, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        opened = open_doors(settings, database, SANDBOX, lambda: NOW)
        for listener in opened.listeners:
            await listener.start()
        loops.append(asyncio.get_running_loop())
        started.set()
        await stop.wait()
        await asyncio.gather(*(listener.stop() for listener in opened.listeners))
        await opened.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(10)
    yield Secured(port, ours, ct, ris, tmp_path)
    loops[0].call_soon_threadsafe(stop.set)
    thread.join(20)
    database.close()


def test_a_sender_is_known_by_its_certificate(secured: Secured) -> None:
    assert secured.store(secured.ct, dicom()) == 200


def test_whatever_is_said_of_a_sender_has_to_hold(secured: Secured) -> None:
    answers = [
        secured.store(secured.ris, dicom(), token) for token in ("", "wrong", "both")
    ]  # its certificate alone is not enough

    assert answers == [401, 401, 200]
    assert secured.store(secured.ours.certify("XX"), dicom(), "both") == 401


def test_a_certificate_that_is_not_in_the_list_sends_nothing(secured: Secured) -> None:
    assert secured.store(secured.ours.certify("CT"), dicom()) == 401


def test_nobody_shakes_hands_without_a_certificate_of_the_authority(secured: Secured, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    stranger = Authority(tmp_path / "theirs", "theirs").certify("CT")

    for shown in (None, stranger):
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            secured.store(shown, dicom())


def test_a_certificate_that_changed_serves_the_next_handshake(secured: Secured) -> None:
    assert secured.store(secured.ct, dicom(1)) == 200
    secured.ours.certify("AA")  # in place of the one before

    assert secured.store(secured.ct, dicom(2)) == 200


def test_a_demo_certificate_serves_nobody_in_production(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    server = ours.certify("AA")

    with pytest.raises(SettingsProblem, match="marked demo"):
        intake_context(server.certificate, server.key, ours.file, "prod")
    with pytest.raises(SettingsProblem, match="not what a listener needs"):
        intake_context(server.certificate, ours.certify("BB").key, ours.file, "test")
    with pytest.raises(SettingsProblem, match="cannot be read"):
        intake_context(server.certificate, server.key, tmp_path / "none.pem", "test")


def test_a_sender_without_certificate_and_token_is_nobody_here() -> None:
    senders = Senders([Sender(name="ct", source="archive", ae_title="CT1")])

    with pytest.raises(UntrustedCountry):
        senders.known(None, None, "127.0.0.1")


def test_a_token_from_another_address_is_not_its_senders() -> None:
    senders = Senders([sender("ct", "archive", address="10.1.2.0/24")])

    assert senders.known(None, "Bearer token-of-the-ct", "10.1.2.3").name == "ct"
    with pytest.raises(InvalidToken):
        senders.known(None, "Bearer token-of-the-ct", "10.1.3.3")
    with pytest.raises(InvalidToken):
        senders.known(b"no certificate", "Bearer", None)


def test_a_sender_has_so_many_requests_a_second() -> None:
    listed = sender("ct", "archive", requests_per_s=2)
    senders = Senders([listed])

    def ask() -> None:
        with senders.within_limits(listed):
            pass

    for _ in range(4):
        ask()
    with pytest.raises(TooOften):
        ask()


@pytest.mark.parametrize(
    ("public", "hosts"),
    [
        ("http://127.0.0.1:8703", {"127.0.0.1:8703", "127.0.0.1", "localhost:8703", "localhost"}),
        ("https://intake.hospital.example", {"intake.hospital.example:443", "intake.hospital.example"}),
    ],
)
def test_the_hosts_that_are_served(public: str, hosts: set[str]) -> None:
    assert hosts_of(public) == hosts


def test_one_line_for_each_exchange_and_nobody_in_it(doors: Intakes) -> None:
    with structlog.testing.capture_logs() as lines:
        doors.store(dicom(1), dicom(1, StudyDescription="Else"), b"")
        send(doors, reference())
        doors.store(dicom(2), sender="guess")
        doors.post("/dicom-web/studies", b"", "text/plain")

    told = [line for line in lines if line["event"] == "intake"]
    assert [(one["sender"], one["transaction"], one["outcome"]) for one in told] == [
        ("ct", "stow", "complete"),
        ("ris", "publish", "complete"),
        ("unknown", "stow", "token"),
        ("ct", "stow", "body-media"),
    ]
    assert (told[0]["verdicts"], told[0]["reasons"]) == ({"accepted": 1, "refused": 2}, {"other-bytes": 1, "empty": 1})
    assert told[0]["size_bytes"] > 1000
    assert not [word for word in (EVA["PatientID"], "Testova", "2.25.") if word in str(told)]


def test_the_figures_count_verdicts_by_sender(doors: Intakes) -> None:
    from isthmus.telemetry import metrics_text

    doors.store(dicom())

    assert b'isthmus_intake_total{sender="ct",transaction="stow",verdict="accepted"}' in metrics_text()


def test_a_node_takes_what_the_settings_ask_for_and_nothing_else(tmp_path: Path) -> None:
    settings = with_intake(tmp_path)
    database = open_index(settings)

    opened = open_doors(replace(settings, intake=None), database, SANDBOX, lambda: NOW)

    assert opened.listeners == []
    asyncio.run(_closed(opened))
    database.close()


async def _closed(opened: Any) -> None:
    await opened.close()
