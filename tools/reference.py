"""Write the reference pages that come from code: settings, errors, commands, searches. `--check` says which are out of date.

python tools/reference.py [--check]
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from isthmus import config, errors
from isthmus.commands.root import COMMANDS
from isthmus.conformance.dataset import NOWHERE, PLACES, UNUSED
from isthmus.conformance.elements import MANIFEST, REPORT
from isthmus.wire import documents, patients
from isthmus.wire.capability import declared
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.studies import imaging_study, qido

ROOT = Path(__file__).resolve().parents[1]


def example_toml() -> str:
    """Every setting with default, unit and meaning."""
    lines = [
        "# Every setting of a node, with its default, unit and meaning. Written from config.py; do not edit by hand.",
        "# Each can be overridden by ISTHMUS_SECTION__KEY. Relative paths are meant from this file's folder.",
        "",
    ]
    sections: list[tuple[str, Any]] = []
    hints = get_type_hints(config.Settings)
    for entry in fields(config.Settings):
        if entry.metadata.get("hidden"):
            continue
        inner = next((k for k in (hints[entry.name], *get_args(hints[entry.name])) if is_dataclass(k)), None)
        if inner is None:
            lines += _setting(entry)
        else:
            sections.append((entry.name, inner))
    for name, kind in sections:
        lines += _section(name, kind)
    return "\n".join(lines) + "\n"


def _section(name: str, kind: Any) -> list[str]:
    """A section: its own settings, the sections in it, and then its lists, which stand as comments."""
    hints = get_type_hints(kind)
    nested = {f.name: next((k for k in (hints[f.name], *get_args(hints[f.name])) if is_dataclass(k)), None) for f in fields(kind)}  # fmt: skip
    lists = [f for f in fields(kind) if nested[f.name] is not None and get_origin(hints[f.name]) is tuple]
    sections = [f for f in fields(kind) if nested[f.name] is not None and f not in lists]
    plain = [f for f in fields(kind) if nested[f.name] is None]
    lines = ["", *_words(inspect.getdoc(kind) or ""), *([f"[{name}]"] if plain else [])]
    for entry in plain:
        lines += _setting(entry)
    for entry in sections:
        lines += _section(f"{name}.{entry.name}", nested[entry.name])
    for entry in lists:
        inner: Any = nested[entry.name]
        lines += ["", *_words(entry.metadata["help"]), f"# [[{name}.{entry.name}]]"]
        if entry is [f for f in lists if nested[f.name] is inner][-1]:
            lines += [f"# {line}" if line else "" for f in fields(inner) for line in _setting(f)]
    return lines


def _words(text: str) -> list[str]:
    return [f"# {line}".rstrip() for line in text.splitlines()]


def _setting(entry: Any) -> list[str]:
    unit = f" ({entry.metadata['unit']})" if entry.metadata.get("unit") else ""
    default = (
        entry.default
        if entry.default is not MISSING
        else entry.default_factory()
        if entry.default_factory is not MISSING
        else None
    )
    comment = f"# {entry.metadata['help']}{unit}"
    if entry.default is MISSING and entry.default_factory is MISSING:
        return [f"{comment}; must be given", f'{entry.name} = ""']
    return [comment, f"{entry.name} = {_toml(default)}"]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    return str(value)


def error_page() -> str:
    """Every reason with what it means outside."""
    rows = ["# Errors", "", "Written from `errors.py`. The class tree stands at its top.", ""]
    rows += [
        "| reason | urn:ncp:error | HTTP | FHIR issue | audit outcome | exit | what the professional reads |",
        "|---|---|---|---|---|---|---|",
    ]
    for reason, m in errors.MEANINGS.items():
        rows.append(f"| {reason} | {m.code} | {m.status} | {m.issue} | {m.outcome} | {m.exit_status} | {m.words} |")
    return "\n".join(rows) + "\n"


def command_page() -> str:
    """The commands, a line each."""
    rows = [
        "# Commands",
        "",
        "Written from `commands/root.py`; `isthmus COMMAND --help` has options and an example.",
        "",
    ]
    rows += ["| command | does |", "|---|---|"]
    rows += [f"| `isthmus {name}` | {help_} |" for name, (_, help_) in COMMANDS.items()]
    return "\n".join(rows) + "\n"


def search_page() -> str:
    """Every search of Country A's border: what it is asked by, and what the rules are."""
    rows = [
        "# Searches", "", "Written from the tables that the border reads, matches and declares from; `GET /fhir/metadata` says the same.", "",
        "A comma between values means either, a repeated parameter means both, escapes are those of FHIR. A parameter that is not here is",
        "refused by name. A date is an interval at its precision; one without a zone is read in the answering country's own zone",
        "(`time_zone` of the source), and `eq` asks for any moment in common. An examination of which the start is known lasts as long as that start",
        "is precise ([decision 0007](../decisions/0007-studies-are-told-from-manifests.md)). A body site is found with and without its system, the spine",
        "by any of its three codes; a UID with and without `urn:oid:`. An author is known by the name that is shown: a word of it begins with what is asked.",
    ]  # fmt: skip
    studies = declared(imaging_study.DEFINITIONS, subject=True)
    tables = (
        (
            "Patient",
            dict(patients.SEARCH_PARAMETERS),
            "A whole mask; names are compared whole, `:exact` folds nothing.",
        ),
        (
            "DocumentReference",
            declared(documents.DEFINITIONS),
            _controls(documents.COUNT_MAX, documents.ORDERS, "related"),
        ),
        ("ImagingStudy", studies, _controls(imaging_study.COUNT_MAX, imaging_study.ORDERS, "based-on")),
    )
    for kind, parameters, words in tables:
        rows += ["", f"## {kind}", "", words, "", "| parameter | type | definition |", "|---|---|---|"]
        rows += [
            f"| `{name}` | {type_} | {load_pack().parameters[f'{kind}.{name}']} |" for name, type_ in parameters.items()
        ]
    rows += [
        "",
        "## QIDO-RS",
        "",
        "By keyword or tag, at `/dicom-web`; also `limit`, `offset`, `includefield`. Nothing found is 204.",
        "",
    ]
    rows += ["| level | keys |", "|---|---|"]
    rows += [f"| {level} | {', '.join(f'`{key}`' for key in qido.keys_of(level))} |" for level in qido.LEVELS]
    return "\n".join(rows) + "\n"


