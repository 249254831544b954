"""What goes on beside the node after an emergency was declared: the patient is told, its end is recorded, an overdue review alarms, and
what is kept of it is erased with the records of its month.

Words to the patient are neutral: they name no study, no body part, no country; all that stands behind the sign-in.

Source: trust.md §3.5 (5), §4.6; T110.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from isthmus import telemetry
from isthmus.audit.events import OVERRIDE_STOPPED, Intent, Note, Outcome, Side, override
from isthmus.audit.trail import Trail
from isthmus.config import Settings
from isthmus.consent import notices as ways
from isthmus.consent.emergency import Declared, Emergencies, Kept
from isthmus.errors import IsthmusError
from isthmus.sections import Audit
from isthmus.storage.database import Database
from isthmus.storage.sealed import MasterKey

EVERY_S = 5.0


class Notices(Protocol):
    """How patients are told. `consent/notices.py`."""

    async def tell(self, declared: Declared, address: str | None) -> None:
        """Raises NationalInfrastructureUnavailable, also where there is no way to this patient."""


class Duties:
    """Looks every few seconds; what fails is tried again at the next look."""

    def __init__(
        self,
        emergencies: Emergencies,
        trail: Trail,
        notices: Notices,
        ncp_id: str,
        *,
        keep_months: int = Audit().keep_months,
    ) -> None:
        self._emergencies, self._trail, self._notices, self._ncp_id = emergencies, trail, notices, ncp_id
        self._keep_months = keep_months

    @classmethod
    def of(
        cls, settings: Settings, state: Database, master: MasterKey, trail: Trail, clock: Callable[[], datetime]
    ) -> Duties:
        """Those of a node."""
        emergencies, keep_months = Emergencies(state, master, clock), settings.audit.keep_months
        return cls(emergencies, trail, ways.Notices(settings), settings.ncp_id, keep_months=keep_months)

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """One look."""
        for kept in await asyncio.to_thread(self._emergencies.over_now):
            await self._record(over(kept.declared), self._emergencies.ending(kept.id))
        for kept in await asyncio.to_thread(self._emergencies.to_be_told_now):
            await self._tell(kept)
        for kept in await asyncio.to_thread(self._emergencies.overdue_now):
            await self._alarm(kept, "review-overdue")
        await asyncio.to_thread(self._emergencies.forget_now, self._keep_months)

    async def _tell(self, kept: Kept) -> None:
        try:
            address = await asyncio.to_thread(self._emergencies.address_now, kept.declared.patient)
            await self._notices.tell(kept.declared, address)
        except IsthmusError as error:
            telemetry.failed(exchange_id="", transaction="notice", reason=error.reason, message=str(error))
            if not await asyncio.to_thread(self._emergencies.not_told_now, kept):
                await self._alarm(kept, "patient-not-told")
            return
        await self._record(duty(kept.declared, "notice", kept.id, ncp_id=self._ncp_id), self._emergencies.told(kept.id))

    async def _record(self, intent: Intent, also: Callable[[Connection], None]) -> None:
        await self._trail.record(intent, Outcome(outcome="complete"), also)

    async def _alarm(self, kept: Kept, word: str) -> None:
        declared = kept.declared
        telemetry.emergency(country=declared.country, word=word)
        details = {"word": word, "what": declared.country, "emergency": kept.id}
        side: Side = "A" if declared.side == "A" else "B"
        await self._trail.note(Note(kind="alarm", side=side, exchange_id="alarm", details=details))


def over(declared: Declared) -> Intent:
    """The record of an emergency's end."""
    side: Side = "A" if declared.side == "A" else "B"
    return override(OVERRIDE_STOPPED, side, secrets.token_hex(16), declared.country, declared.who, declared.patient)


def duty(declared: Declared, transaction: str, number: str, *, ncp_id: str, by: str = "", reason: str = "") -> Intent:
    """The record of what was done at home about an emergency: `notice`, the patient was told; `review`, somebody looked at it."""
    side: Side = "A" if declared.side == "A" else "B"
    return Intent(
        side=side, transaction=transaction, exchange_id=secrets.token_hex(16), peer=ncp_id, person=by, patient=declared.patient,
        details={"emergency": number, **({"reason": reason} if reason else {})},
    )  # fmt: skip
