"""Additions wait, removals do not: a stolen list key can silence a country, not quietly become one.

Since when each entry of the list is known is kept; an entry younger than `trust.hold_h` does not count yet. A participant
that moves to a new origin waits whole: there is no telling what its old address now is. Two things end a wait early: the
participant's own countersignature (`following/attested.py`), and an operator who called them (`isthmus trust accept`).

Source: trust.md §2.2, T87.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from isthmus.trust.keys import StatementKey
from isthmus.trust.trustlist import Participant, TlsKey, TrustList

_LIVING = ("current", "next", "previous")  # a key that comes back from any other status is new


def entries(listed: TrustList) -> Iterator[str]:
    """The name of everything in a list whose appearance must wait."""
    for participant in listed.participants:
        yield from _whole(participant)
        yield from (tls_name(participant.ncp_id, key) for key in participant.tls if key.status in _LIVING)
        yield from (key_name(participant.ncp_id, key) for key in participant.keys if key.status in _LIVING)
        yield from _log(participant)


def known_since(
    before: Mapping[str, int] | None, listed: TrustList, second: int, attested: frozenset[str] = frozenset()
) -> dict[str, int]:
    """When each entry was first seen; 0 when it need not wait.

    A first list has nothing to wait for, nor has what its participant countersigned; what left and comes back is new.
    """
    if before is None:
        return dict.fromkeys(entries(listed), 0)
    return {name: before.get(name, 0 if name in attested else second) for name in entries(listed)}


def waiting(since: Mapping[str, int], hold_s: int, second: int) -> dict[str, int]:
    """What does not count yet, and from which second on it will."""
    return {name: first + hold_s for name, first in since.items() if first and first + hold_s > second}


def counting(listed: TrustList, since: Mapping[str, int], hold_s: int, second: int) -> TrustList:
    """The list without what must still wait."""
    young = waiting(since, hold_s, second).keys()
    if not young:
        return listed
    participants = (
        replace(
            participant,
            tls=tuple(key for key in participant.tls if tls_name(participant.ncp_id, key) not in young),
            keys=tuple(key for key in participant.keys if key_name(participant.ncp_id, key) not in young),
            log=participant.log if young.isdisjoint(_log(participant)) else None,
        )
        for participant in listed.participants
        if not young & set(_whole(participant))
    )
    return replace(listed, participants=tuple(participants))


def _whole(participant: Participant) -> tuple[str, ...]:
    origins = sorted(participant.endpoints.origins)
    return (f"participant {participant.ncp_id}", *(f"origin {participant.ncp_id} {entry}" for entry in origins))


def tls_name(ncp_id: str, key: TlsKey) -> str:
    """The name of a TLS key's entry."""
    return f"tls {ncp_id} {key.spki_sha256} {','.join(sorted(key.uses))}"


def key_name(ncp_id: str, key: StatementKey) -> str:
    """The name of a key's entry."""
    return f"key {ncp_id} {key.kid} {key.thumbprint} {','.join(sorted(key.uses))}"


def _log(participant: Participant) -> tuple[str, ...]:
    return () if participant.log is None else (f"log {participant.ncp_id} {participant.log.vkey}",)
