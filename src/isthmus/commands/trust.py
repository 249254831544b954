"""`isthmus trust`: what the list says now and what is new in it; and, with the operator's key, change and sign it.

Source: interfaces.md §2; trust.md §2.2, §6.1.
"""

from __future__ import annotations

import contextlib
import getpass
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands import trust_operator
from isthmus.commands.output import Json, emit, settings_of, show, table
from isthmus.errors import SettingsProblem, TrustListStale
from isthmus.trust.directory import Directory, waiting_in
from isthmus.trust.keys import load_public_key
from isthmus.trust.trustlist import TrustList, draft_of, read_trust_list

if TYPE_CHECKING:
    from isthmus.config import Settings

app = typer.Typer(no_args_is_help=True)
Country = Annotated[str, typer.Argument(metavar="COUNTRY", help="Two letters, or its ncp_id.")]
ACCEPT_NOTE = "trust-accept"


@app.callback()
def _group() -> None:
    """The trust list: who is at the other end."""


for _name in ("sign", "suspend", "resume", "revoke"):
    app.command(_name)(getattr(trust_operator, _name))
app.command("from-smp")(trust_operator.from_smp)


@app.command("show")
def show_list(ctx: typer.Context, as_json: Json = False) -> None:
    """Say what the trust list says now: its number, until when it holds, each country's status, services and keys, and what waits.

    \b
    Example:
      isthmus --config bb/isthmus.toml trust show
    """
    settings = settings_of(ctx)
    directory = Directory(settings, None, _now)
    directory.refresh()
    if directory.problem is not None:
        raise TrustListStale(directory.problem)
    emit(_said(directory.current, _waits(settings)), as_json, _show)


@app.command()
def fetch(ctx: typer.Context, as_json: Json = False) -> None:
    """Look at once where the list lies, and take it if it is new and right; a running node does so by itself.

    \b
    Example:
      isthmus --config aa/isthmus.toml trust fetch
    """
    with following(settings_of(ctx)) as directory:
        before = directory.accepted
        directory.refresh()
        if directory.problem is not None or directory.accepted is None:
            raise TrustListStale(directory.problem or "there is no trust list")
        listed = directory.accepted
    value = {
        "sequence": listed.seq,
        "digest": listed.digest,
        "valid_until": _moment(listed.next_update),
        "new": before is None or before.seq < listed.seq,
    }
    emit(
        value,
        as_json,
        lambda said: typer.echo(
            f"Number {said['sequence']}, until {said['valid_until']}" + ("" if said["new"] else "; known already")
        ),
    )


@app.command()
def diff(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Another list: signed (.jws), or not yet (.json).")],
    as_json: Json = False,
) -> None:
    """Say what another list says that the one in force does not.

    \b
    Example:
      isthmus --config aa/isthmus.toml trust diff next.jws
    """
    from isthmus.trust.operator.differences import differences

    settings = settings_of(ctx)
    directory = Directory(settings, None, _now)
    directory.refresh()
    found = differences(directory.current, _other(settings, file))
    emit({"differences": found}, as_json, _show_differences)


@app.command()
def accept(ctx: typer.Context, country: Country, as_json: Json = False) -> None:
    """Let in what is new of a country and would wait: say it only after you have called them and compared what `trust show` says.

    It stands in the trail. Without it a new key, address or country counts after `trust.hold_h`, or at once when the country's present key
    countersigned it.

    \b
    Example:
      isthmus --config aa/isthmus.toml trust accept BB
    """
    from isthmus.audit.events import Note
    from isthmus.audit.trail import trail_of

    settings = settings_of(ctx)
    with following(settings) as directory:
        directory.refresh()
        listed = directory.accepted
        found = [p for p in listed.participants if country in (p.country, p.ncp_id)] if listed else []
        if len(found) != 1:
            raise SettingsProblem(f"the trust list has no one country {country}", reason="usage")
        names = [name for name in directory.waiting if name.split(" ")[1] == found[0].ncp_id]
        if names:
            details = {"country": found[0].country, "by": getpass.getuser(), "entries": "; ".join(names)}
            with trail_of(settings, _now) as trail:
                trail.note_now(Note(kind=ACCEPT_NOTE, side="A", exchange_id=ACCEPT_NOTE, details=details))
            directory.let_in(found[0].ncp_id)
    emit({"country": found[0].country, "accepted": names}, as_json, _show_accepted)


def _now() -> datetime:
    return datetime.now(UTC)


@contextlib.contextmanager
def following(settings: Settings) -> Iterator[Directory]:
    """The node's own view of the list, kept in its database; it may run meanwhile."""
    from isthmus.operations.watching import floor_of
    from isthmus.storage.database import open_state
    from isthmus.storage.sealed import MasterKey

    state = open_state(settings)
    try:
        floor = floor_of(state, MasterKey.load(settings.path(settings.keys.env)))
        directory = Directory(settings, state, _now, floor)
        directory.recall()
        yield directory
    finally:
        state.close()


def _waits(settings: Settings) -> dict[str, int]:
    """What waits at this node; nothing where it has no database yet."""
    from isthmus.storage.database import open_state

    if not settings.database_file.exists():
        return {}
    state = open_state(settings)
    try:
        return waiting_in(state, int(settings.trust.hold_h * 3600), int(_now().timestamp()))
    finally:
        state.close()


def _other(settings: Settings, file: Path) -> TrustList:
    """A list in a file. Raises TrustListStale when it would be refused, SettingsProblem when it cannot be read."""
    try:
        text = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsProblem(f"{file} cannot be read", reason="usage") from error
    if text.startswith("{"):
        try:
            return draft_of(json.loads(text))
        except (ValueError, TypeError) as error:
            raise SettingsProblem(f"{file} is no JSON object", reason="usage") from error
    keys = [
        load_public_key(settings.path(name), settings.env, frozenset({"trustlist"}))
        for name in settings.trust.operator_keys
    ]
    return read_trust_list(text, keys, env=settings.env, now=_now(), after_seq=0)


def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")


def _said(listed: TrustList, waits: dict[str, int]) -> dict[str, Any]:
    codes = {participant.ncp_id: participant.country for participant in listed.participants}
    return {
        "sequence": listed.seq,
        "valid_until": _moment(listed.next_update),
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
        "waiting": [
            {"country": codes.get(name.split(" ")[1], ""), "entry": name, "counts_from": _moment(second)}
            for name, second in sorted(waits.items())
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
    for entry in value["waiting"]:
        typer.echo(f"{entry['country']} waits until {entry['counts_from']}: {entry['entry']}")


def _show_differences(value: dict[str, Any]) -> None:
    if not value["differences"]:
        typer.echo("No difference.")
        return
    made = table("Country", "What", "In force", "In the file")
    for each in value["differences"]:
        made.add_row(each["country"], each["what"], each["before"] or "-", each["after"] or "-")
    show(made)


def _show_accepted(value: dict[str, Any]) -> None:
    if not value["accepted"]:
        typer.echo(f"Nothing of {value['country']} waits.")
    for name in value["accepted"]:
        typer.echo(f"{value['country']} counts now: {name}")
