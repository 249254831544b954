"""Five failures, then a quarter of an hour of rest: for each login, known or not, in all processes and over a restart.

An attempt is counted before it is tried, so that many at once do not get more than five.

Source: trust.md §2.6 (M1).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from isthmus.storage.database import Database
from isthmus.storage.schema.signin import signin_rest
from isthmus.storage.sealed import MasterKey

FAILURES = 5
REST_S = 15 * 60


@dataclass(frozen=True, slots=True)
class Taken:
    """One attempt: it may be tried unless the login `rests`; `last`: if it fails too, the login rests from now on."""

    rests: bool
    last: bool


class Locks:
    """The rests of one node."""

    def __init__(self, db: Database, master: MasterKey, clock: Callable[[], datetime]) -> None:
        self._db, self._key, self._clock = db, master.derive("signin/rests"), clock

    async def take(self, login: str) -> Taken:
        """Count an attempt with this login."""
        subject, second = self._tag(login), int(self._clock().timestamp())

        def work(connection: Connection) -> Taken:
            connection.execute(delete(signin_rest).where(signin_rest.c.last <= second - REST_S))
            mine = signin_rest.c.subject == subject
            failures = connection.execute(select(signin_rest.c.failures).where(mine)).scalar()
            if failures is None:
                connection.execute(insert(signin_rest).values(subject=subject, failures=1, last=second))
                return Taken(rests=False, last=False)
            if failures >= FAILURES:
                return Taken(rests=True, last=False)
            connection.execute(update(signin_rest).where(mine).values(failures=failures + 1, last=second))
            return Taken(rests=False, last=failures + 1 == FAILURES)

        return await self._db.write(work)

    async def passed(self, login: str) -> None:
        """It was the right one: all is forgotten."""
        gone = delete(signin_rest).where(signin_rest.c.subject == self._tag(login))
        await self._db.write(lambda connection: connection.execute(gone).rowcount)

    def _tag(self, login: str) -> str:
        return hmac.digest(self._key, login.encode("utf-8", "replace"), hashlib.sha256).hex()
