"""`isthmus doctor`: everything about this node that will hurt.

Source: interfaces.md §2; trust.md §6.1.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands.output import Json, emit, settings_of, show, table
from isthmus.errors import IsthmusError

if TYPE_CHECKING:
    from datetime import datetime

    from isthmus.config import Settings
    from isthmus.operations.doctor import Examined
    from isthmus.operations.peers import Asked
    from isthmus.trust.directory import Directory

app = typer.Typer()
INCOMPLETE = 6


@app.command()
def doctor(
    ctx: typer.Context,
    prod: Annotated[bool, typer.Option("--prod", help="Judge by production's measure: stand-ins are errors.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the other countries.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 6 when a finding is an error.")] = False,
    as_json: Json = False,
) -> None:
    """Say what will hurt: keys, certificates and lists that end, files others can read, disk, clock, countries out of reach, stand-ins.

    The node may run meanwhile, or not. Exit 0 whatever is found, unless --strict.

    \b
    Example:
      isthmus --config aa/isthmus.toml doctor
      isthmus --config aa/isthmus.toml doctor --prod --strict --json
    """
    from isthmus.commands.trust import following
    from isthmus.ground import now
    from isthmus.operations.doctor import Examined, examine, settings_digest

    settings = settings_of(ctx)
    try:
        with following(settings) as directory:
            directory.refresh()
            peers = None if offline else asyncio.run(_asked(settings, directory))
            seen = _witnessed(settings)
            node = Examined(settings, directory, peers, now(), prod or settings.env == "prod", seen)
            found = examine(node)
    except IsthmusError:
        found = examine(_alone(settings, prod))
    value = {"findings": [asdict(each) for each in found], "settings_sha256": settings_digest(settings)}
    emit(value, as_json, _show)
    if strict and any(each.severity == "error" for each in found):
        raise typer.Exit(INCOMPLETE)


async def _asked(settings: Settings, directory: Directory) -> list[Asked] | None:
    """What the other countries say; None when nobody can be asked, which the checks of keys and list explain."""
    from isthmus.ground import now
    from isthmus.operations.peers import ask_peers
    from isthmus.transport.outbound import Outbound
    from isthmus.trust.certificates import client_context

    try:
        context = client_context(settings, directory)
        outbound = Outbound(lambda: context)
        try:
            return await ask_peers(directory, outbound, now)
        finally:
            await outbound.close()
    except IsthmusError:
        return None


def _witnessed(settings: Settings) -> datetime | None:
    """When another country last saw our log."""
    from sqlalchemy import func, select

    from isthmus.storage.database import open_state
    from isthmus.storage.schema.audit_log import audit_checkpoint

    state = open_state(settings)
    try:
        return state.read_now(
            lambda connection: connection.execute(select(func.max(audit_checkpoint.c.seen_at))).scalar()
        )
    finally:
        state.close()


def _alone(settings: Settings, prod: bool) -> Examined:
    """A node whose database or master key cannot be opened: the rest of it is looked at."""
    from isthmus.ground import now
    from isthmus.operations.doctor import Examined

    return Examined(settings, None, None, now(), prod or settings.env == "prod")


def _show(value: dict[str, Any]) -> None:
    if not value["findings"]:
        typer.echo("Nothing found.")
    else:
        made = table("Severity", "What", "Advice")
        for each in value["findings"]:
            made.add_row(each["severity"], each["what"], each["advice"])
        show(made)
    typer.echo(f"Settings {value['settings_sha256'][:16]}…")
