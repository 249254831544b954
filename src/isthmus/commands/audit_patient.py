"""`isthmus audit for-patient`: who looked at one patient's data, as the patient may read it. The reading stands in the list itself.

Source: interfaces.md §2; trust.md §4.6.
"""

from __future__ import annotations

import getpass
import secrets
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands.output import Json, emit, settings_of, show, table
from isthmus.errors import SettingsProblem
from isthmus.model.amounts import amount
from isthmus.model.identifiers import PatientIdentifier

if TYPE_CHECKING:
    from isthmus.audit.access import View
    from isthmus.config import Settings


class Form(StrEnum):
    """In which form the view is written to a file."""

    JSON = "json"
    CSV = "csv"
    FHIR = "fhir"


def for_patient(
    ctx: typer.Context,
    patient: Annotated[str, typer.Option("--patient", metavar="SYSTEM|VALUE", help="The patient's identifier.")],
    case: Annotated[
        str, typer.Option("--case", metavar="NUMBER", help='The case of the auditor; needed in env = "prod".')
    ] = "",
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who reads; the account's name if not given.")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write a new file, readable by you.")
    ] = None,
    form: Annotated[
        Form, typer.Option("--form", help="Of the file; fhir: AuditEvents, as ITI-81 answers.")
    ] = Form.JSON,
    json: Json = False,
) -> None:
    """Who looked at a patient's data: when, from where, why, whether it was refused, and whether a screen showed it.

    Nobody but the patient and an auditor with a case may read this, and the reading is recorded for the patient to see.

    \b
    Example:
      isthmus --config aa/isthmus.toml audit for-patient --patient 'urn:oid:2.999.1.2.1|…' --case 2026-117
    """
    settings, identifier = settings_of(ctx), PatientIdentifier.read(patient)
    if not case.strip() and settings.env == "prod":
        raise SettingsProblem("an auditor reads for a case: give its number with --case", reason="usage")
    view = _read(settings, identifier, by.strip() or getpass.getuser(), case.strip())
    if out is not None:
        _write(out, view, form, settings)
        return
    from isthmus.audit.access import as_json

    emit(as_json(view), json, _tell)


def _read(settings: Settings, identifier: PatientIdentifier, by: str, case: str) -> View:
    """Record the reading, then read; closed as what it was, also when the reading fails."""
    from isthmus.audit.access import SUPERVISION, Accesses, reading
    from isthmus.audit.events import Outcome
    from isthmus.audit.trail import INTERRUPTED, trail_of
    from isthmus.commands.consent import former
    from isthmus.ground import now
    from isthmus.storage.database import open_state
    from isthmus.storage.sealed import MasterKey

    intent = reading(
        identifier,
        ncp_id=settings.ncp_id,
        exchange_id=secrets.token_hex(16),
        purpose=SUPERVISION,
        person=by,
        case=case,
    )
    numbers = (identifier, *former(settings, identifier))
    with trail_of(settings, now) as trail:
        opened, outcome = trail.open_now(intent), INTERRUPTED
        state = open_state(settings)
        try:
            view = Accesses(state, MasterKey.load(settings.path(settings.keys.env))).of_now(numbers)
            outcome = Outcome(outcome="complete")
        finally:
            state.close()
            trail.close_now(opened, outcome)
    return view


def _write(out: Path, view: View, form: Form, settings: Settings) -> None:
    import os

    import orjson

    from isthmus.audit.access import as_csv, as_json, as_searchset
    from isthmus.audit.forward import site_of

    writers = {
        Form.JSON: lambda: orjson.dumps(as_json(view)),
        Form.CSV: lambda: as_csv(view).encode(),
        Form.FHIR: lambda: orjson.dumps(as_searchset(view, site_of(settings, None))),
    }
    try:
        with os.fdopen(os.open(out, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(writers[form]())
    except OSError as error:
        raise SettingsProblem(f"{out} cannot be written: {error.strerror}", reason="usage") from error


def _tell(answer: dict[str, Any]) -> None:
    shown = table("when (UTC)", "country", "organisation", "who", "what", "why", "outcome", "seen")
    for access in answer["accesses"]:
        words = access["words"]
        why = words["purpose"] if not access["reason"] else f"{words['purpose']}: {access['reason']}"
        who = f"{access['person']}, {words['role']}" if words["role"] else access["person"]
        given = words["outcome"] if not access["instances"] else f"{words['outcome']} ({amount(access['instances'], 'image')})"  # fmt: skip
        shown.add_row(
            access["at"], access["country"], access["organisation"], who, words["kind"], why, given, "yes" if access["viewed"] else "",
        )  # fmt: skip
    show(shown)
    if answer["unreadable"]:
        show(f"{amount(answer['unreadable'], 'record')} cannot be read: see audit verify.")
    if answer["more"]:
        show("There are more: only the newest stand in this list.")
