"""`isthmus connector test`: what lies behind Country A, tried as it is configured.

Questions about a patient stand on the trail, as every other look at a person's data does: no audit, no question.

Source: interfaces.md §2, §7; trust.md §4.1, §4.2.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from isthmus.commands.output import Json, emit, settings_of, show, table, verbose_of
from isthmus.errors import IsthmusError, MalformedRequest, SettingsProblem
from isthmus.model.identifiers import PatientIdentifier, checked_uid

if TYPE_CHECKING:
    from isthmus.audit.events import Ending, Intent, Outcome
    from isthmus.config import Settings
    from isthmus.national.trial import Trial
    from isthmus.sources import Source

app = typer.Typer(no_args_is_help=True)
UNAVAILABLE, WRONG = 5, 6
TRANSACTION, PURPOSE = "trial", "HSYSADMIN"  # HL7 v3-ActReason: health system administration
_UNSAID: Final = (
    "questions about a patient are kept on the trail: say who asks and why, with --by NAME and --reason TEXT"
)


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
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who asks; needed with --patient, kept on the trail.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; needed with --patient, kept on the trail.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask each source the questions that every connector must answer, and say what works, what is missing, and what to ask the vendor.

    Nothing is changed at a source. Two images are read twice, so a small study is best. With --patient a person's data are read: it stands
    on the trail, so --by and --reason are needed. Without it only what concerns nobody is asked, and nothing recorded. A source with C-MOVE
    has one port: stop the node first. Exit status: 0 all is well, 6 something is an error, 5 a source does not answer.

    \b
    Example:
      isthmus --config aa/isthmus.toml connector test --source pacs --patient 'urn:oid:2.999.1.2.1|0123456789' --by 'M. Admin' --reason 'new PACS, test patient'
    """
    import asyncio

    who = PatientIdentifier.read(patient) if patient is not None else None
    what = checked_uid(study, "--study") if study is not None else None
    if what is not None and who is None:
        raise MalformedRequest("a study is asked for with its patient: --patient", reason="required", path="--patient")
    settings = settings_of(ctx)
    sources = _chosen(settings, source)
    intent = _intent(settings, sources, who, what, by or "", reason or "") if who is not None else None
    trials: list[Trial] = []
    with _quiet() if not verbose_of(ctx) else contextlib.nullcontext(), _recorded(settings, intent, trials):
        asyncio.run(_try(settings, sources, who, what, trials))
    emit(_answer(trials, intent.exchange_id if intent is not None else None), as_json, _tell)
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


def _chosen(settings: Settings, name: str | None) -> list[tuple[str, Source]]:
    from isthmus.national.trial import chosen

    sources = chosen(settings, name)
    if not sources:
        raise SettingsProblem("the settings name no such source", key="sources")
    return sources


def _intent(
    settings: Settings,
    sources: list[tuple[str, Source]],
    patient: PatientIdentifier,
    study: str | None,
    by: str,
    why: str,
) -> Intent:
    """What is going to be asked about the patient, and by whom. Raises SettingsProblem where that is not said."""
    from isthmus.audit.events import Intent

    if not by.strip() or not why.strip():
        raise SettingsProblem(_UNSAID, reason="usage")
    names = " ".join(dict.fromkeys(source.name for _, source in sources))
    return Intent(
        side="A",
        transaction=TRANSACTION,
        exchange_id=secrets.token_hex(16),
        peer=settings.ncp_id,
        person=by,
        purpose=PURPOSE,
        patient=patient,
        details={"reason": why, "sources": names, **({"study": study} if study is not None else {})},
    )


@contextlib.contextmanager
def _recorded(settings: Settings, intent: Intent | None, trials: list[Trial]) -> Iterator[None]:
    """Around the questions about a patient: on the trail before the first, closed after the last, however it ends.

    Raises AuditUnavailable before anything is asked.
    """
    if intent is None:
        yield
        return
    from isthmus.audit.trail import INTERRUPTED, trail_of

    with trail_of(settings, _now) as trail:
        opened, outcome = trail.open_now(intent), INTERRUPTED
        try:
            yield
            outcome = _outcome(trials)
        except IsthmusError as error:
            outcome = _outcome(trials, error)
            raise
        finally:
            trail.close_now(opened, outcome)


def _outcome(trials: list[Trial], error: IsthmusError | None = None) -> Outcome:
    from isthmus.audit.events import Outcome
    from isthmus.errors import NationalInfrastructureUnavailable

    if error is None and any(trial.unavailable for trial in trials):
        error = NationalInfrastructureUnavailable()
    instances, size_bytes = sum(t.instances for t in trials), sum(t.size_bytes for t in trials)
    if error is None:
        return Outcome(outcome="complete", instances=instances, bytes=size_bytes)
    status = error.meaning.status
    ending: Ending = "failed" if status >= 500 else "refused"
    return Outcome(outcome=ending, status=status, reason=error.reason, instances=instances, bytes=size_bytes)


async def _try(
    settings: Settings,
    sources: list[tuple[str, Source]],
    patient: PatientIdentifier | None,
    study: str | None,
    trials: list[Trial],
) -> None:
    """Try each source, one after the other; `trials` has what is done, also when the rest is not."""
    from isthmus.national.opening import Opening
    from isthmus.national.trial import try_source
    from isthmus.storage.database import open_index

    with contextlib.closing(open_index(settings)) as index:
        for kind, source in sources:
            trials.append(await try_source(source, kind, Opening(settings, index, _now), patient, study))


def _now() -> datetime:
    return datetime.now(UTC)


def _answer(trials: list[Trial], exchange_id: str | None) -> dict[str, Any]:
    from dataclasses import asdict

    findings = [asdict(finding) for trial in trials for finding in trial.findings]
    severities = [finding["severity"] for finding in findings]
    return {
        "questions": [asdict(answered) for trial in trials for answered in trial.answered],
        "findings": findings,
        "summary": {severity: severities.count(severity) for severity in ("error", "warning", "information")},
        "exchange_id": exchange_id,
    }


def _tell(answer: dict[str, Any]) -> None:
    asked = table("source", "kind", "question", "outcome", "detail", title="What was asked")
    for row in answer["questions"]:
        asked.add_row(row["source"], row["kind"], row["question"], row["outcome"], row["detail"])
    show(asked)
    if answer["exchange_id"]:
        print(f"On the trail as exchange {answer['exchange_id']}.")
    if not answer["findings"]:
        print("Nothing is missing.")
        return
    found = table("source", "severity", "what", "what to ask the vendor, or to do", title="What was found")
    for row in answer["findings"]:
        found.add_row(row["source"], row["severity"], row["what"], row["ask"])
    show(found)
