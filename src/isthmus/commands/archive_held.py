"""`isthmus archive assign`, `release`, `discard`: what waits for an operator, decided; with who and why on the trail.

Decision 0012. Source: interfaces.md §11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands.archive_bench import (
    Bench,
    By,
    Instance,
    Series,
    Study,
    To,
    Why,
    Yes,
    bench_of,
    carry_out,
    meant,
    now_utc,
    order_of,
    what_of,
)
from isthmus.commands.output import Json
from isthmus.errors import ContentMismatch
from isthmus.model.identifiers import PatientIdentifier

if TYPE_CHECKING:
    from sqlalchemy import Row

    from isthmus.archive.verdicts import Verdict


def assign(
    ctx: typer.Context,
    to: To,
    by: By,
    reason: Why,
    study: Study = None,
    series: Series = None,
    instance: Instance = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Give images that name nobody to a registered patient, and offer them.

    \b
    Example:
      isthmus --config aa/isthmus.toml archive assign --study 2.25.1234 --to 'urn:oid:2.999.1.2.1|12' --by 'M. Registrar' --reason 'by the request form'
    """
    new, order, what = PatientIdentifier.read(to), order_of("assign", by, reason), what_of(study, series, instance)
    meant("The images are offered as this patient's from now on.", yes=yes, json=json)
    from isthmus.archive.corrections import held

    with bench_of(ctx) as bench:
        work = lambda: bench.index.write_now(lambda c: held.assign(c, what, new, bench.blobs))  # noqa: E731
        carry_out(bench, order, [new], what.named, work, json)


def release(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As archive held tells it.")],
    by: By,
    reason: Why,
    patient: Annotated[
        str | None, typer.Option("--patient", metavar="SYSTEM|VALUE", help="Whose it is, if the file names nobody.")
    ] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Judge a quarantined instance once more, as the register is now, and offer it when nothing contradicts any more.

    \b
    Example:
      isthmus --config aa/isthmus.toml archive release 17 --by 'M. Registrar' --reason 'the birth date in the register was wrong'
    """
    order, named = order_of("release", by, reason), PatientIdentifier.read(patient) if patient else None
    meant("It is judged once more, and offered when nothing contradicts.", yes=yes, json=json)
    from isthmus.archive.containers import erase
    from isthmus.archive.corrections import held
    from isthmus.archive.corrections.trace import Done

    with bench_of(ctx) as bench:
        row = bench.index.read_now(lambda c: held.quarantined(c, number))
        held.releasable(row)

        def work() -> Done:
            verdict = _judged(bench, row, named)
            if verdict.outcome not in ("accepted", "unchanged"):
                raise ContentMismatch(f"it stays in quarantine: {verdict.row['detail']}")
            bench.index.write_now(lambda c: held.drop(c, number))
            erase(bench.blobs, row.container, row.offset, row.size)
            return Done({row.study_instance_uid}, instances=1)

        carry_out(bench, order, [named] if named else [], {"number": str(number)}, work, json)


def _judged(bench: Bench, row: Row[Any], patient: PatientIdentifier | None) -> Verdict:
    """Through the one door again, from our own container."""
    import io

    from isthmus.archive.containers import read_slice
    from isthmus.archive.intake import Intake

    kept = [one for one in bench.settings.sources.images if one.kind == "files"]
    source = next((one for one in kept if one.name == row.source), None)
    intake = Intake(bench.settings, bench.index, now_utc, source)
    body = io.BytesIO(read_slice(bench.blobs, row.container, row.offset, row.size))
    verdicts = [*intake.dicom(body, f"quarantine {row.id}", patient), *intake.close()]
    return verdicts[0]


def discard(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As archive held tells it.")],
    by: By,
    reason: Why,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Erase a quarantined instance. Brought again, it is judged again.

    \b
    Example:
      isthmus --config aa/isthmus.toml archive discard 17 --by 'M. Registrar' --reason 'a test image'
    """
    order = order_of("discard", by, reason)
    meant("Its bytes are written over; nothing of it is left but the record.", yes=yes, json=json)
    from isthmus.archive.containers import erase
    from isthmus.archive.corrections import held
    from isthmus.archive.corrections.trace import Done

    with bench_of(ctx) as bench:
        row = bench.index.read_now(lambda c: held.quarantined(c, number))

        def work() -> Done:
            erase(bench.blobs, row.container, row.offset, row.size)
            bench.index.write_now(lambda c: held.drop(c, number))
            return Done(instances=1)

        carry_out(bench, order, [], {"number": str(number)}, work, json)


def add_to(app: typer.Typer) -> None:
    """Put these commands beside `archive list`."""
    for command in (assign, release, discard):
        app.command(command.__name__)(command)
