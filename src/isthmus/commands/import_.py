"""`isthmus import`: images and reports into Country A's embedded archive, also while the node serves."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands.output import Json, emit, progress, settings_of, show, table
from isthmus.model.amounts import amount

if TYPE_CHECKING:
    from isthmus.archive.folders import Order
    from isthmus.archive.verdicts import Verdict
    from isthmus.config import Settings

LINE_EVERY = 100
INCOMPLETE, INTERRUPTED = 6, 130

app = typer.Typer()


@app.command()
def import_(
    ctx: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files, folders, zip and tar archives.")],
    patient: Annotated[
        str | None,
        typer.Option(
            "--patient", metavar="SYSTEM|VALUE", help="Whose the PDFs, and the images without PatientID, are."
        ),
    ] = None,
    study: Annotated[
        list[str] | None, typer.Option("--study", metavar="UID", help="The study a PDF is about; may be repeated.")
    ] = None,
    accession: Annotated[
        list[str] | None,
        typer.Option(
            "--accession",
            metavar="[SYSTEM|]VALUE",
            help="The accession number a PDF is about (issuer: the source's own unless said): names the one study of the patient that has it; may be repeated.",
        ),
    ] = None,
    confidentiality: Annotated[
        str | None,
        typer.Option(
            "--confidentiality",
            metavar="U|L|M|N|R|V",
            help="How confidential the reports are, where they do not say it themselves: R is given to physicians alone, V to nobody abroad.",
        ),
    ] = None,
    as_: Annotated[
        str | None, typer.Option("--as", metavar="document|dicom", help="What the files are; else the content decides.")
    ] = None,
    json: Json = False,
) -> None:
    """Bring images and reports into the embedded archive of Country A.

    Each file is accepted, unchanged, quarantined or refused, with a reason; running it twice changes nothing. The exit
    status is 6 when something was quarantined or refused; everything else is done all the same.

    \b
    Example:
      isthmus --config aa/isthmus.toml import ./studies report.json
      isthmus --config aa/isthmus.toml import scan.pdf --patient 'urn:oid:2.999.1.2.1|4710260018' --study 2.25.1234
    """
    settings = settings_of(ctx)
    order = _order(patient, study or [], accession or [], confidentiality, as_)
    with _interruptible() as stop:
        verdicts = _bring(settings, [str(path) for path in paths], order, stop)
    emit(_lists(verdicts), json, _tell)
    if stop:
        raise typer.Exit(INTERRUPTED)
    if any(verdict.outcome in ("quarantined", "refused") for verdict in verdicts):
        raise typer.Exit(INCOMPLETE)


def _order(patient: str | None, studies: list[str], accessions: list[str], label: str | None, as_: str | None) -> Order:
    from isthmus.archive.folders import Order
    from isthmus.errors import SettingsProblem
    from isthmus.model.confidentiality import LEVELS
    from isthmus.model.identifiers import Identifier, PatientIdentifier, checked_uid

    if as_ not in (None, "document", "dicom"):
        raise SettingsProblem("--as is document or dicom", reason="usage")
    if label is not None and label not in LEVELS:
        raise SettingsProblem(f"--confidentiality is one of {' '.join(LEVELS)}", reason="usage")
    named = PatientIdentifier.read(patient) if patient else None
    about = tuple(checked_uid(uid, "--study") for uid in studies)
    return Order(named, about, tuple(Identifier.read(text, "--accession") for text in accessions), label, as_)


def _bring(settings: Settings, paths: list[str], order: Order, stop: list[int]) -> list[Verdict]:
    from datetime import UTC, datetime

    from isthmus.archive.doors.offers import Offers
    from isthmus.archive.folders import bring
    from isthmus.archive.intake import Intake
    from isthmus.archive.reports import Reports
    from isthmus.sandbox import Sandbox
    from isthmus.storage.database import open_index
    from isthmus.wire.packs.pack import load_pack

    database, pack, sandbox = open_index(settings), load_pack(), Sandbox()
    verdicts: list[Verdict] = []

    def clock() -> datetime:
        return datetime.now(UTC)

    try:
        intake = Intake(settings, database, clock)
        source = next(iter(settings.sources.reports), None)
        reports = Reports(database, intake.container, clock, pack, sandbox, source)
        offers = Offers(settings, database, clock, pack, sandbox)
        with progress("import") as more:
            for verdict in bring(
                intake, reports, paths, order, lambda: bool(stop), lambda: offers.make(intake.touched, reports.touched)
            ):
                verdicts.append(verdict)
                more(1)
                if len(verdicts) % LINE_EVERY == 0 and not sys.stderr.isatty():
                    sys.stderr.write(f"{amount(len(verdicts), 'file')}\n")
        intake.close()
        if not stop:
            offers.make(intake.touched, reports.touched)
    finally:
        sandbox.close()
        database.close()
    return verdicts


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """The first SIGINT ends the work after the file in hand; the second ends the process as usual."""
    stop: list[int] = []

    def stopping(number: int, frame: Any) -> None:
        if stop:
            raise KeyboardInterrupt
        stop.append(number)

    before = signal.signal(signal.SIGINT, stopping)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _lists(verdicts: list[Verdict]) -> dict[str, list[dict[str, Any]]]:
    lists: dict[str, list[dict[str, Any]]] = {"accepted": [], "unchanged": [], "quarantined": [], "refused": []}
    for verdict in verdicts:
        lists[verdict.outcome].append(verdict.row)
    return lists


def _tell(lists: dict[str, list[dict[str, Any]]]) -> None:
    print(", ".join(f"{len(rows)} {outcome}" for outcome, rows in lists.items()))
    held = table("", "file", "reason", "what it means")
    for outcome in ("quarantined", "refused"):
        for row in lists[outcome]:
            held.add_row(outcome, row["path"], row["reason"], row["detail"])
    for row in lists["accepted"]:
        for warning in row.get("warnings", ()):
            held.add_row("accepted", row["path"], "", warning)
    if held.row_count:
        show(held)
