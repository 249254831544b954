"""`isthmus import-patients`: people into Country A's embedded register."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.commands.output import Json, emit, settings_of

INCOMPLETE = 6

app = typer.Typer()


@app.command()
def import_patients(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, or a FHIR Bundle of Patient (JSON).")],
    json: Json = False,
) -> None:
    """Register patients in Country A's embedded register; who is there already is brought up to date.

    A CSV file has the header system,value,family,given,birth_date,gender, several given names with blanks between. The exit
    status is 6 when a row was refused; the others are registered all the same.

    \b
    Example:
      isthmus --config aa/isthmus.toml import-patients register.csv
    """
    from isthmus.archive.people import bring_people, read_people
    from isthmus.errors import SettingsProblem
    from isthmus.storage.database import open_index

    settings = settings_of(ctx)
    try:
        body = file.read_bytes()
    except OSError as error:
        raise SettingsProblem(f"{file} cannot be read: {error.strerror}", reason="usage") from None
    database = open_index(settings)
    try:
        count = bring_people(database, read_people(body))
    finally:
        database.close()
    emit({"registered": count.registered, "unchanged": count.unchanged, "refused": count.refused}, json, _tell)
    if count.refused:
        raise typer.Exit(INCOMPLETE)


def _tell(answer: dict[str, Any]) -> None:
    print(f"{answer['registered']} registered, {answer['unchanged']} unchanged, {len(answer['refused'])} refused")
    for row in answer["refused"]:
        print(f"  {row['row']}: {row['detail']}")
