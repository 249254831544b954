"""How a node asks its peers about their logs: under `/ncp`, to the address and the key that the trust list names.

Source: trust.md §2.6 (M13), §4.4.
"""

from __future__ import annotations

from isthmus.errors import TrustListStale, UntrustedCountry
from isthmus.transport.outbound import Outbound
from isthmus.trust.directory import Directory
from isthmus.trust.trustlist import Participant

ANSWER_MAX = 64 << 10


class PeerLine:
    """The line to every other participant that has a log."""

    def __init__(self, directory: Directory, outbound: Outbound) -> None:
        self._directory, self._outbound = directory, outbound

    def peers(self) -> tuple[Participant, ...]:
        """Who is active now, ourselves left out; nobody while the list does not count, or does not have us."""
        try:
            ours, listed = self._directory.ours.ncp_id, self._directory.current.participants
        except (TrustListStale, UntrustedCountry):
            return ()
        return tuple(p for p in listed if p.active and p.ncp_id != ours and p.log is not None)

    async def ask(self, peer: Participant, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of an answer. Raises CountryUnreachable, CountryTimedOut, UntrustedCountry, CountryMisanswered."""
        async with self._outbound.request(
            method,
            peer.endpoints.ncp.rstrip("/") + path,
            headers={"Content-Type": "text/plain; charset=utf-8"} if body is not None else {},
            body=body,
            pins=self._directory.server_pins(peer),
            country=peer.country,
        ) as response:
            return response.status, await response.read(ANSWER_MAX)
