"""Mutual TLS between practice countries, over real sockets in memory."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store
from tests.trust.conftest import Clock, Practice

from isthmus.config import read_settings
from isthmus.errors import SettingsProblem, TrustListStale
from isthmus.trust.certificates import client_context, own_certificate_der, server_context, spki_sha256, x5t_s256
from isthmus.trust.directory import Directory


def contexts(practice: Practice, server: str = "AA", client: str = "BB") -> tuple[ssl.SSLContext, ssl.SSLContext]:
    sides = []
    for make, country in ((server_context, server), (client_context, client)):
        settings = practice.settings(country)
        directory = Directory(settings, None, practice.clock)
        directory.refresh()
        sides.append(make(settings, directory))
    return sides[0], sides[1]


def shake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both sides of one handshake. Raises SSLError of whichever side refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    a = server.wrap_bio(to_server, to_client, server_side=True)
    b = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    waiting = {a, b}
    for _ in range(10):
        for side in tuple(waiting):
            try:
                side.do_handshake()
                waiting.discard(side)
            except ssl.SSLWantReadError:
                continue
    assert not waiting
    return a, b


def test_both_sides_see_whom_they_talk_to(practice: Practice) -> None:
    server, client = contexts(practice)

    a, b = shake(server, client)

    assert a.getpeercert(binary_form=True) == practice.der("BB")
    assert b.getpeercert(binary_form=True) == practice.der("AA")
    assert (a.version(), a.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")


@pytest.mark.threat("T08")
def test_tls_1_2_is_refused(practice: Practice) -> None:
    server, client = contexts(practice)
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_2

    with pytest.raises(ssl.SSLError):
        shake(server, client)


@pytest.mark.threat("T86")
def test_every_handshake_agrees_on_keys_that_are_forgotten_afterwards(practice: Practice) -> None:
    server, client = contexts(practice)

    a, _ = shake(server, client)

    name, version, bits = a.cipher() or ("", "", 0)
    assert (version, name.startswith("TLS_"), bits >= 128) == (
        "TLSv1.3",
        True,
        True,
    )  # 1.3 has no exchange but ephemeral ones
    assert server.num_tickets == 0  # nor a key that outlives the connection


@pytest.mark.threat("T04")
def test_no_session_can_be_resumed(practice: Practice) -> None:
    server, client = contexts(practice)

    a, b = shake(server, client)

    assert server.num_tickets == 0
    assert b.session is None or not b.session.has_ticket
    assert not a.session_reused


@pytest.mark.threat("T01")
def test_without_a_certificate_there_is_no_connection(practice: Practice) -> None:
    server, _ = contexts(practice)
    bare = ssl.create_default_context(cafile=str(practice.made.authority))

    with pytest.raises(ssl.SSLError):
        shake(server, bare)


@pytest.mark.threat("T01")
def test_a_rogue_authority_with_the_same_subject_is_refused(practice: Practice, tmp_path: Path) -> None:
    rogue = Practice(tmp_path / "rogue", practice.clock)
    server, _ = contexts(practice)
    _, stranger = contexts(rogue)
    stranger.load_verify_locations(practice.made.authority)

    with pytest.raises(ssl.SSLError):
        shake(server, stranger)


@pytest.mark.threat("T01")
@pytest.mark.parametrize("flaw", ["expired", "not yet valid", "server only"])
def test_a_flawed_certificate_is_refused(flaw: str, practice: Practice, clock: Clock, tmp_path: Path) -> None:
    server, client = contexts(practice)
    certificate, key = tmp_path / "flawed.pem", practice.out / "bb" / "keys" / "tls.key"
    certificate.write_bytes(_flawed(practice, flaw).public_bytes(Encoding.PEM))
    client.load_cert_chain(certificate, key)

    with pytest.raises(ssl.SSLError):
        shake(server, client)


def _flawed(practice: Practice, flaw: str) -> x509.Certificate:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    good = x509.load_der_x509_certificate(practice.der("BB"))
    authority_key = load_pem_private_key((practice.out / "operator" / "ca.key").read_bytes(), None)
    now, day = practice.clock.now, timedelta(days=1)
    start, end = {"expired": (now - 3 * day, now - day), "not yet valid": (now + day, now + 3 * day)}.get(
        flaw, (now - day, now + day)
    )
    builder = (
        x509.CertificateBuilder()
        .issuer_name(good.issuer)
        .subject_name(good.subject)
        .public_key(good.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension in good.extensions:
        value = extension.value
        if isinstance(value, x509.ExtendedKeyUsage) and flaw == "server only":
            value = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(value, extension.critical)
    return builder.sign(authority_key, SHA256())  # type: ignore[arg-type]  # it is the EC key pki wrote


@pytest.mark.fault("F54")
@pytest.mark.parametrize("country", ["AA", "BB", "CC"])
def test_a_strict_verifier_takes_our_certificates(country: str, practice: Practice) -> None:
    authority = x509.load_pem_x509_certificate(practice.made.authority.read_bytes())
    leaf = x509.load_der_x509_certificate(practice.der(country))
    builder = PolicyBuilder().store(Store([authority])).time(practice.clock.now)

    for_server = builder.build_server_verifier(x509.DNSName("localhost")).verify(leaf, [])
    for_client = builder.build_client_verifier().verify(leaf, [])

    assert for_server == [leaf, authority]
    assert for_client.chain == [leaf, authority]


def test_the_spki_names_the_key_and_x5t_the_certificate(practice: Practice, clock: Clock) -> None:
    before = practice.der("AA")
    from isthmus.trust import pki

    clock.forward(days=45)
    pki.sign_again(practice.out, now=clock.now)
    after = practice.der("AA")

    assert spki_sha256(before) == spki_sha256(after)
    assert x5t_s256(before) != x5t_s256(after)


@pytest.mark.threat("T79")
def test_production_refuses_a_demo_certificate(practice: Practice) -> None:
    file = practice.made.settings["AA"]
    file.write_text(file.read_text().replace('country = "AA"', 'country = "EL"'))
    settings = read_settings(file, {"ISTHMUS_ENV": "prod"})

    with pytest.raises(SettingsProblem, match="marked demo"):
        own_certificate_der(settings)


def test_a_key_others_can_read_serves_nobody(practice: Practice) -> None:
    (practice.out / "aa" / "keys" / "tls.key").chmod(0o644)

    with pytest.raises(SettingsProblem, match="chmod 600"):
        contexts(practice)


def test_a_key_that_does_not_fit_is_refused(practice: Practice) -> None:
    from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat

    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (practice.out / "aa" / "keys" / "tls.key").write_bytes(other)

    with pytest.raises(SettingsProblem, match="belong together"):
        contexts(practice)


def test_without_a_list_there_is_no_context(practice: Practice) -> None:
    practice.made.trust_list.unlink()

    with pytest.raises(TrustListStale):
        contexts(practice)
