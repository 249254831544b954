"""`isthmus archive merge … retract`: what an operator puts right, with who and why on the trail. It holds at the border at once.

Decision 0012. Source: interfaces.md §11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands.archive_bench import (
    Bench,
    By,
    Erase,
    Identifier,
    Instance,
    Report,
    Reports,
    Series,
    Study,
    To,
    Why,
    Yes,
    bench_of,
    carry_out,
    meant,
    order_of,
    owners_of,
    what_of,
)
from isthmus.commands.output import Json
from isthmus.model.identifiers import PatientIdentifier

if TYPE_CHECKING:
    from sqlalchemy import Row

    from isthmus.archive.corrections.studies import What
    from isthmus.archive.corrections.trace import Done


def merge(
    ctx: typer.Context, former: Identifier, into: Identifier, by: By, reason: Why, yes: Yes = False, json: Json = False
) -> None:
    """Make the first identifier an old one of the second: two entries of the register are one person.

    \b
    Example:
      isthmus --config aa/isthmus.toml archive merge 'urn:oid:2.999.1.2.1|11' 'urn:oid:2.999.1.2.1|12' --by 'M. Registrar' --reason 'registered twice'
    """
    old, new, order = PatientIdentifier.read(former), PatientIdentifier.read(into), order_of("merge", by, reason)
    meant("The first number finds nobody any more, and all it had becomes the second's.", yes=yes, json=json)
    from isthmus.archive.corrections import people

    with bench_of(ctx) as bench:
        work = lambda: bench.index.write_now(lambda c: people.merge(c, old, new))  # noqa: E731
        carry_out(bench, order, [old, new], {}, work, json)


def split(ctx: typer.Context, former: Identifier, by: By, reason: Why, yes: Yes = False, json: Json = False) -> None:
    """Undo a merge: the identifier is valid again, with what it had.

    \b
    Example:
      isthmus --config aa/isthmus.toml archive split 'urn:oid:2.999.1.2.1|11' --by 'M. Registrar' --reason 'two people after all'
    """
    old, order = PatientIdentifier.read(former), order_of("split", by, reason)
    meant("The number is valid again, and what it had goes back to it.", yes=yes, json=json)
    from isthmus.archive import register
    from isthmus.archive.corrections import people

    with bench_of(ctx) as bench:
        known = bench.index.read_now(lambda c: register.person_row(c, old))
        patients = [old, *([known[1].identifier] if known else [])]
        work = lambda: bench.index.write_now(lambda c: people.split(c, old))  # noqa: E731
        carry_out(bench, order, patients, {}, work, json)


def move(
    ctx: typer.Context,
    to: To,
    by: By,
    reason: Why,
    study: Study = None,
    series: Series = None,
    instance: Instance = None,
    report: Reports = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Give a study, a part of it, or reports to the patient they belong to.

    A file that names somebody else is held until it is issued anew, and offered to nobody meanwhile.

    \b
    Example:
      isthmus --config aa/isthmus.toml archive move --study 2.25.1234 --to 'urn:oid:2.999.1.2.1|12' --by 'M. Registrar' --reason 'filed under the wrong patient'
    """
    new, order, ids = PatientIdentifier.read(to), order_of("move", by, reason), list(report or ())
    what = what_of(study, series, instance, ids)
    meant("The patient it stands with now has it no more, in every country and from now on.", yes=yes, json=json)
    from isthmus.archive.corrections import reports, studies

    with bench_of(ctx) as bench:
        index = bench.index
        if ids:
            rows = [bench.say(id_) for id_ in ids]
            fits = index.read_now(lambda c: reports.fitting(c, ids, new, bench.named_in))
            work = lambda: index.write_now(lambda c: reports.move(c, ids, new, fits))  # noqa: E731
        else:
            rows = index.read_now(lambda c: what.rows(c, studies.LIVING))
            fits = index.read_now(lambda c: studies.fitting(c, what, new, bench.blobs))
            work = lambda: index.write_now(lambda c: studies.move(c, what, new, fits))  # noqa: E731
        owners = index.read_now(lambda c: owners_of(c, rows))
        carry_out(bench, order, [*owners, new], what.named or {"reports": " ".join(ids)}, work, json)


