"""A file becomes a release: recognised by its content, read as a stream, written in pieces, and current in one moment.

What is refused leaves the earlier release as it was. The same file again changes nothing.

Source: interfaces.md §2; requirements.md §5.10.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from isthmus.errors import SettingsProblem, Unavailable
from isthmus.storage.database import Database
from isthmus.storage.members import Bounded, Member, Unreadable, tar_members, zip_members
from isthmus.storage.schema.terminology import designations, maps, releases
from isthmus.terminology import mapping
from isthmus.terminology.packages import release as kinds
from isthmus.terminology.packages.loinc import is_loinc, read_loinc
from isthmus.terminology.packages.release import LICENCES, RANKS, REASONS, Found, Named, Release
from isthmus.terminology.packages.snomed import is_snomed, read_snomed
from isthmus.terminology.packages.tables import COLUMNS, read_names
from isthmus.terminology.packages.valuesets import read_resources
from isthmus.terminology.rows import Row

BATCH: Final = 20_000
PIECE: Final = 1 << 20

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one file. `reason` is set where it was refused, and `unchanged` where it is here already."""

    path: str
    name: str = ""
    kind: str = ""
    version: str = ""
    sha256: str = ""
    designations: int = 0
    maps: int = 0
    languages: tuple[str, ...] = ()
    licence: str = ""
    skipped: dict[str, int] = field(default_factory=dict)
    unchanged: bool = False
    reason: str = ""
    detail: str = ""


