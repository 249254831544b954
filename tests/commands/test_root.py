"""What stands around every command: usage, errors in both forms, exit status, help."""

from __future__ import annotations

import importlib
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer

from isthmus import __version__, errors
from isthmus.commands.root import COMMANDS, run

HEAVY = (
    "sqlalchemy",
    "pydicom",
    "aiohttp",
    "cryptography",
    "jinja2",
    "uvicorn",
    "rich",
    "isthmus.app",
    "isthmus.ground",
)
PATIENT = ("--country", "AA", "--identifier", "urn:oid:2.999.1.2.1|0123456789")


def leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """The commands that do something, by the words that call them."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, one in inner.items():
        yield from leaves(f"{name} {word}", one)


def every_command() -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, (module, _) in COMMANDS.items():
        app = importlib.import_module(f"isthmus.commands.{module}").app
        found += leaves(name, typer.main.get_command(app))
    return found


@pytest.mark.parametrize(("name", "command"), every_command(), ids=lambda part: part if isinstance(part, str) else "")
def test_a_command_explains_itself_with_an_example(name: str, command: Any) -> None:
    examples = [line for line in (command.help or "").splitlines() if line.strip().startswith("isthmus ")]

    assert examples
    assert name.partition(" ")[0] in " ".join(examples)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_answers_within_a_second(name: str) -> None:
    def used_s() -> float:  # of a processor: others use the machine as well
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used_s()

    ended = subprocess.run([sys.executable, "-m", "isthmus", name, "--help"], capture_output=True, check=False)

    assert ended.returncode == 0
    assert used_s() - before < 1


@pytest.mark.parametrize("words", [["--help"], ["visit", "--help"], ["import", "--help"], ["nothing"], ["--version"]])
def test_listing_the_commands_loads_nothing_heavy(words: list[str]) -> None:
    code = f"import sys; from isthmus.commands.root import run; run({words!r}); print([m for m in {HEAVY!r} if m in sys.modules])"

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout.splitlines()[-1] == "[]"


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["--version"])

    assert (code, capsys.readouterr().out) == (0, f"isthmus {__version__}\n")


def test_no_words_at_all_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    code = run([])

    assert code == 2
    assert "Usage: isthmus" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["nothing-of-this-name"],
        ["serve", "--such-an-option"],
        ["import"],
        ["visit", "find"],
        ["visit", "--as", "radiologist", "--country", "AA", "get"],
        ["audit", "list", "--limit", "0"],
        ["audit", "list", "--limit", "many"],
        ["token", "--as", "radiologist"],
        ["serve"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_sentence_and_exit_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = run(words)

    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.startswith("isthmus: ")
    assert said.err.count("\n") == 1


def test_with_json_an_error_is_a_document_and_the_sentence_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["archive", "list", "--json"])

    said = capsys.readouterr()
    error = orjson.loads(said.out)["error"]
    assert code == 2
    assert set(error) == {"code", "message", "exchange_id", "retry"}
    assert (error["code"], error["retry"], error["exchange_id"]) == ("settings", False, None)
    assert said.err == f"isthmus: {error['message']}\n"


@pytest.mark.threat("T79")
def test_a_stand_in_is_refused_in_production_before_any_other_doubt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "isthmus.toml"
    settings.write_text('env = "prod"\ncountry = "AA"\nno_such_setting = 1\n', encoding="utf-8")

    code = run(["--config", str(settings), "visit", "--as", "radiologist", *PATIENT, "find", "--json"])

    assert code == 3
    assert orjson.loads(capsys.readouterr().out)["error"]["code"] == "stand-in"


@pytest.mark.threat("T79")
def test_the_environment_cannot_smuggle_a_stand_in_into_production(
    asking: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_ENV", "prod")

    code = run(["--config", str(asking), "token", "--as", "radiologist", *PATIENT, "--json"])

    assert code == 3
    assert orjson.loads(capsys.readouterr().out)["error"]["code"] == "stand-in"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["visit", "--as", "nobody-of-this-login", *PATIENT, "find"], 3),
        (["visit", "--as", "radiologist", *PATIENT, "get", "KZ3", "--out", "f", "--form", "manifest-xml"], 2),
        (["visit", "--as", "radiologist", *PATIENT, "images", "not-a-uid", "--out", "d"], 2),
        (["visit", "--as", "radiologist", *PATIENT[:2], "--identifier", "no-system", "find"], 2),
        (["visit", "--as", "radiologist", "--purpose", "CURIOSITY", *PATIENT, "find"], 2),
        (["audit", "verify"], 0),
        (["audit", "list"], 0),
        (["trust", "suspend", "ZZ"], 2),
    ],
    ids=lambda part: " ".join(part[:1] + part[-2:]) if isinstance(part, list) else str(part),
)
def test_exit_status_says_what_kind_of_no_it_was(
    asking: Path, words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--config", str(asking), *words, "--json"]) == code
    assert orjson.loads(capsys.readouterr().out)


def test_a_country_that_cannot_be_reached_is_exit_5_and_worth_another_try(
    asking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    who = ("--family", "Papadaki", "--birth-date", "1961-04-09")

    code = run(["--config", str(asking), "visit", "--as", "radiologist", *PATIENT, *who, "find", "--json"])

    said = capsys.readouterr()
    assert code == 5
    assert orjson.loads(said.out)["error"]["retry"] is True
    assert "Papadaki" not in said.out + said.err
    assert "0123456789" not in said.out + said.err


def test_every_meaning_has_an_exit_status_that_the_help_lists() -> None:
    assert {meaning.exit_status for meaning in errors.MEANINGS.values()} <= {1, 2, 3, 4, 5, 6}


def test_an_internal_fault_is_told_without_its_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COMMANDS, "archive", ("not_built_at_all", "A module that is not there."))

    code = run(["archive", "list"])

    said = capsys.readouterr().err
    assert code == 1
    assert "ModuleNotFoundError" in said
    assert "not_built_at_all" not in said
