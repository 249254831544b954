"""Backs a node up while it serves: state and trail, the archive with its index, imported terminology, each of one moment.

Never in it: the node's keys, and everything that ends with a visit. The trail's month keys, wrapped, go into a file beside it that the
next backup replaces, so that a month whose key was destroyed opens in no older backup either (decision 0027).

Source: trust.md §2.3, §6.5; T105, T109.
"""

from __future__ import annotations

import os
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson
from sqlalchemy import Connection, delete, select

from isthmus.audit.events import Note
from isthmus.audit.page import head_row
from isthmus.audit.trail import Trail
from isthmus.config import Settings
from isthmus.errors import SettingsProblem
from isthmus.operations.archive_file import BackupWriter, Head
from isthmus.storage.database import Database, open_index, open_state, open_terms
from isthmus.storage.schema.audit import audit_key, audit_writer
from isthmus.storage.schema.country_b import spool_note_table, spool_table, visit_table, visit_token_table
from isthmus.storage.schema.signin import signin_session
from isthmus.storage.sealed import MasterKey

LEFT_OUT = (audit_key, audit_writer, spool_table, spool_note_table, visit_table, visit_token_table, signin_session)
"""What is not backed up: keys, and what ends with a visit or a process."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made. `records` of the trail are in it; `files` of the archive."""

    file: str
    keys: str
    records: int
    files: int
    bytes: int


def back_up(settings: Settings, trail: Trail, out: Path, keys: Path, clock: Callable[[], datetime]) -> Made:
    """Make a backup, and the file of month keys beside it. Raises SettingsProblem when `out` is there already."""
    if out.exists():
        raise SettingsProblem(f"{out} exists: a backup replaces nothing", reason="usage")
    master = MasterKey.load(settings.path(settings.keys.env))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=out.parent) as made:
        folder = Path(made)
        wrapped, head = _snapshot(settings, folder, clock())
        _write_keys(keys, settings.ncp_id, wrapped, head.made)
        writer = BackupWriter(folder / "whole", head, master)
        try:
            for name in ("state.sqlite", "index.sqlite", "terminology.sqlite"):
                writer.add(name, folder / name)
            files = sum(writer.add(f"archive/{name}", file) for name, file in _archive(settings))
            writer.close()
        except BaseException:
            writer.abort()
            raise
        _settle(folder / "whole", out)
    size = out.stat().st_size
    trail.note_now(Note(kind="backup", side="A", details={"records": str(head.records), "bytes": str(size)}))
    return Made(str(out), str(keys), head.records, files, size)


def _snapshot(settings: Settings, folder: Path, now: datetime) -> tuple[dict[str, bytes], Head]:
    """Copies of the databases, the state first: its keys are taken out, and what ends by itself. Gives the keys, and the head."""
    state = open_state(settings)
    try:
        state.copy_now(folder / "state.sqlite")
        copy = Database(folder / "state.sqlite", state.metadata)
        try:
            wrapped = copy.read_now(_wrapped)
            copy.write_now(_strip)
            copy.settle_now()
            ended = copy.read_now(head_row)
        finally:
            copy.close()
    finally:
        state.close()
    for file, opened in ((settings.index_file, open_index), (settings.terms_file, open_terms)):
        if file.exists():
            database = opened(settings)
            try:
                database.copy_now(folder / file.name)
            finally:
                database.close()
    size, root = (ended[0].size, ended[0].root.hex()) if ended else (0, "")
    return wrapped, Head(settings.ncp_id, now.isoformat(timespec="seconds"), size, root)


def _wrapped(connection: Connection) -> dict[str, bytes]:
    return {row.key_id: row.wrapped for row in connection.execute(select(audit_key))}


def _strip(connection: Connection) -> None:
    for table in LEFT_OUT:
        connection.execute(delete(table))


def _write_keys(file: Path, ncp_id: str, wrapped: dict[str, bytes], made: str) -> None:
    """Replace the file of month keys. Raises SettingsProblem when it is another node's, or something else."""
    if file.exists() and read_keys(file)[0] != ncp_id:
        raise SettingsProblem(f"{file} holds month keys of another node", reason="usage")
    keys = {month: b64encode(key).decode() for month, key in wrapped.items()}
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as stream:
        stream.write(orjson.dumps({"ncp_id": ncp_id, "made": made, "keys": keys}))
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)


def read_keys(file: Path) -> tuple[str, dict[str, str]]:
    """Whose month keys a file holds, and the keys, wrapped. Raises SettingsProblem."""
    try:
        held = orjson.loads(file.read_bytes())
        return str(held["ncp_id"]), {str(month): str(key) for month, key in held["keys"].items()}
    except FileNotFoundError:
        raise SettingsProblem(f"{file} does not exist: give the month keys with --keys", reason="usage") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise SettingsProblem(f"{file} holds no month keys", reason="usage") from None


def _archive(settings: Settings) -> Iterator[tuple[str, Path]]:
    """The archive's files. One that is erased meanwhile is left out; what is begun meanwhile the index does not name."""
    root = settings.path(settings.blobs)
    for file in sorted(root.rglob("*")):
        if file.is_file() and not file.is_symlink():
            yield file.relative_to(root).as_posix(), file


def _settle(made: Path, out: Path) -> None:
    """Durable, then under its name."""
    for path in (made, out.parent):
        if path == out.parent:
            made.rename(out)
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
