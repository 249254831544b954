"""`isthmus serve`: one country's node as its settings say."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from isthmus.commands.output import settings_of

app = typer.Typer()


@app.command()
def serve(
    ctx: typer.Context,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", hidden=True, help="End when standard input closes.")
    ] = False,
) -> None:
    """Run one country's node until it is told to stop (SIGINT, SIGTERM).

    The settings say which listeners it has: the border where Country A answers, the portal of Country B, the local
    listener with /healthz, /readyz and /metrics.

    \b
    Example:
      isthmus --config aa/isthmus.toml serve
    """
    from isthmus.app import run_node

    settings = settings_of(ctx)

    def said(words: str) -> None:
        sys.stderr.write(f"isthmus: {settings.country}: {words}\n")

    asyncio.run(run_node(settings, until=_parent_gone if with_parent else None, said=said))


async def _parent_gone() -> None:
    """Returns when whoever holds the other end of standard input is gone."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), gone.set)
    await gone.wait()
    loop.remove_reader(sys.stdin.fileno())
