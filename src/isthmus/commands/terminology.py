"""`isthmus terminology`: which national codes no table knows yet.

Source: interfaces.md §2, §8.
"""

from __future__ import annotations

from typing import Any

import typer

from isthmus.commands.output import Json, emit, settings_of, show, table

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Codes and words: what is mapped, and what is not."""


@app.command("unmapped")
def list_unmapped(ctx: typer.Context, as_json: Json = False) -> None:
    """List the national codes that no table of their source knows, with how many studies say each.

    A study with such a code is offered all the same: its words travel as they came, its region may be the entire body. To map a
    code, add a row to the file that `codes` of the source names.

    \b
    Example:
      isthmus --config aa/isthmus.toml terminology unmapped
    """
    from isthmus.archive import queries
    from isthmus.storage.database import open_index

    database = open_index(settings_of(ctx))
    try:
        emit({"unmapped": database.read_now(queries.list_unmapped)}, as_json, _tell)
    finally:
        database.close()


def _tell(answer: dict[str, Any]) -> None:
    if not answer["unmapped"]:
        print("Every code of the described studies is mapped.")
        return
    listed = table("source", "kind", "system", "code", "words", "studies")
    for row in answer["unmapped"]:
        listed.add_row(row["source"], row["kind"], row["system"], row["code"], row["display"], str(row["studies"]))
    show(listed)
