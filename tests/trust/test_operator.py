"""The operator's desk and the node's own look at the list, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.trust.conftest import Clock, Practice

from isthmus.audit.notes import latest_note
from isthmus.commands.root import run
from isthmus.config import read_settings
from isthmus.operations.watching import floor_of
from isthmus.storage.database import open_state
from isthmus.storage.sealed import MasterKey
from isthmus.trust.directory import Directory
from isthmus.trust.encoding import unbase64url
from isthmus.trust.keys import new_signing_key, write_signing_key


class Typed:
    """Commands with AA's settings, and what they say."""

    def __init__(self, practice: Practice, capsys: pytest.CaptureFixture[str]) -> None:
        self.practice, self._capsys = practice, capsys
        self.node = ["--config", str(practice.made.settings["AA"])]

    def __call__(self, *words: object, status: int = 0, node: bool = True) -> Any:
        self._capsys.readouterr()
        ended = run([*(self.node if node else []), *map(str, words), "--json"])
        said = json.loads(self._capsys.readouterr().out)
        assert ended == status, said
        return said


@pytest.fixture
def typed(practice: Practice, capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(practice, capsys)


def test_signing_again_gives_the_next_number_and_a_life_from_now(typed: Typed) -> None:
    first = typed("trust", "show")

    signed = typed("trust", "sign")

    assert (first["sequence"], signed["sequence"]) == (1, 2)
    assert signed["valid_until"] >= first["valid_until"]
    assert typed("trust", "show")["digest"] == signed["digest"]


def test_an_operator_signs_a_first_list_from_a_file_for_a_day_in_production(typed: Typed, tmp_path: Path) -> None:
    body = typed.practice.body()
    key = new_signing_key("operator-real", demo=False)
    write_signing_key(tmp_path / "operator.key.jwk", key)
    (tmp_path / "body.json").write_text(json.dumps({name: body[name] for name in ("tls_ca", "participants")}))
    out = ["--list", tmp_path / "list.jws", "--key", tmp_path / "operator.key.jwk"]

    first = typed("trust", "sign", tmp_path / "body.json", *out, "--env", "prod", node=False)
    again = typed("trust", "sign", *out, node=False)
    suspended = typed("trust", "suspend", "AA", *out, node=False)

    assert [first["sequence"], again["sequence"], suspended["sequence"]] == [1, 2, 3]
    read = json.loads(unbase64url((tmp_path / "list.jws").read_text().split(".")[1]))
    assert (read["env"], read["next_update"] - read["issued"]) == ("prod", 86400)


@pytest.mark.threat("T89")
def test_what_nodes_would_refuse_is_not_signed(typed: Typed, tmp_path: Path) -> None:
    body = typed.practice.body()
    body["participants"][1]["ncp_id"] = body["participants"][0]["ncp_id"]
    (tmp_path / "body.json").write_text(json.dumps(body))

    said = typed("trust", "sign", tmp_path / "body.json", status=2)

    assert "share an ncp_id" in said["error"]["message"]
    assert typed("trust", "show")["sequence"] == 1


def test_a_list_that_another_signed_is_not_signed_again(typed: Typed) -> None:
    stranger = new_signing_key("operator-1", demo=True)
    typed.practice.publish(typed.practice.sign(typed.practice.body(), stranger))

    said = typed("trust", "sign", status=2)

    assert "operator's key signed" in said["error"]["message"]


@pytest.mark.threat("T29")
def test_a_key_is_revoked_by_its_name_and_a_tls_key_by_its_digest(typed: Typed, clock: Clock) -> None:
    spki = next(k["spki_sha256"] for k in typed("trust", "show")["countries"][1]["keys"] if "spki_sha256" in k)

    of_key = typed("trust", "revoke", "bb-hpa-1")
    of_tls = typed("trust", "revoke", spki[:12])
    unknown = typed("trust", "revoke", "bb-hpa-9", status=2)

    assert (of_key["country"], of_tls["country"]) == ("BB", "BB")
    assert "no key" in unknown["error"]["message"]
    shown = {k.get("kid", k.get("spki_sha256")): k["status"] for k in typed("trust", "show")["countries"][1]["keys"]}
    assert (shown["bb-hpa-1"], shown[spki], shown["bb-sig-1"]) == ("revoked", "revoked", "current")


def test_what_another_list_says_differently_is_told_before_it_is_signed(typed: Typed, tmp_path: Path) -> None:
    body = typed.practice.body()
    body["participants"][1]["status"] = "suspended"
    body["participants"][0]["endpoints"]["fhir"] = "https://elsewhere.test/fhir"
    body["participants"][2]["keys"].pop()
    (tmp_path / "next.json").write_text(json.dumps(body))

    found = typed("trust", "diff", tmp_path / "next.json")["differences"]

    told = {(each["country"], each["what"]): (each["before"], each["after"]) for each in found}
    assert told["BB", "status"] == ("active", "suspended")
    assert told["AA", "origins"][1].endswith("https://elsewhere.test:443")
    assert told["CC", "key cc-hpa-1"][1] == ""
    assert told["", "number"] == ("1", "2")
    assert len(told) == 4


def test_the_list_is_fetched_at_once_and_said_to_be_known_already(typed: Typed) -> None:
    first, second = typed("trust", "fetch"), typed("trust", "fetch")
    typed.practice.publish("hello")
    refused = typed("trust", "fetch", status=5)

    assert (first["new"], second["new"]) == (True, False)
    assert "refused" in refused["error"]["message"]


@pytest.mark.threat("T87")
def test_what_is_new_waits_is_shown_and_is_let_in_on_record(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_TRUST__HOLD_H", "24")
    typed("trust", "fetch")
    body = typed.practice.body()
    fresh = new_signing_key("bb-hpa-2", demo=True)
    entry = {"kid": fresh.kid, "use": ["hpa"], "jwk": fresh.public_jwk, "status": "current"}
    body["participants"][1]["keys"].append(entry)
    typed.practice.publish(typed.practice.sign(body))
    typed("trust", "fetch")

    waiting = typed("trust", "show")["waiting"]
    accepted = typed("trust", "accept", "BB")
    after = typed("trust", "show")["waiting"]

    assert [(each["country"], each["entry"].split(" ")[2]) for each in waiting] == [("BB", "bb-hpa-2")]
    assert accepted["accepted"] == [waiting[0]["entry"]]
    assert after == []
    settings = read_settings(typed.practice.made.settings["AA"])
    state = open_state(settings)
    directory = Directory(settings, state, typed.practice.clock)
    directory.refresh()
    assert directory.key("urn:ehealth:bb:ncp-idp", "bb-hpa-2", "hpa").kid == "bb-hpa-2"
    noted = latest_note(state, MasterKey.load(settings.path(settings.keys.env)), "trust-accept")
    assert noted is not None
    assert noted["country"] == "BB"
    assert floor_of(state, MasterKey.load(settings.path(settings.keys.env))) is None  # a node notes lists, no command
    state.close()


def test_without_settings_list_and_key_must_be_named(typed: Typed) -> None:
    said = typed("trust", "suspend", "BB", status=2, node=False)

    assert "--list and --key" in said["error"]["message"]
