"""Gathers the message ids of the pages into `isthmus.pot`, and brings the catalogues up to date.

    python tools/locales.py

Ids come from the templates, from `_()`, `N_()`, `say()` and `count()` in the pages of both sides, and from the words of `errors.MEANINGS` and
of `audit/access.py`.
A new id stands in each `.po` without a translation, and the test of the catalogues fails until it has one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from isthmus.audit.access import KINDS, MORE, OUTCOMES, PURPOSES, REASONS, ROLES
from isthmus.errors import MEANINGS

ROOT = Path(__file__).parents[1]
LOCALES = ROOT / "src/isthmus/pages/locales"
PLACES = tuple(ROOT / "src/isthmus" / place for place in ("pages", "country_b/portal", "country_a/citizen"))
METHODS = [("**/static/**", "ignore"), ("**.html", "jinja2"), ("**.py", "python")]
KEYWORDS = {"_": None, "N_": None, "say": None, "gettext": None, "ngettext": (1, 2), "count": (1, 2)}
OPTIONS = {"**.html": {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}}


def gather() -> Catalog:
    """Every message id, with where it stands."""
    catalogue = Catalog(project="isthmus", charset="utf-8", fuzzy=False)
    for place in PLACES:
        found = extract_from_dir(str(place), METHODS, OPTIONS, KEYWORDS)
        for name, _, message, comments, context in found:
            where = (place / name).relative_to(ROOT / "src/isthmus").as_posix()
            catalogue.add(message, None, [(where, 0)], auto_comments=comments, context=context)
    for words in (KINDS, PURPOSES, OUTCOMES, REASONS, ROLES):
        for word in words.values():
            catalogue.add(word, None, [("audit/access.py", 0)])
    catalogue.add(MORE, None, [("audit/access.py", 0)])
    for meaning in MEANINGS.values():
        catalogue.add(meaning.words, None, [("errors.py", 0)])
    return catalogue


def main() -> None:
    """Write the template and update each catalogue."""
    catalogue = gather()
    _write(LOCALES / "isthmus.pot", catalogue)
    for path in sorted(LOCALES.glob("*/LC_MESSAGES/isthmus.po")):
        code = path.parent.parent.name
        with path.open("rb") as text:
            known = read_po(text, locale=code)
        known.update(catalogue, no_fuzzy_matching=True)
        known.obsolete.clear()
        _write(path, known)
        lacking = [message.id for message in known if message.id and not message.string]
        print(f"{code}: {len(known)} messages, {len(lacking)} without a translation")


def _write(path: Path, catalogue: Catalog) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    catalogue.version, catalogue.msgid_bugs_address = "1", "the project's issues"
    catalogue.last_translator, catalogue.language_team = "the project", "the project"
    catalogue.creation_date = catalogue.revision_date = datetime(
        2026, 1, 1, tzinfo=UTC
    )  # a run changes nothing by itself
    with path.open("wb") as file:
        write_po(file, catalogue, width=120, omit_header=False, sort_output=True, include_lineno=False)


if __name__ == "__main__":
    main()