def _controls(most: int, orders: Mapping[str, Any], reference: str) -> str:
    by = ", ".join(f"`{name}`" for name in orders)
    return f"`_count` to {most}, `_sort` by {by}, `_summary=count`. What it names, it names by identifier: `{reference}:identifier`."


def data_set_page() -> str:
    """Every element of the data set, where each form holds it, and what shows it."""
    lines = [
        "# The data set",
        "",
        "Every element of the guideline's data set, A.1 to A.8 and B, written from the tables of the readers; do not edit by hand. What",
        "MyHealth@EU asks: M mandatory, R required when known, O optional, `in` in scope at a level that is not public, - not seen in scope.",
        "Each row of part A is a case of `tests/conformance/test_dataset.py::test_every_element_of_a_report_is_told`, each of part B of",
        "`test_every_element_of_a_manifest_is_told`: written, read back, and found. A dash in the column of a source means that this form has",
        "no agreed place for the element; what such a document says of it all the same stays in the words of its section.",
        "",
        "## The report",
        "",
        "| element | name | asked | in FHIR | from CDA | from DICOM SR | from PDF |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in REPORT:
        places = (PLACES[form].get(one.id, "–") for form in ("report", "cda", "sr", "pdf"))
        lines.append(f"| {one.id} | {one.name} | {one.obligation} | {' | '.join(places)} |")
    lines += [
        "",
        "## The manifest",
        "",
        "| element | name | asked | in FHIR | as key object selection |",
        "|---|---|---|---|---|",
    ]
    for one in MANIFEST:
        why = NOWHERE.get(one.id, "–")
        places = (PLACES[form].get(one.id, why) for form in ("manifest", "kos"))
        lines.append(f"| {one.id} | {one.name} | {one.obligation} | {' | '.join(places)} |")
    lines += [
        "",
        "## Places that are not used",
        "",
        "The drafts give these places too. We neither write nor read them: what another country says in one alone is not shown.",
        "",
        "| place in FHIR | elements | where they stand instead |",
        "|---|---|---|",
    ]
    lines += [f"| {one.place} | {', '.join(one.elements)} | {one.instead} |" for one in UNUSED]
    return "\n".join(lines) + "\n"


PAGES = {
    "docs/conformance/data-set.md": data_set_page,
    "isthmus.example.toml": example_toml,
    "docs/reference/errors.md": error_page,
    "docs/reference/commands.md": command_page,
    "docs/reference/searches.md": search_page,
}


def stale() -> list[str]:
    """Pages that differ from what the code says."""
    return [
        name
        for name, make in PAGES.items()
        if not (ROOT / name).exists() or (ROOT / name).read_text(encoding="utf-8") != make()
    ]


def main() -> int:
    if "--check" in sys.argv:
        print("\n".join(f"out of date: {name}; run python tools/reference.py" for name in stale()))
        return 1 if stale() else 0
    for name, make in PAGES.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(make(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
