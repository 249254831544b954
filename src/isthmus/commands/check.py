"""`isthmus check`: what is wrong with files, folders or a live border, at which place, by which rule, and what to do.

Source: interfaces.md §2.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from isthmus.commands.output import Json, emit, progress, refuse_stand_in, settings_of, show, table
from isthmus.commands.visit import (
    Asked,
    Born,
    Family,
    Gender,
    Given,
    MaybeAs,
    MaybePatientId,
    begin,
    query_of,
)
from isthmus.conformance.agreement import Facts, differences
from isthmus.conformance.child import Judging
from isthmus.conformance.dataset import Coverage
from isthmus.conformance.evidence import Conversation
from isthmus.conformance.findings import Account
from isthmus.conformance.judgement import Judged, judge_conversation
from isthmus.conformance.profiles.claims import package_faults
from isthmus.conformance.profiles.known import Profiles
from isthmus.conformance.profiles.packages import Packages, read_package
from isthmus.conformance.requirement import Finding, Severity
from isthmus.errors import SettingsProblem
from isthmus.model.amounts import amount
from isthmus.model.pieces import FileRange
from isthmus.storage.ranges import RangeSource
from isthmus.wire.packs.pack import DEFAULT_PACK, Pack, load_pack

FAILED = 6
LISTED_MAX = 20
_IN_ORDER = ": no error and no warning"
app = typer.Typer()


@app.command()
def check(
    ctx: typer.Context,
    paths: Annotated[list[Path] | None, typer.Argument(metavar="PATH…", help="Files and folders.")] = None,
    border: Annotated[
        str | None,
        typer.Option("--border", metavar="URL", help="A live border instead, with this node's settings and keys."),
    ] = None,
    pack: Annotated[str, typer.Option("--pack", help="The drafts to judge by.")] = DEFAULT_PACK,
    package: Annotated[
        list[Path] | None,
        typer.Option(
            "--package", metavar="FILE", help="An official FHIR package (.tgz) to judge by too; may be repeated."
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write the findings as one page too, for its owner alone."),
    ] = None,
    login: MaybeAs = None,
    identifier: MaybePatientId = None,
    family: Family = None,
    given: Given = None,
    birth_date: Born = None,
    gender: Gender = None,
    as_json: Json = False,
) -> None:
    """Say what is wrong with files, folders or a live border: which rule, where, how severe, and what to do.

    A file is known by what it holds: FHIR documents and resources, key object selections, DICOM instances, CDA, PDF. Files given
    together are also compared with each other. A border is asked about itself; with --as and --identifier also about a patient, in
    a visit (demo and test only). Exits 6 when something is an error.

    \b
    Example:
      isthmus check manifest.json report.json images/
      isthmus check export/ --html findings.html
      isthmus check report.json --package hl7.fhir.eu.imaging.tgz --package hl7.fhir.eu.base.tgz
      isthmus --config bb/isthmus.toml check --border https://127.0.0.1:8711
    """
    if bool(paths) == (border is not None):
        raise SettingsProblem("give files or folders, or --border URL; see `isthmus check --help`", reason="usage")
    if (login is None) != (identifier is None) or (login is not None and border is None):
        raise SettingsProblem("--as and --identifier go together, with --border", reason="usage")
    asked = (
        Asked(login, "", identifier, family, given, birth_date, gender, "TREAT", None) if login and identifier else None
    )
    packages = Packages(read_package(one) for one in package or ())
    account = (
        _live(ctx, border, asked, packages)
        if border is not None
        else _of_files([*_listed(paths or [])], load_pack(pack), packages)
    )
    if html is not None:
        _write(html, account.as_page())
    emit(account.as_json() if as_json else account, as_json, _show)
    if account.has_errors:
        raise typer.Exit(FAILED)


def _live(ctx: typer.Context, border: str, asked: Asked | None, packages: Packages) -> Account:
    from isthmus.country_b.probe import country_at, probe, probe_visit
    from isthmus.ground import asking

    if asked is not None:
        refuse_stand_in(ctx)
    settings = settings_of(ctx)

    async def inside() -> Account:
        async with asking(settings) as client:
            country = country_at(client, border)
            conversation = await probe(client, country)
            if asked is not None:
                who = replace(asked, country=country)
                visit = await begin(client, who, confirm=True)
                conversation += await probe_visit(client, visit, country, query_of(who))
            found = judge_conversation(
                conversation, client.pack(country), Profiles(packages) if packages.held else None
            )
            judged, told = _of_packages(packages)
            told += (replace(one, file=border) for one in dict.fromkeys(found))
            kinds = (*judged, (border, f"border of {country}"))
            return Account(kinds, tuple(told), notes=(_looked(conversation, of_a_patient=asked is not None),))

    return asyncio.run(inside())


def _looked(conversation: Conversation, *, of_a_patient: bool) -> str:
    """How far a border was asked."""
    if not of_a_patient:
        return f"{len(conversation)} questions, of no patient; with --as and --identifier it is asked of one too"
    given = [one for one in conversation if one.status in (200, 206)]
    entries = {str(entry.get("id")) for one in given for entry in one.entries("DocumentReference")}
    documents = sum(one.path.rpartition("/")[0].endswith(("/Bundle", "/Binary")) for one in given)
    images = sum(len(one.parts) for one in given if one.retrieves)
    told = f"entries of the list {len(entries)}, documents {documents}, images {images}"
    return f"{len(conversation)} questions; of the patient came: {told}"


def _of_packages(packages: Packages) -> tuple[list[tuple[str, str]], list[Finding]]:
    """The packages as they stand among what is judged, and what is to be said of them."""
    judged = [(one.label, "FHIR package") for one in packages.held]
    found = [replace(fault, file=one.label) for one in packages.held for fault in package_faults(one, packages)]
    return judged, found


def _listed(paths: list[Path]) -> Iterator[tuple[Path, bool]]:
    """Every file, and whether it was named itself. Hidden files and links in folders are left out."""
    for path in paths:
        if path.is_dir():
            for folder, names, files in os.walk(path):
                names[:] = sorted(name for name in names if not name.startswith("."))
                for name in sorted(files):
                    found = Path(folder, name)
                    if not name.startswith(".") and found.is_file() and not found.is_symlink():
                        yield found, False
        elif path.is_file():
            yield path, True
        else:
            raise SettingsProblem(f"{path} is not there, or is no file", reason="usage")


def _of_files(files: list[tuple[Path, bool]], pack: Pack, packages: Packages) -> Account:
    judged, findings = _of_packages(packages)
    facts: list[Facts] = []
    coverage: list[tuple[str, Coverage]] = []
    with progress("checking", len(files)) as advance, Judging(pack, packages) as judging:
        each = judging.each(partial(_source, path) for path, _ in files)
        for (path, named), one in zip(files, each, strict=True):
            if not named and _is_a_note(path, one):
                one = replace(
                    one, kind="text", findings=tuple(replace(f, severity=Severity.INFORMATION) for f in one.findings)
                )
            judged.append((str(path), one.kind))
            findings += (replace(finding, file=str(path)) for finding in dict.fromkeys(one.findings))
            coverage += ((str(path), element) for element in one.coverage)
            if one.facts is not None:
                facts.append(replace(one.facts, file=str(path)))
            advance(1)
    return Account(tuple(judged), (*findings, *differences(facts)), tuple(coverage))


def _source(path: Path) -> RangeSource:
    return RangeSource(FileRange(str(path), 0, path.stat().st_size))


_NOTE = re.compile(r"\.(?:txt|md|csv|tsv|html?|log|fsh)", re.IGNORECASE)


def _is_a_note(path: Path, one: Judged) -> bool:
    """A text that lies beside what is to be judged."""
    return [f.requirement for f in one.findings] == ["READ-file"] and _NOTE.fullmatch(path.suffix) is not None


def _show(account: Account) -> None:
    """What is wrong with each file; then what is in order, and what is remarked, each once however many files it is of."""
    quiet: list[tuple[str, str]] = []
    for file, kind in account.judged:
        rows, missing = account.grave(file), account.missing(file)
        if not rows and not missing:
            quiet.append((file, kind))
            continue
        show(f"{file}: {kind}{'' if rows else _IN_ORDER}")
        if rows:
            lines = table("severity", "rule", "where", "what", "what to do")
            for one in rows:
                lines.add_row(
                    one.severity.value, f"{one.requirement} ({one.source})", one.path, one.statement, one.advice
                )
            show(lines)
        if missing:
            show(f"of the data set it does not tell: {missing}")
    if len(quiet) > LISTED_MAX:
        for kind, count in sorted(Counter(kind for _, kind in quiet).items()):
            show(f"{count} × {kind}{_IN_ORDER}")
    else:
        for file, kind in quiet:
            show(f"{file}: {kind}{_IN_ORDER}")
    if remarks := account.remarks():
        lines = table("remark", "where", "what", "files", "the first")
        for one, count in remarks:
            lines.add_row(f"{one.requirement} ({one.source})", one.path, one.statement, str(count), one.file)
        show(lines)
    for note in account.notes:
        show(note)
    told = account.summary
    show(
        f"{len(account.judged)} judged: {amount(told['error'], 'error')}, {amount(told['warning'], 'warning')}, "
        f"{amount(told['information'], 'remark')}"
    )


def _write(out: Path, page: str) -> None:
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(page)
    except OSError as exc:
        raise SettingsProblem(f"{out} cannot be written ({exc.strerror})", reason="usage") from exc
