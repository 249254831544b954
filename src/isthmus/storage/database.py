"""One SQLite file: many readers, one writer, and what was acknowledged survives a power cut.

Every write begins IMMEDIATE: a transaction that first reads and then writes would otherwise lose updates, or fail at once. Reads
see one moment and cannot write. Neither holds a transaction longer than its function runs: page, then release.

Source: stack.md §3.2; field-faults F49, F50.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.schema import CreateColumn

from isthmus.config import Settings
from isthmus.errors import AuditUnavailable, NationalInfrastructureUnavailable, SettingsProblem, Unavailable
from isthmus.storage.schema.metadata import INDEX, STATE, TERMS

T = TypeVar("T")

logging.getLogger("sqlalchemy.engine.Engine").disabled = True  # at DEBUG it writes rows, whoever is in them: F67

BUSY_MS = 10_000
WAL_LIMIT_BYTES = 64 << 20
READERS = 4
STATE_TABLES = (
    "audit",
    "audit_log",
    "audit_delivery",
    "audit_forward",
    "audit_index",
    "trust",
    "consent",
    "emergency",
    "country_a",
    "country_b",
    "signin",
)
INDEX_TABLES = ("archive",)
TERMS_TABLES = ("terminology",)

_PRAGMAS = (
    f"busy_timeout={BUSY_MS}",
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    f"journal_size_limit={WAL_LIMIT_BYTES}",
)


class Database:
    """A SQLite file and its tables.

    A function that is given to `read` or `write` gets a connection inside a transaction; its result must not depend on the
    connection any more. What it raises undoes the transaction and is passed on; the store's own failures become `unavailable`.
    """

    def __init__(
        self, file: Path, metadata: MetaData, *, unavailable: type[Unavailable] = NationalInfrastructureUnavailable
    ) -> None:
        self.file = file
        self.metadata = metadata
        self._unavailable = unavailable
        self._writing = _engine(file, "BEGIN IMMEDIATE", ())
        self._reading = _engine(file, "BEGIN", ("query_only=ON",))
        self._turn = threading.Lock()
        self._writer = ThreadPoolExecutor(1, f"write {file.stem}")
        self._readers = ThreadPoolExecutor(READERS, f"read {file.stem}")

    def create(self) -> None:
        """Make the file (for us alone) and the tables that are missing."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.file, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise SettingsProblem(
                f"the database {self.file} cannot be made: {error.strerror}", key="database"
            ) from error
        self.write_now(self._bring_up)

    def _bring_up(self, connection: Connection) -> None:
        """Tables that are missing are made; to those of an earlier version the columns that are missing are added."""
        there = inspect(connection)
        for table in self.metadata.tables.values():
            if there.has_table(table.name):
                known = {column["name"] for column in there.get_columns(table.name)}
                for column in table.columns:
                    if column.name not in known:
                        said = CreateColumn(column).compile(dialect=connection.dialect)
                        connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {said}")
        self.metadata.create_all(connection)
        for table in self.metadata.tables.values():
            for index in table.indexes:
                index.create(connection, checkfirst=True)

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Durable when it returns."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, self.write_now, work)

    def read_now(self, work: Callable[[Connection], T]) -> T:
        with self._translated(), self._reading.begin() as connection:
            return work(connection)

    def write_now(self, work: Callable[[Connection], T]) -> T:
        with self._turn, self._translated(), self._writing.begin() as connection:
            return work(connection)

    def copy_now(self, path: Path) -> None:
        """A copy of one moment, compact, while others write. The file must not exist yet."""
        with self._translated(), contextlib.closing(self._writing.raw_connection()) as connection:
            raw = connection.driver_connection
            if raw is not None:
                raw.execute("VACUUM INTO ?", (str(path),))

    def settle_now(self) -> None:
        """Move everything out of the write-ahead log into the file, so that what was erased lies nowhere any more.

        A reader that is at work holds it back; then it is done by the next one.
        """
        with self._turn, self._translated(), self._writing.connect() as connection:
            raw = connection.connection.driver_connection
            if raw is not None:
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def wal_bytes(self) -> int:
        """How long the write-ahead log is: metrics and doctor tell it. Source: field-faults F50."""
        with contextlib.suppress(OSError):
            return Path(f"{self.file}-wal").stat().st_size
        return 0

    def close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._reading.dispose()
        self._writing.dispose()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise self._unavailable(f"{self.file.name}: {error.orig}") from error


def _engine(file: Path, begin: str, more: tuple[str, ...]) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(file)), hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (*_PRAGMAS, *more):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def open_state(settings: Settings, file: Path | None = None) -> Database:
    """State and trail of a node; of a copy when its file is named."""
    return _opened(file or settings.database_file, STATE, STATE_TABLES, AuditUnavailable)


def open_index(settings: Settings) -> Database:
    """The archive's index: a file of its own, since a long import would lock the trail out."""
    return _opened(settings.index_file, INDEX, INDEX_TABLES, NationalInfrastructureUnavailable)


def open_terms(settings: Settings) -> Database:
    """Imported terminology: a file of its own, of millions of rows that nothing else depends on. Decision 0017."""
    return _opened(settings.terms_file, TERMS, TERMS_TABLES, Unavailable)


def _opened(file: Path, metadata: MetaData, tables: tuple[str, ...], unavailable: type[Unavailable]) -> Database:
    for name in tables:
        importlib.import_module(f"isthmus.storage.schema.{name}")
    database = Database(file, metadata, unavailable=unavailable)
    database.create()
    return database
