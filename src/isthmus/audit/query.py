"""Finds exchanges by who, whence, about whom, by which key, when: at once, however long the trail is.

An index of keyed hashes is brought up to date in pieces, by a node while it runs and by whoever asks; it names nobody, and what was
erased leaves it. What it finds is opened and looked at again before it is told.

Source: trust.md §6.3, T29.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from isthmus.audit.events import moment
from isthmus.audit.page import MonthKeys, parts_of, record_of, rows
from isthmus.audit.verify import Row, opened
from isthmus.storage.database import Database
from isthmus.storage.schema.audit import audit_trail
from isthmus.storage.schema.audit_index import audit_index, audit_indexed
from isthmus.storage.sealed import MasterKey
from isthmus.wire.tokens import token_number

FIELDS = ("exchange", "person", "organisation", "country", "patient", "token", "key", "of")
AT_ONCE = 2000
TAG_BYTES = 12
_PARTS = re.compile(r"[/ ?=&]")
i = audit_index.c


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: values by field, all of which must fit, and a span of time."""

    values: Mapping[str, str]
    since: datetime | None = None
    until: datetime | None = None


class Index:
    """The index of a node's trail."""

    def __init__(self, db: Database, master: MasterKey) -> None:
        self._db, self._master, self._key = db, master, master.derive("audit index")

    def catch_up(self, most: int | None = None) -> int:
        """Index what was written since; gives how many records that were. `most` bounds it."""
        done = 0
        while most is None or done < most:
            count = self._db.write_now(self._some)
            done += count
            if count < AT_ONCE:
                break
        return done

    def find(self, wanted: Wanted, limit: int) -> list[int]:
        """The numbers of the intents that fit, the newest first."""
        self.catch_up()
        return self._db.read_now(lambda connection: self._found(connection, wanted, limit))

    def numbers_of(self, connection: Connection, field: str, value: str) -> list[int]:
        """The same inside a transaction, as far as the index is."""
        return list(connection.execute(select(i.number).where(i.tag == self.tag(field, value))).scalars())

    def tag(self, field: str, value: str) -> bytes:
        return hashlib.blake2b(f"{field}\0{value}".encode(), key=self._key, digest_size=TAG_BYTES).digest()

    def _some(self, connection: Connection) -> int:
        size = connection.execute(select(audit_indexed.c.size)).scalar()
        if size is None:
            connection.execute(insert(audit_indexed).values(id=1, size=0))
        keys, first = MonthKeys(self._master), size or 0
        fresh = list(rows(connection, audit_trail.c.number >= first, limit=AT_ONCE))
        tags = {
            (self.tag(*pair), row.number if row.closes is None else row.closes)
            for row in fresh
            for pair in _pairs(connection, row, keys)
        }
        if tags:
            values = [{"tag": tag, "number": number} for tag, number in sorted(tags)]
            connection.execute(insert(audit_index).prefix_with("OR IGNORE"), values)
        if fresh:
            connection.execute(update(audit_indexed).values(size=fresh[-1].number + 1))
        self._forget(connection)
        return len(fresh)

    def _forget(self, connection: Connection) -> None:
        """What was erased goes: the oldest records, so that a look at the oldest indexed one tells whether there is anything."""
        empty = select(audit_trail.c.number).where(audit_trail.c.sealed == b"")
        least = connection.execute(select(func.min(i.number))).scalar()
        if least is not None and connection.execute(empty.where(audit_trail.c.number == least)).first():
            erased = connection.execute(empty.order_by(audit_trail.c.number.desc()).limit(1)).scalar()
            connection.execute(delete(audit_index).where(i.number <= erased))

    def _found(self, connection: Connection, wanted: Wanted, limit: int) -> list[int]:
        query = select(audit_trail.c.number).where(audit_trail.c.kind == "intent")
        low, high = (self._first(connection, at) for at in (wanted.since, wanted.until))
        if low is not None:
            query = query.where(audit_trail.c.number >= low)
        if high is not None:
            query = query.where(audit_trail.c.number < high)
        for field, value in wanted.values.items():
            query = query.where(audit_trail.c.number.in_(self._numbers(connection, field, value)))
        return list(connection.execute(query.order_by(audit_trail.c.number.desc()).limit(limit)).scalars())

    def _numbers(self, connection: Connection, field: str, value: str) -> Any:
        """Of the records that say so themselves; by a key also those that used a token which was given for its statement."""
        direct = select(i.number).where(i.tag == self.tag(field, value))
        if field != "key":
            return direct
        keys, tags = MonthKeys(self._master), []
        for number in connection.execute(direct).scalars():
            record = record_of(connection, number, keys)
            if record is not None and record["token_jti"]:
                tags.append(self.tag("token", record["token_jti"]))
        return select(i.number).where(i.tag.in_([self.tag(field, value), *tags]))

    def _first(self, connection: Connection, at: datetime | None) -> int | None:
        """The number of the first record at a time or after it: records follow each other in time."""
        if at is None:
            return None
        low, high = connection.execute(select(func.min(audit_trail.c.number), func.max(audit_trail.c.number))).one()
        if low is None:
            return 0
        keys, wanted, high = MonthKeys(self._master), moment(at), high + 1
        while low < high:
            middle = (low + high) // 2
            record = record_of(connection, middle, keys)
            if record is not None and record["at"] >= wanted:
                high = middle
            else:
                low = middle + 1
        return int(low)


def _pairs(connection: Connection, row: Row, keys: MonthKeys) -> Iterator[tuple[str, str]]:
    """By what an exchange is found."""
    record, _ = opened(row, keys.unsealer(connection))
    if record is None or row.kind == "event":
        return
    if row.kind == "outcome":
        if "token" in record.get("parts", {}):  # the token that the exchange brought us stands beside its ending
            token = parts_of(connection, row.number, keys).get("token", b"")
            yield from (("token", jti) for jti in _said([token_number(token.decode("ascii", "replace"))]))
        return
    patient, details = record["patient"], record["details"]
    person, _, name = record["person"].partition(" ")
    named = (part for key, value in details.items() if key != "reason" for part in _PARTS.split(value))
    told = {
        "exchange": (row.exchange_id,), "person": (person, name), "organisation": (record["organisation"],),
        "country": (record["peer"],), "patient": (f"{patient['system']}|{patient['value']}",) if patient else (),
        "token": (record["token_jti"],), "key": (details.get("kid", ""),), "of": named,
    }  # fmt: skip
    yield from ((field, value) for field, values in told.items() for value in _said(values))


def _said(values: Iterable[str]) -> Iterator[str]:
    return (value for value in values if value)
