"""`isthmus terminology`: what codes are called and mapped to: imported, listed, and what no table knows yet.

Source: interfaces.md §2, §8.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands.output import Json, emit, progress, settings_of, show, table

if TYPE_CHECKING:
    from isthmus.config import Settings
    from isthmus.terminology.packages.intake import Imported

INCOMPLETE = 6
MIB = 1 << 20

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Codes and words: what is mapped and named, and what is not."""


@app.command("import")
def import_(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Packages, releases and tables, one by one.")],
    as_json: Json = False,
) -> None:
    """Import what codes are called, and what national codes stand for. The content decides what a file is:

    \b
      MyHealth@EU value sets   FHIR R4 ValueSet, CodeSystem, ConceptMap: a JSON file, a Bundle, a zip or tgz package
      LOINC                    the zip of a release, Loinc.csv, or one linguistic variant
      SNOMED CT                the RF2 zip of an edition that the country has licensed: its snapshot
      the country's own        CSV with the header system,code,language,display
                               or kind,system,code,eu_system,eu_code,eu_display

    Words in the 24 languages of the Union are kept, beside those that come with the product, which come first. A later file of
    the same name replaces the earlier one at once and whole; the same file again changes nothing; what is refused leaves
    everything as it was, with a reason, and the exit status is 6. Words act at once; maps when the node is started anew.

    \b
    Example:
      isthmus --config bb/isthmus.toml terminology import mvc-9.1.0.tgz Loinc_2.81.zip SnomedCT_ManagedServiceGR.zip
      isthmus --config aa/isthmus.toml terminology import procedures.csv --json
    """
    from isthmus.errors import SettingsProblem

    settings = settings_of(ctx)
    for file in files:
        if not file.is_file():
            raise SettingsProblem(f"{file} is no file; nothing was imported", reason="usage")
    done = _bring(settings, files)
    emit(_lists(done), as_json, _tell_imported)
    if any(one.reason for one in done):
        raise typer.Exit(INCOMPLETE)


def _bring(settings: Settings, files: list[Path]) -> list[Imported]:
    from datetime import UTC, datetime

    from isthmus.storage.database import open_terms
    from isthmus.terminology.packages.intake import import_file, one_at_a_time

    database, done = open_terms(settings), []
    try:
        with one_at_a_time(database):
            for file in files:
                with progress(f"{file.name}, KiB read") as more:
                    done.append(import_file(file, database, datetime.now(UTC), lambda size: more(size >> 10)))
    finally:
        database.close()
    return done


def _lists(done: list[Imported]) -> dict[str, list[dict[str, Any]]]:
    lists: dict[str, list[dict[str, Any]]] = {"imported": [], "unchanged": [], "refused": []}
    for one in done:
        row = asdict(one)
        for member in ("unchanged", "reason", "detail"):
            row.pop(member)
        if one.reason:
            lists["refused"].append({"path": one.path, "reason": one.reason, "detail": one.detail})
        else:
            lists["unchanged" if one.unchanged else "imported"].append(row)
    return lists


def _tell_imported(lists: dict[str, list[dict[str, Any]]]) -> None:
    print(", ".join(f"{len(rows)} {outcome}" for outcome, rows in lists.items()))
    held = table("", "file", "name", "version", "words", "maps", "languages")
    for outcome in ("imported", "unchanged"):
        for row in lists[outcome]:
            counts = (str(row["designations"]), str(row["maps"]))
            held.add_row(outcome, row["path"], row["name"], row["version"], *counts, " ".join(row["languages"]))
    if held.row_count:
        show(held)
    for row in lists["refused"]:
        show(f"{row['path']}: {row['detail']}")


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List what codes are named and mapped by: the value sets of the product, its languages, imported releases, tables of sources.

    \b
    Example:
      isthmus --config aa/isthmus.toml terminology list
    """
    emit(_listed(settings_of(ctx)), as_json, _tell_list)


def _listed(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    from isthmus.storage.database import open_terms
    from isthmus.terminology.display import LANGUAGES, read_language
    from isthmus.terminology.mapping import read_codes
    from isthmus.terminology.packages.intake import list_releases
    from isthmus.terminology.valuesets import valuesets

    held: list[dict[str, Any]] = []
    if settings.terms_file.exists():
        database = open_terms(settings)
        try:
            held = database.read_now(list_releases)
        finally:
            database.close()
    sources = [source for source in settings.sources.images if source.codes]
    tables = [(source, read_codes(settings.path(source.codes))) for source in sources]
    return {
        "value_sets": [
            {
                "name": v.name,
                "canonical": v.canonical,
                "version": v.version,
                "codes": len(v.concepts),
                "licence": v.licence,
            }
            for v in valuesets()
        ],
        "languages": [{"language": one, "reviewed": read_language(one)["reviewed"] or None} for one in LANGUAGES],
        "releases": held,
        "tables": [
            {"source": s.name, "file": s.codes, "version": c.version, "sha256": c.fingerprint, "codes": len(c.codes)}
            for s, c in tables
        ],
    }


def _tell_list(answer: dict[str, Any]) -> None:
    sets = table("value set", "version", "codes", "canonical", title="Value sets of the product")
    for row in answer["value_sets"]:
        sets.add_row(row["name"], row["version"], str(row["codes"]), row["canonical"])
    show(sets)
    drafts = [row["language"] for row in answer["languages"] if not row["reviewed"]]
    print(
        f"Words in {len(answer['languages'])} languages; drafts until somebody reviews them: {' '.join(drafts) or 'none'}."
    )
    if not answer["releases"] and not answer["tables"]:
        print("Nothing was imported, and no source has a table of national codes.")
    held = table("release", "version", "words", "maps", "languages", "imported", title="Imported")
    for row in answer["releases"]:
        counts = (str(row["designations"]), str(row["maps"]), " ".join(row["languages"]))
        held.add_row(row["name"], row["version"], *counts, f"{row['imported']:%Y-%m-%d}")
    if held.row_count:
        show(held)
    tables = table("source", "file", "version", "codes", "sha256", title="Tables of national codes")
    for row in answer["tables"]:
        tables.add_row(row["source"], row["file"], row["version"], str(row["codes"]), row["sha256"][:12])
    if tables.row_count:
        show(tables)


@app.command("unmapped")
def list_unmapped(ctx: typer.Context, as_json: Json = False) -> None:
    """List the national codes that no table knows, with how many studies and reports say each.

    A study with such a code is offered all the same: the code and its words travel as they came, marked as the original; its
    region may be the entire body. To map a code, add a row to the file that `codes` of the source names, or import one.

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
