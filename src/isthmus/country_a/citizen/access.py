"""Who looked: every access to the patient's data, on the page and to take along. The reading stands in the list itself.

Source: trust.md §4.6; EHDS Art. 9.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from isthmus.audit.access import MORE, REASONS, Access, View, as_csv, as_json, reading
from isthmus.audit.access import PATIENT as PURPOSE
from isthmus.country_a.citizen.desk import Ask
from isthmus.pages.render import HEADERS
from isthmus.transport.answers import Answer


@dataclass(frozen=True, slots=True)
class Look:
    """One access as the page tells it."""

    at: str
    day: str
    clock: str
    person: str
    role: str
    where: str
    kind: str
    purpose: str
    outcome: str
    images: int
    reason: str
    viewed: bool
    emergency: bool


async def access_page(ask: Ask) -> Answer:
    view = await _read(ask)
    looks = [_look(ask, one) for one in view.accesses]
    return ask.page(
        "citizen-access.html", looks=looks, unreadable=view.unreadable, more=ask.spoken.say(MORE) if view.more else ""
    )


async def access_json(ask: Ask) -> Answer:
    return _file(orjson.dumps(as_json(await _read(ask)), option=orjson.OPT_INDENT_2), "application/json", "access.json")


async def access_csv(ask: Ask) -> Answer:
    return _file(as_csv(await _read(ask), ask.spoken.say(MORE)).encode(), "text/csv; charset=utf-8", "access.csv")


async def _read(ask: Ask) -> View:
    """Under every number the patient has or had; recorded before it is read."""
    desk = ask.desk
    intent = reading(ask.me, ncp_id=desk.settings.ncp_id, exchange_id=ask.request.exchange_id, purpose=PURPOSE)
    async with ask.on_record(intent):
        return await desk.accesses.of(await desk.deciding.numbers_of(ask.me))


def _look(ask: Ask, access: Access) -> Look:
    spoken, words = ask.spoken, {name: ask.spoken.say(text) for name, text in access.words().items()}
    country = ask.countries().get(access.country, "")
    return Look(
        at=access.at,
        day=spoken.date(access.at),
        clock=f"{access.at[11:16]} UTC",
        person=access.person,
        role=words["role"],
        where=", ".join(filter(None, (access.organisation, country))),
        kind=words["kind"],
        purpose=words["purpose"] if access.purpose else "",
        outcome=words["outcome"],
        images=access.instances,
        reason=_reason(ask, access.reason or ""),
        viewed=bool(access.viewed),
        emergency=access.purpose == "BTG",
    )


def _reason(ask: Ask, said: str) -> str:
    """Why, in the patient's language as far as it was chosen from a list; the professional's own words as they were written."""
    chosen, between, own = said.partition(": ")
    return f"{ask.spoken.say(REASONS[chosen])}{between}{own}" if chosen in REASONS else said


def _file(body: bytes, media_type: str, name: str) -> Answer:
    own = (("Content-Type", media_type), ("Content-Disposition", f'attachment; filename="{name}"'))
    return Answer(200, (*own, *HEADERS), (body,))
