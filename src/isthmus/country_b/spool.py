"""The spool: what arrived for a visit, encrypted, bounded, gone with the visit.

One random key per file, wrapped by the node's master key in a row; when the row goes, the bytes are unreadable.

Source: trust.md §2.3.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, delete, func, insert, select, union

from isthmus.errors import TooLarge
from isthmus.storage.database import Database
from isthmus.storage.schema.country_b import spool_note_table, spool_table, visit_table
from isthmus.storage.sealed import MasterKey, SealedReader, SealedWriter

t, n = spool_table, spool_note_table
PREAMBLE_BYTES = 128
PART_OF = 2  # so many words of an item's name say what it is a part of: an instance of a study
ARRIVING_S = 600  # a file that was written to in this time may still be arriving


class Spool:
    """Files of running visits. Names on disk are random; what an item is stands keyed in the row."""

    def __init__(
        self, folder: Path, db: Database, master: MasterKey, clock: Callable[[], datetime], limit_bytes: int
    ) -> None:
        self._folder, self._db, self._master, self._clock, self._limit = folder, db, master, clock, limit_bytes
        self._name_key = master.derive("country_b/spool")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _item(self, *parts: str) -> str:
        return hmac.new(self._name_key, "\0".join(parts).encode(), hashlib.sha256).hexdigest()

    async def find(self, visit: str, *item: str) -> SealedReader | None:
        """What was kept under that name for that visit, or None."""
        key = self._item(*item)

        def work(c: Connection) -> tuple[str, bytes] | None:
            row = c.execute(select(t.c.file, t.c.wrapped_key).where(t.c.visit == visit, t.c.item == key)).one_or_none()
            return None if row is None else (row.file, bytes(row.wrapped_key))

        found = await self._db.read(work)
        if found is None:
            return None
        name, wrapped = found
        opened = self._master.unwrap(wrapped, name.encode())
        with contextlib.suppress(FileNotFoundError):  # forgotten meanwhile
            return await asyncio.to_thread(SealedReader, self._folder / name, opened, name.encode())
        return None

    async def holds(self, visit: str, items: Sequence[tuple[str, ...]]) -> list[bool]:
        """Which of these were kept for that visit."""
        kept = select(t.c.item).where(t.c.visit == visit)
        there = set(await self._db.read(lambda c: list(c.execute(kept).scalars())))
        return [self._item(*item) in there for item in items]

    def begin(self) -> Arriving:
        """A new file to be written as bytes arrive; kept only by `keep`."""
        return Arriving(self._folder, self._limit)

    async def keep(self, visit: str, arriving: Arriving, *item: str) -> None:
        """Make what arrived whole findable. Raises TooLarge when the spool is full."""
        await asyncio.to_thread(arriving.writer.close)
        wrapped = self._master.wrap(arriving.key, arriving.name.encode())
        values = {
            "visit": visit,
            "item": self._item(*item),
            "part_of": self._item(*item[:PART_OF]),
            "file": arriving.name,
            "wrapped_key": wrapped,
            "size_bytes": float(arriving.size_bytes),
            "kept": self._clock().timestamp(),
        }

        def work(c: Connection) -> list[str] | None:
            held = c.execute(select(func.coalesce(func.sum(t.c.size_bytes), 0.0))).scalar_one()
            if held + arriving.size_bytes > self._limit:
                return None
            mine = (t.c.visit == visit) & (t.c.item == values["item"])
            before = list(c.execute(select(t.c.file).where(mine)).scalars())
            c.execute(delete(t).where(mine))
            c.execute(insert(t).values(values))
            return before

        before = await self._db.write(work)
        if before is None:
            arriving.drop()
            raise _full(self._limit)
        self._delete(before)

    async def note(self, visit: str, text: str, *item: str) -> None:
        """Remember what is to be said about something of that visit, as long as it lasts; the first word stands."""
        values = {"visit": visit, "item": self._item(*item), "text": text}
        await self._db.write(lambda c: c.execute(insert(n).prefix_with("OR IGNORE").values(values)) and None)

    async def note_anew(self, visit: str, text: str, *item: str) -> None:
        """Remember it in place of what was to be said before."""
        values = {"visit": visit, "item": self._item(*item), "text": text}

        def work(c: Connection) -> None:
            c.execute(delete(n).where(n.c.visit == visit, n.c.item == values["item"]))
            c.execute(insert(n).values(values))

        await self._db.write(work)

    async def noted(self, visit: str, *item: str) -> str | None:
        """What is to be said about it, or None."""
        said = select(n.c.text).where(n.c.visit == visit, n.c.item == self._item(*item))
        return await self._db.read(lambda c: c.execute(said).scalar_one_or_none())

    async def forget(self, *visits: str) -> None:
        """Delete what was kept for these visits: keys first, then files."""

        def work(c: Connection) -> list[str]:
            names = [row.file for row in c.execute(select(t.c.file).where(t.c.visit.in_(visits)))]
            c.execute(delete(t).where(t.c.visit.in_(visits)))
            c.execute(delete(n).where(n.c.visit.in_(visits)))
            return names

        self._delete(await self._db.write(work) if visits else [])

    async def drop(self, visit: str, *part_of: str) -> None:
        """Delete what was kept of something for a visit: the keys first, then the files."""
        mine = (t.c.visit == visit) & (t.c.part_of == self._item(*part_of))

        def work(c: Connection) -> list[str]:
            names = [row.file for row in c.execute(select(t.c.file).where(mine))]
            c.execute(delete(t).where(mine))
            return names

        self._delete(await self._db.write(work))

    async def sweep(self) -> None:
        """Forget what arrived for a visit after its end, and delete files that no row names and nobody writes."""
        running = select(visit_table.c.id)
        over = union(*(select(one.c.visit).where(one.c.visit.not_in(running)) for one in (t, n)))
        await self.forget(*await self._db.read(lambda c: list(c.execute(over).scalars())))
        named = set(await self._db.read(lambda c: list(c.execute(select(t.c.file)).scalars())))
        quiet_since = self._clock().timestamp() - ARRIVING_S
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.name not in named and path.stat().st_mtime < quiet_since:
                    path.unlink()

    def _delete(self, names: list[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)


def _full(limit_bytes: int) -> TooLarge:
    return TooLarge("the spool is full; close a visit, or raise spool.limit_mib", limit_bytes=limit_bytes)


class Spooled:
    """An instance in the spool, read anywhere: its preamble zeroed, else the original. Source: trust.md §2.9."""

    def __init__(self, held: SealedReader) -> None:
        self._held = held

    @property
    def size_bytes(self) -> int:
        return self._held.size_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        data = self._held.read(offset, size)
        zeroed = max(0, min(PREAMBLE_BYTES - offset, len(data)))
        return bytes(zeroed) + data[zeroed:] if zeroed else data


class Arriving:
    """A spool file being written. `write` raises TooLarge as soon as it alone would fill the spool."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self.name, self.key, self.size_bytes = secrets.token_hex(16), secrets.token_bytes(32), 0
        self._path = folder / self.name
        self.writer = SealedWriter(self._path, self.key, self.name.encode())

    def write(self, view: bytes | memoryview) -> None:
        self.size_bytes += len(view)
        if self.size_bytes > self._limit:
            raise _full(self._limit)
        self.writer.write(view)

    def drop(self) -> None:
        """What broke off is deleted."""
        self.writer.abort()
        self._path.unlink(missing_ok=True)
