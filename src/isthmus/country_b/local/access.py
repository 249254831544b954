"""Who may read in a visit: the professional who is signed in, or a program with a token that the visit handed out.

A token is 256 random bits, kept as digest, for at most 15 minutes, for one visit and its patient; it dies with visit or session. It
counts in the header `Authorization` alone. Its issue and its use stand in the trail: the first reading of each thing by each token.

Source: trust.md §2.14, T92; interfaces.md §6, §12; RFC 6750 §2.1.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from http.cookies import CookieError, SimpleCookie
from typing import Any

import anyio
from sqlalchemy import Connection, Row, delete, insert, select

from isthmus.audit.events import Ending, Intent, Note, Outcome
from isthmus.audit.trail import Trail
from isthmus.country_b.visit import Visit, Visits
from isthmus.errors import InsufficientRights, InvalidToken, IsthmusError
from isthmus.model.people import Patient
from isthmus.pages.forms import require_own_page
from isthmus.signin.sessions import Session, Sessions
from isthmus.storage.database import Database
from isthmus.storage.schema.country_b import visit_token_table
from isthmus.transport.inbound import Request
from isthmus.transport.pump import Sent

LIFE_S = 15 * 60
SEEN_MAX = 10_000  # readings remembered, so that each stands in the trail once
t = visit_token_table


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, in which visit. `by` is the beginning of the digest of session or token."""

    visit: Visit
    by: str
    is_token: bool

    @property
    def country(self) -> str:
        return self.visit.patients[0].country

    @property
    def patient(self) -> Patient:
        return self.visit.patients[0].patient


@dataclass
class Reading:
    """One reading under way; what was sent of it is told at the end."""

    sent: Sent | None = None


