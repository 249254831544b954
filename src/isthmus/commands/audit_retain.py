"""`isthmus audit retain`: erase what the trail holds of people once its term is over. A running node does it by itself.

Source: interfaces.md §2; trust.md §4.3.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer

from isthmus.commands.output import Json, emit, settings_of, show
from isthmus.model.amounts import amount


def retain(ctx: typer.Context, json: Json = False) -> None:
    """Erase the months of the trail whose term (audit.keep_months) is over. Their leaves stay, so that the trail still proves itself.

    \b
    Example:
      isthmus --config aa/isthmus.toml audit retain
    """
    from isthmus.audit.retention import Retention
    from isthmus.audit.trail import trail_of
    from isthmus.ground import now
    from isthmus.storage.database import open_state
    from isthmus.storage.sealed import MasterKey

    settings = settings_of(ctx)
    master = MasterKey.load(settings.path(settings.keys.env))
    with trail_of(settings, now) as trail:
        state = open_state(settings)
        try:
            done = Retention(state, trail, master, settings.audit, now).retain_now()
        finally:
            state.close()
    emit(asdict(done), json, _tell)


def _tell(answer: dict[str, Any]) -> None:
    if answer["records"]:
        show(
            f"{amount(answer['records'], 'record')} erased, of {', '.join(answer['months']) or 'months erased before'}."
        )
    else:
        show("Nothing is over.")
    if answer["waiting"]:
        show(
            f"{', '.join(answer['waiting'])}: over, but a repository has not been given all of it yet (audit.forward)."
        )
