"""What is alarming about the trust list now: a word for machines, a sentence for the operator.

Source: trust.md §2.2, T06, T07, T88.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from isthmus.trust.trustlist import TrustList

FREEZE = timedelta(minutes=10)
PROD_LIFE_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is not as it should be."""

    word: str  # refused, frozen, half-life, run-out, long-lived, none, behind, split-view
    message: str
    country: str = ""


def list_alarms(
    listed: TrustList | None, *, refused: str | None, good: datetime, missing: str | None, env: str, now: datetime
) -> list[Alarm]:
    """What the list and the looking for it say. `good`: when a good one was found last; `missing`: why none is found now."""
    found = []
    if refused is not None:
        found.append(Alarm("refused", refused))
    if now - good >= FREEZE:
        found.append(
            Alarm("frozen", f"no good trust list was found for 10 minutes: {missing or refused or 'nobody looked'}")
        )
    if listed is None:
        return [*found, Alarm("none", "no trust list was accepted yet: no other country is trusted")]
    second, life = now.timestamp(), listed.next_update - listed.issued
    if second >= listed.next_update:
        found.append(Alarm("run-out", "the trust list has run out: all traffic with other countries is refused"))
    elif second >= listed.issued + life / 2:
        found.append(
            Alarm("half-life", f"the trust list is past half of its life and ends at {_moment(listed.next_update)}")
        )
    if env == "prod" and life > PROD_LIFE_S:
        found.append(
            Alarm("long-lived", "the trust list lives longer than 24 hours: a blocked way to it would stay unseen")
        )
    return found


def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")
