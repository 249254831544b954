"""`isthmus consent`: what a patient of Country A said about sharing across the border. It holds from the next request on.

Source: interfaces.md §2; trust.md §3.1.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands.consent_explain import explain
from isthmus.commands.consent_reviews import contact, review, reviews, statistics
from isthmus.commands.output import Json, emit, settings_of, show, table
from isthmus.errors import SettingsProblem
from isthmus.model.identifiers import PatientIdentifier

if TYPE_CHECKING:
    from isthmus.config import Settings
    from isthmus.consent.directives import Change, Directives
    from isthmus.consent.records import Directive
    from isthmus.ground import Ground

app = typer.Typer(no_args_is_help=True, help="A patient's directives in Country A.")
app.command("explain")(explain)
app.command("reviews")(reviews)
app.command("review")(review)
app.command("statistics")(statistics)
app.command("contact")(contact)

Who = Annotated[str, typer.Option("--patient", metavar="SYSTEM|VALUE", help="The patient's identifier.")]
Uid = Annotated[str | None, typer.Option("--restrict-study", metavar="UID", help="A study, with its reports.")]
Report = Annotated[
    str | None, typer.Option("--restrict-report", metavar="ID", help="A report, with the studies it is about.")
]
Period = Annotated[
    str | None, typer.Option("--restrict-period", metavar="D..D", help="Examinations of these days, both included.")
]
Modality = Annotated[str | None, typer.Option("--restrict-modality", metavar="CT", help="Examinations of a modality.")]
Region = Annotated[str | None, typer.Option("--restrict-region", metavar="SCT", help="Examinations of a body region.")]
Label = Annotated[
    str | None,
    typer.Option("--restrict-label", metavar="PSY", help="What its source labels so: PSY, HIV, SDV, ETH, R."),
]
Country = Annotated[str | None, typer.Option("--restrict-country", metavar="CC", help="Everything, for one country.")]
Organisation = Annotated[
    str | None,
    typer.Option("--restrict-organisation", metavar="ID", help="What this organisation made, and what it asks for."),
]
Person = Annotated[
    str | None, typer.Option("--restrict-person", metavar="CC/ID", help="Everything, for one professional abroad.")
]
Role = Annotated[
    str | None,
    typer.Option("--restrict-role", metavar="2221", help="Everything, for an ISCO-08 role or class of roles."),
]
Purpose = Annotated[
    str | None,
    typer.Option("--restrict-purpose", metavar="TREAT", help="Everything, for a purpose; BTG: emergency access shows no more than treatment."),
]  # fmt: skip
Imaging = Annotated[bool, typer.Option("--restrict-imaging", help="All imaging.")]
OptOut = Annotated[bool, typer.Option("--opt-out", help="Nothing crosses the border.")]
Permit = Annotated[
    bool, typer.Option("--permit", help="Sharing is permitted; needed where the country's rule is opt-in.")
]
PermitFor = Annotated[
    str | None,
    typer.Option("--permit-for", metavar="WHAT=SCOPE", help="Permitted all the same: study=UID, country=CC, person=CC/ID, …"),
]  # fmt: skip
Withdraw = Annotated[bool, typer.Option("--withdraw", help="Take the directive back.")]


@app.command("set")
def set_(
    ctx: typer.Context,
    patient: Who,
    opt_out: OptOut = False,
    permit: Permit = False,
    permit_for: PermitFor = None,
    restrict_imaging: Imaging = False,
    restrict_study: Uid = None,
    restrict_report: Report = None,
    restrict_period: Period = None,
    restrict_modality: Modality = None,
    restrict_region: Region = None,
    restrict_label: Label = None,
    restrict_country: Country = None,
    restrict_organisation: Organisation = None,
    restrict_person: Person = None,
    restrict_role: Role = None,
    restrict_purpose: Purpose = None,
    withdraw: Withdraw = False,
    as_json: Json = False,
) -> None:
    """Keep a directive of a patient, or take one back. One at a time.

    The most specific directive wins, of two equal ones the restricting. It holds from the next request on, also for what is being sent.

    \b
    Example:
      isthmus --config aa/isthmus.toml consent set --patient 'urn:oid:2.999.1.2.1|…' --opt-out
      isthmus --config aa/isthmus.toml consent set --patient 'urn:oid:2.999.1.2.1|…' --restrict-imaging
      isthmus --config aa/isthmus.toml consent set --patient 'urn:oid:2.999.1.2.1|…' --permit-for country=BB
      isthmus --config aa/isthmus.toml consent set --patient 'urn:oid:2.999.1.2.1|…' --restrict-role 2221 --withdraw
    """
    said = _said(ctx.params)
    if len(said) != 1:
        raise SettingsProblem(
            "say one directive: --opt-out, --permit, --permit-for, or one --restrict-…", reason="usage"
        )
    (kind, scope), identifier = said[0], PatientIdentifier.read(patient)
    settings = settings_of(ctx)
    from isthmus.ground import Ground

    ground = Ground.open(settings)
    try:
        directives = _directives(ground)
        change = directives.change_now(identifier, kind, scope, withdraw=withdraw)
        if change is not None:
            _write(ground, directives, change)
        found = [_told(d) for d in directives.of_now(identifier).directives if d.active]
    finally:
        ground.state.close()
    words = "unchanged" if change is None else "withdrawn" if withdraw else "kept"
    emit({"changed": change is not None, "directives": found}, as_json, lambda _: typer.echo(words))


def _said(given: dict[str, Any]) -> list[tuple[str, str]]:
    """Kind and scope of each directive on the line: the options are named after the kinds."""
    said = []
    for option, value in given.items():
        kind = option.replace("_", "-")
        if kind == "permit-for" and value is not None:
            subject, _, scope = value.partition("=")
            said.append((f"permit-{subject}", scope))
        elif kind in ("opt-out", "permit") or kind.startswith("restrict-"):
            said += [(kind, "" if value is True else value)] if value not in (None, False) else []
    return said


@app.command("show")
def show_(ctx: typer.Context, patient: Who, as_json: Json = False) -> None:
    """Show what a patient said that is in force, under every number that was merged into this one too.

    \b
    Example:
      isthmus --config aa/isthmus.toml consent show --patient 'urn:oid:2.999.1.2.1|…'
    """
    identifier, settings = PatientIdentifier.read(patient), settings_of(ctx)
    from isthmus.consent.decision import joined
    from isthmus.ground import Ground, now

    ground = Ground.open(settings)
    try:
        directives = _directives(ground)
        found = joined([directives.of_now(one) for one in (identifier, *former(ground.settings, identifier))], now())
    finally:
        ground.state.close()
    told = [_told(directive) for directive in found.directives if directive.active and directive.holds(now())]
    emit({"directives": told}, as_json, _show)


def _directives(ground: Ground) -> Directives:
    from isthmus.consent.directives import Directives
    from isthmus.ground import now

    return Directives.of_settings(ground.settings, ground.state, now)


def former(settings: Settings, identifier: PatientIdentifier) -> tuple[PatientIdentifier, ...]:
    """The numbers that were merged into this one, where this node has a register. Decision 0012."""
    from isthmus.archive import register
    from isthmus.storage.database import open_index

    if not settings.answers:
        return ()
    index = open_index(settings)
    try:
        return index.read_now(
            lambda c: register.former_of(c, row) if (row := register.anchor_row(c, identifier)) is not None else ()
        )
    finally:
        index.close()


def _write(ground: Ground, directives: Directives, change: Change) -> None:
    """The change and the record of it, or neither. The record knows the patient's new head."""
    from isthmus.audit.events import Intent, Outcome

    intent = Intent(
        side="A",
        transaction="consent",
        exchange_id=secrets.token_hex(16),
        peer=ground.settings.ncp_id,
        patient=change.patient,
        details={"kind": change.directive.kind, "head": str(change.number), "digest": change.digest},
    )
    ground.trail.start()
    try:
        ground.trail.record_now(
            intent, Outcome(outcome="complete"), also=lambda connection: directives.write(connection, change)
        )
    finally:
        ground.trail.stop()


def _told(directive: Directive) -> dict[str, Any]:
    until = directive.until.isoformat() if directive.until else None
    return {
        "id": directive.id,
        "kind": directive.kind,
        "scope": directive.scope,
        "since": directive.since.isoformat(),
        "until": until,
    }


def _show(answer: dict[str, Any]) -> None:
    if not answer["directives"]:
        typer.echo("This patient has said nothing.")
        return
    rows = table("directive", "about", "since", "until")
    for directive in answer["directives"]:
        rows.add_row(directive["kind"], directive["scope"], directive["since"], directive["until"] or "")
    show(rows)
