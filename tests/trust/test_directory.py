"""The list whole or not at all, and what it says of a peer now."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.trust.conftest import Clock, Practice

from isthmus.errors import TrustListStale, UntrustedCountry
from isthmus.storage.database import Database
from isthmus.trust import jws, pki
from isthmus.trust.directory import Directory
from isthmus.trust.encoding import base64url
from isthmus.trust.keys import new_signing_key

Change = Callable[[dict[str, Any]], Any]


def directory(practice: Practice, db: Database | None = None, country: str = "AA", **overrides: str) -> Directory:
    made = Directory(practice.settings(country, **overrides), db, practice.clock)
    made.refresh()
    return made


def _entry(body: dict[str, Any], number: int) -> dict[str, Any]:
    entry: dict[str, Any] = body["participants"][number]
    return entry


def _share(*path: str | int) -> Change:
    """BB's entry takes what AA's has at this place."""

    def change(body: dict[str, Any]) -> None:
        mine, theirs = _entry(body, 0), _entry(body, 1)
        for step in path[:-1]:
            mine, theirs = mine[step], theirs[step]  # type: ignore[index]  # lists and objects alike
        theirs[path[-1]] = mine[path[-1]]  # type: ignore[index]  # the same

    return change


def _put(value: Any, *path: str | int) -> Change:
    def change(body: dict[str, Any]) -> None:
        place: Any = body
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


REFUSED: dict[str, Change] = {
    "another env": _put("prod", "env"),
    "run out": _put(1_000_000_000, "next_update"),
    "issued in the future": _put(4_000_000_000, "issued"),
    "no authority": _put([], "tls_ca"),
    "an authority that is none": _put(["AAAA"], "tls_ca"),
    "no number": lambda body: body.pop("seq"),
    "number as text": _put("7", "seq"),
    "no participants": lambda body: body.pop("participants"),
    "a shared ncp_id": _share("ncp_id"),
    "a shared origin": _share("endpoints", "fhir"),
    "a shared SPKI": _share("tls", 0, "spki_sha256"),
    "a shared kid": _share("keys", 0, "kid"),
    "a shared key": _share("keys", 0, "jwk"),
    "one kid twice": lambda body: _entry(body, 0)["keys"].append({**_entry(body, 0)["keys"][0]}),
    "a pattern RE2 does not compile": _put(r"(?=x)\d", "participants", 0, "search_mask", "identifiers", 0, "pattern"),
    "a trait nobody knows": _put("required", "participants", 0, "search_mask", "traits", "shoe-size"),
    "plain http": _put("http://127.0.0.1:8711/fhir", "participants", 0, "endpoints", "fhir"),
    "an address with a user": _put("https://a@evil.test/fhir", "participants", 0, "endpoints", "fhir"),
    "an endpoint nobody knows": _put("https://a.test", "participants", 0, "endpoints", "soap"),
    "a shared secret as key": _put({"kty": "oct", "k": "AAAA", "alg": "HS256"}, "participants", 0, "keys", 0, "jwk"),
    "RS256": _put("RS256", "participants", 0, "keys", 0, "jwk", "alg"),
    "a short SPKI digest": _put("AAAA", "participants", 0, "tls", 0, "spki_sha256"),
    "no level": _put("highest", "participants", 0, "policy", "min_loa"),
}


@pytest.mark.threat("T07")
@pytest.mark.threat("T89")
@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
def test_a_list_with_one_fault_is_refused_whole_and_the_old_one_stays(change: Change, practice: Practice) -> None:
    followed = directory(practice)
    body = practice.body()
    change(body)

    practice.publish(practice.sign(body))
    changed = followed.refresh()

    assert not changed
    assert followed.problem is not None
    assert followed.current.seq == 1
    assert followed.country("AA").country == "AA"


def _flipped(practice: Practice) -> str:
    header, payload, tail = practice.sign(practice.body()).split(".")
    return f"{header}.{payload[:-2]}{'A' if payload[-2] != 'A' else 'B'}{payload[-1]}.{tail}"


def _unsigned(practice: Practice) -> str:
    header = {"alg": "none", "kid": practice.key.kid, "typ": "ncp-trustlist+jwt"}
    return f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(practice.body()).encode())}."


FORGED: dict[str, Callable[[Practice], str]] = {
    "another key": lambda p: p.sign(p.body(), new_signing_key(p.key.kid, demo=True)),
    "another kid": lambda p: p.sign(p.body(), new_signing_key("operator-9", demo=True)),
    "a participant's key": lambda p: p.sign(p.body(), new_signing_key("aa-sig-1", demo=True)),
    "another typ": lambda p: jws.sign(p.body(), p.key, "JWT"),
    "unsigned": _unsigned,
    "a bit flipped": _flipped,
    "over 2 MiB": lambda p: p.sign({**p.body(), "x": "x" * 2_000_000}),
    "a number twice": lambda p: jws.sign_bytes(
        json.dumps(p.body())[:-1].encode() + b',"seq":9}', p.key, "ncp-trustlist+jwt"
    ),
    "no list": lambda p: "hello",
    "empty": lambda p: "",
    "an older number": lambda p: p.sign({**p.body(), "seq": 0}),
    "its own number with other bytes": lambda p: p.sign({**p.body(), "seq": 1}),
}


@pytest.mark.threat("T07")
@pytest.mark.threat("T88")
@pytest.mark.parametrize("with_database", [True, False])
@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_forged_or_older_list_is_refused(
    forge: Callable[[Practice], str], with_database: bool, practice: Practice, db: Database
) -> None:
    followed = directory(practice, db if with_database else None)
    before = followed.seq_header

    practice.publish(forge(practice))
    followed.refresh()

    assert followed.problem is not None
    assert followed.seq_header == before


@pytest.mark.threat("T07")
def test_a_restart_does_not_forget_the_number(practice: Practice, db: Database) -> None:
    first = practice.made.trust_list.read_text()
    pki.sign_again(practice.out, now=practice.clock.now)
    directory(practice, db)

    practice.publish(first)
    restarted = directory(practice, db)

    assert restarted.problem is not None
    assert restarted.current.seq == 2


def test_first_use_asks_for_the_least_number(practice: Practice) -> None:
    followed = directory(practice, ISTHMUS_TRUST__MIN_SEQ="2")

    with pytest.raises(TrustListStale):
        _ = followed.current


@pytest.mark.threat("T06")
def test_when_the_list_has_run_out_nobody_is_trusted(practice: Practice, clock: Clock) -> None:
    followed = directory(practice)
    der = practice.der("BB")

    clock.forward(days=90)

    with pytest.raises(TrustListStale):
        followed.peer(der)
    with pytest.raises(TrustListStale):
        followed.country("AA")
    assert not followed.is_active("urn:ehealth:bb:ncp-idp", der)


def test_without_any_list_nobody_is_trusted(practice: Practice) -> None:
    practice.made.trust_list.unlink()

    followed = directory(practice)

    with pytest.raises(TrustListStale, match="cannot be read"):
        followed.peer(practice.der("BB"))


def test_the_stored_list_serves_while_the_file_is_away(practice: Practice, db: Database) -> None:
    directory(practice, db)
    practice.made.trust_list.unlink()

    restarted = directory(practice, db)

    assert restarted.current.seq == 1
    assert restarted.problem is not None


def test_a_peer_is_known_by_its_certificates_key(practice: Practice) -> None:
    followed = directory(practice)

    peer = followed.peer(practice.der("BB"))

    assert (peer.ncp_id, peer.roles, peer.services) == ("urn:ehealth:bb:ncp-idp", frozenset({"B"}), frozenset())


@pytest.mark.threat("T02")
def test_a_stranger_under_the_same_authority_is_not_known(practice: Practice, tmp_path: Path) -> None:
    followed = directory(practice)
    strangers = Practice(tmp_path / "strangers", practice.clock)

    for der in (strangers.der("BB"), None, b"no certificate"):
        with pytest.raises(UntrustedCountry):
            followed.peer(der)


@pytest.mark.threat("T03")
@pytest.mark.parametrize("status", ["suspended", "SUSPENDED", "retired", "Active", ""])
def test_a_suspended_or_odd_status_ends_a_countrys_traffic_at_the_next_look(status: str, practice: Practice) -> None:
    followed = directory(practice)
    peer, der = followed.peer(practice.der("BB")), practice.der("BB")
    assert followed.is_active(peer.ncp_id, der)

    pki.set_status(practice.out, "BB", status, now=practice.clock.now)
    followed.refresh()

    with pytest.raises(UntrustedCountry):
        followed.peer(der)
    with pytest.raises(UntrustedCountry):
        followed.key(peer.ncp_id, "bb-sig-1", "trc")
    with pytest.raises(UntrustedCountry):
        followed.server_pins(peer)
    assert not followed.is_active(peer.ncp_id, der)


def test_our_own_suspension_stops_us(practice: Practice) -> None:
    followed = directory(practice, country="BB")
    assert followed.ours.country == "BB"

    pki.set_status(practice.out, "BB", "suspended", now=practice.clock.now)
    followed.refresh()

    with pytest.raises(UntrustedCountry):
        _ = followed.ours


@pytest.mark.parametrize(
    "change",
    [
        _put("revoked", "participants", 1, "tls", 0, "status"),
        _put("novel", "participants", 1, "tls", 0, "status"),
        _put(["server"], "participants", 1, "tls", 0, "use"),
        _put(["Client"], "participants", 1, "tls", 0, "use"),
        _put(1, "participants", 1, "tls", 0, "exp"),
        _put(4_000_000_000, "participants", 1, "tls", 0, "nbf"),
    ],
)
def test_a_certificates_key_counts_for_its_use_time_and_status(change: Change, practice: Practice) -> None:
    body = practice.body()
    change(body)
    practice.publish(practice.sign(body))

    followed = directory(practice)

    with pytest.raises(UntrustedCountry):
        followed.peer(practice.der("BB"))


@pytest.mark.threat("T13")
@pytest.mark.threat("T29")
def test_a_key_is_good_for_its_issuer_and_use_alone(practice: Practice) -> None:
    followed = directory(practice)

    assert followed.key("urn:ehealth:bb:ncp-idp", "bb-hpa-1", "hpa").alg == "ES256"
    for iss, kid, use in (
        ("urn:ehealth:bb:ncp-idp", "bb-hpa-1", "trc"),
        ("urn:ehealth:bb:ncp-idp", "bb-sig-1", "hpa"),
        ("urn:ehealth:cc:ncp-idp", "bb-hpa-1", "hpa"),
        ("urn:ehealth:bb:ncp-idp", "' OR 1=1 --", "hpa"),
        ("urn:ehealth:xx:ncp-idp", "bb-hpa-1", "hpa"),
    ):
        with pytest.raises(UntrustedCountry):
            followed.key(iss, kid, use)


def test_countries_that_answer(practice: Practice) -> None:
    followed = directory(practice, country="BB")

    assert [participant.country for participant in followed.countries] == ["AA", "CC"]
    assert followed.country("AA").services == {
        "imaging-report", "imaging-manifest", "imaging-pixels", "imaging-metadata",
    }  # fmt: skip
    assert followed.country("AA").endpoints.fhir == "https://127.0.0.1:8711/fhir"
    for code in ("BB", "DE", "aa", ""):
        with pytest.raises(UntrustedCountry):
            followed.country(code)


@pytest.mark.threat("T87")
def test_a_new_key_waits_and_a_removed_one_does_not(practice: Practice, db: Database, clock: Clock) -> None:
    followed = directory(practice, db, ISTHMUS_TRUST__HOLD_H="24")
    body = practice.body()
    fresh = new_signing_key("bb-hpa-2", demo=True)
    entry = {"kid": fresh.kid, "use": ["hpa"], "jwk": fresh.public_jwk, "status": "current"}
    keys = _entry(body, 1)["keys"]
    keys[:] = [*(key for key in keys if key["kid"] != "bb-hpa-1"), entry]

    practice.publish(practice.sign(body))
    followed.refresh()

    bb = "urn:ehealth:bb:ncp-idp"
    for kid in ("bb-hpa-1", "bb-hpa-2"):
        with pytest.raises(UntrustedCountry):
            followed.key(bb, kid, "hpa")
    clock.forward(hours=23)
    with pytest.raises(UntrustedCountry):
        directory(practice, db, ISTHMUS_TRUST__HOLD_H="24").key(bb, "bb-hpa-2", "hpa")
    clock.forward(hours=1)
    assert followed.key(bb, "bb-hpa-2", "hpa").kid == "bb-hpa-2"


@pytest.mark.threat("T87")
def test_a_revoked_key_that_comes_back_waits_like_a_new_one(practice: Practice, db: Database, clock: Clock) -> None:
    followed = directory(practice, db, ISTHMUS_TRUST__HOLD_H="24")
    for status in ("revoked", "current"):
        body = practice.body()
        next(key for key in _entry(body, 1)["keys"] if key["kid"] == "bb-hpa-1")["status"] = status
        practice.publish(practice.sign(body))
        followed.refresh()

    with pytest.raises(UntrustedCountry):
        followed.key("urn:ehealth:bb:ncp-idp", "bb-hpa-1", "hpa")
    clock.forward(hours=24)
    assert followed.key("urn:ehealth:bb:ncp-idp", "bb-hpa-1", "hpa").kid == "bb-hpa-1"


@pytest.mark.threat("T87")
@pytest.mark.parametrize("with_database", [True, False])
def test_a_new_participant_and_a_new_origin_wait(with_database: bool, practice: Practice, db: Database) -> None:
    body = practice.body()
    third = body["participants"].pop()
    practice.publish(practice.sign(body))
    followed = directory(practice, db if with_database else None, ISTHMUS_TRUST__HOLD_H="24")

    again = practice.body()
    again["participants"].append(third)
    _entry(again, 0)["endpoints"]["fhir"] = "https://evil.test/fhir"
    practice.publish(practice.sign(again))
    followed.refresh()

    with pytest.raises(UntrustedCountry):
        followed.peer(practice.der("CC"))
    with pytest.raises(UntrustedCountry):
        followed.country("AA")
    assert followed.peer(practice.der("BB")).country == "BB"


@pytest.mark.fault("F53")
def test_keys_turn_over_while_the_node_runs(practice: Practice) -> None:
    async def turn() -> None:
        followed = directory(practice, ISTHMUS_TRUST__POLL_S="0.02")
        watching = asyncio.create_task(followed.watch())
        pki.sign_again(practice.out, now=practice.clock.now)
        async with asyncio.timeout(5):
            while followed.current.seq == 1:
                await asyncio.sleep(0.01)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching

    asyncio.run(turn())


def test_the_header_names_number_and_digest(practice: Practice) -> None:
    number, _, digest = directory(practice).seq_header.partition(";sha256=")

    assert number == "1"
    assert len(digest) == 43
