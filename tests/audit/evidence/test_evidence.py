"""Whoever trusts neither country can tell what happened; and twelve ways to tamper with that are found, by two checkers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.audit.evidence.conftest import MADE, Told

from isthmus.audit.evidence.check import Roots, judge
from isthmus.commands.root import run
from isthmus.trust.keys import load_public_key


def test_evidence_says_who_asked_for_whom_why_and_what_was_given(told: Told) -> None:
    operator = load_public_key(told.operator, "demo", frozenset({"trustlist"}))

    judged = judge(told.joined, Roots(operators=(operator,)))

    assert judged.problems == []
    assert judged.trusted
    for country in ("AA", "BB"):
        says = judged.says[country]
        assert (says["person"], says["role"], says["purpose"]) == ("Dr Practice", "2212", "TREAT")
        assert (says["study"], says["signed_for"], says["ended"]["instances"]) == (MADE.study_instance_uid, True, 3)


def test_the_whole_trail_is_evidence_too(told: Told) -> None:
    judged = judge(told.whole, Roots())

    assert (judged.problems, judged.trusted) == ([], False)
    assert judged.events > 5


def test_a_file_that_is_none_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "none.zip").write_bytes(b"PK nothing")

    assert judge(tmp_path / "none.zip", Roots()).problems


def test_the_commands_write_it_and_judge_it(told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--config", str(told.operator.parents[1] / "aa" / "isthmus.toml")]
    one, whole = tmp_path / "one.zip", tmp_path / "whole"

    written = [
        run([*config, "audit", "export", "--exchange", told.exchange_id, "--out", str(one), "--json"]),
        run([*config, "audit", "export", "--out", str(whole), "--json"]),
    ]
    capsys.readouterr()
    judged = run(["audit", "verify", str(one), "--trust-root", str(told.operator), "--json"])
    says = json.loads(capsys.readouterr().out)
    unrooted = run(["audit", "verify", "--file", str(whole), "--json"])
    told_whole = json.loads(capsys.readouterr().out)
    touched = bytearray(whole.read_bytes())
    touched[len(touched) // 2] ^= 1
    whole.write_bytes(touched)

    assert written == [0, 0]
    assert (one.stat().st_mode & 0o777, judged, says["problems"], says["trusted"]) == (0o600, 0, [], True)
    assert (unrooted, told_whole["intact"], told_whole["trusted"]) == (0, True, False)
    assert run(["audit", "verify", "--file", str(whole), "--json"]) == 6


def test_an_exchange_that_is_not_there_has_no_evidence(told: Told, tmp_path: Path) -> None:
    config = ["--config", str(told.operator.parents[1] / "aa" / "isthmus.toml")]

    assert run([*config, "audit", "export", "--exchange", "no-such", "--out", str(tmp_path / "x.zip")]) == 4
    assert not (tmp_path / "x.zip").exists()
