"""Seen once is seen. Rows in the transaction of the trail's record, shared by all processes of one NCPeH.

A statement is named by issuer, type and `jti`, never by its bytes: one signature has two valid forms. Purging raises a mark below
which nothing is accepted, so neither a clock set back nor a restored database opens the window again.

Source: trust.md §2.4 rule 7; T19.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from isthmus.errors import Replayed
from isthmus.storage.schema.trust import trust_mark, trust_seen
from isthmus.trust.jws import SKEW_S

PURGE_AFTER_S = 60


def remember(
    connection: Connection,
    issuer: str,
    typ: str,
    jti: str,
    expires_at: int,
    now: datetime,
    *,
    reason: str = "replay",
) -> None:
    """Note a statement whose signature held. Raises Replayed when it was here before, or can no longer be told."""
    until = expires_at + SKEW_S
    mark = connection.execute(select(trust_mark.c.low_water)).scalar()
    if mark is not None and until <= mark:
        raise Replayed("too old to tell whether it was seen before", reason=reason)
    named = (trust_seen.c.issuer == issuer) & (trust_seen.c.typ == typ) & (trust_seen.c.jti == jti)
    if connection.execute(select(trust_seen.c.until).where(named)).first() is not None:
        raise Replayed("this statement was seen before", reason=reason)
    connection.execute(insert(trust_seen).values(issuer=issuer, typ=typ, jti=jti, until=until))
    _purge(connection, int(now.timestamp()))


def close_window(connection: Connection, until: int) -> None:
    """Refuse everything that runs out up to a moment: of a database that was put back nobody knows what was seen meanwhile."""
    mark = connection.execute(select(trust_mark.c.low_water)).scalar()
    if mark is None:
        connection.execute(insert(trust_mark).values(id=1, low_water=until))
    else:
        connection.execute(update(trust_mark).values(low_water=max(mark, until)))


def _purge(connection: Connection, second: int) -> None:
    """Forget what ran out more than a minute ago, and raise the mark to the youngest of it."""
    over = trust_seen.c.until <= second - PURGE_AFTER_S
    youngest: int | None = connection.execute(select(func.max(trust_seen.c.until)).where(over)).scalar()
    if youngest is None:
        return
    connection.execute(delete(trust_seen).where(over))
    close_window(connection, youngest)
