"""`isthmus audit recover`: after a restore, what the trail lost is written down, signed, and it goes on.

Source: trust.md §6.5.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from isthmus.commands.output import Json, emit, settings_of, show
from isthmus.errors import SettingsProblem
from isthmus.model.amounts import amount


def recover(
    ctx: typer.Context,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who answers for it.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="What happened.")],
    json: Json = False,
) -> None:
    """Record a signed statement of what the trail lost, and let the node start again. Nothing else is mended; the node must not run.

    Directives that patients gave in the time that was lost are gone too: have the national consent service say them again first.

    \b
    Example:
      isthmus --config aa/isthmus.toml audit recover --by 'N. Officer' --reason 'disk lost on 24 November'
    """
    if not by.strip() or not reason.strip():
        raise SettingsProblem("say who answers for it (--by) and what happened (--reason)", reason="usage")
    from isthmus.audit.recovery import Recovery
    from isthmus.ground import now
    from isthmus.storage.database import open_state

    settings = settings_of(ctx)
    state = open_state(settings)
    try:
        done = Recovery(settings, state, now).recover_now(by.strip(), reason.strip())
    finally:
        state.close()
    emit(asdict(done), json, _tell)


def _tell(answer: dict[str, Any]) -> None:
    known = (
        "nobody knows how many more were there"
        if answer["known"] is None
        else f"{amount(answer['known'], 'record')} were there"
    )
    show(
        f"The trail goes on after {amount(answer['records'], 'record')}; {known}. The statement: gaps/{answer['statement']}."
    )
    if answer["epoch"]:
        show("The log begins a new epoch; have the list's operator publish it for this country:")
        show(f"  origin {answer['epoch']['origin']}")
        show(f"  vkey   {answer['epoch']['vkey']}")