@contextmanager
def one_at_a_time(database: Database) -> Iterator[None]:
    """Raises Unavailable while another import runs."""
    lock = os.open(database.file.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable("another import of terminology is running") from error
        yield
    finally:
        os.close(lock)


def import_file(path: Path, database: Database, now: datetime, progress: Progress = lambda _: None) -> Imported:
    """Import one file. A refusal is a result, and changes nothing; what the disk or the database refuses is raised."""
    try:
        digest = _digest(path)
    except OSError as error:
        return _refused(path, Unreadable("unreadable", error.strerror or type(error).__name__))
    before = database.read_now(lambda connection: _held(connection, digest))
    if before is not None:
        return Imported(str(path), **before, unchanged=True)
    release = Release("")
    number = database.write_now(lambda connection: _begin(connection, digest, now))
    try:
        count = _write(database, number, _read(path, release, progress))
    except Unreadable as error:
        database.write_now(lambda connection: _forget(connection, number))
        return _refused(path, error)
    except OSError as error:
        database.write_now(lambda connection: _forget(connection, number))
        return _refused(path, Unreadable("unreadable", error.strerror or type(error).__name__))
    row = {
        "name": release.name, "kind": release.kind, "version": release.version, "designations": count.designations,
        "maps": count.maps, "languages": " ".join(sorted(count.languages)), "licence": LICENCES[release.kind],
        "rank": RANKS[release.kind],
    }  # fmt: skip
    database.write_now(lambda connection: _become(connection, number, row))
    languages = tuple(sorted(count.languages))
    return Imported(
        str(path), release.name, release.kind, release.version, digest, count.designations, count.maps, languages,
        LICENCES[release.kind], release.skipped,
    )  # fmt: skip


def list_releases(connection: Connection) -> list[dict[str, Any]]:
    """The releases that count now."""
    r = releases.c
    rows = connection.execute(select(releases).where(r.current).order_by(r.rank, r.name))
    return [
        {
            "name": row.name, "kind": row.kind, "version": row.version, "sha256": row.sha256, "imported": row.imported,
            "designations": row.designations, "maps": row.maps, "languages": row.languages.split(), "licence": row.licence,
        }
        for row in rows
    ]  # fmt: skip


# what the file is


def _read(path: Path, release: Release, progress: Progress) -> Found:
    """The rows of a file, by what it is. Raises Unreadable."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:2] == b"PK" or head[:2] == b"\x1f\x8b" or head[257:262] == b"ustar":
        yield from _archive(path, zip_members if head[:2] == b"PK" else tar_members, release, progress)
        return
    with path.open("rb") as file:
        yield from _alone(path, head.removeprefix(b"\xef\xbb\xbf").lstrip(), _Told(file, progress), release)


def _alone(path: Path, head: bytes, file: _Told, release: Release) -> Found:
    stream = Bounded(file, None, None)
    if head.startswith(b"{"):
        yield from read_resources([Member(f"{path.stem}.json", stream)], release, path.stem)
    elif is_loinc([path.name]):
        yield from read_loinc([Member(path.name, stream)], release, path.name)
    elif is_snomed([path.name]):
        raise Unreadable("no-language-refset", "give the zip that the release came in")
    elif _header(head) == COLUMNS:
        yield from read_names(stream, release, path.name)
    elif _header(head) == mapping.COLUMNS:
        release.kind, release.name = kinds.TABLE, path.stem
        yield from _mapped(path, release)
    else:
        raise Unreadable("unknown-form")


def _archive(path: Path, read: Callable[[Path], Iterator[Member]], release: Release, progress: Progress) -> Found:
    names = []
    for member in read(path):  # the names alone: nothing is inflated of a zip
        if member.reason is not None:
            raise Unreadable(member.reason, member.name)
        names.append(member.name)

    def members() -> Iterator[Member]:
        for member in read(path):
            stream = member.stream
            if stream is not None:
                member.stream = Bounded(_Told(stream, progress), None, None)
                if member.name.endswith((".zip", ".tgz", ".tar", ".gz")):
                    raise Unreadable("nested-archive", member.name)
            yield member

    if is_snomed(names):
        yield from read_snomed(members, release)
    elif is_loinc(names):
        yield from read_loinc(members(), release, path.name)
    elif any(name.endswith(".json") for name in names):
        yield from read_resources(members(), release, path.stem)
    else:
        raise Unreadable("unknown-form")


def _mapped(path: Path, release: Release) -> Found:
    """A table of national codes, as a source's own is read."""
    try:
        codes = mapping.read_codes(path)
    except SettingsProblem as error:
        raise Unreadable("bad-table", str(error)) from error
    release.version = codes.version
    for (kind, system, code), targets in codes.codes.items():
        for target in targets:
            yield Row(kind, system, code, target)


def _header(text: bytes) -> tuple[str, ...]:
    lines = text.decode("utf-8", "replace").splitlines()[:2]
    line = next((line for line in lines if not line.startswith("#")), "")
    return tuple(cell.strip() for cell in line.split(","))


class _Told:
    """A stream that tells how much of it was read."""

    def __init__(self, stream: Any, progress: Progress) -> None:
        self._stream, self._progress = stream, progress

    def read(self, size: int, /) -> bytes:
        piece: bytes = self._stream.read(size)
        self._progress(len(piece))
        return piece


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _refused(path: Path, error: Unreadable) -> Imported:
    sentence = REASONS[error.reason]
    return Imported(str(path), reason=error.reason, detail=f"{sentence} ({error.detail})" if error.detail else sentence)


# what is written


@dataclass(slots=True)
class _Count:
    designations: int = 0
    maps: int = 0
    languages: set[str] = field(default_factory=set)


def _write(database: Database, number: int, found: Found) -> _Count:
    """Write rows in pieces, each a transaction. Raises Unreadable (nothing) when there are none."""
    names: list[dict[str, Any]] = []
    mapped: list[dict[str, Any]] = []
    count = _Count()

    def flush() -> None:
        def write(connection: Connection) -> None:
            for table, rows in ((designations, names), (maps, mapped)):
                if rows:
                    connection.execute(insert(table).prefix_with("OR IGNORE"), rows)

        if names or mapped:
            database.write_now(write)
            names.clear()
            mapped.clear()

    for one in found:
        if isinstance(one, Named):
            count.designations += 1
            count.languages.add(one.language)
            names.append(
                {
                    "system": one.system,
                    "code": one.code,
                    "language": one.language,
                    "release": number,
                    "display": one.display,
                }
            )
        else:
            count.maps += 1
            mapped.append(
                {
                    "release": number, "kind": one.kind, "system": one.system, "code": one.code,
                    "eu_system": one.target.system, "eu_code": one.target.code, "eu_display": one.target.display,
                }
            )  # fmt: skip
        if len(names) + len(mapped) >= BATCH:
            flush()
    flush()
    if not count.designations and not count.maps:
        raise Unreadable("nothing")
    return count


def _held(connection: Connection, digest: str) -> dict[str, Any] | None:
    """The release that came from these bytes, when it counts now."""
    row = connection.execute(select(releases).where(releases.c.sha256 == digest, releases.c.current)).first()
    if row is None:
        return None
    return {
        "name": row.name, "kind": row.kind, "version": row.version, "sha256": row.sha256, "designations": row.designations,
        "maps": row.maps, "languages": tuple(row.languages.split()), "licence": row.licence,
    }  # fmt: skip


def _begin(connection: Connection, digest: str, now: datetime) -> int:
    """A number for a release to be; what an earlier import that was cut off left goes."""
    for number in connection.execute(select(releases.c.id).where(~releases.c.current)).scalars().all():
        _forget(connection, number)
    blank = {
        "name": "",
        "kind": "",
        "version": "",
        "designations": 0,
        "maps": 0,
        "languages": "",
        "licence": "",
        "rank": 9,
    }
    done = connection.execute(insert(releases).values(sha256=digest, imported=now, current=False, **blank))
    return int((done.inserted_primary_key or (0,))[0])


def _become(connection: Connection, number: int, row: dict[str, Any]) -> None:
    """In one transaction: the earlier release of the name ends, this one counts."""
    before = select(releases.c.id).where(releases.c.name == row["name"], releases.c.current)
    for earlier in connection.execute(before).scalars().all():
        _forget(connection, earlier)
    connection.execute(update(releases).where(releases.c.id == number).values(current=True, **row))


def _forget(connection: Connection, number: int) -> None:
    for table in (designations, maps):
        connection.execute(delete(table).where(table.c.release == number))
    connection.execute(delete(releases).where(releases.c.id == number))
