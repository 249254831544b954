"""What was sent against what arrived: the list of every image exchange, on both sides, until both have signed for it.

The list lies sealed beside the record that closed the exchange, which names its digest. A receipt that does not come is noticed, one
that says otherwise is an incident, and both are kept.

Source: trust.md §2.6 (M9), §4.5, T61.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, insert, select, update

from isthmus.audit.events import Delivery
from isthmus.audit.page import MonthKeys, parts_of
from isthmus.storage.schema.audit import audit_trail
from isthmus.storage.schema.audit_delivery import audit_delivery
from isthmus.storage.sealed import MasterKey
from isthmus.wire.receipts import Item, read_items, write_items

d = audit_delivery.c
PART = "delivery"
LATE = timedelta(minutes=10)
DAY = timedelta(days=1)
MISSING_SHARE = 0.01  # of a day's deliveries to one country
MISSING_FROM = 100  # fewer say nothing about a share


@dataclass(frozen=True, slots=True)
class Sent:
    """One exchange's list, as this side wrote it down."""

    number: int
    opened: int
    exchange_id: str
    peer: str
    state: str
    receipt: int | None
    digest: str | None
    study_instance_uid: str
    did: str
    items: tuple[Item, ...]


def write_part(delivery: Delivery) -> bytes:
    """Of which study, under which decision; then a line an instance."""
    return f"{delivery.study_instance_uid} {delivery.did}\n".encode() + write_items(delivery.items)


def study_tag(master: MasterKey, study_instance_uid: str) -> str:
    """Finds a study's deliveries without naming it."""
    return hmac.new(master.derive("audit study"), study_instance_uid.encode(), hashlib.sha256).hexdigest()


def keep(
    connection: Connection, master: MasterKey, delivery: Delivery, *, number: int, opened: int, exchange_id: str,
    whole: bool, now: datetime,
) -> None:  # fmt: skip
    """Write down that there is something to be signed for; in the transaction of the record."""
    values = {
        "number": number, "opened": opened, "side": delivery.side, "exchange_id": exchange_id, "peer": delivery.peer,
        "study": study_tag(master, delivery.study_instance_uid), "whole": int(whole), "since": now, "state": "owed",
    }  # fmt: skip
    connection.execute(insert(audit_delivery).values(**values))


def of_exchanges(connection: Connection, keys: MonthKeys, side: str, peer: str, exchanges: Iterable[str]) -> list[Sent]:
    """The lists of these exchanges with a country."""
    return _read(connection, keys, (d.side == side) & (d.peer == peer) & d.exchange_id.in_(tuple(exchanges)))


def of_study(connection: Connection, keys: MonthKeys, side: str, peer: str, tag: str) -> Sent | None:
    """The newest list of a study."""
    found = _read(connection, keys, (d.side == side) & (d.peer == peer) & (d.study == tag), newest=1)
    return found[0] if found else None


def owed(connection: Connection, keys: MonthKeys, before: datetime, limit: int) -> list[Sent]:
    """What this side received and has not signed for, the oldest first."""
    return _read(connection, keys, (d.side == "B") & (d.state == "owed") & (d.since <= before), limit=limit)


def mark(connection: Connection, numbers: Sequence[int], state: str, receipt: int | None, digest: str | None) -> None:
    """Say how the signing ended; what is settled stays so."""
    mine = d.number.in_(tuple(numbers)) & (d.state != "settled")
    connection.execute(update(audit_delivery).where(mine).values(state=state, receipt=receipt, digest=digest))


def receipt_of(connection: Connection, number: int) -> int | None:
    """The record that opened the exchange of a list's receipt, both having signed."""
    query = select(d.receipt).where(d.number == number, d.state == "settled")
    return connection.execute(query).scalar()


def missing(connection: Connection, now: datetime) -> list[tuple[str, str]]:
    """Exchange id and country of what was sent whole and not signed for in time since now; each is told once."""
    overdue = (d.side == "A") & (d.state == "owed") & (d.whole == 1) & (d.since < now - LATE)
    found = [(row.exchange_id, row.peer) for row in connection.execute(select(d.exchange_id, d.peer).where(overdue))]
    if found:
        connection.execute(update(audit_delivery).where(overdue).values(state="late"))
    return found


def share_missing(connection: Connection, now: datetime) -> dict[str, float]:
    """Which countries left more of a day's deliveries unsigned than may be: the share of each."""
    recent = (d.side == "A") & (d.whole == 1) & d.since.between(now - DAY, now - LATE)
    count, late = func.count(), func.sum(func.iif(d.state == "late", 1, 0))
    rows = connection.execute(select(d.peer, count, late).where(recent).group_by(d.peer))
    shares = {row[0]: row[2] / row[1] for row in rows if row[1] >= MISSING_FROM}
    return {peer: share for peer, share in shares.items() if share > MISSING_SHARE}


def is_open(connection: Connection, exchanges: Iterable[str]) -> bool:
    """Whether one of these exchanges has not come to its end yet."""
    ending, t = audit_trail.alias(), audit_trail.c
    query = (
        select(t.number)
        .outerjoin(ending, ending.c.closes == t.number)
        .where(t.exchange_id.in_(tuple(exchanges)), t.kind == "intent", ending.c.number.is_(None))
    )
    return connection.execute(query.limit(1)).first() is not None


def _read(
    connection: Connection, keys: MonthKeys, where: object, *, newest: int | None = None, limit: int | None = None
) -> list[Sent]:
    query = select(audit_delivery).where(where).order_by(d.number.desc() if newest else d.number)  # type: ignore[arg-type]  # a condition
    found = []
    for row in connection.execute(query.limit(newest or limit) if newest or limit else query):
        head, _, lines = parts_of(connection, row.number, keys).get(PART, b" \n").partition(b"\n")
        study, _, did = head.decode("ascii", "replace").partition(" ")
        items = tuple(read_items(lines))
        found.append(
            Sent(
                row.number, row.opened, row.exchange_id, row.peer, row.state, row.receipt, row.digest, study, did, items
            )
        )
    return found
