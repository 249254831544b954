"""`isthmus serve`: one country's node as its settings say."""

from __future__ import annotations

import asyncio

import typer

from isthmus.commands.output import settings_of

app = typer.Typer()


@app.command()
def serve(ctx: typer.Context) -> None:
    """Run one country's node until it is told to stop (SIGINT, SIGTERM).

    The settings say which listeners it has: the border where Country A answers, the portal of Country B, the local
    listener with /healthz, /readyz and /metrics.

    \b
    Example:
      isthmus --config aa/isthmus.toml serve
    """
    from isthmus.app import run_node

    asyncio.run(run_node(settings_of(ctx)))
