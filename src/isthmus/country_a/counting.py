"""How often, how much, counted at the border: requests of a peer, searches and patients as rows, transfers that run.

Source: trust.md §3.6; T38, T81.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection

from isthmus import telemetry
from isthmus.config import Limits
from isthmus.country_a.passes import Admitted, Asker, Introduced, Known
from isthmus.errors import TooOften
from isthmus.model.queries import PatientQuery
from isthmus.storage.database import Database
from isthmus.storage.sealed import MasterKey
from isthmus.trust.limits import Buckets, count_failure, count_patient, count_professional, count_search

TRANSFERS_TIMES = 20  # requests for images against searches: what bounds them is how many run at a time


class Counting:
    """The counters of one border."""

    def __init__(
        self, state: Database, master: MasterKey, limits: Limits, env: str, clock: Callable[[], datetime]
    ) -> None:
        self._state, self._limits, self._env, self._clock = state, limits, env, clock
        self._tag = master.derive("country_a/patients-asked")
        self._tokens = Buckets(limits.tokens_per_s, limit="peer-tokens")
        self._requests = Buckets(limits.requests_per_s, limit="peer-requests")
        self._transfers = Buckets(limits.requests_per_s * TRANSFERS_TIMES, limit="peer-transfers")
        self._running: Counter[str] = Counter()

    def token(self, known: Known) -> None:
        """One token request of a peer. Raises TooOften."""
        self._tokens.take(known.peer.ncp_id)

    def request(self, known: Known, *, transfer: bool = False) -> None:
        """One search or read of a peer, or one request for images: a resume asks image by image. Raises TooOften."""
        (self._transfers if transfer else self._requests).take(known.peer.ncp_id)

    def search(self, introduced: Introduced, query: PatientQuery) -> Callable[[Connection], None]:
        """One patient search: of the professional, the point of care, and of the peer's patients of today.

        For the transaction of the record. Absent, found and opted out count alike.
        """
        peer, asker, now = introduced.known.peer, introduced.asker, introduced.known.now
        asked = "\n".join(sorted(f"{i.system}|{i.value}" for i in query.identifiers))
        patient = self._digest(asked)
        most = peer.policy.patients_per_day

        def count(connection: Connection) -> None:
            professional, point = self._professional(introduced), f"{peer.ncp_id} {asker.point_of_care}"
            count_search(connection, professional, point, limits=self._limits, env=self._env, now=now)
            if count_patient(connection, peer.ncp_id, patient, patients_per_day=most, env=self._env, now=now):
                telemetry.limited("patients-per-day", country=peer.country, verdict="alarm")

        return count

    def treating(self, asker: Asker, known: Known) -> Callable[[Connection], None]:
        """One professional who treats a patient today. In the transaction of the record."""
        whom = "" if asker.patient is None else f"{asker.patient.system}|{asker.patient.value}"
        patient, professional = (self._digest(text) for text in (whom, f"{asker.peer} {asker.sub}"))

        def count(connection: Connection) -> None:
            alarm = self._limits.professionals_per_patient
            if whom and count_professional(connection, patient, professional, alarm=alarm, now=known.now):
                telemetry.limited("professionals-per-patient", country=known.peer.country, verdict="alarm")

        return count

    async def nobody(self, introduced: Introduced) -> None:
        """A search that found nobody."""
        professional, now = self._professional(introduced), introduced.known.now
        await self._state.write(
            lambda connection: count_failure(connection, professional, limits=self._limits, env=self._env, now=now)
        )

    @contextmanager
    def transfer(self, admitted: Admitted) -> Iterator[None]:
        """One image transfer while it runs. Raises TooOften when too many run already."""
        peer = admitted.peer
        slots = (
            ("professional-transfers", f"{peer} {admitted.sub}", self._limits.parallel_images),
            ("peer-parallel-transfers", peer, self._limits.parallel_images_peer),
        )
        for limit, subject, most in slots:
            if self._running[subject] >= most:
                raise TooOften("too many image transfers at a time", limit=limit, retry_after_s=1)
        for _, subject, _ in slots:
            self._running[subject] += 1
        try:
            yield
        finally:
            for _, subject, _ in slots:
                self._running[subject] -= 1
                if not self._running[subject]:
                    del self._running[subject]

    def _digest(self, text: str) -> str:
        return hmac.digest(self._tag, text.encode(), hashlib.sha256).hex()

    def _professional(self, introduced: Introduced) -> str:
        return f"{introduced.known.peer.ncp_id} {introduced.asker.sub}"
