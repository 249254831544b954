"""`isthmus archive`: what the embedded archive keeps, for its operator; and what the operator puts right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands import archive_corrections, archive_held
from isthmus.commands.output import Json, emit, settings_of, show, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from isthmus.model.people import Patient
    from isthmus.storage.database import Database

PAGE = 1000

app = typer.Typer(no_args_is_help=True)


@app.callback()
def archive() -> None:
    """What the embedded archive of Country A keeps, and how it is put right."""


@app.command("list")
def list_(
    ctx: typer.Context,
    study: Annotated[str | None, typer.Option("--study", metavar="UID", help="This study alone.")] = None,
    patient: Annotated[
        str | None, typer.Option("--patient", metavar="SYSTEM|VALUE", help="Of this person alone.")
    ] = None,
    json: Json = False,
) -> None:
    """List the studies and reports that are kept: whose each is, and whether it is served; with --study or --json, every instance.

    \b
    Example:
      isthmus --config aa/isthmus.toml archive list --patient 'urn:oid:2.999.1.2.1|12'
      isthmus --config aa/isthmus.toml archive list --study 2.25.1234 --json
    """
    from isthmus.storage.database import open_index

    database = open_index(settings_of(ctx))
    try:
        number = _person(database, patient) if patient else None
        reports = _reports(database, study, patient=number)
        if study is None and not json:
            _tell_studies(_studies(database, number))
            _tell_reports(reports)
            return
        emit({"instances": list(_rows(database, study, number)), "reports": reports}, json, _tell)
    finally:
        database.close()


@app.command("held")
def held(ctx: typer.Context, json: Json = False) -> None:
    """List what is kept and offered to nobody: unassigned, quarantined, to be issued anew, rejected, retracted, deleted.

    \b
    Example:
      isthmus --config aa/isthmus.toml archive held
    """
    from isthmus.storage.database import open_index

    database = open_index(settings_of(ctx))
    try:
        emit({"instances": list(_held(database)), "reports": _reports(database, None, held=True)}, json, _tell_held)
    finally:
        database.close()


archive_corrections.add_to(app)
archive_held.add_to(app)


def _person(database: Database, said: str) -> int:
    """The row of a registered person. Raises MalformedRequest, PatientNotFound."""
    from isthmus.archive import register
    from isthmus.errors import PatientNotFound
    from isthmus.model.identifiers import PatientIdentifier

    identifier = PatientIdentifier.read(said)
    known = database.read_now(lambda c: register.person_row(c, identifier))
    if known is None:
        raise PatientNotFound("nobody in the register has this number; import-patients registers them")
    return known[0]


def _studies(database: Database, patient: int | None) -> list[dict[str, Any]]:
    from isthmus.archive.queries import list_studies

    return [
        {
            "study": row.study_instance_uid,
            "of": row.study_date or "",
            "what": row.study_description or "",
            "images": str(row.instances),
            "MB": f"{row.bytes / 1e6:.1f}",
            "state": row.state,
            "patient": f"{row.system}|{row.value}" if row.system else "–",
        }
        for row in database.read_now(lambda c: list_studies(c, patient))
    ]


def _tell_studies(studies: list[dict[str, Any]]) -> None:
    if not studies:
        show("No images are kept here.")
        return
    listed = table(*studies[0])
    for row in studies:
        listed.add_row(*row.values())
    show(listed)


def _rows(database: Database, study: str | None, patient: int | None) -> Iterator[dict[str, Any]]:
    """Page by page, so that no reading transaction is held. Source: field-faults F50."""
    from isthmus.archive.queries import list_instances

    after = 0
    while page := database.read_now(lambda c: list_instances(c, study, after, PAGE, patient)):  # noqa: B023  # called at once
        for row in page:
            yield _row(row)
        after = page[-1].id


def _held(database: Database) -> Iterator[dict[str, Any]]:
    """Both people of what contradicts: whom the file names, and whose its study is."""
    from isthmus.archive import queries, register
    from isthmus.archive.corrections.held import list_held

    def page_after(connection: Connection) -> list[tuple[Any, Patient | None, Patient | None]]:
        found = []
        for row in list_held(connection, after, PAGE):
            owner = queries.study_patient(connection, row.study_instance_uid)
            numbers = (row.patient_id, owner)
            people = [register.patient_of(connection, n) if n is not None else None for n in numbers]
            found.append((row, people[0], people[1]))
        return found

    after = 0
    while page := database.read_now(page_after):
        for row, patient, owner in page:
            yield {
                "number": row.id,
                "state": row.state,
                "reason": row.reason,
                "detail": row.detail,
                "sop_instance_uid": row.sop_instance_uid,
                "study_instance_uid": row.study_instance_uid,
                "file_says": row.said_patient,
                "patient": _named(patient),
                "study_of": _named(owner),
            }
        after = page[-1][0].id


def _named(patient: Patient | None) -> str | None:
    return f"{patient.identifier.system}|{patient.identifier.value}" if patient else None


def _reports(
    database: Database, study: str | None, *, patient: int | None = None, held: bool = False
) -> list[dict[str, Any]]:
    from isthmus.archive import register
    from isthmus.archive.corrections.held import list_documents

    def told(connection: Connection) -> list[dict[str, Any]]:
        return [
            {
                "id": str(row.number),
                "kind": row.kind,
                "identifier": row.unique_value,
                "title": row.title,
                "created": row.created,
                "status": row.status,
                "state": row.state,
                "sha256": row.sha256,
                "bytes": row.size,
                "patient": _named(register.patient_of(connection, row.patient_id) if row.patient_id else None),
            }
            for row in list_documents(connection, study, patient=patient, held=held)
        ]

    return database.read_now(told)


def _tell_reports(reports: list[dict[str, Any]]) -> None:
    listed = table("report", "kind", "of", "what", "status", "state", "patient")
    for row in reports:
        what = row["created"][:10], row["title"]
        listed.add_row(row["id"], row["kind"], *what, row["status"], row["state"], row["patient"] or "–")
    if reports:
        show(listed)


def _tell_held(answer: dict[str, Any]) -> None:
    listed = table("number", "state", "why", "study", "SOP instance", "the file says", "patient", "its study is of")
    for row in answer["instances"]:
        people = [row[name] or "–" for name in ("file_says", "patient", "study_of")]
        uids = row["study_instance_uid"], row["sop_instance_uid"]
        listed.add_row(str(row["number"]), row["state"], row["reason"] or "", *uids, *people)
    if answer["instances"]:
        show(listed)
    _tell_reports(answer["reports"])
    if not answer["instances"] and not answer["reports"]:
        show("Nothing is held.")


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
    _tell_reports(answer["reports"])
