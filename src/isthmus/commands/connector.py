"""`isthmus connector test`: what lies behind Country A, tried as it is configured.

Source: interfaces.md §2, §7.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands.output import Json, emit, settings_of, show, table, verbose_of
from isthmus.errors import MalformedRequest, SettingsProblem
from isthmus.model.identifiers import PatientIdentifier, checked_uid

if TYPE_CHECKING:
    from isthmus.config import Settings
    from isthmus.national.trial import Trial

app = typer.Typer(no_args_is_help=True)
UNAVAILABLE, WRONG = 5, 6


@app.callback()
def _group() -> None:
    """The sources that the settings name: registers, reports, images."""


@app.command("test")
def try_sources(
    ctx: typer.Context,
    source: Annotated[
        str | None, typer.Option("--source", metavar="NAME", help="One source alone, by its name in the settings.")
    ] = None,
    patient: Annotated[
        str | None,
        typer.Option("--patient", metavar="SYSTEM|VALUE", help="A patient whom the sources know; best a test patient."),
    ] = None,
    study: Annotated[
        str | None, typer.Option("--study", metavar="UID", help="One of the patient's studies; else the first found.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask each source the questions that every connector must answer, and say what works, what is missing, and what to ask the vendor.

    Nothing is changed at a source. Two images are read twice, so a small study is best. Without --patient only what concerns nobody
    is asked. A source with C-MOVE has one port: stop the node first. Exit status: 0 all is well, 6 something is an error, 5 a source does not answer.

    \b
    Example:
      isthmus --config aa/isthmus.toml connector test --source pacs --patient 'urn:oid:2.999.1.2.1|0123456789'
    """
    import asyncio

    who = PatientIdentifier.read(patient) if patient is not None else None
    what = checked_uid(study, "--study") if study is not None else None
    if what is not None and who is None:
        raise MalformedRequest("a study is asked for with its patient: --patient", reason="required", path="--patient")
    with contextlib.nullcontext() if verbose_of(ctx) else _quiet():
        trials = asyncio.run(_tried(settings_of(ctx), source, who, what))
    emit(_answer(trials), as_json, _tell)
    if any(trial.unavailable for trial in trials):
        raise typer.Exit(UNAVAILABLE)
    if any(finding.severity == "error" for trial in trials for finding in trial.findings):
        raise typer.Exit(WRONG)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the log's warnings about sources: what is to be said of them is among the findings."""
    import logging

    log = logging.getLogger("isthmus.national")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


async def _tried(
    settings: Settings, name: str | None, patient: PatientIdentifier | None, study: str | None
) -> list[Trial]:
    from datetime import UTC, datetime

    from isthmus.national.opening import Opening
    from isthmus.national.trial import chosen, try_source
    from isthmus.storage.database import open_index

    sources = chosen(settings, name)
    if not sources:
        raise SettingsProblem("the settings name no such source", key="sources")
    index = open_index(settings)
    try:
        return [
            await try_source(source, kind, Opening(settings, index, lambda: datetime.now(UTC)), patient, study)
            for kind, source in sources
        ]
    finally:
        index.close()


def _answer(trials: list[Trial]) -> dict[str, Any]:
    from dataclasses import asdict

    findings = [asdict(finding) for trial in trials for finding in trial.findings]
    severities = [finding["severity"] for finding in findings]
    return {
        "questions": [asdict(answered) for trial in trials for answered in trial.answered],
        "findings": findings,
        "summary": {severity: severities.count(severity) for severity in ("error", "warning", "information")},
    }


def _tell(answer: dict[str, Any]) -> None:
    asked = table("source", "kind", "question", "outcome", "detail", title="What was asked")
    for row in answer["questions"]:
        asked.add_row(row["source"], row["kind"], row["question"], row["outcome"], row["detail"])
    show(asked)
    if not answer["findings"]:
        print("Nothing is missing.")
        return
    found = table("source", "severity", "what", "what to ask the vendor, or to do", title="What was found")
    for row in answer["findings"]:
        found.add_row(row["source"], row["severity"], row["what"], row["ask"])
    show(found)