def delete(
    ctx: typer.Context,
    by: By,
    reason: Why,
    study: Study = None,
    series: Series = None,
    instance: Instance = None,
    report: Report = None,
    erase: Erase = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Offer a study, a part of it, or a report no more, and refuse it when it is brought again.

    \b
    Example:
      isthmus --config aa/isthmus.toml archive delete --instance 2.25.1234 --by 'M. Registrar' --reason 'not of this examination'
    """
    what, order = what_of(study, series, instance, report), order_of("delete", by, reason)
    more = " Its bytes are written over." if erase else ""
    meant(f"It is gone for every country, from now on.{more}", yes=yes, json=json)
    from isthmus.archive.corrections import studies

    with bench_of(ctx) as bench:
        if report:
            row = bench.say(report)
            owners = bench.index.read_now(lambda c: owners_of(c, [row]))
            carry_out(bench, order, owners, {"report": report}, lambda: _delete_report(bench, report, row, erase), json)
            return
        every = (*studies.LIVING, studies.DELETED)
        owners = bench.index.read_now(lambda c: owners_of(c, what.rows(c, every)))
        carry_out(bench, order, owners, what.named, lambda: _delete(bench, what, erase), json)


def _delete(bench: Bench, what: What, erase: bool) -> Done:
    """Not offered first, then erased, then told: said again after a crash, it goes on."""
    from isthmus.archive import containers
    from isthmus.archive.corrections import studies

    done = bench.index.write_now(lambda c: studies.delete_(c, what))
    rows = bench.index.read_now(lambda c: studies.to_be_erased(c, what)) if erase else []
    for row in rows:
        containers.erase(bench.blobs, row.container, row.offset, row.size)
        if row.crossing_container:
            containers.erase(bench.blobs, row.crossing_container, row.crossing_offset, row.crossing_size)
    bench.index.write_now(lambda c: studies.erased(c, [row.id for row in rows]))
    return done


def _delete_report(bench: Bench, id_: str, row: Row[Any], erase: bool) -> Done:
    from isthmus.archive import containers
    from isthmus.archive.corrections import reports

    done = bench.index.write_now(lambda c: reports.delete_(c, id_))
    if erase and row.container:
        containers.erase(bench.blobs, row.container, row.offset, row.size)
        bench.index.write_now(lambda c: reports.erased(c, row.number))
    return done


def restore(
    ctx: typer.Context,
    by: By,
    reason: Why,
    study: Study = None,
    series: Series = None,
    instance: Instance = None,
    report: Report = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Take a deletion, a retraction, or what a rejection note says back.

    \b
    Example:
      isthmus --config aa/isthmus.toml archive restore --study 2.25.1234 --by 'M. Registrar' --reason 'deleted by mistake'
    """
    what, order = what_of(study, series, instance, report), order_of("restore", by, reason)
    meant("It is offered again.", yes=yes, json=json)
    from isthmus.archive.corrections import reports, studies

    with bench_of(ctx) as bench:
        index = bench.index
        if report:
            owners = index.read_now(lambda c: owners_of(c, [bench.say(report)]))
            work = lambda: index.write_now(lambda c: reports.restore(c, report))  # noqa: E731
        else:
            owners = index.read_now(lambda c: owners_of(c, what.rows(c, (studies.DELETED, studies.REJECTED))))
            work = lambda: index.write_now(lambda c: studies.restore(c, what))  # noqa: E731
        carry_out(bench, order, owners, what.named or {"report": report or ""}, work, json)


def retract(
    ctx: typer.Context,
    report: Annotated[str, typer.Argument(metavar="ID", help="The report, as archive list numbers it.")],
    by: By,
    reason: Why,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Take a report back. The version it replaced does not become the current one.

    \b
    Example:
      isthmus --config aa/isthmus.toml archive retract 42 --by 'Dr. A. Author' --reason 'dictated for another patient'
    """
    order = order_of("retract", by, reason)
    meant("The report is gone for every country, from now on.", yes=yes, json=json)
    from isthmus.archive.corrections import reports

    with bench_of(ctx) as bench:
        row = bench.say(report)
        owners = bench.index.read_now(lambda c: owners_of(c, [row]))
        work = lambda: bench.index.write_now(lambda c: reports.retract(c, report))  # noqa: E731
        carry_out(bench, order, owners, {"report": report}, work, json)


def add_to(app: typer.Typer) -> None:
    """Put these commands beside `archive list`."""
    for command in (merge, split, move, delete, restore, retract):
        app.command(command.__name__)(command)
