"""`isthmus keys rotate`: a key of this node turns over while it serves.

Source: interfaces.md §2; trust.md §6.2.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands.output import Json, emit, settings_of

if TYPE_CHECKING:
    from isthmus.config import Settings
    from isthmus.operations.turnover import Submit, Turned

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The node's own keys."""


@app.command()
def rotate(
    ctx: typer.Context,
    key: Annotated[str, typer.Option("--key", help="sig, at, hpa or tls.")],
    phase: Annotated[str, typer.Option("--phase", help="publish, activate, retire; several with commas.")],
    wait_s: Annotated[
        float, typer.Option("--wait-s", metavar="S", help="How long to wait until everybody follows.")
    ] = 150.0,
    despite: Annotated[
        list[str] | None, typer.Option("--despite", metavar="COUNTRY", help="Do not wait for this country.")
    ] = None,
    early: Annotated[
        bool, typer.Option("--early", help="Retire though what the old key signed may still live.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Turn a key over in three phases, without a restart and without a failed request.

    publish makes the next key and has the trust list name it. activate waits until every active country follows that list, has the list call
    it current, waits again, and switches. retire, two hours later, ends the old one. Where the list's operator is somebody else, each
    change is written as a request to send there, and the phase is run again when the list has it.

    \b
    Example:
      isthmus --config aa/isthmus.toml keys rotate --key sig --phase publish,activate
      isthmus --config aa/isthmus.toml keys rotate --key sig --phase retire
    """
    settings = settings_of(ctx)
    steps = [word.strip() for word in phase.split(",") if word.strip()]
    submit = _practice(settings, making=key if "publish" in steps else "") or _request_to(settings, key)

    async def turn() -> list[Turned]:
        from isthmus.ground import Ground, now
        from isthmus.operations.turnover import Turnover

        ground = Ground.open(settings)
        outbound = ground.outbound()
        turnover = Turnover(
            settings, ground.directory, outbound, now, submit, wait_s, frozenset(despite or ()), early, _say
        )
        try:
            done = []
            for step in steps:
                done.append(await turnover.run(key, step))
                if done[-1].state == "requested":
                    break
            return done
        finally:
            await outbound.close()
            ground.state.close()

    turned = [asdict(each) for each in asyncio.run(turn())]
    emit({"phases": turned}, as_json, lambda said: _show(said, settings))


def _practice(settings: Settings, making: str) -> Submit | None:
    """The operator's key of practice countries lies beside their list: what is asked for is signed at once."""
    from isthmus.commands.trust_operator import Desk
    from isthmus.trust.keys import load_signing_key
    from isthmus.trust.operator.lists import apply_request
    from isthmus.trust.pki import issue_next

    if "://" in settings.trust.list or settings.env == "prod":
        return None
    file = settings.path(settings.trust.list)
    operator = file.parent / "operator" / "operator.key.jwk"
    if not operator.exists():
        return None
    if making == "tls":
        issue_next(file.parent, settings)
    desk = Desk(file, load_signing_key(operator, settings.env), settings.env)

    def submit(request: dict[str, Any]) -> int:
        def change(body: dict[str, Any]) -> None:
            apply_request(body, request)

        return desk.change(change).listed.seq

    return submit


def _request_to(settings: Settings, which: str) -> Submit:
    from isthmus.trust.operator.lists import write_request

    def submit(request: dict[str, Any]) -> None:
        write_request(_request_file(settings, which, request["phase"]), request)

    return submit


def _request_file(settings: Settings, which: str, phase: str) -> Path:
    return settings.path(settings.keys.sig).parent / f"{which}.{phase}.request.json"


def _say(words: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"isthmus: {words}\n")


def _show(value: dict[str, Any], settings: Settings) -> None:
    for each in value["phases"]:
        typer.echo(f"{each['key']}: {each['state']} (list number {each['sequence']})")
        if each["state"] == "requested":
            file = _request_file(settings, each["key"], each["phase"])
            typer.echo(f"Send {file} to the operator of the trust list; when the list has it, run this phase again.")
