"""`isthmus audit`: what the trail holds, and the proof that nobody changed it; also while the node serves."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands.audit_patient import for_patient
from isthmus.commands.audit_recover import recover
from isthmus.commands.audit_retain import retain
from isthmus.commands.output import Json, emit, settings_of, show, table
from isthmus.model.amounts import amount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from isthmus.audit.account import Account
    from isthmus.audit.verify import Problem, Verified

LIMIT = 100
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]
NOT_INTACT = 6

app = typer.Typer(no_args_is_help=True)
app.command("for-patient")(for_patient)
app.command("retain")(retain)
app.command("recover")(recover)


@app.callback()
def audit() -> None:
    """The trail: every exchange with another country, one record before it and one after."""


@app.command("list")
def list_(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many, the newest.")] = LIMIT,
    of: Annotated[
        str | None,
        typer.Option("--of", metavar="UID", help="Those about this study, series or instance, with who asked."),
    ] = None,
    json: Json = False,
) -> None:
    """List the newest exchanges: with whom, why, and how they ended. No patient is named.

    With --of it tells who has seen a study that was wrong: whom to call.

    \b
    Example:
      isthmus --config aa/isthmus.toml audit list --limit 20
      isthmus --config aa/isthmus.toml audit list --of 2.25.1234
    """
    with _account(ctx) as account:
        events = [asdict(each) for each in account.exchanges(limit, of)]
    for event in events:
        if of is None:
            del event["person"], event["organisation"]
    emit({"events": events}, json, _tell_exchanges)


@app.command("query")
def query(
    ctx: typer.Context,
    key: Annotated[str | None, typer.Option("--key", metavar="KID", help="Who asked on the word of this key.")] = None,
    person: Annotated[str | None, typer.Option("--person", metavar="ID", help="Who asked: number or name.")] = None,
    organisation: Annotated[str | None, typer.Option("--organisation", metavar="ID", help="For which.")] = None,
    country: Annotated[str | None, typer.Option("--country", metavar="CC", help="With which.")] = None,
    patient: Annotated[str | None, typer.Option("--patient", metavar="SYSTEM|VALUE", help="About whom.")] = None,
    exchange: Annotated[str | None, typer.Option("--exchange", metavar="ID", help="This exchange.")] = None,
    of: Annotated[str | None, typer.Option("--of", metavar="UID", help="About this study, series or instance.")] = None,
    since: Annotated[
        datetime | None, typer.Option("--since", metavar="TIME", formats=TIMES, help="UTC, included.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", metavar="TIME", formats=TIMES, help="UTC, excluded.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many, the newest.")] = LIMIT,
    json: Json = False,
) -> None:
    """Find exchanges by who asked, from where, about whom, on the word of which key, and when; all that is given must fit.

    \b
    Example:
      isthmus --config aa/isthmus.toml audit query --country BB --since 2026-11-01
      isthmus --config aa/isthmus.toml audit query --key bb-hpa-1
    """
    from isthmus.audit.query import Wanted

    told = {
        "key": key, "person": person, "organisation": organisation, "country": country, "patient": patient,
        "exchange": exchange, "of": of,
    }  # fmt: skip
    values = {name: value for name, value in told.items() if value is not None}
    span = (None if at is None else at.replace(tzinfo=UTC) for at in (since, until))
    with _account(ctx) as account:
        found = account.query(Wanted(values, *span), limit)
    emit({"events": [asdict(each) for each in found]}, json, _tell_exchanges)


@app.command("verify")
def verify(
    ctx: typer.Context,
    evidence: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="An exported file, instead of the trail.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="The same.")] = None,
    trust_root: Annotated[
        list[str] | None,
        typer.Option(
            "--trust-root",
            metavar="FILE|KEY",
            help="The list operator's public key, or a log's; more than one can be given.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Prove that no record was changed, taken out or cut off, and that each exchange has its ending; and that patients'
    directives are those that the records name. Or judge an exported file, which needs neither network nor settings. Exit 6 when not.

    \b
    Example:
      isthmus --config aa/isthmus.toml audit verify
      isthmus audit verify evidence.zip --trust-root operator.jwk
    """
    if (given := evidence or file) is not None:
        answer = _judge(given, trust_root or [])
    else:
        with _account(ctx) as account:
            verified = account.verify()
            verified.problems += _directives(ctx, account, verified)
        answer = {
            "intact": verified.intact,
            "events": verified.events,
            "open": verified.open,
            "problems": [asdict(problem) for problem in verified.problems],
        }
    emit(answer, json, _tell_proof)
    if not answer["intact"]:
        raise typer.Exit(NOT_INTACT)


