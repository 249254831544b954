"""`isthmus pki init`: keys, certificates, settings and a trust list for practice countries. `pki csr`, `pki import`: real certificates.

Source: interfaces.md §2; trust.md §6.1.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.commands.output import Json, emit, settings_of
from isthmus.config import read_settings
from isthmus.signin.accounts import Entry, practice_entries, write_accounts
from isthmus.trust import pki

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keys and certificates: all of them for practice countries, or a real one for this node."""


@app.command("init")
def init(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where everything goes.")] = Path("pki"),
    countries: Annotated[
        str, typer.Option("--countries", help="Two-letter codes; the second has the portal.")
    ] = "AA,BB",
    portal_port: Annotated[int, typer.Option("--portal-port", help="Port of the portal.")] = 8700,
    port_base: Annotated[int, typer.Option("--port-base", help="Borders at base+1, base+11, …")] = 8710,
    with_negative: Annotated[
        bool, typer.Option("--with-negative", help="Also certificates that a border has to refuse, for tests.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make keys, certificates, settings, practice accounts and a signed trust list. Marked demo; nothing is overwritten.

    \b
    Example:
      isthmus pki init --out pki --countries AA,BB
    """
    codes = [code.strip() for code in countries.split(",") if code.strip()]
    made = pki.init(
        out,
        countries=codes,
        ports=pki.default_ports(codes, port_base),
        portal_port=portal_port,
        with_negative=with_negative,
        now=datetime.now(UTC),
    )
    accounts: tuple[Entry, ...] = ()
    for file in made.settings.values():
        settings = read_settings(file, {})
        if settings.signin.accounts:
            accounts = practice_entries()
            write_accounts(settings.path(settings.signin.accounts), accounts)
    emit(_said(made, accounts), as_json, _show)


@app.command()
def csr(ctx: typer.Context, as_json: Json = False) -> None:
    """Make the node's next TLS key and a request for its certificate, to be sent to the authority.

    \b
    Example:
      isthmus --config isthmus.toml pki csr
    """
    from isthmus.trust.turnover.real import write_csr

    file = write_csr(settings_of(ctx))
    emit({"request": str(file)}, as_json, lambda said: typer.echo(f"Send {said['request']} to the authority."))


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The certificate (PEM), intermediates after it.")],
    as_json: Json = False,
) -> None:
    """Look at a certificate that was issued for the next TLS key, and put it in its place: `keys rotate --key tls` takes it up.

    It has to be for that key, for the border's address, for both sides of a connection, valid now, and of an authority in the trust list.

    \b
    Example:
      isthmus --config isthmus.toml pki import ncp.pem
    """
    from isthmus.trust.directory import Directory
    from isthmus.trust.turnover.real import import_certificate, told

    settings, now = settings_of(ctx), datetime.now(UTC)
    directory = Directory(settings, None, lambda: now)
    directory.refresh()
    place = import_certificate(settings, file, directory.current.tls_ca, now)
    emit(told(place), as_json, _show_certificate)


def _show_certificate(value: dict[str, Any]) -> None:
    typer.echo(f"{value['file']}, good until {value['ends_at']}")
    typer.echo("Go on with: isthmus keys rotate --key tls --phase publish")


def _said(made: pki.Made, accounts: tuple[Entry, ...]) -> dict[str, Any]:
    return {
        "trust_list": str(made.trust_list),
        "authority": str(made.authority),
        "countries": {code: {"config": str(file)} for code, file in made.settings.items()},
        "accounts": [
            {"login": entry.login, "password": entry.password, "name": entry.name, "role": entry.role}
            for entry in accounts
        ],
    }


def _show(value: dict[str, Any]) -> None:
    typer.echo(f"Trust list  {value['trust_list']}")
    for code, country in value["countries"].items():
        typer.echo(f"{code}          {country['config']}")
    for account in value["accounts"]:
        typer.echo(
            f"Account     {account['login']}  {account['password']}  ({account['name']}, role {account['role']})"
        )
    typer.echo("Passwords are shown this once. All of it is for practice: a node in production refuses it.")
