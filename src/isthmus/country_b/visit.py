"""A visit: one professional, one point of care, one patient, one reason, for a limited time.

It lives in the state database, sealed, so that any process of the node can serve it.

Source: interfaces.md §6; trust.md §2.5 (TRC), §2.14.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from isthmus.consent.roles import ROLES, Act, Roles
from isthmus.errors import InsufficientRights, PatientNotFound
from isthmus.model.context import EMERGENCY_LIFE, PointOfCare, Purpose, TreatmentRelationship
from isthmus.model.people import HealthProfessional, Patient
from isthmus.model.queries import PatientQuery
from isthmus.storage.database import Database
from isthmus.storage.schema.country_b import visit_table
from isthmus.storage.sealed import MasterKey, seal, unseal

LIFE = timedelta(hours=2)
IDLE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class VisitPatient:
    """The person a country found for this visit, with the handle under which it may be asked about them."""

    country: str
    patient: Patient


@dataclass(frozen=True, slots=True)
class Visit:
    """Who asks, for whom, where and why. Before the relationship is confirmed nothing but the person may be asked for."""

    id: str
    professional: HealthProfessional
    point_of_care: PointOfCare
    purpose: Purpose
    started: datetime
    patients: tuple[VisitPatient, ...] = ()
    relationship: TreatmentRelationship | None = None
    typed: PatientQuery | None = None  # what was looked for, to be shown beside what was found
    acts: frozenset[Act] = frozenset()  # what the professional may do, by this country's roles

    @property
    def expires(self) -> datetime:
        life = EMERGENCY_LIFE if self.purpose is Purpose.BTG else LIFE
        return (self.relationship.confirmed_at if self.relationship else self.started) + life

    @property
    def declared_at(self) -> int:
        """When the relationship was confirmed, in seconds since 1970; 0 before."""
        return int(self.relationship.confirmed_at.timestamp()) if self.relationship else 0

    def require(self, act: Act) -> None:
        """Refuse here, before anything is sent, what this role may not do. Raises InsufficientRights (reason role).

        Source: trust.md D11, §3.4.
        """
        if act not in self.acts:
            raise InsufficientRights(f"role {self.professional.role} may not ask for this: {act.value}", reason="role")

    def patient_in(self, country: str) -> Patient:
        """The person found in that country. Raises PatientNotFound when nobody was looked for there."""
        for entry in self.patients:
            if entry.country == country:
                return entry.patient
        raise PatientNotFound(f"this visit has no patient of {country}", country=country)

    def found(self, country: str, patient: Patient) -> Visit:
        others = tuple(entry for entry in self.patients if entry.country != country)
        return replace(self, patients=(*others, VisitPatient(country, patient)))


def new_visit(
    professional: HealthProfessional, point_of_care: PointOfCare, purpose: Purpose, now: datetime, roles: Roles = ROLES
) -> Visit:
    """A visit that has not asked for anyone yet."""
    acts = roles.open_to(professional)
    return Visit(secrets.token_urlsafe(16), professional, point_of_care, purpose, now, acts=acts)


def place_of(professional: HealthProfessional, country: str) -> PointOfCare:
    """Where the professional treats: the place that is known of them, else their organisation."""
    where = professional.place or professional.organisation
    return PointOfCare(where.identifier or where.name, where.name, country)


class Visits:
    """The visits of a node, in its database; each belongs to one professional and ends by itself."""

    def __init__(self, db: Database, master: MasterKey, clock: Callable[[], datetime]) -> None:
        self._db, self._clock = db, clock
        self._key = master.derive("country_b/visits")

    async def keep(self, visit: Visit) -> None:
        """Write a visit down, new or changed."""
        now = self._clock()
        body = seal(self._key, msgspec.json.encode(visit), visit.id.encode())
        row = {
            "sub": visit.professional.sub,
            "body": body,
            "seen": now.timestamp(),
            "expires": visit.expires.timestamp(),
        }

        def work(c: Connection) -> None:
            done = c.execute(update(visit_table).where(visit_table.c.id == visit.id).values(row))
            if done.rowcount == 0:
                c.execute(insert(visit_table).values(id=visit.id, **row))

        await self._db.write(work)

    async def find(self, visit_id: str, professional: HealthProfessional, *, used: bool = True) -> Visit:
        """The visit of that professional, still running; `used` now, or only looked at. Raises InsufficientRights (reason sign-in)."""
        now = self._clock()

        def work(c: Connection) -> bytes | None:
            row = c.execute(
                select(visit_table.c.body, visit_table.c.seen, visit_table.c.expires).where(
                    visit_table.c.id == visit_id, visit_table.c.sub == professional.sub
                )
            ).one_or_none()
            if row is None or row.expires <= now.timestamp() or row.seen <= (now - IDLE).timestamp():
                return None
            if used and row.seen <= (now - timedelta(seconds=30)).timestamp():
                c.execute(update(visit_table).where(visit_table.c.id == visit_id).values(seen=now.timestamp()))
            return bytes(row.body)

        body = await self._db.write(work)
        if body is None:
            raise InsufficientRights("no running visit of this professional under this id", reason="sign-in")
        visit = msgspec.json.decode(unseal(self._key, body, visit_id.encode()), type=Visit)
        return replace(visit, professional=professional)  # who may have shown anew who they are

    async def end(self, visit_id: str) -> None:
        """Forget a visit."""
        await self._db.write(lambda c: c.execute(delete(visit_table).where(visit_table.c.id == visit_id)) and None)

    async def ended(self) -> list[str]:
        """Forget the visits whose time is over; their ids, so that what was spooled for them goes too."""
        now = self._clock()
        over = (visit_table.c.expires <= now.timestamp()) | (visit_table.c.seen <= (now - IDLE).timestamp())

        def work(c: Connection) -> list[str]:
            ids = [row.id for row in c.execute(select(visit_table.c.id).where(over))]
            c.execute(delete(visit_table).where(over))
            return ids

        return await self._db.write(work)

    async def end_all_of(self, professional: HealthProfessional) -> list[str]:
        """Forget every visit of a professional (sign-out)."""

        def work(c: Connection) -> list[str]:
            mine = visit_table.c.sub == professional.sub
            ids = [row.id for row in c.execute(select(visit_table.c.id).where(mine))]
            c.execute(delete(visit_table).where(mine))
            return ids

        return await self._db.write(work)
