"""Break-glass as each country keeps it: who declared an emergency for whom and why, until when, and what is owed for it.

Each owes a review within 72 hours on both sides, and in Country A a notice to the patient at once. What was declared is kept with the record of it,
before a token leaves; a notice is tried until it is sent.

Source: trust.md §3.5; EHDS Art. 9, Art. 11(5).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

import orjson
from sqlalchemy import Connection, Row, Update, delete, func, insert, select, update

from isthmus.errors import (
    ContentMismatch,
    DocumentNotFound,
    MalformedRequest,
    NationalInfrastructureUnavailable,
    TooOften,
)
from isthmus.model.context import EMERGENCY_LIFE
from isthmus.model.identifiers import PatientIdentifier
from isthmus.storage.database import Database
from isthmus.storage.schema.emergency import EMERGENCIES, NOTICE_ADDRESSES
from isthmus.storage.sealed import MasterKey, seal, unseal

REVIEW_WITHIN = timedelta(hours=72)
PER_HOUR = 20  # no hard stop below: a life may depend on it
ALARM_A_DAY, SUPERVISOR_A_DAY = 3, 5
FINDINGS = ("justified", "misuse")
TRY_FOR = timedelta(hours=72)
FIRST_WAIT_S, LONGEST_WAIT_S = 30, 3600


def checked_address(text: str) -> str:
    """A mail address as it is kept; an empty one is none. Raises MalformedRequest."""
    address = text.strip()
    if address and re.fullmatch(r"[!-?A-~]{1,64}@[A-Za-z0-9.\-]{1,190}", address) is None:
        raise MalformedRequest("not a mail address", reason="value", path="mail")
    return address


@dataclass(frozen=True, slots=True)
class Declared:
    """What a professional declared. `country` is the one at the other end: who asks, on side A, and who is asked, on side B. `reason` is
    its code before its words."""

    side: str  # A: our patient, who is to be told; B: our professional
    country: str
    organisation: str
    person: str = field(repr=False)
    name: str = field(repr=False)
    role: str
    reason: str = field(repr=False)
    patient: PatientIdentifier
    since: int  # seconds since 1970

    @property
    def who(self) -> dict[str, str]:
        """As a record of the trail names it."""
        person = f"{self.person} {self.name}"
        return {"organisation": self.organisation, "person": person, "role": self.role, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Kept:
    """A declared emergency as it stands."""

    id: str
    declared: Declared
    began: int
    ends: int
    notice: str
    attempts: int
    review_due: int
    reviewed: int | None
    finding: str | None


class Emergencies:
    """The emergencies of a node: of its patients abroad, and of its professionals."""

    def __init__(self, db: Database, master: MasterKey, clock: Callable[[], datetime]) -> None:
        self._db, self._clock = db, clock
        self._seal_key = master.derive("consent/emergencies")
        self._tag_key = master.derive("consent/emergency-sessions")

    async def is_known(self, declared: Declared) -> bool:
        """Whether it was declared before: every token of its hour says it again."""
        mine = select(EMERGENCIES.c.id).where(EMERGENCIES.c.session == self._session(declared))
        return await self._db.read(lambda connection: connection.execute(mine).first()) is not None

    def beginning(self, declared: Declared) -> Callable[[Connection], None]:
        """Keep it, in the transaction of its record. Raises TooOften at the twentieth of a professional within an hour."""
        id_, began = secrets.token_hex(16), declared.since
        body = orjson.dumps(asdict(declared))
        row = {
            "id": id_,
            "session": self._session(declared),
            "professional": self._professional(declared),
            "sealed": seal(self._seal_key, body, id_.encode()),
            "began": began,
            "ends": began + int(EMERGENCY_LIFE.total_seconds()),
            "notice": "due" if declared.side == "A" else "none",
            "notice_at": began,
            "attempts": 0,
            "review_due": began + int(REVIEW_WITHIN.total_seconds()),
        }

        def begin(connection: Connection) -> None:
            if self._count(connection, declared, timedelta(hours=1)) >= PER_HOUR:
                raise TooOften("more emergencies of one professional in an hour than can be", retry_after_s=3600)
            connection.execute(insert(EMERGENCIES).values(row))

        return begin

    async def of_today(self, declared: Declared) -> int:
        """How many this professional declared within a day: from ALARM_A_DAY on somebody looks, from SUPERVISOR_A_DAY the supervisor."""
        return await self._db.read(lambda connection: self._count(connection, declared, timedelta(days=1)))

    # what is owed

    def over_now(self) -> list[Kept]:
        """Those whose hour is over and whose end is not recorded yet."""
        return self._kept_now(EMERGENCIES.c.ended.is_(None) & (EMERGENCIES.c.ends <= self._second()))

    def ending(self, id_: str) -> Callable[[Connection], None]:
        """Note that the end is recorded, in the transaction of the record."""
        ended = update(EMERGENCIES).where(EMERGENCIES.c.id == id_).values(ended=self._second())
        return _writing(ended)

    def to_be_told_now(self) -> list[Kept]:
        """Those whose notice is to be tried now; each is given once, and again a minute later when nothing was said of it."""
        e, now = EMERGENCIES.c, self._second()
        due = (e.notice == "due") & (e.notice_at <= now)

        def claim(connection: Connection) -> list[Row[tuple[str]]]:
            found = list(connection.execute(select(EMERGENCIES).where(due)))
            connection.execute(update(EMERGENCIES).where(due).values(notice_at=now + 60))
            return found

        return [self._opened(row) for row in self._db.write_now(claim)]

    def told(self, id_: str) -> Callable[[Connection], None]:
        """The notice was sent; in the transaction of its record."""
        sent = update(EMERGENCIES).where(EMERGENCIES.c.id == id_).values(notice="sent", notice_at=self._second())
        return _writing(sent)

    def not_told_now(self, kept: Kept) -> bool:
        """An attempt failed: later again, for three days. False when it is given up, and somebody has to write a letter."""
        now, attempts = self._second(), kept.attempts + 1
        given_up = now - kept.began >= TRY_FOR.total_seconds()
        wait = min(FIRST_WAIT_S * 2 ** min(kept.attempts, 10), LONGEST_WAIT_S)
        said = {"attempts": attempts, "notice_at": now + wait, "notice": "unreachable" if given_up else "due"}
        changed = update(EMERGENCIES).where(EMERGENCIES.c.id == kept.id).values(said)
        self._db.write_now(lambda connection: connection.execute(changed) and None)
        return not given_up

    def overdue_now(self) -> list[Kept]:
        """Those whose review is overdue and was not told yet; told by this."""
        e, now = EMERGENCIES.c, self._second()
        late = e.reviewed.is_(None) & e.overdue_told.is_(None) & (e.review_due <= now)

        def tell(connection: Connection) -> list[Row[tuple[str]]]:
            found = list(connection.execute(select(EMERGENCIES).where(late)))
            connection.execute(update(EMERGENCIES).where(late).values(overdue_told=now))
            return found

        return [self._opened(row) for row in self._db.write_now(tell)]

    def forget_now(self, keep_months: int) -> int:
        """Erase those that are over for longer than the trail keeps its records, reviewed or not; gives how many. Source: trust.md T105."""
        now = self._clock()
        months = now.year * 12 + now.month - 1 - keep_months
        first = datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)  # of the oldest month that is kept
        old = EMERGENCIES.c.began < int(first.timestamp())
        if (
            self._db.read_now(lambda connection: connection.execute(select(EMERGENCIES.c.id).where(old)).first())
            is None
        ):
            return 0
        return self._db.write_now(lambda connection: connection.execute(delete(EMERGENCIES).where(old)).rowcount)

    # who looks at them

    def list_now(self, *, open_only: bool = True) -> list[Kept]:
        """The queue of reviews, the most pressing first; or all that there were."""
        everything = EMERGENCIES.c.id.is_not(None)
        return self._kept_now(EMERGENCIES.c.reviewed.is_(None) if open_only else everything)

    def reviewing(self, id_: str, finding: str) -> tuple[Kept, Callable[[Connection], None]]:
        """The emergency, and what closes its review in the transaction of the record. Raises DocumentNotFound."""
        found = [kept for kept in self.list_now() if kept.id == id_]
        if not found:
            raise DocumentNotFound("no emergency of this number waits for a review")
        changed = update(EMERGENCIES).where(EMERGENCIES.c.id == id_).values(reviewed=self._second(), finding=finding)
        return found[0], _writing(changed)

    # where a patient wants to be told

    def address_now(self, patient: PatientIdentifier) -> str | None:
        tag = self._tag("address", patient.system, patient.value)
        mine = select(NOTICE_ADDRESSES.c.sealed).where(NOTICE_ADDRESSES.c.patient_tag == tag)
        sealed = self._db.read_now(lambda connection: connection.execute(mine).scalar())
        return None if sealed is None else self._open(sealed, tag).decode()

    def keeping_address(self, patient: PatientIdentifier, address: str, by: str) -> Callable[[Connection], None]:
        """Keep a mail address, in the transaction of its record; an empty one forgets it."""
        tag = self._tag("address", patient.system, patient.value)
        row = {"patient_tag": tag, "sealed": seal(self._seal_key, address.encode(), tag), "kept": by}

        def write(connection: Connection) -> None:
            connection.execute(NOTICE_ADDRESSES.delete().where(NOTICE_ADDRESSES.c.patient_tag == tag))
            if address:
                connection.execute(insert(NOTICE_ADDRESSES).values(row))

        return write

    # inside

    def _kept_now(self, where: object) -> list[Kept]:
        wanted = select(EMERGENCIES).where(where).order_by(EMERGENCIES.c.review_due)  # type: ignore[arg-type]  # a condition
        return [self._opened(row) for row in self._db.read_now(lambda c: list(c.execute(wanted)))]

    def _opened(self, row: Row[tuple[str]]) -> Kept:
        held = row._mapping
        said = orjson.loads(self._open(held["sealed"], held["id"].encode()))
        declared = Declared(**{**said, "patient": PatientIdentifier(**said["patient"])})
        names = ("began", "ends", "notice", "attempts", "review_due", "reviewed", "finding")
        return Kept(held["id"], declared, **{name: held[name] for name in names})

    def _open(self, sealed: bytes, aad: bytes) -> bytes:
        try:
            return unseal(self._seal_key, sealed, aad)
        except ContentMismatch as error:
            raise NationalInfrastructureUnavailable("what is kept of an emergency does not open") from error

    def _count(self, connection: Connection, declared: Declared, within: timedelta) -> int:
        since = self._second() - int(within.total_seconds())
        mine = (EMERGENCIES.c.professional == self._professional(declared)) & (EMERGENCIES.c.began > since)
        return int(connection.execute(select(func.count()).select_from(EMERGENCIES).where(mine)).scalar_one())

    def _session(self, declared: Declared) -> bytes:
        patient = declared.patient
        return self._tag(
            "session", declared.country, declared.person, patient.system, patient.value, str(declared.since)
        )

    def _professional(self, declared: Declared) -> bytes:
        return self._tag("professional", declared.side, declared.country, declared.person)

    def _tag(self, *parts: str) -> bytes:
        return hmac.digest(self._tag_key, orjson.dumps(parts), hashlib.sha256)

    def _second(self) -> int:
        return int(self._clock().timestamp())


def _writing(statement: Update) -> Callable[[Connection], None]:
    def write(connection: Connection) -> None:
        connection.execute(statement)

    return write
