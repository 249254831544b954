"""Imported words, found for the codes of one page; and imported maps, as a table of national codes.

The file is there once something was imported, also while the node runs; without it the words of the product are all there are.

Source: requirements.md §5.10; architecture.md §5.4.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, select, tuple_

from isthmus.config import Settings
from isthmus.errors import Unavailable
from isthmus.model.codes import Code
from isthmus.model.queries import REGIONS
from isthmus.sources import Source
from isthmus.storage.database import Database, open_terms
from isthmus.storage.schema.terminology import designations, maps, releases
from isthmus.terminology.display import ENGLISH, Designation, Words
from isthmus.terminology.mapping import NO_CODES, Key, NationalCodes, read_codes
from isthmus.terminology.rows import REGION

LOG = logging.getLogger("isthmus.terminology")
AT_ONCE: Final = 200
MAPS_MAX: Final = 500_000
CODES_MAX: Final = 5000  # of one page; the rest is shown as it came


class Dictionary:
    """The words of a node: those of the product and those imported."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._database: Database | None = None

    async def words(self, language: str, codes: Iterable[Code | None] = ()) -> Words:
        """What is known of these codes in a language, and in English."""
        wanted = dict.fromkeys((c.system, c.code) for c in codes if c is not None and c.system and c.code)
        database = self._opened() if wanted else None
        if database is None:
            return Words(language)
        asked = list(wanted)[:CODES_MAX]
        try:
            return Words(language, await database.read(lambda connection: _found(connection, language, asked)))
        except Unavailable:  # words are a help: without them everything is shown as it came
            LOG.warning("imported words cannot be read")
            return Words(language)

    async def close(self) -> None:
        if self._database is not None:
            self._database.close()

    def _opened(self) -> Database | None:
        if self._database is None and self._settings is not None and self._settings.terms_file.exists():
            self._database = open_terms(self._settings)
        return self._database


def imported_codes(settings: Settings) -> NationalCodes:
    """What imported maps say of national codes: for every source, after its own table. Nothing where nothing was imported."""
    if not settings.terms_file.exists():
        return NO_CODES
    database = open_terms(settings)
    try:
        return database.read_now(_mapped)
    finally:
        database.close()


def codes_of(settings: Settings, sources: Iterable[Source]) -> dict[str, NationalCodes]:
    """The table of each source, by its name: its own, then what was imported. Raises SettingsProblem for one in doubt."""
    imported = imported_codes(settings)
    return {
        source.name: (read_codes(settings.path(source.codes)) if source.codes else NO_CODES).after(imported)
        for source in sources
    }


def _mapped(connection: Connection) -> NationalCodes:
    m, r = maps.c, releases.c
    rows = connection.execute(
        select(maps, r.version, r.sha256)
        .join(releases, r.id == m.release)
        .where(r.current)
        .order_by(r.rank, r.id.desc(), m.kind, m.system, m.code, m.eu_code)
        .limit(MAPS_MAX)
    )
    codes: dict[Key, tuple[Code, ...]] = {}
    of: dict[Key, int] = {}
    versions: dict[str, None] = {}
    digests: dict[str, None] = {}
    for row in rows:
        key = (row.kind, row.system.upper(), row.code.upper())
        versions[row.version], digests[row.sha256] = None, None
        if of.setdefault(key, row.release) == row.release:
            target = Code(row.eu_system, row.eu_code, row.eu_display)
            several = row.kind == REGION and row.eu_code in REGIONS
            codes[key] = (*codes.get(key, ()), REGIONS[row.eu_code]) if several else codes.get(key, (target,))
    if not codes:
        return NO_CODES
    digest = sha256("\n".join(digests).encode()).hexdigest()
    return NationalCodes(MappingProxyType(codes), digest, ", ".join(filter(None, versions)))


def _found(connection: Connection, language: str, codes: list[tuple[str, str]]) -> dict[Designation, str]:
    d, found = designations.c, dict[Designation, str]()
    for start in range(0, len(codes), AT_ONCE):
        some = codes[start : start + AT_ONCE]
        rows = connection.execute(
            select(d.system, d.code, d.language, d.display)
            .join(releases, releases.c.id == d.release)
            .where(releases.c.current, tuple_(d.system, d.code).in_(some), d.language.in_({language, ENGLISH}))
            .order_by(releases.c.rank, releases.c.id.desc())
        )
        for row in rows:
            found.setdefault((row.system, row.code, row.language), row.display)
    return found
