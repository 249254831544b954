"""Whether the other countries can be reached, which trust list they follow, and what their clocks say.

Asked is what needs no token: the capability of each active country's border, over mutual TLS with its pinned key.

Source: trust.md §6.1 (doctor), §6.2, §6.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from isthmus.errors import IsthmusError
from isthmus.transport.outbound import Outbound
from isthmus.trust.directory import Directory
from isthmus.trust.following.heard import HEADER
from isthmus.trust.trustlist import Participant

BODY_MAX = 1 << 20
SKEW_S = 5.0
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """One country, asked now. `problem` says why nothing came."""

    country: str
    problem: str | None = None
    seq: int | None = None
    skew_s: float | None = None  # its clock less ours


async def ask_peers(
    directory: Directory, outbound: Outbound, clock: Callable[[], datetime], *, ourselves: bool = False
) -> list[Asked]:
    """Ask every active country, some at a time; by code. Raises TrustListStale."""
    turns, ours = asyncio.Semaphore(AT_ONCE), directory.ours.ncp_id
    others = [p for p in directory.current.participants if p.active and (ourselves or p.ncp_id != ours)]

    async def one(participant: Participant) -> Asked:
        async with turns:
            return await _ask(directory, outbound, participant, clock)

    return sorted(await asyncio.gather(*(one(p) for p in others)), key=lambda asked: asked.country)


async def _ask(
    directory: Directory, outbound: Outbound, participant: Participant, clock: Callable[[], datetime]
) -> Asked:
    country = participant.country
    try:
        async with outbound.request(
            "GET",
            f"{participant.endpoints.fhir}/metadata",
            headers={"Accept": "application/fhir+json"},
            pins=directory.server_pins(participant),
            country=country,
        ) as answer:
            shown, date, status = answer.headers.get(HEADER.lower()), answer.headers.get("date"), answer.status
            await answer.read(BODY_MAX)
    except IsthmusError as error:
        return Asked(country, problem=str(error))
    directory.hear(country, shown)
    if status != 200:
        return Asked(country, problem=f"it answers with status {status}", seq=_number(directory, country, shown))
    return Asked(country, seq=_number(directory, country, shown), skew_s=_skew(date, clock()))


def _number(directory: Directory, country: str, shown: str | None) -> int | None:
    heard = directory.heard.shown.get(country)
    return heard.seq if heard is not None and shown is not None else None


def _skew(date: str | None, now: datetime) -> float | None:
    """Of whole seconds, as a Date header has them: within one it is nothing."""
    try:
        skew = (parsedate_to_datetime(date or "") - now).total_seconds()
    except (TypeError, ValueError):
        return None
    return 0.0 if -1.5 < skew < 1.0 else round(skew, 1)
