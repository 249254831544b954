"""`isthmus consent`: kept, shown, taken back; and recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from isthmus.commands.root import run
from isthmus.trust import pki

PATIENT = "urn:oid:2.999.1.2.1|0000000042"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    countries = ("AA", "BB")
    made = pki.init(tmp_path / "p", countries=countries, ports=pki.default_ports(countries), now=datetime.now(UTC))
    return made.settings["AA"]


def consent(config: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = run(["--config", str(config), "consent", words[0], "--patient", PATIENT, *words[1:], "--json"])
    return code, orjson.loads(capsys.readouterr().out)


def test_a_directive_is_kept_shown_and_taken_back(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, _ = consent(config, capsys, "set", "--restrict-study", "1.2.3.4")
    again, unchanged = consent(config, capsys, "set", "--restrict-study", "1.2.3.4")
    _, shown = consent(config, capsys, "show")
    taken, _ = consent(config, capsys, "set", "--restrict-study", "1.2.3.4", "--withdraw")
    _, after = consent(config, capsys, "show")

    assert (kept, again, unchanged["changed"], taken) == (0, 0, False, 0)
    assert [(d["kind"], d["scope"], d["until"]) for d in shown["directives"]] == [("restrict-study", "1.2.3.4", None)]
    assert after == {"directives": []}


@pytest.mark.parametrize(
    ("words", "kind", "scope"),
    [
        (("--restrict-label", "PSY"), "restrict-label", "PSY"),
        (("--restrict-person", "BB/doctor-7"), "restrict-person", "BB/doctor-7"),
        (("--restrict-role", "2221"), "restrict-role", "2221"),
        (("--restrict-purpose", "BTG"), "restrict-purpose", "BTG"),
        (("--restrict-report", "urn:uuid:7"), "restrict-report", "urn:uuid:7"),
        (("--permit-for", "study=1.2.3"), "permit-study", "1.2.3"),
        (("--permit-for", "country=BB"), "permit-country", "BB"),
    ],
)
def test_every_directive_can_be_said_and_taken_back(
    config: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], kind: str, scope: str
) -> None:
    consent(config, capsys, "set", *words)
    _, shown = consent(config, capsys, "show")
    taken, _ = consent(config, capsys, "set", *words, "--withdraw")

    assert [(d["kind"], d["scope"]) for d in shown["directives"]] == [(kind, scope)]
    assert (taken, consent(config, capsys, "show")[1]) == (0, {"directives": []})


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 2),
        (("--opt-out", "--permit"), 2),
        (("--restrict-study", "not-a-uid"), 2),
        (("--restrict-period", "2024-02-01..2024-01-01"), 2),
        (("--opt-out", "--withdraw"), 4),
        (("--permit-for", "mood=good"), 2),
        (("--permit-for", "study"), 2),
        (("--permit", "--permit-for", "country=BB"), 2),
        (("--restrict-person", "doctor-7"), 2),
    ],
)
def test_what_says_nothing_is_refused(
    config: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int
) -> None:
    assert consent(config, capsys, "set", *words)[0] == code


def test_a_country_that_only_asks_keeps_no_directives(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asking = config.parent.parent / "bb" / "isthmus.toml"

    assert consent(asking, capsys, "set", "--opt-out")[0] == 2


def test_explain_says_what_follows_and_stands_on_the_trail(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    consent(config, capsys, "set", "--restrict-role", "2221")
    told = consent(config, capsys, "explain", "--country", "BB", "--role", "2221", "--by", "M. Admin")
    run(["--config", str(config), "audit", "for-patient", "--patient", PATIENT, "--json"])
    seen = orjson.loads(capsys.readouterr().out)["accesses"]

    assert told[0] == 0
    assert (told[1]["asks"]["role"], told[1]["documents"]) == ("2221", [])
    assert [(one["kind"], one["person"]) for one in seen if one["kind"] == "explain"] == [("explain", "M. Admin")]


@pytest.mark.parametrize("words", [("--country", "BB", "--did", "x"), ()])
def test_explain_needs_somebody_who_asks(
    config: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert consent(config, capsys, "explain", *words)[0] == 2


def test_a_decision_that_nobody_took_is_not_found(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["--config", str(config), "consent", "explain", "--did", "nothing", "--json"])
    capsys.readouterr()

    assert code == 4


@pytest.mark.parametrize(("mail", "code"), [("paula@example.org", 0), ("", 0), ("paula", 2), ("a@b\nBcc: c@d", 2)])
def test_a_patients_address_is_kept_or_refused(
    config: Path, capsys: pytest.CaptureFixture[str], mail: str, code: int
) -> None:
    assert consent(config, capsys, "contact", "--mail", mail)[0] == code


def test_without_emergencies_there_is_nothing_to_review(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = run(["--config", str(config), "consent", "reviews", "--json"])
    answer = orjson.loads(capsys.readouterr().out)
    counted = run(["--config", str(config), "consent", "statistics", "--json"])
    capsys.readouterr()
    closed = run(
        ["--config", str(config), "consent", "review", "0" * 32, "--finding", "justified", "--note", "nothing there"]
    )

    assert (listed, answer, counted, closed) == (0, {"emergencies": []}, 0, 4)


@pytest.mark.parametrize("month", ["2026-13", "11/2026", "yesterday"])
def test_what_is_no_month_is_not_counted_as_a_month_without_visits(
    config: Path, capsys: pytest.CaptureFixture[str], month: str
) -> None:
    code = run(["--config", str(config), "consent", "statistics", "--month", month])

    assert (code, capsys.readouterr().out) == (2, "")
