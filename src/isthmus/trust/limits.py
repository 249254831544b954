"""How often, how much: buckets per peer in memory, counters of persons as rows. Over the limit is refused, not only noted.

Each refusal names its limit (fact `limit`), for the operator's event.

Source: trust.md §3.6.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from isthmus.config import Limits
from isthmus.errors import TooOften
from isthmus.storage.schema.trust import trust_failure, trust_patient, trust_search, trust_treating

WINDOW_S = 600
FIRST_WAIT_S = 60
LONGEST_WAIT_S = 3600
DAY_S = 86_400
PRACTICE_FACTOR = 100
_MOST_BUCKETS = 10_000


class Buckets:
    """So many a second for each subject, twice that in a burst. One per kind of request, living in each process."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic, limit: str = "peer-requests") -> None:
        self._per_s, self._limit = per_s, limit
        self._burst = 2 * per_s
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}  # subject: how much was left, when
        self._turn = threading.Lock()

    def take(self, subject: str) -> None:
        """Raises TooOften."""
        with self._turn:
            now = self._clock()
            left, when = self._left.get(subject, (self._burst, now))
            left = min(self._burst, left + (now - when) * self._per_s)
            if left < 1:
                wait_s = math.ceil((1 - left) / self._per_s)
                raise TooOften("more requests a second than a peer may send", limit=self._limit, retry_after_s=wait_s)
            if len(self._left) >= _MOST_BUCKETS:
                self._left.clear()
            self._left[subject] = (left - 1, now)


def count_search(
    connection: Connection, professional: str, point_of_care: str, *, limits: Limits, env: str, now: datetime
) -> None:
    """Count one patient search of a professional at a point of care, both named with their peer. Raises TooOften.

    Absent, found and opted out count alike. Belongs in the transaction of the trail's intent.
    """
    factor, second = _factor(env), int(now.timestamp())
    _refuse_while_waiting(connection, professional, limits.failed_searches_per_10_min * factor, second)
    connection.execute(delete(trust_search).where(trust_search.c.at <= second - WINDOW_S))
    for kind, subject, most in (
        ("professional", professional, limits.searches_per_10_min * factor),
        ("point-of-care", point_of_care, limits.point_of_care_per_10_min * factor),
    ):
        _within(connection, f"{kind} {subject}", most, second, limit=f"{kind}-searches")
        connection.execute(insert(trust_search).values(subject=f"{kind} {subject}", at=second))


def count_failure(connection: Connection, professional: str, *, limits: Limits, env: str, now: datetime) -> None:
    """Count a search that found nobody; ten quiet minutes after the wait that followed, all is forgotten.

    The wait is asked for by `count_search`.
    """
    second, most = int(now.timestamp()), limits.failed_searches_per_10_min * _factor(env)
    mine = trust_failure.c.subject == professional
    row = connection.execute(select(trust_failure).where(mine)).first()
    if row is None:
        connection.execute(insert(trust_failure).values(subject=professional, failures=1, last=second))
        return
    forgotten = second >= row.last + _wait(row.failures, most) + WINDOW_S
    failures = 1 if forgotten else row.failures + 1
    connection.execute(update(trust_failure).where(mine).values(failures=failures, last=second))


def count_patient(
    connection: Connection, peer: str, patient: str, *, patients_per_day: int, env: str, now: datetime
) -> bool:
    """Count a patient whom a peer asks about today; gives whether half of what it may ask for is reached with this one. Raises TooOften.

    `patient` is a keyed digest.
    """
    second = int(now.timestamp())
    day, most = second // DAY_S, patients_per_day * _factor(env)
    connection.execute(delete(trust_patient).where(trust_patient.c.day < day))
    today = (trust_patient.c.peer == peer) & (trust_patient.c.day == day)
    known = connection.execute(select(trust_patient.c.day).where(today, trust_patient.c.patient == patient)).first()
    count: int = connection.execute(select(func.count()).select_from(trust_patient).where(today)).scalar_one()
    if known is not None:
        return False
    if count >= most:
        wait_s = (day + 1) * DAY_S - second
        raise TooOften(
            "more patients today than this peer's entry allows", limit="patients-per-day", retry_after_s=wait_s
        )
    connection.execute(insert(trust_patient).values(peer=peer, day=day, patient=patient))
    return count + 1 == math.ceil(most / 2)


def count_professional(connection: Connection, patient: str, professional: str, *, alarm: int, now: datetime) -> bool:
    """Count who treats a patient today; gives whether this one is as many as alarm. Nobody is refused for it.

    Both are keyed digests.
    """
    day = int(now.timestamp()) // DAY_S
    connection.execute(delete(trust_treating).where(trust_treating.c.day < day))
    today = (trust_treating.c.patient == patient) & (trust_treating.c.day == day)
    mine = select(trust_treating.c.day).where(today, trust_treating.c.professional == professional)
    if connection.execute(mine).first() is not None:
        return False
    connection.execute(insert(trust_treating).values(patient=patient, day=day, professional=professional))
    count: int = connection.execute(select(func.count()).select_from(trust_treating).where(today)).scalar_one()
    return count == alarm


def _factor(env: str) -> int:
    return PRACTICE_FACTOR if env == "demo" else 1


def _within(connection: Connection, subject: str, most: int, second: int, *, limit: str) -> None:
    mine = (trust_search.c.subject == subject) & (trust_search.c.at > second - WINDOW_S)
    count, oldest = connection.execute(select(func.count(), func.min(trust_search.c.at)).where(mine)).one()
    if count >= most:
        wait_s = oldest + WINDOW_S - second
        raise TooOften("more patient searches in ten minutes than allowed", limit=limit, retry_after_s=wait_s)


def _refuse_while_waiting(connection: Connection, professional: str, most: int, second: int) -> None:
    row = connection.execute(select(trust_failure).where(trust_failure.c.subject == professional)).first()
    if row is not None and second < (free := row.last + _wait(row.failures, most)):
        raise TooOften("too many searches that found nobody", limit="failed-searches", retry_after_s=free - second)


def _wait(failures: int, most: int) -> int:
    """After `most` failures a minute, then two, four, up to an hour."""
    return 0 if failures < most else min(FIRST_WAIT_S * 2 ** min(failures - most, 10), LONGEST_WAIT_S)
