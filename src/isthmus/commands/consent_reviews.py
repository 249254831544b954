"""`isthmus consent reviews|review|statistics|contact`: what is owed after emergency accesses, and where patients want to be told.

Source: trust.md §3.5 (5–7).
"""

from __future__ import annotations

import contextlib
import getpass
import secrets
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands.output import Json, emit, settings_of, show, table
from isthmus.errors import SettingsProblem
from isthmus.model.identifiers import PatientIdentifier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from isthmus.consent.emergency import Emergencies, Kept
    from isthmus.ground import Ground

FLAGGED = 0.02  # more emergencies than this among the accesses of a country or professional: somebody should look
NOTE_MIN = 10


def reviews(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Those that were reviewed too.")] = False,
    as_json: Json = False,
) -> None:
    """List the emergency accesses that wait for a review, the most pressing first: who, from where, why, and until when.

    A review is due 72 hours after the access. No patient is named.

    \b
    Example:
      isthmus --config aa/isthmus.toml consent reviews
    """
    with _emergencies(ctx) as (_, emergencies):
        found = [_told(kept) for kept in emergencies.list_now(open_only=not everything)]
    emit({"emergencies": found}, as_json, _show)


def review(
    ctx: typer.Context,
    number: Annotated[str, typer.Argument(metavar="ID", help="The emergency, as `consent reviews` lists it.")],
    finding: Annotated[str, typer.Option("--finding", metavar="justified|misuse", help="What came of it.")],
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why; kept on the trail.")],
    by: Annotated[
        str, typer.Option("--by", metavar="NAME", help="Who reviewed; the account's name if not given.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Close the review of an emergency access. It stands on the trail, where the patient sees it.

    \b
    Example:
      isthmus --config aa/isthmus.toml consent review 1f3… --finding justified --note 'asked the emergency department, record seen'
    """
    from isthmus.audit.events import Outcome
    from isthmus.consent.emergency import FINDINGS
    from isthmus.operations.emergencies import duty

    if finding not in FINDINGS:
        raise SettingsProblem(f"--finding is one of {', '.join(FINDINGS)}", reason="usage")
    if len(note.strip()) < NOTE_MIN:
        raise SettingsProblem("say in --note how you came to this", reason="usage")
    with _emergencies(ctx) as (ground, emergencies):
        kept, closing = emergencies.reviewing(number, finding)
        reason, who = f"{finding}: {note.strip()}", by.strip() or getpass.getuser()
        intent = duty(kept.declared, "review", kept.id, ncp_id=ground.settings.ncp_id, by=who, reason=reason)
        ground.trail.start()
        try:
            ground.trail.record_now(intent, Outcome(outcome="complete"), also=closing)
        finally:
            ground.trail.stop()
    emit({"reviewed": number, "finding": finding}, as_json, lambda _: typer.echo("reviewed"))


def statistics(
    ctx: typer.Context,
    month: Annotated[str, typer.Option("--month", metavar="YYYY-MM", help="Which month; this one if not given.")] = "",
    as_json: Json = False,
) -> None:
    """Count emergency accesses of a month by country, organisation and professional, beside ordinary ones. Above 2 % is flagged.

    \b
    Example:
      isthmus --config aa/isthmus.toml consent statistics --month 2026-11
    """
    chosen = _month(month) if month else datetime.now(UTC).strftime("%Y-%m")
    with _emergencies(ctx) as (ground, _):
        visits = _visits(ground, chosen)
    found = [
        {
            "country": who[0], "organisation": who[1], "person": who[2], "emergencies": visits[who, True],
            "others": visits[who, False], "flagged": visits[who, True] > FLAGGED * (visits[who, True] + visits[who, False]),
        }
        for who in sorted({who for who, _ in visits})
    ]  # fmt: skip
    emit({"month": chosen, "professionals": found}, as_json, _show_statistics)


def contact(
    ctx: typer.Context,
    patient: Annotated[str, typer.Option("--patient", metavar="SYSTEM|VALUE", help="The patient's identifier.")],
    mail: Annotated[str, typer.Option("--mail", metavar="ADDRESS", help="Where notices go; empty: forget it.")],
    as_json: Json = False,
) -> None:
    """Keep where a patient wants to be told of emergency accesses.

    \b
    Example:
      isthmus --config aa/isthmus.toml consent contact --patient 'urn:oid:2.999.1.2.1|…' --mail paula@example.org
    """
    from isthmus.audit.events import Intent, Outcome
    from isthmus.consent.emergency import checked_address

    identifier, address = PatientIdentifier.read(patient), checked_address(mail)
    by = f"operator {getpass.getuser()}"
    with _emergencies(ctx) as (ground, emergencies):
        intent = Intent(
            side="A", transaction="contact", exchange_id=secrets.token_hex(16), peer=ground.settings.ncp_id, person=by,
            patient=identifier,
        )  # fmt: skip
        ground.trail.start()
        try:
            kept = emergencies.keeping_address(identifier, address, by)
            ground.trail.record_now(intent, Outcome(outcome="complete"), kept)
        finally:
            ground.trail.stop()
    emit({"kept": bool(address)}, as_json, lambda _: typer.echo("kept" if address else "forgotten"))


@contextlib.contextmanager
def _emergencies(ctx: typer.Context) -> Iterator[tuple[Ground, Emergencies]]:
    from isthmus.consent.emergency import Emergencies
    from isthmus.ground import Ground, now

    ground = Ground.open(settings_of(ctx))
    try:
        yield ground, Emergencies(ground.state, ground.master, now)
    finally:
        ground.state.close()


def _month(said: str) -> str:
    """Raises SettingsProblem for what is no month: it would be counted as one without a visit."""
    try:
        return datetime.strptime(said, "%Y-%m").strftime("%Y-%m")
    except ValueError as error:
        raise SettingsProblem("--month is no month: YYYY-MM, as 2026-11", reason="usage") from error


def _visits(ground: Ground, month: str) -> Counter[tuple[tuple[str, str, str], bool]]:
    """Visits of a month by who and whether in an emergency: a visit is a professional and a patient on one day."""
    from isthmus.audit.page import MonthKeys, rows
    from isthmus.audit.verify import opened
    from isthmus.storage.schema.audit import audit_trail

    def look(connection: Any) -> set[tuple[tuple[str, str, str], bool, str, str | None]]:
        unseal = MonthKeys(ground.master).unsealer(connection)
        seen = set()
        for row in rows(connection, audit_trail.c.kind == "intent"):
            said, _ = opened(row, unseal)
            if said and said["transaction"] == "ITI-71" and said["patient"] and said["at"].startswith(month):
                who = said["peer"], said["organisation"], said["person"].partition(" ")[0]
                seen.add((who, said["purpose"] == "BTG", said["at"][:10], row.patient_tag))
        return seen

    return Counter((who, emergency) for who, emergency, *_ in ground.state.read_now(look))


def _told(kept: Kept) -> dict[str, Any]:
    declared, now = kept.declared, datetime.now(UTC).timestamp()
    return {
        "id": kept.id, "side": declared.side, "country": declared.country, "organisation": declared.organisation,
        "person": declared.person, "name": declared.name, "role": declared.role, "reason": declared.reason,
        "began": _moment(kept.began), "ends": _moment(kept.ends), "notice": kept.notice,
        "review_due": _moment(kept.review_due), "overdue": kept.reviewed is None and kept.review_due < now,
        "reviewed": _moment(kept.reviewed) if kept.reviewed else None, "finding": kept.finding,
    }  # fmt: skip


def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")


def _show(answer: dict[str, Any]) -> None:
    if not answer["emergencies"]:
        typer.echo("No emergency access waits for a review.")
        return
    rows = table("emergency", "began", "who", "from", "why", "patient told", "review due", "finding")
    for one in answer["emergencies"]:
        due = f"{one['review_due']} OVERDUE" if one["overdue"] else one["review_due"]
        where = f"{one['country']}, {one['organisation']}"
        who = f"{one['name']} ({one['person']}, {one['role']})"
        rows.add_row(one["id"], one["began"], who, where, one["reason"], one["notice"], due, one["finding"] or "")
    show(rows)


def _show_statistics(answer: dict[str, Any]) -> None:
    if not answer["professionals"]:
        typer.echo("No visit in this month.")
        return
    rows = table("country", "organisation", "professional", "emergencies", "other visits", "flagged")
    for one in answer["professionals"]:
        flagged = "yes" if one["flagged"] else ""
        counts = str(one["emergencies"]), str(one["others"])
        rows.add_row(one["country"], one["organisation"], one["person"], *counts, flagged)
    show(rows)
