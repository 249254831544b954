"""Every error at the command line says what happened and what to do. Source: interfaces.md §2."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from isthmus.commands.next_steps import NEXT, sentence
from isthmus.commands.root import COMMANDS, run
from isthmus.errors import MEANINGS, CountryUnreachable, DocumentNotFound, InsufficientRights, SettingsProblem


def test_every_reason_has_a_next_step_and_none_is_left_over() -> None:
    assert set(NEXT) == set(MEANINGS)


def test_a_step_is_one_clause_and_names_commands_that_there_are() -> None:
    named = {word for step in NEXT.values() for word in re.findall(r"`([a-z][\w-]*)[ `]", step)}

    assert named <= {*COMMANDS, "list", "public"}
    assert [step for step in NEXT.values() if step.endswith(".") or not step or step[0].isupper()] == []


def test_what_happened_is_followed_by_what_to_do() -> None:
    assert sentence(CountryUnreachable("AA cannot be reached")) == f"AA cannot be reached; {NEXT['unreachable']}"
    assert sentence(InsufficientRights("role 2221 may not pixels", reason="role")).endswith("a physician of the team")


def test_a_message_that_says_it_itself_is_left_as_it_is() -> None:
    assert sentence(DocumentNotFound("nothing is kept; see archive list")) == "nothing is kept; see archive list"


def test_the_same_sentence_stands_in_the_document_and_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["--config", str(tmp_path / "none.toml"), "archive", "list", "--json"])
    said = capsys.readouterr()

    message = json.loads(said.out)["error"]["message"]
    assert (code, said.err) == (2, f"isthmus: {message}\n")
    assert message.endswith("give one with --config FILE")
    assert "; " in sentence(SettingsProblem("no settings", reason="usage"))
