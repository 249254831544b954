"""`isthmus restore`: a node's backup put back, with what was there kept aside.

Source: trust.md §6.5.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.commands.backup import KEYS
from isthmus.commands.output import Json, emit, settings_of, show
from isthmus.model.amounts import amount

app = typer.Typer()


@app.command()
def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup of this node.")],
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys",
            metavar="FILE",
            help=f"The newest file of the trail's month keys; {KEYS} beside FILE if not given.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="A state is there already: keep it aside, in before-restore-….")
    ] = False,
    json: Json = False,
) -> None:
    """Put a backup back where the settings say. Nothing is changed unless all of it is whole. The node must not run.

    A node that lacks records of its trail afterwards does not start: `isthmus audit recover` writes the loss down.

    \b
    Example:
      isthmus --config aa/isthmus.toml restore /backup/aa-2026-11-25.isthmus
    """
    from isthmus.ground import now
    from isthmus.operations.restore import restore as put_back

    done = put_back(settings_of(ctx), file, keys or file.with_name(KEYS), now, replace=replace)
    emit(asdict(done), json, _tell)


def _tell(answer: dict[str, Any]) -> None:
    show(f"Restored as of {answer['made']}: {amount(answer['records'], 'record')} of the trail.")
    if answer["aside"]:
        show(f"What was there lies in {answer['aside']}.")
    if answer["behind"]:
        show("The trail lacks records, or nobody can tell: the node does not start before `isthmus audit recover`.")
