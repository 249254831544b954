"""What the trail holds, for those who may see it: the list of exchanges, and the proof. Reads only.

Source: interfaces.md §2; trust.md §4.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from isthmus.audit.merkle import Tree
from isthmus.audit.page import MonthKeys, head_row, parts_of, rows
from isthmus.audit.query import Index, Wanted
from isthmus.audit.trail import head_key
from isthmus.audit.verify import Head, Problem, Row, Verified, opened, verify
from isthmus.audit.writers import Writers
from isthmus.errors import AuditUnavailable
from isthmus.storage.database import Database
from isthmus.storage.schema.audit import audit_trail, audit_writer
from isthmus.storage.sealed import MasterKey

AT_ONCE = 500


@dataclass(frozen=True)
class Exchange:
    """One exchange as `audit list` shows it: no name, no birth date, no identifier of a patient. `person` and `organisation` are who
    asked, shown only to whoever looks for what was seen of a study."""

    exchange_id: str
    side: str
    opened: str
    closed: str | None
    transaction: str
    peer: str
    purpose: str
    outcome: str  # complete, incomplete, refused, failed, open
    instances: int
    bytes: int
    reason: str | None
    person: str = ""
    organisation: str = ""


class Account:
    """The trail of a node, read."""

    def __init__(self, db: Database, master: MasterKey, folder: Path) -> None:
        self.database, self.master, self._writers = db, master, Writers(folder)

    def exchanges(self, limit: int, of: str | None = None) -> list[Exchange]:
        """The newest first; those alone that were `of` a study, series, instance or document, when one is named.

        What does not open is left out here, and found by `verify`.
        """
        if of is not None:
            return self.query(Wanted({"of": of}), limit)
        intent = audit_trail.c.kind == "intent"
        return self.database.read_now(lambda c: self._exchanges(c, rows(c, intent, newest_first=True, limit=limit)))

    def query(self, wanted: Wanted, limit: int) -> list[Exchange]:
        """The newest first of those that fit. Brings the index up to date."""
        numbers = Index(self.database, self.master).find(wanted, limit)
        these = audit_trail.c.number.in_(numbers)
        return self.database.read_now(lambda c: self._exchanges(c, rows(c, these, newest_first=True)))

    def verify(self) -> Verified:
        """Prove the whole trail, of one moment."""
        try:
            witness = self._writers.head()  # before the rows: it may lag behind them, not run ahead
        except AuditUnavailable as error:
            return Verified(problems=[Problem(None, str(error))])

        def proving(connection: Connection) -> Verified:
            writers = connection.execute(select(audit_writer.c.id)).scalars().all()
            head = head_row(connection)
            keys = MonthKeys(self.master)
            verified = verify(
                rows(connection),
                unseal=keys.unsealer(connection),
                parts=lambda number: parts_of(connection, number, keys),
                head=head and head[0],
                witness=witness,
                head_key=head_key(self.master),
                alive=frozenset(writer for writer in writers if not self._writers.gone(writer)),
            )
            if head is not None and not _is_edge(head[1], head[0]):
                verified.problems.append(Problem(None, "the tree's edge is not that of its head"))
            return verified

        return self.database.read_now(proving)

    def _exchanges(self, connection: Connection, wanted: Iterable[Row]) -> list[Exchange]:
        unseal, intents = MonthKeys(self.master).unsealer(connection), list(wanted)
        endings = dict[int, Row]()
        for start in range(0, len(intents), AT_ONCE):
            numbers = [row.number for row in intents[start : start + AT_ONCE]]
            endings |= {row.closes or 0: row for row in rows(connection, audit_trail.c.closes.in_(numbers))}
        found = []
        for row in intents:
            intent, _ = opened(row, unseal)
            ending = endings.get(row.number)
            outcome = opened(ending, unseal)[0] if ending else None
            if intent is not None:
                found.append(_exchange(row, intent, outcome))
        return sorted(found, key=lambda exchange: exchange.opened, reverse=True)


def _is_edge(edge: bytes, head: Head) -> bool:
    try:
        return Tree.read(head.size, edge).root == head.root
    except ValueError:
        return False


def _exchange(row: Row, intent: dict[str, Any], outcome: dict[str, Any] | None) -> Exchange:
    ended = outcome or {"outcome": "open", "at": None, "instances": 0, "bytes": 0, "reason": None}
    return Exchange(
        exchange_id=row.exchange_id,
        side=intent["side"],
        opened=intent["at"],
        closed=ended["at"],
        transaction=intent["transaction"],
        peer=intent["peer"],
        purpose=intent["purpose"],
        outcome=ended["outcome"],
        instances=ended["instances"],
        bytes=ended["bytes"],
        reason=ended["reason"],
        person=intent["person"],
        organisation=intent["organisation"],
    )
