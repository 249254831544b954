"""Real certificates, and a key on its way through its phases, one step at a time."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.trust.conftest import Clock, Practice

from isthmus.commands.root import run
from isthmus.config import Settings
from isthmus.errors import SettingsProblem, TrustListStale, UntrustedCountry
from isthmus.storage.database import Database
from isthmus.trust import pki
from isthmus.trust.directory import Directory
from isthmus.trust.issue import issue_node
from isthmus.trust.operator.lists import apply_request
from isthmus.trust.turnover import phases
from isthmus.trust.turnover.own import Own
from isthmus.trust.turnover.phases import next_kid
from isthmus.trust.turnover.real import import_certificate, write_csr

BB = "urn:ehealth:bb:ncp-idp"


def directory(practice: Practice, db: Database | None = None, country: str = "AA", **overrides: str) -> Directory:
    made = Directory(practice.settings(country, **overrides), db, practice.clock)
    made.refresh()
    return made


# real certificates


class Issuing:
    """The practice authority, asked with a real request."""

    def __init__(self, practice: Practice) -> None:
        self.practice, self.settings = practice, practice.settings("BB")
        self.request = x509.load_pem_x509_csr(write_csr(self.settings).read_bytes())
        self.authority = x509.load_pem_x509_certificate((practice.out / "ca.pem").read_bytes())
        key = load_pem_private_key((practice.out / "operator" / "ca.key").read_bytes(), None)
        self.key: Any = key

    def issued(self, folder: Path, **changes: Any) -> Path:
        now = self.practice.clock.now
        public = changes.get("public", self.request.public_key())
        assert isinstance(public, EllipticCurvePublicKey)
        held = issue_node(
            "BB", public, changes.get("authority", self.authority), changes.get("key", self.key),
            changes.get("begins", now), changes.get("ends", now + timedelta(days=300)), changes.get("purposes"),
        )  # fmt: skip
        file = folder / "issued.pem"
        file.write_bytes(held.public_bytes(Encoding.PEM))
        return file

    def taken(self, file: Path, settings: Settings | None = None) -> Path:
        return import_certificate(
            settings or self.settings, file, directory(self.practice).current.tls_ca, self.practice.clock.now
        )


@pytest.fixture
def issuing(practice: Practice) -> Issuing:
    return Issuing(practice)


def test_a_request_names_the_border_and_both_sides_of_a_connection(issuing: Issuing) -> None:
    names = issuing.request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usage = set(issuing.request.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)

    assert issuing.request.is_signature_valid
    assert [str(name.value) for name in names] == ["127.0.0.1"]
    assert usage == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_a_certificate_that_was_issued_for_the_request_is_put_beside_its_key(issuing: Issuing, tmp_path: Path) -> None:
    place = issuing.taken(issuing.issued(tmp_path))

    assert place.name == "tls.next.pem"
    assert place.with_name("tls.next.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.threat("T01")
@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ("another key", "not for the key"),
        ("server alone", "not for a client"),
        ("run out", "not valid now"),
        ("another authority", "does not lead to an authority"),
        ("no certificate", "holds no PEM certificate"),
        ("another address", "not for elsewhere.test"),
    ],
)
def test_a_certificate_that_does_not_fit_is_refused_and_said_why(
    flaw: str, words: str, issuing: Issuing, practice: Practice, tmp_path: Path
) -> None:
    now, settings = practice.clock.now, None
    stranger = generate_private_key(SECP256R1())
    changes: dict[str, dict[str, Any]] = {
        "another key": {"public": stranger.public_key()},
        "server alone": {"purposes": [ExtendedKeyUsageOID.SERVER_AUTH]},
        "run out": {"begins": now - timedelta(days=9), "ends": now - timedelta(days=1)},
        "another authority": {"key": stranger},
    }
    file = issuing.issued(tmp_path, **changes.get(flaw, {}))
    if flaw == "no certificate":
        file.write_text("hello")
    if flaw == "another address":
        settings = practice.settings("BB", ISTHMUS_BORDER__PUBLIC="https://elsewhere.test")

    with pytest.raises(SettingsProblem, match=words):
        issuing.taken(file, settings)
    assert not (practice.out / "bb" / "keys" / "tls.next.pem").exists()


# what a border refuses


@pytest.mark.threat("T01")
def test_pki_init_makes_what_a_border_has_to_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = run(["pki", "init", "--out", str(tmp_path / "pki"), "--with-negative", "--json"])

    folder = tmp_path / "pki" / "negative"
    made = sorted(file.name for file in folder.iterdir())
    assert status == 0
    assert len(made) == 15
    sha1 = x509.load_pem_x509_certificate((folder / "sha1.pem").read_bytes())
    assert sha1.signature_algorithm_oid.dotted_string == "1.2.840.10045.4.1"
    capsys.readouterr()
    run(["--config", str(tmp_path / "pki" / "aa" / "isthmus.toml"), "trust", "show", "--json"])
    said = json.loads(capsys.readouterr().out)["countries"]
    assert [key["status"] for key in said[1]["keys"]].count("revoked") == 1


# phases


def signed(practice: Practice, request: phases.Request) -> None:
    body = practice.body()
    apply_request(body, request)
    practice.publish(practice.sign(body))


@pytest.mark.threat("T87")
def test_a_key_turns_over_while_peers_hold_what_is_new(practice: Practice, db: Database, clock: Clock) -> None:
    peer = directory(practice, db, ISTHMUS_TRUST__HOLD_H="24")
    node, settings = directory(practice, country="BB"), practice.settings("BB")
    own = Own(settings)
    seen = [own.sig.kid]

    signed(practice, phases.publish(settings, "sig", node.ours, clock.now))
    node.refresh()
    peer.refresh()
    assert phases.listed_next(settings, "sig", node.ours) == "next"
    signed(practice, phases.activate(settings, "sig", node.ours, clock.now))
    node.refresh()
    peer.refresh()
    both = {kid: peer.key(BB, kid, "trc").kid for kid in ("bb-sig-1", "bb-sig-2")}
    phases.switch(settings, "sig", clock.now)
    seen.append(own.sig.kid)
    clock.forward(hours=2, minutes=2)
    signed(practice, phases.retire(settings, "sig", node.ours, clock.now))
    phases.forget(settings, "sig")
    clock.forward(seconds=1)
    node.refresh()
    peer.refresh()

    assert seen == ["bb-sig-1", "bb-sig-2"]
    assert both == {"bb-sig-1": "bb-sig-1", "bb-sig-2": "bb-sig-2"}
    assert peer.waiting == {}
    assert sorted((key.kid, key.status) for key in node.ours.keys if "trc" in key.uses) == [
        ("bb-sig-1", "previous"),
        ("bb-sig-2", "current"),
    ]
    with pytest.raises(UntrustedCountry):
        peer.key(BB, "bb-sig-1", "trc")


def test_phases_keep_their_order(practice: Practice, clock: Clock) -> None:
    node, settings = directory(practice, country="BB"), practice.settings("BB")

    with pytest.raises(SettingsProblem, match="begin with --phase publish"):
        phases.listed_next(settings, "hpa", node.ours)
    with pytest.raises(SettingsProblem, match="nothing to retire"):
        phases.retire(settings, "hpa", node.ours, clock.now)
    phases.publish(settings, "hpa", node.ours, clock.now)
    with pytest.raises(TrustListStale, match="does not name the next key"):
        phases.listed_next(settings, "hpa", node.ours)
    with pytest.raises(SettingsProblem, match="pki csr"):
        phases.publish(settings, "tls", node.ours, clock.now)


def test_an_old_key_is_not_retired_while_what_it_signed_lives(practice: Practice, clock: Clock) -> None:
    node, settings = directory(practice, country="BB"), practice.settings("BB")
    signed(practice, phases.publish(settings, "hpa", node.ours, clock.now))
    node.refresh()
    phases.switch(settings, "hpa", clock.now)

    with pytest.raises(SettingsProblem, match="121 more minutes"):
        phases.retire(settings, "hpa", node.ours, clock.now)


def test_publishing_twice_makes_one_key(practice: Practice, clock: Clock) -> None:
    node, settings = directory(practice, country="BB"), practice.settings("BB")

    first = phases.publish(settings, "hpa", node.ours, clock.now)
    second = phases.publish(settings, "hpa", node.ours, clock.now)

    assert first["put"] == second["put"]


def test_a_certificate_counts_when_its_key_lies_beside_it(practice: Practice, clock: Clock) -> None:
    settings = practice.settings("BB")
    pki.issue_next(practice.out, settings)
    own, files = Own(settings), phases.files_of(settings, "tls")
    before = own.certificate

    files.next[0].replace(files.current[0])
    between = own.certificate
    files.next[1].replace(files.current[1])

    assert between == before
    assert own.certificate != before


@pytest.mark.parametrize(
    ("kid", "following"),
    [("bb-sig-1", "bb-sig-2"), ("bb-sig-9", "bb-sig-10"), ("sig", "sig-2"), ("aa-2026", "aa-2027")],
)
def test_the_next_kid_counts_on(kid: str, following: str) -> None:
    assert next_kid(kid, [kid]) == following


def test_where_the_operator_is_somebody_else_a_request_is_written_and_he_signs_it(
    practice: Practice, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = practice.out / "operator" / "operator.key.jwk"
    kept = tmp_path / "operator.key.jwk"
    operator.rename(kept)
    node = ["--config", str(practice.made.settings["BB"])]

    asked = run([*node, "keys", "rotate", "--key", "hpa", "--phase", "publish", "--json"])
    said = json.loads(capsys.readouterr().out)
    request = practice.out / "bb" / "keys" / "hpa.publish.request.json"
    taken = run(
        ["trust", "sign", "--list", str(practice.made.trust_list), "--key", str(kept), "--request", str(request)]
    )

    assert (asked, taken) == (0, 0)
    assert said["phases"][0]["state"] == "requested"
    assert '"d"' not in request.read_text()
    listed = directory(practice, country="BB").ours
    assert [(key.kid, key.status) for key in listed.keys if "hpa" in key.uses] == [
        ("bb-hpa-1", "current"),
        ("bb-hpa-2", "next"),
    ]
