"""`isthmus trust`: what the list says now; and, where the operator's key lies beside it, suspend a country or let it come back.

Source: interfaces.md §2.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from isthmus.commands.output import Json, emit, settings_of, show, table
from isthmus.errors import TrustListStale
from isthmus.trust import pki
from isthmus.trust.directory import Directory
from isthmus.trust.trustlist import TrustList

app = typer.Typer(no_args_is_help=True)
Country = Annotated[str, typer.Argument(metavar="COUNTRY", help="Two letters.")]


@app.callback()
def _group() -> None:
    """The trust list: who is at the other end."""


@app.command("show")
def show_list(ctx: typer.Context, as_json: Json = False) -> None:
    """Say what the trust list says now: its number, until when it holds, and each country's status, services and keys.

    \b
    Example:
      isthmus --config bb/isthmus.toml trust show
    """
    directory = Directory(settings_of(ctx), None, lambda: datetime.now(UTC))
    directory.refresh()
    if directory.problem is not None:
        raise TrustListStale(directory.problem)
    emit(_said(directory.current), as_json, _show)


@app.command()
def suspend(ctx: typer.Context, country: Country, as_json: Json = False) -> None:
    """Suspend a country: its traffic ends in both directions at every node's next look, running transfers included.

    \b
    Example:
      isthmus --config aa/isthmus.toml trust suspend BB
    """
    _set_status(ctx, country, "suspended", as_json)


@app.command()
def resume(ctx: typer.Context, country: Country, as_json: Json = False) -> None:
    """Let a suspended country come back.

    \b
    Example:
      isthmus --config aa/isthmus.toml trust resume BB
    """
    _set_status(ctx, country, "active", as_json)


def _set_status(ctx: typer.Context, country: str, status: str, as_json: bool) -> None:
    """Signs the next list with the operator's key in the folder of practice countries; without that key it is refused."""
    settings = settings_of(ctx)
    made = pki.set_status(settings.path(settings.trust.list).parent, country, status, now=datetime.now(UTC))
    value = {"sequence": made.seq, "country": country, "status": status}
    emit(
        value,
        as_json,
        lambda said: typer.echo(f"{said['country']} is {said['status']} (list number {said['sequence']})"),
    )


def _said(listed: TrustList) -> dict[str, Any]:
    return {
        "sequence": listed.seq,
        "valid_until": datetime.fromtimestamp(listed.next_update, UTC).isoformat().replace("+00:00", "Z"),
        "digest": listed.digest,
        "countries": [
            {
                "country": participant.country,
                "ncp_id": participant.ncp_id,
                "status": participant.status,
                "roles": sorted(participant.roles),
                "offers": sorted(participant.services),
                "keys": [{"kid": key.kid, "use": sorted(key.uses), "status": key.status} for key in participant.keys]
                + [
                    {"spki_sha256": key.spki_sha256, "use": sorted(key.uses), "status": key.status}
                    for key in participant.tls
                ],
            }
            for participant in sorted(listed.participants, key=lambda p: (p.country, p.ncp_id))
        ],
    }


def _show(value: dict[str, Any]) -> None:
    made = table(
        "Country", "Status", "Offers", "Keys", title=f"Number {value['sequence']}, until {value['valid_until']}"
    )
    for country in value["countries"]:
        keys = ", ".join(key.get("kid") or f"TLS {key['spki_sha256'][:8]}…" for key in country["keys"])
        made.add_row(country["country"], country["status"], ", ".join(country["offers"]) or "-", keys)
    show(made)
