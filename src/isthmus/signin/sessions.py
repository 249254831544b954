"""Sessions: 256 random bits in the cookie, their digest in the database; 15 minutes idle, 8 hours in all.

A page's token is the session's secret under a mask of its own, so that compressed pages do not give it away.

Source: trust.md §2.14; BREACH.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, delete, insert, or_, select, update

from isthmus.errors import InsufficientRights
from isthmus.model.people import HealthProfessional
from isthmus.signin.struck_off import StruckOff
from isthmus.storage.database import Database
from isthmus.storage.schema.signin import signin_session

IDLE_S = 15 * 60
ABSOLUTE_S = 8 * 3600
TOUCH_S = 30  # how coarse `used` may be: not every request is a write


@dataclass(frozen=True, slots=True)
class Session:
    """A session that lives. `token` is there when it was just started or found; only the cookie keeps it."""

    id: str
    professional: HealthProfessional
    csrf_secret: bytes = field(repr=False)
    token: str = field(repr=False)


class Sessions:
    """Sessions of one node, shared by all its processes."""

    def __init__(self, db: Database, clock: Callable[[], datetime], struck_off: StruckOff = StruckOff(None)) -> None:
        self._db, self._clock, self._struck_off = db, clock, struck_off

    async def start(self, professional: HealthProfessional) -> Session:
        """A new session at each sign-in; the professional's `session` becomes a digest that can be told abroad.

        Raises InsufficientRights (no-role) for who was struck off.
        """
        token = secrets.token_urlsafe(32)
        id_ = _digest(token)
        who = replace(professional, session=_digest(f"sid {id_}")[:32])
        session = Session(id_, who, secrets.token_bytes(32), token)
        second = self._second()
        row = {
            "id": id_,
            "professional": msgspec.json.encode(who),
            "csrf_secret": session.csrf_secret,
            "started": second,
            "used": second,
        }

        def keep(connection: Connection) -> None:
            if self._struck_off.names(who.sub):
                raise InsufficientRights("this professional was struck off", reason="no-role")
            connection.execute(delete(signin_session).where(_ended(second)))
            connection.execute(insert(signin_session).values(row))

        await self._db.write(keep)
        return session

    async def renew(self, id_: str, again: HealthProfessional) -> bool:
        """Note that the same person showed once more who they are: when, how, at which level. False when the session is over."""
        alive = select(signin_session.c.professional).where(signin_session.c.id == id_, ~_ended(self._second()))

        def work(connection: Connection) -> bool:
            held = connection.execute(alive).scalar()
            if held is None:
                return False
            before = msgspec.json.decode(held, type=HealthProfessional)
            if before.sub != again.sub:
                return False
            who = msgspec.json.encode(replace(before, auth_time=again.auth_time, acr=again.acr, amr=again.amr))
            connection.execute(update(signin_session).where(signin_session.c.id == id_).values(professional=who))
            return True

        return await self._db.write(work)

    async def find(self, token: str, *, used: bool = True) -> Session | None:
        """The living session that a cookie names, if any; `used` now, or only looked at. Who was struck off since has none."""
        if not 20 <= len(token) <= 100:
            return None
        id_, second = _digest(token), self._second()
        alive = select(signin_session).where(signin_session.c.id == id_, ~_ended(second))

        def look(connection: Connection) -> tuple[Row[Any], HealthProfessional] | None:
            row = connection.execute(alive).first()
            who = None if row is None else self._still(row.professional)
            return None if row is None or who is None else (row, who)

        held = await self._db.read(look)
        if held is None:
            return None
        row, who = held
        if used and second - row.used >= TOUCH_S:
            touched = update(signin_session).where(signin_session.c.id == id_).values(used=second)
            await self._db.write(lambda connection: connection.execute(touched).rowcount)
        return Session(id_, who, row.csrf_secret, token)

    async def living(self, id_: str) -> HealthProfessional | None:
        """Whose session of this id still lives. It is not used by being looked at."""
        alive = select(signin_session.c.professional).where(signin_session.c.id == id_, ~_ended(self._second()))
        return await self._db.read(lambda connection: self._still(connection.execute(alive).scalar()))

    async def end(self, token: str) -> None:
        gone = delete(signin_session).where(signin_session.c.id == _digest(token))
        await self._db.write(lambda connection: connection.execute(gone).rowcount)

    def _still(self, held: bytes | None) -> HealthProfessional | None:
        """Whose session this is, unless they were struck off meanwhile."""
        who = None if held is None else msgspec.json.decode(held, type=HealthProfessional)
        return None if who is None or self._struck_off.names(who.sub) else who

    def _second(self) -> int:
        return int(self._clock().timestamp())


def cookie_name(country: str, public: str) -> str:
    """The session's cookie. Cookies ignore ports, so over plain HTTP the name has country and port in it."""
    parts = urlsplit(public)
    name = f"isthmus-{country}-{parts.port or (443 if parts.scheme == 'https' else 80)}"
    return f"__Host-{name}" if parts.scheme == "https" else name


def page_token(session: Session) -> str:
    """The token of one page."""
    mask = secrets.token_bytes(32)
    return (mask + _xor(mask, session.csrf_secret)).hex()


def page_token_holds(session: Session, token: str) -> bool:
    """Whether a form came from a page of this session."""
    try:
        content = bytes.fromhex(token)
    except ValueError:
        return False
    return len(content) == 64 and hmac.compare_digest(_xor(content[:32], content[32:]), session.csrf_secret)


def _ended(second: int) -> ColumnElement[bool]:
    return or_(signin_session.c.used <= second - IDLE_S, signin_session.c.started <= second - ABSOLUTE_S)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
