"""`isthmus archive list`: what the embedded archive keeps, for its operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands.output import Json, emit, settings_of, show, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from isthmus.storage.database import Database

PAGE = 1000

app = typer.Typer(no_args_is_help=True)


@app.callback()
def archive() -> None:
    """What the embedded archive of Country A keeps."""


@app.command("list")
def list_(
    ctx: typer.Context,
    study: Annotated[str | None, typer.Option("--study", metavar="UID", help="This study alone.")] = None,
    json: Json = False,
) -> None:
    """List every instance that is kept: whose it is, its size and digest, and whether it is served.

    \b
    Example:
      isthmus --config aa/isthmus.toml archive list --study 2.25.1234 --json
    """
    from isthmus.storage.database import open_index

    database = open_index(settings_of(ctx))
    try:
        emit({"instances": list(_rows(database, study))}, json, _tell)
    finally:
        database.close()


def _rows(database: Database, study: str | None) -> Iterator[dict[str, Any]]:
    """Page by page, so that no reading transaction is held. Source: field-faults F50."""
    from isthmus.archive.queries import list_instances

    after = 0
    while page := database.read_now(lambda c: list_instances(c, study, after, PAGE)):  # noqa: B023  # called at once
        for row in page:
            yield _row(row)
        after = page[-1].id


def _row(row: Any) -> dict[str, Any]:
    system, _, value = (row.said_patient or "").partition("|")
    patient = {"system": row.system, "value": row.value} if row.system else {"system": system, "value": value}
    shown = {
        "sop_instance_uid": row.sop_instance_uid,
        "series_instance_uid": row.series_instance_uid,
        "study_instance_uid": row.study_instance_uid,
        "sha256": row.sha256,
        "bytes": row.size,
        "transfer_syntax": row.transfer_syntax_uid,
        "patient": patient if patient["value"] else None,
        "state": row.state,
    }
    return shown | ({"reason": row.reason, "detail": row.detail} if row.reason else {})


def _tell(answer: dict[str, Any]) -> None:
    listed = table("study", "SOP instance", "bytes", "state", "patient")
    for row in answer["instances"]:
        patient = f"{row['patient']['system']}|{row['patient']['value']}" if row["patient"] else "–"
        state = f"{row['state']} ({row['reason']})" if row.get("reason") else row["state"]
        listed.add_row(row["study_instance_uid"], row["sop_instance_uid"], str(row["bytes"]), state, patient)
    show(listed)
