"""An emergency is declared with the token that opens it: recorded and kept before the token leaves, once for its hour.

Source: trust.md §3.5; PS3.16.
"""

from __future__ import annotations

import secrets

from isthmus import telemetry
from isthmus.audit.events import Intent, Note, Outcome
from isthmus.audit.trail import Trail
from isthmus.consent.emergency import ALARM_A_DAY, SUPERVISOR_A_DAY, Declared, Emergencies
from isthmus.country_a.passes import Asker

STARTED, STOPPED = "110127", "110138"  # DCM: Emergency Override Started, Stopped
TRANSACTION = "emergency"


async def declare(asker: Asker, country: str, exchange_id: str, emergencies: Emergencies, trail: Trail) -> None:
    """Keep the emergency of a token, if it is a new one; nothing for a token of another purpose. Raises TooOften, AuditUnavailable."""
    if not asker.emergency or asker.patient is None:
        return
    declared = Declared(
        country, asker.organisation, asker.sub, asker.name, asker.role, asker.emergency, asker.patient, asker.since
    )
    if await emergencies.is_known(declared):
        return
    await trail.record(
        event(declared, STARTED, exchange_id), Outcome(outcome="complete"), emergencies.beginning(declared)
    )
    telemetry.emergency(country=country, word="declared")
    today = await emergencies.of_today(declared)
    words = {ALARM_A_DAY: "many-of-one-professional", SUPERVISOR_A_DAY: "supervisor"}
    if today in words:
        await alarm(trail, words[today], declared, exchange_id)


def event(declared: Declared, code: str, exchange_id: str = "") -> Intent:
    """The record of an emergency's beginning or end. Source: trust.md §3.5 (5), §4.1."""
    return Intent(
        side="A", transaction=TRANSACTION, exchange_id=exchange_id or secrets.token_hex(16), peer=declared.country,
        organisation=declared.organisation, person=f"{declared.person} {declared.name}", role=declared.role, purpose="BTG",
        patient=declared.patient, details={"event": code, "reason": declared.reason},
    )  # fmt: skip


def duty(declared: Declared, transaction: str, number: str, *, ncp_id: str, by: str = "", reason: str = "") -> Intent:
    """The record of what was done at home about an emergency: `notice`, the patient was told; `review`, somebody looked at it."""
    return Intent(
        side="A", transaction=transaction, exchange_id=secrets.token_hex(16), peer=ncp_id, person=by, patient=declared.patient,
        details={"emergency": number, **({"reason": reason} if reason else {})},
    )  # fmt: skip


async def alarm(trail: Trail, word: str, declared: Declared, number: str) -> None:
    """Somebody at home has to look: a line for the operator, and a note on the trail. Names nobody but the country."""
    telemetry.emergency(country=declared.country, word=word)
    details = {"word": word, "what": declared.country, "emergency": number}
    await trail.note(Note(kind="alarm", side="A", exchange_id="alarm", details=details))