class Access:
    """The door of the visits of a node. `cookie` is the session's; without one, tokens alone are taken."""

    def __init__(
        self,
        db: Database,
        sessions: Sessions,
        visits: Visits,
        trail: Trail,
        clock: Callable[[], datetime],
        *,
        public: str,
        cookie: str | None,
    ) -> None:
        self._db, self._sessions, self._visits, self._trail, self._clock = db, sessions, visits, trail, clock
        self._public, self._cookie = public, cookie
        self._seen: dict[tuple[str, ...], None] = {}

    async def admit(self, request: Request, visit_id: str) -> Reader:
        """Who asks. Raises InvalidToken; InsufficientRights when the visit is over, or not confirmed yet."""
        if "authorization" in request.headers:
            return await self._by_token(_bearer(request), visit_id)
        session = await self._session(request)
        if session is None:
            raise InvalidToken("neither a token nor a session", reason="token-missing")
        if request.method == "POST":
            require_own_page(request, self._public)
        return Reader(_confirmed(await self._visits.find(visit_id, session.professional)), session.id[:16], False)

    async def issue(self, request: Request, visit_id: str) -> str:
        """A token of this visit, for the session that asks from a page of ours. Raises InsufficientRights."""
        session = await self._session(request)
        if session is None:
            raise InsufficientRights("nobody is signed in", reason="sign-in")
        require_own_page(request, self._public)
        visit = _confirmed(await self._visits.find(visit_id, session.professional))
        token, now = secrets.token_urlsafe(32), self._clock().timestamp()
        row: dict[str, Any] = {
            "digest": _digest(token),
            "visit": visit.id,
            "session": session.id,
            "patient": _bound(visit),
            "expires": now + LIFE_S,
        }

        def keep(c: Connection) -> None:
            c.execute(delete(t).where(t.c.expires <= now))
            c.execute(insert(t).values(row))

        await self._note(request, "issued", visit.id, row["digest"])
        await self._db.write(keep)
        return token

    async def lives(self, reader: Reader) -> bool:
        """Whether the visit still runs: asked in the middle of what takes long. A token that ran out meanwhile is no matter.

        Source: field-faults F51.
        """
        with contextlib.suppress(InsufficientRights):
            await self._visits.find(reader.visit.id, reader.visit.professional)
            return True
        return False

    @contextlib.asynccontextmanager
    async def reading(self, reader: Reader, request: Request, what: str) -> AsyncIterator[Reading]:
        """Record the first reading of a thing by a reader: open before anything is given, closed with what was sent."""
        reading, key = Reading(), (reader.visit.id, reader.by, what)
        if key in self._seen:
            yield reading
            return
        opened = await self._trail.open(_intent(reader, request, what))
        self._seen[key] = None
        if len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        outcome = Outcome(outcome="incomplete", reason="interrupted")
        try:
            yield reading
            if (sent := reading.sent) is not None:
                ending: Ending = "complete" if sent.complete else "incomplete"
                outcome = Outcome(
                    outcome=ending, status=sent.status, bytes=sent.bytes, digest=sent.digest, reason=sent.why
                )
        except IsthmusError as error:
            outcome = Outcome(outcome="refused", status=error.meaning.status, reason=error.reason)
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await self._trail.close(opened, outcome)

    async def _by_token(self, token: str, visit_id: str) -> Reader:
        digest = _digest(token)
        found = select(t).where(t.c.digest == digest)
        row: Row[Any] | None = await self._db.read(lambda c: c.execute(found).one_or_none())
        if row is None:
            raise InvalidToken("no token of this node", reason="token")
        if row.expires <= self._clock().timestamp():
            raise InvalidToken("the token ran out", reason="token-expired")
        professional = await self._sessions.living(row.session)
        try:
            if professional is None or row.visit != visit_id:
                raise InvalidToken("a token of another visit, or of a session that ended", reason="token")
            visit = _confirmed(await self._visits.find(visit_id, professional))
            if row.patient != _bound(visit):
                raise InvalidToken("a token for another patient", reason="token")
        except IsthmusError as error:
            raise InvalidToken("the token is not good here", reason="token") from error
        return Reader(visit, digest[:16], True)

    async def _session(self, request: Request) -> Session | None:
        jar: SimpleCookie = SimpleCookie()
        with contextlib.suppress(CookieError):
            jar.load(request.headers.get("cookie", ""))
        morsel = jar.get(self._cookie) if self._cookie else None
        return await self._sessions.find(morsel.value) if morsel is not None else None

    async def _note(self, request: Request, what: str, visit: str, digest: str) -> None:
        details = {"what": what, "visit": visit, "token": digest[:16]}
        await self._trail.note(Note(kind="visit-token", side="B", exchange_id=request.exchange_id, details=details))


def _bearer(request: Request) -> str:
    """The token, whose scheme is written in any case. Raises InvalidToken."""
    found = re.fullmatch(r"bearer +([A-Za-z0-9._~+/=-]{20,200})", request.headers["authorization"], re.IGNORECASE)
    if found is None:
        raise InvalidToken("no bearer token of ours", reason="token")
    return found[1]


def _confirmed(visit: Visit) -> Visit:
    if visit.relationship is None or not visit.patients:
        raise InsufficientRights("the treatment relationship is not confirmed", reason="scope")
    return visit


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("ascii")).hexdigest()


def _bound(visit: Visit) -> str:
    """To whom a token is bound: the persons of the visit as their countries named them for it."""
    named = [f"{one.country}\0{one.patient.handle}" for one in visit.patients]
    return hashlib.sha256("\0".join(named).encode()).hexdigest()


def _intent(reader: Reader, request: Request, what: str) -> Intent:
    visit = reader.visit
    return Intent(
        side="B",
        transaction="view",
        exchange_id=request.exchange_id,
        peer=reader.country,
        organisation=visit.point_of_care.name,
        person=visit.professional.sub,
        role=visit.professional.role,
        purpose=visit.purpose.value,
        patient=reader.patient.identifier,
        origins=(reader.country,),
        token_jti=reader.by if reader.is_token else "",
        details={"what": what},
    )
