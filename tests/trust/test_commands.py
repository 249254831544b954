"""`isthmus pki init` and `isthmus trust show`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.trust.conftest import Clock

from isthmus.commands.root import run
from isthmus.signin.accounts import Accounts


def test_pki_init_says_what_it_made_and_its_accounts_open(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    status = run(["pki", "init", "--out", str(tmp_path / "pki"), "--countries", "AA,BB,CC", "--json"])

    said = json.loads(capsys.readouterr().out)
    clerk = next(account for account in said["accounts"] if account["role"] == "4110")
    accounts = Accounts(tmp_path / "pki" / "bb" / "accounts.toml", "demo")
    assert status == 0
    assert list(said["countries"]) == ["AA", "BB", "CC"]
    assert accounts.check(clerk["login"], clerk["password"], clock.now).name == clerk["name"]


def test_pki_init_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["pki", "init", "--out", str(tmp_path / "pki")])

    status = run(["pki", "init", "--out", str(tmp_path / "pki")])

    assert status == 2
    assert "never overwritten" in capsys.readouterr().err


def test_trust_show_lists_the_countries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["pki", "init", "--out", str(tmp_path / "pki")])
    capsys.readouterr()

    status = run(["--config", str(tmp_path / "pki" / "bb" / "isthmus.toml"), "trust", "show", "--json"])

    said = json.loads(capsys.readouterr().out)
    assert status == 0
    assert said["sequence"] == 1
    assert said["valid_until"].endswith("Z")
    assert [(country["country"], country["status"]) for country in said["countries"]] == [
        ("AA", "active"),
        ("BB", "active"),
    ]
    assert said["countries"][0]["offers"] == [
        "imaging-manifest",
        "imaging-metadata",
        "imaging-pixels",
        "imaging-report",
    ]
    assert {"kid": "aa-at-1", "use": ["at"], "status": "current"} in said["countries"][0]["keys"]


def test_trust_show_without_a_list_is_unavailable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["pki", "init", "--out", str(tmp_path / "pki")])
    (tmp_path / "pki" / "trustlist.jws").unlink()

    status = run(["--config", str(tmp_path / "pki" / "bb" / "isthmus.toml"), "trust", "show"])

    assert status == 5


@pytest.mark.threat("T03")
def test_a_country_is_suspended_and_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["pki", "init", "--out", str(tmp_path / "pki")])
    node = ["--config", str(tmp_path / "pki" / "aa" / "isthmus.toml"), "trust"]
    capsys.readouterr()

    seen = []
    for command in (["suspend", "BB"], ["resume", "BB"], ["suspend", "XX"]):
        status = run([*node, *command])
        capsys.readouterr()
        run([*node, "show", "--json"])
        said = json.loads(capsys.readouterr().out)
        seen.append((status, said["sequence"], said["countries"][1]["status"]))

    assert seen == [(0, 2, "suspended"), (0, 3, "active"), (2, 3, "active")]


def test_without_the_operators_key_nobody_is_suspended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["pki", "init", "--out", str(tmp_path / "pki")])
    (tmp_path / "pki" / "operator" / "operator.key.jwk").unlink()

    status = run(["--config", str(tmp_path / "pki" / "aa" / "isthmus.toml"), "trust", "suspend", "BB"])

    assert status == 2
    assert "operator.key.jwk" in capsys.readouterr().err
