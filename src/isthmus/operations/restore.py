"""Puts a node's backup back: first beside what is there, proven to its last byte, then in its place; what was there is kept aside.

The trail's head outside the database is never in a backup. A restored node that lacks records is therefore behind its own head, or has
none, and does not start before `audit recover` has written the loss down. Statements that may have been used meanwhile are refused until
they have run out.

Source: trust.md §2.4 rule 7, §6.5; T19, T77.
"""

from __future__ import annotations

import shutil
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, delete, insert

from isthmus.audit.page import head_row, tree_of
from isthmus.audit.trail import head_key
from isthmus.audit.verify import Head as TrailHead
from isthmus.audit.writers import Writers
from isthmus.config import Settings
from isthmus.errors import AuditUnavailable, ContentMismatch, SettingsProblem
from isthmus.operations.archive_file import members, read_head
from isthmus.operations.backup import LEFT_OUT, read_keys
from isthmus.storage.database import open_state
from isthmus.storage.schema.audit import audit_key
from isthmus.storage.sealed import MasterKey
from isthmus.trust.replay import close_window

STAGE, ASIDE = "restoring", "before-restore"
ONE_USE_S = 600  # no statement of one use lives longer, by far


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back: as of when, how far the trail goes. `behind`: it is known to lack records, or nobody can tell."""

    made: str
    records: int
    behind: bool
    aside: str | None  # where what was there lies now


def restore(settings: Settings, file: Path, keys: Path, clock: Callable[[], datetime], *, replace: bool) -> Restored:
    """Put a backup back. Raises SettingsProblem while a node writes, when something is there and `replace` is not said, for another
    node's backup; ContentMismatch when the backup is not whole: nothing is changed then."""
    head, _ = read_head(file)
    owner, wrapped = read_keys(keys)
    if (head.ncp_id, owner) != (settings.ncp_id, settings.ncp_id):
        raise SettingsProblem(f"this is a backup of {head.ncp_id}, with month keys of {owner}", reason="usage")
    writers = Writers(settings.folder)
    if writers.at_work():
        raise SettingsProblem("something writes this node's trail: stop the node and its commands first", reason="usage")  # fmt: skip
    if _there(settings) and not replace:
        raise SettingsProblem("this node has a state already; say --replace, and it is kept aside", reason="usage")
    master, stage = MasterKey.load(settings.path(settings.keys.env)), settings.folder / STAGE
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(mode=0o700)
    try:
        _unpack(file, master, stage)
        tree = _made_ready(settings, stage / "state.sqlite", master, wrapped, int(clock().timestamp()))
        if (tree.size, tree.root.hex() if tree.size else "") != (head.records, head.root):
            raise ContentMismatch("the trail in the backup does not end where its head says", reason="digest")
        aside = _swap(settings, stage, f"{clock():%Y%m%dT%H%M%S}")
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return Restored(head.made, tree.size, _is_behind(writers, tree), aside)


def _there(settings: Settings) -> bool:
    return any(file.exists() for file in (settings.database_file, settings.index_file, settings.path(settings.blobs)))


def _unpack(file: Path, master: MasterKey, stage: Path) -> None:
    for name, content in members(file, master):
        target = stage / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            shutil.copyfileobj(content, out, 1 << 20)
        target.chmod(0o600)


def _made_ready(settings: Settings, file: Path, master: MasterKey, wrapped: dict[str, str], second: int) -> TrailHead:
    """Month keys back in, one-use statements shut out; gives where the trail ends. Raises ContentMismatch, AuditUnavailable."""
    if not file.exists():
        raise ContentMismatch("the backup holds no state")
    state = open_state(settings, file)
    try:

        def ready(connection: Connection) -> TrailHead:
            for table in LEFT_OUT:
                connection.execute(delete(table))
            for month, key in wrapped.items():
                connection.execute(insert(audit_key).values(key_id=month, wrapped=b64decode(key)))
            close_window(connection, second + ONE_USE_S)
            tree_of(connection, head_key(master))
            found = head_row(connection)
            return found[0] if found else TrailHead(0, b"", b"")

        ended = state.write_now(ready)
        state.settle_now()
        return ended
    finally:
        state.close()


def _swap(settings: Settings, stage: Path, stamp: str) -> str | None:
    """What is there aside, what was unpacked in its place."""
    aside = settings.folder / f"{ASIDE}-{stamp}"
    places = {
        "state.sqlite": settings.database_file,
        "index.sqlite": settings.index_file,
        "terminology.sqlite": settings.terms_file,
        "archive": settings.path(settings.blobs),
    }
    for name, place in places.items():
        for there in (place, place.with_name(f"{place.name}-wal"), place.with_name(f"{place.name}-shm")):
            if there.exists():
                aside.mkdir(mode=0o700, exist_ok=True)
                shutil.move(there, aside / there.name)
        if (stage / name).exists():
            shutil.move(stage / name, place)
    return aside.name if aside.exists() else None


def _is_behind(writers: Writers, tree: TrailHead) -> bool:
    try:
        head = writers.head()
    except AuditUnavailable:
        return True
    return tree.size > 0 if head is None else head != tree
