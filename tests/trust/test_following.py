"""How the list is followed: by https, past a blocked way, beside peers who follow another; and what ends a wait."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.trust.conftest import Clock, Practice

from isthmus.errors import SettingsProblem, TrustListStale, UntrustedCountry
from isthmus.storage.database import Database
from isthmus.trust import pki
from isthmus.trust.additions import entries
from isthmus.trust.directory import Directory
from isthmus.trust.following.attested import write_attest
from isthmus.trust.issue import issue_authority, issue_node
from isthmus.trust.keys import SigningKey, load_public_key, load_signing_key, new_signing_key, write_public_key
from isthmus.trust.trustlist import read_trust_list

BB = "urn:ehealth:bb:ncp-idp"


def directory(practice: Practice, db: Database | None = None, country: str = "AA", **overrides: str) -> Directory:
    made = Directory(practice.settings(country, **overrides), db, practice.clock)
    made.refresh()
    return made


def words(followed: Directory) -> set[tuple[str, str]]:
    return {(alarm.word, alarm.country) for alarm in followed.alarms()}


# by https


class Distribution:
    """A server that gives the practice list with an ETag, or says what a test wants."""

    def __init__(self, practice: Practice, folder: Path) -> None:
        self.practice, self.asked, self.unchanged, self.status = practice, 0, 0, 200
        folder.mkdir()
        key, now = generate_private_key(SECP256R1()), practice.clock.now
        authority = issue_authority(key, now)
        node = issue_node("AA", key.public_key(), authority, key, now, now + timedelta(days=5))
        self.authority, pem = folder / "ca.pem", folder / "node.pem"
        self.authority.write_bytes(authority.public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pem.write_bytes(private + node.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        distribution = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                distribution.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def settings(self) -> dict[str, str]:
        url = f"https://127.0.0.1:{self.server.server_address[1]}/trustlist.jws"
        return {"ISTHMUS_TRUST__LIST": url, "ISTHMUS_TRUST__LIST_AUTHORITY": str(self.authority)}

    def answer(self, asked: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        text = self.practice.made.trust_list.read_bytes()
        tag = f'"{hash(text)}"'
        if self.status == 200 and asked.headers.get("If-None-Match") == tag:
            self.unchanged += 1
            asked.send_response(304)
            asked.end_headers()
            return
        asked.send_response(self.status)
        asked.send_header("ETag", tag)
        asked.send_header("Content-Length", str(len(text)))
        asked.end_headers()
        asked.wfile.write(text)

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def distribution(practice: Practice, tmp_path: Path) -> Iterator[Distribution]:
    made = Distribution(practice, tmp_path / "distribution")
    yield made
    made.stop()


def test_the_list_is_fetched_by_https_and_not_twice_while_it_is_the_same(
    distribution: Distribution, practice: Practice, db: Database, clock: Clock
) -> None:
    followed = directory(practice, db, **distribution.settings)
    followed.refresh()
    asked_at_once = distribution.asked

    clock.forward(seconds=60)
    followed.refresh()
    unchanged = distribution.unchanged
    pki.sign_again(practice.out, now=clock.now)
    clock.forward(seconds=60)
    followed.refresh()

    assert (asked_at_once, unchanged) == (1, 1)
    assert followed.current.seq == 2
    assert followed.problem is None


@pytest.mark.threat("T88")
@pytest.mark.threat("T06")
def test_a_blocked_way_to_the_list_is_an_alarm_after_ten_minutes_and_the_end_of_trust_when_it_runs_out(
    distribution: Distribution, practice: Practice, db: Database, clock: Clock
) -> None:
    followed = directory(practice, db, **distribution.settings)
    distribution.status = 503

    clock.forward(minutes=9)
    followed.refresh()
    early = words(followed)
    clock.forward(minutes=2)
    followed.refresh()
    frozen = words(followed)
    clock.forward(days=45)
    half = words(followed)
    still_trusted = followed.current.seq
    clock.forward(days=45)

    assert (early, frozen) == (set(), {("frozen", "")})
    assert half == {("frozen", ""), ("half-life", "")}
    assert still_trusted == 1
    assert ("run-out", "") in words(followed)
    with pytest.raises(TrustListStale):
        _ = followed.current


@pytest.mark.parametrize("fault", ["another authority", "a redirect"])
def test_a_server_that_is_not_the_one_named_gives_no_list(
    fault: str, distribution: Distribution, practice: Practice, tmp_path: Path
) -> None:
    overrides = dict(distribution.settings)
    if fault == "a redirect":
        distribution.status = 302
    else:
        overrides["ISTHMUS_TRUST__LIST_AUTHORITY"] = str(practice.out / "ca.pem")

    followed = directory(practice, None, **overrides)

    assert followed.accepted is None
    assert "gives no list" in str(followed.problem)


def test_an_unknown_kid_does_not_make_a_request_wait_for_the_lists_address(
    distribution: Distribution, practice: Practice, db: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = directory(practice, db, **distribution.settings)
    monkeypatch.setattr("isthmus.trust.directory.LOOK_AGAIN_S", -1.0)

    with pytest.raises(UntrustedCountry):
        followed.key(BB, "never-heard", "hpa")
    asked = distribution.asked
    clock.forward(seconds=11)
    followed.refresh()

    assert (asked, distribution.asked) == (1, 2)  # sooner than after a minute, and not by who asked


def test_plain_http_is_no_place_for_the_list(practice: Practice) -> None:
    with pytest.raises(SettingsProblem, match="https"):
        directory(practice, ISTHMUS_TRUST__LIST="http://127.0.0.1/trustlist.jws")


# two slots for the operator's key


def test_the_operators_next_key_signs_when_it_is_pinned_and_no_third_can_be(practice: Practice, tmp_path: Path) -> None:
    fresh, stranger = (new_signing_key(kid, demo=True) for kid in ("operator-2", "operator-3"))
    for key in (fresh, stranger):
        write_public_key(practice.out / "operator" / f"{key.kid}.jwk", key)
    names = [f"../operator/{name}.jwk" for name in ("operator", "operator-2", "operator-3")]
    two, three = (str(names[:n]).replace("'", '"') for n in (2, 3))

    followed = directory(practice, ISTHMUS_TRUST__OPERATOR_KEYS=two)
    practice.publish(practice.sign(practice.body(), fresh))
    followed.refresh()

    assert followed.current.seq == 2
    with pytest.raises(SettingsProblem, match="one file or two"):
        directory(practice, ISTHMUS_TRUST__OPERATOR_KEYS=three)


# another process of the node


def test_what_another_process_accepted_counts_here_though_the_file_is_gone(practice: Practice, db: Database) -> None:
    first, second = directory(practice, db), directory(practice, db)
    pki.set_status(practice.out, "BB", "suspended", now=practice.clock.now)
    second.refresh()
    practice.made.trust_list.unlink()

    first.refresh()

    with pytest.raises(UntrustedCountry):
        first.peer(practice.der("BB"))


# the trail's memory


@pytest.mark.threat("T07")
@pytest.mark.parametrize("forged", [False, True], ids=["an older number", "its number with other bytes"])
def test_a_database_that_forgot_the_number_does_not_open_the_way_back(
    forged: bool, practice: Practice, db: Database
) -> None:
    first = practice.made.trust_list.read_text()
    practice.publish(practice.sign(practice.body()))
    known = directory(practice).current
    practice.publish(practice.sign({**practice.body(), "seq": 2}) if forged else first)

    followed = Directory(practice.settings(), db, practice.clock, (known.seq, known.digest))
    followed.refresh()

    assert followed.accepted is None
    assert "number" in str(followed.problem)


# what peers show


def shown(followed: Directory, seq: int, digest: str = "") -> str:
    return f"{seq};sha256={digest or followed.current.digest}"


@pytest.mark.threat("T88")
def test_a_peer_with_our_number_and_other_bytes_is_an_alarm_at_once(practice: Practice, clock: Clock) -> None:
    followed = directory(practice)

    followed.hear("BB", shown(followed, 1))
    agreed = words(followed)
    followed.hear("BB", shown(followed, 1, "A" * 43))

    assert agreed == set()
    assert words(followed) == {("split-view", "BB")}
    assert followed.current.seq == 1


@pytest.mark.threat("T88")
def test_a_split_view_of_a_list_that_is_past_is_seen_too(practice: Practice) -> None:
    followed = directory(practice)
    pki.sign_again(practice.out, now=practice.clock.now)
    followed.refresh()

    followed.hear("BB", shown(followed, 1, "A" * 43))

    assert words(followed) == {("split-view", "BB")}


@pytest.mark.threat("T88")
def test_a_peer_that_is_ahead_for_ten_minutes_is_an_alarm_and_never_makes_us_follow(
    practice: Practice, clock: Clock
) -> None:
    followed = directory(practice)
    followed.hear("BB", shown(followed, 999, "A" * 43))

    clock.forward(minutes=9)
    early = words(followed) - {("frozen", "")}
    clock.forward(minutes=1)
    late = words(followed) - {("frozen", "")}
    followed.hear("BB", shown(followed, 1))

    assert (early, late) == (set(), {("behind", "BB")})
    assert words(followed) - {("frozen", "")} == set()
    assert followed.current.seq == 1


@pytest.mark.parametrize(
    "header", [None, "", "9" * 200, "2", "-1;sha256=" + "A" * 43, "2;sha256=short", "x;sha256=" + "A" * 43]
)
def test_what_is_no_such_header_is_let_be(header: str | None, practice: Practice) -> None:
    followed = directory(practice)

    followed.hear("BB", header)

    assert followed.heard.shown == {}


# what ends a wait


def sig_of(practice: Practice, country: str = "BB") -> SigningKey:
    return load_signing_key(practice.out / country.lower() / "keys" / "sig.jwk", "demo")


def with_new_hpa(practice: Practice) -> tuple[dict[str, Any], str]:
    """A list in which BB has a second HPA key, and the name of that entry."""
    body = practice.body()
    fresh = new_signing_key("bb-hpa-2", demo=True)
    entry = {"kid": fresh.kid, "use": ["hpa"], "jwk": fresh.public_jwk, "status": "current"}
    body["participants"][1]["keys"].append(entry)
    pinned = load_public_key(practice.out / "operator" / "operator.jwk", "demo", frozenset({"trustlist"}))
    read = read_trust_list(practice.sign(body), [pinned], env="demo", now=practice.clock.now, after_seq=0)
    (name,) = [each for each in entries(read) if " bb-hpa-2 " in each]
    return body, name


def counts(followed: Directory, kid: str = "bb-hpa-2") -> bool:
    try:
        followed.key(BB, kid, "hpa")
    except UntrustedCountry:
        return False
    return True


@pytest.mark.threat("T87")
@pytest.mark.parametrize("with_database", [True, False])
def test_a_new_key_that_the_country_countersigned_need_not_wait(
    with_database: bool, practice: Practice, db: Database
) -> None:
    followed = directory(practice, db if with_database else None, ISTHMUS_TRUST__HOLD_H="24")
    body, name = with_new_hpa(practice)
    body["participants"][1]["attest"] = [write_attest(BB, [name], sig_of(practice), practice.clock.now)]

    practice.publish(practice.sign(body))
    followed.refresh()

    assert counts(followed)
    assert followed.waiting == {}


@pytest.mark.threat("T87")
@pytest.mark.parametrize(
    "fault",
    [
        "another country's key", "another use", "too old", "a key of the same list", "garbage", "another entry",
        "a key taken away",
    ],
)  # fmt: skip
def test_a_countersignature_that_does_not_hold_ends_no_wait(
    fault: str, practice: Practice, db: Database, clock: Clock
) -> None:
    followed = directory(practice, db, ISTHMUS_TRUST__HOLD_H="24")
    body, name = with_new_hpa(practice)
    entry = body["participants"][1]
    keys = {key["kid"]: key for key in entry["keys"]}
    if fault == "a key of the same list":  # the thief of the list's key brings his own K-sig along
        thief = new_signing_key("bb-sig-2", demo=True)
        entry["keys"].append({"kid": "bb-sig-2", "use": ["receipt"], "jwk": thief.public_jwk, "status": "current"})
        said = write_attest(BB, [name], thief, clock.now)
    else:
        forms: dict[str, Callable[[], str]] = {
            "another country's key": lambda: write_attest(BB, [name], sig_of(practice, "CC"), clock.now),
            "another use": lambda: write_attest(
                BB, [name], load_signing_key(practice.out / "bb/keys/hpa.jwk", "demo"), clock.now
            ),
            "too old": lambda: write_attest(BB, [name], sig_of(practice), clock.now - timedelta(days=8)),
            "garbage": lambda: "a.b.c",
            "another entry": lambda: write_attest(BB, [name.replace("bb-hpa-2", "x")], sig_of(practice), clock.now),
            "a key taken away": lambda: write_attest(BB, [name], sig_of(practice), clock.now),
        }
        said = forms[fault]()
    if fault == "a key taken away":
        keys["bb-sig-1"]["status"] = "revoked"
    entry["attest"] = [said]

    practice.publish(practice.sign(body))
    followed.refresh()

    assert followed.current.seq == 2
    assert not counts(followed)


@pytest.mark.threat("T87")
def test_an_old_countersignature_does_not_bring_a_revoked_key_back(practice: Practice, db: Database) -> None:
    followed = directory(practice, db, ISTHMUS_TRUST__HOLD_H="24")
    body, name = with_new_hpa(practice)
    body["participants"][1]["attest"] = [write_attest(BB, [name], sig_of(practice), practice.clock.now)]
    seen = []
    for status in ("current", "revoked", "current"):
        body["participants"][1]["keys"][-1]["status"] = status
        practice.publish(practice.sign(body))
        followed.refresh()
        seen.append(counts(followed))
        body["seq"] += 1

    assert seen == [True, False, False]


def test_an_operator_lets_in_what_waits(practice: Practice, db: Database) -> None:
    overrides = {"ISTHMUS_TRUST__HOLD_H": "24"}
    node, command = directory(practice, db, **overrides), directory(practice, db, **overrides)
    body, name = with_new_hpa(practice)
    practice.publish(practice.sign(body))
    node.refresh()
    waited = dict(node.waiting)

    command.refresh()
    let_in = command.let_in(BB)
    node.refresh()

    assert list(waited) == let_in == [name]
    assert counts(node)
    assert node.waiting == {}
