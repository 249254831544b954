"""One transaction on the trail: where the tree ended, what is added, where it ends now.

The number of a record is the size of the tree before it, given inside the transaction that writes it.

Source: trust.md §4.3.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, LargeBinary, cast, func, insert, select, update

from isthmus.audit.events import clean
from isthmus.audit.merkle import Tree, leaf_hash
from isthmus.audit.verify import CLEAR, SALT_BYTES, Head, Row, canonical, opened, part_place, place
from isthmus.errors import AuditUnavailable, ContentMismatch
from isthmus.storage.schema.audit import audit_head, audit_key, audit_trail
from isthmus.storage.schema.audit_log import audit_claim, audit_part
from isthmus.storage.sealed import MasterKey, seal, unseal
from isthmus.wire.notes import Leaf

EXCHANGE_ID_MAX = 64


class MonthKeys:
    """The keys that close the records, one a month: random, wrapped by the master key, so that one can be destroyed."""

    def __init__(self, master: MasterKey) -> None:
        self._master = master
        self._open: dict[str, bytes] = {}

    def for_month(self, connection: Connection, now: datetime) -> tuple[str, bytes]:
        """The key of now, made when it is the month's first record."""
        key_id = f"{now:%Y-%m}"
        try:
            return key_id, self.get(connection, key_id)
        except ContentMismatch:
            if connection.execute(select(audit_key.c.key_id).where(audit_key.c.key_id == key_id)).first():
                raise
        key = secrets.token_bytes(32)
        wrapped = self._master.wrap(key, key_id.encode())
        connection.execute(insert(audit_key).values(key_id=key_id, wrapped=wrapped))
        return key_id, key  # not remembered: the transaction may yet be undone

    def get(self, connection: Connection, key_id: str) -> bytes:
        """Raises ContentMismatch when there is no such key, or it does not open."""
        if key_id not in self._open:
            found = connection.execute(
                select(cast(audit_key.c.wrapped, LargeBinary)).where(audit_key.c.key_id == key_id)
            ).scalar()
            if found is None:
                raise ContentMismatch("the month's key is not there", reason="digest", key_gone=True)
            self._open[key_id] = self._master.unwrap(found, key_id.encode())
        return self._open[key_id]

    def unsealer(self, connection: Connection) -> Callable[[str, bytes, bytes], bytes]:
        return lambda key_id, sealed, aad: unseal(self.get(connection, key_id), sealed, aad)


def parts_of(connection: Connection, number: int, keys: MonthKeys) -> dict[str, bytes]:
    """What is kept beside a record, by name; what does not open is left out, and found by `verify`."""
    parts = {}
    query = select(audit_part.c.name, audit_part.c.key_id, cast(audit_part.c.sealed, LargeBinary).label("sealed"))
    for row in connection.execute(query.where(audit_part.c.number == number)):
        with contextlib.suppress(ContentMismatch):
            aad = part_place(number, row.name, row.key_id)
            parts[row.name] = unseal(keys.get(connection, row.key_id), row.sealed, aad)
    return parts


def record_of(connection: Connection, number: int, keys: MonthKeys) -> dict[str, Any] | None:
    """One record, opened; None when there is none, or it does not open."""
    found = next(rows(connection, audit_trail.c.number == number), None)
    return None if found is None else opened(found, keys.unsealer(connection))[0]


def outcome_number(connection: Connection, number: int) -> int | None:
    """The number of the record that closes another."""
    return connection.execute(select(audit_trail.c.number).where(audit_trail.c.closes == number)).scalar()


def head_row(connection: Connection) -> tuple[Head, bytes] | None:
    """The head in the database, and the tree's edge."""
    head = audit_head.c
    blobs = (cast(head.root, LargeBinary).label("root"), cast(head.mac, LargeBinary).label("mac"))
    row = connection.execute(select(head.size, *blobs, cast(head.edge, LargeBinary).label("edge"))).first()
    return None if row is None else (Head(row.size, row.root, row.mac), row.edge)


def rows(connection: Connection, *where: Any, newest_first: bool = False, limit: int | None = None) -> Iterator[Row]:
    """Rows in order of their numbers."""
    order = audit_trail.c.number.desc() if newest_first else audit_trail.c.number
    query = select(*_AS_STORED).where(*where).order_by(order)
    found = connection.execution_options(yield_per=2000).execute(query.limit(limit) if limit is not None else query)
    return (_row(row) for row in found)