def _judge(file: Path, trust_roots: list[str]) -> dict[str, Any]:
    """What a file proves, by what the judge brings."""
    from isthmus.audit.evidence.check import Roots, judge
    from isthmus.errors import SettingsProblem
    from isthmus.trust.keys import load_public_key
    from isthmus.wire.notes import LogKey

    if not file.exists():
        raise SettingsProblem(f"{file} is not there", reason="usage")
    logs, operators = [], []
    for one in trust_roots:
        try:
            logs.append(LogKey.read(one))
        except ValueError:
            operators.append(load_public_key(Path(one), "test", frozenset({"trustlist"})))
    judged = judge(file, Roots(tuple(operators), tuple(logs)))
    return {
        "intact": not judged.problems,
        "trusted": judged.trusted,
        "events": judged.events,
        "open": 0,
        "problems": [{"number": None, "what": what} for what in judged.problems],
        "says": judged.says,
    }


@app.command("export")
def export(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the file goes; mode 0600.")],
    exchange: Annotated[
        str | None, typer.Option("--exchange", metavar="ID", help="One exchange with all that speaks for it.")
    ] = None,
    beside: Annotated[
        Path | None, typer.Option("--with", metavar="FILE", help="The other country's half of the same exchange.")
    ] = None,
    json: Json = False,
) -> None:
    """Write evidence for a third party: one exchange (statements, token, records, proofs, receipts), or the whole trail. It names people:
    keep it as you keep the trail.

    \b
    Example:
      isthmus --config aa/isthmus.toml audit export --exchange 4f1c… --out evidence.zip
      isthmus --config aa/isthmus.toml audit export --out trail.zip
    """
    from isthmus.audit.evidence.write import Exporter
    from isthmus.audit.log.checkpoints import Checkpoints, Signer
    from isthmus.audit.trail import head_key
    from isthmus.ground import now
    from isthmus.trust.keys import load_log_key

    settings = settings_of(ctx)
    with _account(ctx) as account:
        key, head = settings.path(settings.keys.log), head_key(account.master)
        log = (
            Checkpoints(account.database, head, Signer(load_log_key(key, settings.env), settings.folder))
            if key.exists()
            else None
        )
        exporter = Exporter(settings.country, account.database, account.master, head, log, now)
        written = exporter.whole(out) if exchange is None else exporter.exchange(exchange, out, beside)
    emit({"file": str(out), **asdict(written)}, json, _tell_written)


def _tell_written(answer: dict[str, Any]) -> None:
    show(f"{amount(answer['records'], 'record')} in {answer['file']}.")
    if not answer["seen"]:
        show("No other country has seen the checkpoint over them yet: export again in a minute.")


@contextlib.contextmanager
def _account(ctx: typer.Context) -> Iterator[Account]:
    from isthmus.audit.account import Account
    from isthmus.storage.database import open_state
    from isthmus.storage.sealed import MasterKey

    settings = settings_of(ctx)
    master = MasterKey.load(settings.path(settings.keys.env))
    database = open_state(settings)
    try:
        yield Account(database, master, settings.folder)
    finally:
        database.close()


def _directives(ctx: typer.Context, account: Account, verified: Verified) -> list[Problem]:
    """What of the kept directives is not what the trail says was kept last. Source: trust.md §3.1, T104."""
    if not verified.directives:
        return []
    from isthmus.audit.verify import Problem
    from isthmus.consent.directives import Directives
    from isthmus.ground import now
    from isthmus.model.identifiers import PatientIdentifier

    directives = Directives.of_settings(settings_of(ctx), account.database, now)
    lost = sum(
        not directives.is_head_now(PatientIdentifier(*patient), *head) for patient, head in verified.directives.items()
    )
    return [Problem(None, f"directives of {amount(lost, 'patient')} are missing or not the newest")] if lost else []


def _tell_exchanges(answer: dict[str, Any]) -> None:
    if not answer["events"]:
        show("No exchange yet.")
        return
    asked = ("person", "organisation") if "person" in answer["events"][0] else ()
    shown = table(
        "opened", "side", "transaction", "peer", "purpose", "outcome", "instances", "bytes", "exchange", *asked
    )
    for event in answer["events"]:
        ended = event["outcome"] if not event["reason"] else f"{event['outcome']} ({event['reason']})"
        shown.add_row(
            event["opened"],
            event["side"],
            event["transaction"],
            event["peer"],
            event["purpose"],
            ended,
            str(event["instances"] or ""),
            str(event["bytes"] or ""),
            event["exchange_id"],
            *(event[name] for name in asked),
        )
    show(shown)


def _tell_proof(answer: dict[str, Any]) -> None:
    if answer.get("trusted") is False:
        show("Held against the keys in the file alone: give --trust-root to know whose they are.")
    if answer["intact"]:
        show(f"The trail is intact: {amount(answer['events'], 'event')}, {answer['open']} in progress.")
        return
    show(f"The trail is NOT intact: {amount(answer['events'], 'event')}, {answer['open']} in progress.")
    shown = table("record", "problem")
    for problem in answer["problems"]:
        shown.add_row("" if problem["number"] is None else str(problem["number"]), problem["what"])
    show(shown)
