"""`isthmus backup`: state, trail, archive and index of a node in one sealed file, while it serves.

Source: trust.md §6.5.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.commands.output import Json, emit, settings_of, show
from isthmus.model.amounts import amount

KEYS = "month-keys.json"

app = typer.Typer()


@app.command()
def backup(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to make; it must not exist yet.")],
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys",
            metavar="FILE",
            help=f"The file of the trail's month keys, replaced each time; {KEYS} beside FILE if not given.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Back the node up, also while it serves: state, trail, archive, index and imported terminology, sealed under keys.env.

    The node's keys are not in it: keep keys.env apart, and make the others anew. Keep the file of month keys once, and only the newest.

    \b
    Example:
      isthmus --config aa/isthmus.toml backup --out /backup/aa-2026-11-25.isthmus
    """
    from isthmus.audit.trail import trail_of
    from isthmus.ground import now
    from isthmus.operations.backup import back_up

    settings = settings_of(ctx)
    with trail_of(settings, now) as trail:
        made = back_up(settings, trail, out, keys or out.with_name(KEYS), now)
    emit(asdict(made), json, _tell)


def _tell(answer: dict[str, Any]) -> None:
    size = answer["bytes"] / (1 << 20)
    show(
        f"{answer['file']}: {amount(answer['records'], 'record')} of the trail, {amount(answer['files'], 'file')} of the archive, {size:.1f} MiB."
    )
    show(f"{answer['keys']}: the trail's month keys. Keep it apart, once, and only the newest.")