_NUMBERS, _BLOBS = ("number", "closes"), ("leaf", "sealed")
_AS_STORED = [  # whatever an intruder made of a value, it is read, and found to be another
    audit_trail.c[name] if name in _NUMBERS else cast(audit_trail.c[name], LargeBinary)
    for name in Row.__dataclass_fields__
]
_TEXTS = {i for i, name in enumerate(Row.__dataclass_fields__) if name not in (*_NUMBERS, *_BLOBS)}


def _row(stored: Iterable[Any]) -> Row:
    values = (v.decode(errors="replace") if i in _TEXTS and v is not None else v for i, v in enumerate(stored))
    return Row(*values)


def tree_of(connection: Connection, head_key: bytes) -> Tree:
    """Where the trail ends, as its head says. Raises AuditUnavailable when the head does not hold."""
    found = head_row(connection)
    if found is None:
        if connection.execute(select(func.max(audit_trail.c.number))).scalar() is not None:
            raise AuditUnavailable("the trail has records and no head: see audit verify")
        return Tree()
    head, edge = found
    try:
        tree = Tree.read(head.size, edge)
    except ValueError:
        tree = Tree()
    if not head.genuine(head_key) or tree.root != head.root:
        raise AuditUnavailable("the trail's head does not hold: see audit verify")
    return tree


class Page:
    """Adds records inside a transaction. `end()` moves the head; without it nothing added here counts."""

    def __init__(self, connection: Connection, keys: MonthKeys, head_key: bytes, writer: str, now: datetime) -> None:
        self.connection, self.now = connection, now
        self._writer, self._head_key = writer, head_key
        self._key_id, self._key = keys.for_month(connection, now)
        self.tree = self._begun = tree_of(connection, head_key)

    def add(
        self,
        kind: str,
        record: dict[str, Any],
        exchange_id: str,
        *,
        closes: int | None = None,
        patient_tag: str | None = None,
        theirs: Leaf | None = None,
        parts: Mapping[str, bytes] = MappingProxyType({}),
    ) -> tuple[int, bytes]:
        """Add a record, and what is kept beside it; gives its number and its leaf."""
        number = self.tree.size
        clear = (kind, closes, clean(exchange_id)[:EXCHANGE_ID_MAX], patient_tag, self._writer)
        record = {**record, **dict(zip(CLEAR, clear, strict=True))}
        plain = secrets.token_bytes(SALT_BYTES) + canonical(record)
        leaf = leaf_hash(plain)
        sealed = seal(self._key, plain, place(number, self._key_id))
        row = Row(number, leaf, sealed, self._key_id, *clear)
        values = {name: getattr(row, name) for name in Row.__dataclass_fields__}
        self.connection.execute(insert(audit_trail), values)
        self.tree = self.tree.with_leaf(leaf)
        if theirs is not None:
            self._claim(number, theirs)
        for name, part in parts.items():
            sealed = seal(self._key, part, part_place(number, name, self._key_id))
            values = {"number": number, "name": name, "key_id": self._key_id, "sealed": sealed}
            self.connection.execute(insert(audit_part), values)
        return number, leaf

    def _claim(self, number: int, theirs: Leaf) -> None:
        """What the other side says it logged is to be proven: `log/claims.py`."""
        values = {
            "number": number,
            "origin": theirs.origin,
            "seq": theirs.seq,
            "leaf": theirs.leaf,
            "since": self.now,
            "state": "open",
        }
        self.connection.execute(insert(audit_claim), values)

    def closed(self, number: int) -> bool:
        """Whether an intent has its ending."""
        query = select(audit_trail.c.number).where(audit_trail.c.closes == number)
        return self.connection.execute(query).first() is not None

    def left_open(self, writer: str) -> list[tuple[int, str]]:
        """Numbers and exchange ids of a writer's intents without ending."""
        ending = audit_trail.alias()
        query = (
            select(audit_trail.c.number, audit_trail.c.exchange_id)
            .outerjoin(ending, ending.c.closes == audit_trail.c.number)
            .where(audit_trail.c.writer == writer, audit_trail.c.kind == "intent", ending.c.number.is_(None))
            .order_by(audit_trail.c.number)
        )
        return [(row.number, row.exchange_id) for row in self.connection.execute(query)]

    def end(self) -> Head | None:
        """Move the head to the last record added; None when there was none."""
        if self.tree is self._begun:
            return None
        head = Head.of(self.tree, self._head_key)
        values = {"size": head.size, "edge": b"".join(self.tree.edge), "root": head.root, "mac": head.mac}
        if not self.connection.execute(update(audit_head).values(**values)).rowcount:
            self.connection.execute(insert(audit_head).values(id=1, **values))
        return head
