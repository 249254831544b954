"""What the commands share that put the archive right: who orders it and why, whether it is meant, the record, what is told.

Decision 0012. Source: interfaces.md §11.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands.output import emit, settings_of
from isthmus.errors import SettingsProblem
from isthmus.model.amounts import amount
from isthmus.model.identifiers import PatientIdentifier, checked_uid

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Row

    from isthmus.archive.corrections.studies import What
    from isthmus.archive.corrections.trace import Done, Order
    from isthmus.audit.trail import Trail
    from isthmus.config import Settings
    from isthmus.storage.database import Database

By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who orders it.")]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept on the trail.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")]
Study = Annotated[str | None, typer.Option("--study", metavar="UID", help="A study.")]
Series = Annotated[str | None, typer.Option("--series", metavar="UID", help="A series.")]
Instance = Annotated[str | None, typer.Option("--instance", metavar="UID", help="One instance.")]
Report = Annotated[str | None, typer.Option("--report", metavar="ID", help="A report, as archive list numbers it.")]
Reports = Annotated[
    list[str] | None, typer.Option("--report", metavar="ID", help="A report, with all its versions; may be repeated.")
]
To = Annotated[str, typer.Option("--to", metavar="SYSTEM|VALUE", help="The patient it belongs to, in the register.")]
Erase = Annotated[bool, typer.Option("--erase", help="Write over the stored bytes as well: no restore then.")]
Identifier = Annotated[str, typer.Argument(metavar="SYSTEM|VALUE")]


@dataclass
class Bench:
    """What a correction works with."""

    settings: Settings
    index: Database
    trail: Trail

    @property
    def blobs(self) -> Path:
        return self.settings.path(self.settings.blobs)

    def say(self, id_: str) -> Row[Any]:
        from isthmus.archive.corrections import reports

        states = (reports.OFFERED, reports.HELD, reports.RETRACTED, reports.DELETED)
        return self.index.read_now(lambda c: reports.find(c, id_, states))

    def named_in(self, row: Row[Any]) -> Sequence[PatientIdentifier]:
        """Whom a report names, in its bytes; nobody for a PDF."""
        from isthmus.archive.containers import read_slice
        from isthmus.archive.corrections.reports import named_in
        from isthmus.sandbox import Sandbox
        from isthmus.wire.packs.pack import load_pack

        sandbox = Sandbox()
        try:
            return named_in(read_slice(self.blobs, row.container, row.offset, row.size), row.kind, load_pack(), sandbox)
        finally:
            sandbox.close()


@contextlib.contextmanager
def bench_of(ctx: typer.Context) -> Iterator[Bench]:
    from isthmus.archive.corrections.ledger import record
    from isthmus.audit.trail import trail_of
    from isthmus.storage.database import open_index

    settings = settings_of(ctx)
    with trail_of(settings, now_utc) as trail, contextlib.closing(open_index(settings)) as index:
        record(index, trail, settings.ncp_id)
        yield Bench(settings, index, trail)


def now_utc() -> datetime:
    return datetime.now(UTC)


def meant(sentence: str, *, yes: bool, json: bool) -> None:
    """Ask on a terminal; elsewhere --yes has to be said."""
    if yes:
        return
    if json or not sys.stdin.isatty():
        raise SettingsProblem(f"{sentence.rstrip('.')}; say --yes when this is meant", reason="usage")
    typer.confirm(f"{sentence} Go on?", abort=True, err=True)


def order_of(kind: str, by: str, why: str) -> Order:
    from isthmus.archive.corrections.trace import Order

    return Order(kind, by, why)


def what_of(
    study: str | None, series: str | None, instance: str | None, *reports: Collection[str] | str | None
) -> What:
    """The images that are meant; nothing where it is reports, if they may be. Raises SettingsProblem for both, and for neither."""
    from isthmus.archive.corrections.studies import What

    given = {"study": study, "series": series, "instance": instance}
    what = What(**{name: checked_uid(uid, f"--{name}") for name, uid in given.items() if uid})
    if bool(what.named) == any(reports):
        either = "either --study, --series, --instance or --report" if reports else "--study, --series or --instance"
        raise SettingsProblem(f"say which: {either}", reason="usage")
    return what


def owners_of(connection: Connection, rows: Sequence[Row[Any]]) -> list[PatientIdentifier]:
    from isthmus.archive import register

    numbers = dict.fromkeys(row.patient_id for row in rows if row.patient_id is not None)
    return [register.patient_of(connection, number).identifier for number in numbers]


def carry_out(
    bench: Bench,
    order: Order,
    patients: Sequence[PatientIdentifier],
    named: dict[str, str],
    work: Callable[[], Done],
    json: bool,
) -> None:
    """Do it, make anew what is offered of the studies it touched, and tell."""
    from isthmus.archive.corrections.trace import correct
    from isthmus.archive.metadata import Metadata
    from isthmus.archive.prepared import Manifests
    from isthmus.wire.packs.pack import load_pack

    done = correct(bench.trail, bench.settings.ncp_id, order, patients, named, work)
    Manifests(bench.settings, bench.index, now_utc, load_pack()).make(sorted(done.studies))
    Metadata(bench.settings, bench.index).make(sorted(done.studies))
    answer = {
        "correction": order.kind,
        "exchange_id": done.exchange_id,
        "changed": done.changed,
        "studies": sorted(done.studies),
        "instances": done.instances,
        "documents": done.documents,
        "people": done.people,
        "held": done.held,
        "follows": done.told,
    }
    emit(answer, json, _tell)


def _tell(answer: dict[str, Any]) -> None:
    things = (
        ("people", "entry of the register", "entries of the register"),
        ("instances", "instance", ""),
        ("documents", "document", ""),
    )
    counts = ", ".join(amount(answer[name], one, many) for name, one, many in things if answer[name])
    print(f"{answer['correction']}: {counts or 'nothing changed'}")
    for words in answer["follows"]:
        print(f"  {words}")
