"""What was imported of words and maps: releases, what they call codes, what they map codes to. A file of its own beside the state.

A release counts from the moment it is `current`; until then its rows are nobody's.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, text

from isthmus.storage.schema.metadata import TERMS, UtcDateTime

releases = Table(
    "releases",
    TERMS,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False),  # what a later one of the same name replaces
    Column("kind", String, nullable=False),  # table, value-sets, loinc, snomed
    Column("version", String, nullable=False),
    Column("sha256", String, nullable=False),  # of the file as it came
    Column("imported", UtcDateTime, nullable=False),
    Column("designations", Integer, nullable=False),
    Column("maps", Integer, nullable=False),
    Column("languages", String, nullable=False),  # separated by blanks
    Column("licence", String, nullable=False),
    Column("rank", Integer, nullable=False),  # of two that name a code the lower counts
    Column("current", Boolean, nullable=False, server_default=text("0")),
    Index("one_current_release", "name", unique=True, sqlite_where=text("current")),
    sqlite_autoincrement=True,
)

designations = Table(
    "designations",
    TERMS,
    Column("system", String, primary_key=True),
    Column("code", String, primary_key=True),
    Column("language", String, primary_key=True),  # two letters
    Column("release", ForeignKey("releases.id"), primary_key=True),
    Column("display", String, nullable=False),
    Index("designations_of_release", "release"),
    sqlite_with_rowid=False,
)

maps = Table(
    "maps",
    TERMS,
    Column("release", ForeignKey("releases.id"), primary_key=True),
    Column("kind", String, primary_key=True),  # procedure, body-part, region
    Column("system", String, primary_key=True),
    Column("code", String, primary_key=True),
    Column("eu_system", String, primary_key=True),
    Column("eu_code", String, primary_key=True),
    Column("eu_display", String),
    sqlite_with_rowid=False,
)
