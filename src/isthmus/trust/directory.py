"""What the trust list says of a peer now. Asked per request, and inside a stream before each part.

A list that is refused changes nothing: the one before stays, and `problem` says why. When it has run out, nobody is trusted.

Source: trust.md §2.2, D1, D2; T03, T05-T07.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection, delete, insert, select, update

from isthmus.config import Settings
from isthmus.errors import IsthmusError, SettingsProblem, TrustListStale, UntrustedCountry
from isthmus.storage.database import Database
from isthmus.storage.schema.trust import trust_entry, trust_list
from isthmus.trust.additions import counting, known_since, waiting
from isthmus.trust.certificates import spki_sha256
from isthmus.trust.following.alarms import Alarm, list_alarms
from isthmus.trust.following.attested import attested
from isthmus.trust.following.heard import Heard
from isthmus.trust.following.places import place_of
from isthmus.trust.keys import StatementKey, load_public_key
from isthmus.trust.trustlist import Participant, TrustList, digest_of, read_trust_list

LOG = logging.getLogger("isthmus.trust")
LOOK_AGAIN_S = 1.0
OPERATOR_KEYS_MAX = 2  # current, next
DIGESTS_KEPT = 64

Floor = tuple[int, str]
"""A number that was accepted once, and the digest of its bytes: what the trail remembers."""


@dataclass(frozen=True, slots=True)
class _Held:
    """The accepted list, and since when its entries are known."""

    listed: TrustList
    since: dict[str, int]


class Directory:
    """Follows the list. `db` keeps the highest number seen; without one, memory does. `floor` is what the trail knows of it."""

    def __init__(
        self, settings: Settings, db: Database | None, clock: Callable[[], datetime], floor: Floor | None = None
    ) -> None:
        self.problem: str | None = None
        self.heard = Heard()
        self._settings, self._db, self._clock, self._floor = settings, db, clock, floor
        self._place = place_of(settings)
        self._hold_s = int(settings.trust.hold_h * 3600)
        if not 1 <= len(settings.trust.operator_keys) <= OPERATOR_KEYS_MAX:
            raise SettingsProblem("trust.operator_keys names one file or two: current, next", key="trust.operator_keys")
        operators = [settings.path(name) for name in settings.trust.operator_keys]
        self._operators = tuple(load_public_key(file, settings.env, frozenset({"trustlist"})) for file in operators)
        self._held: _Held | None = None
        self._digests: dict[int, str] = {}
        self._refused = False  # whether `problem` is a list that was found, and refused
        self._good = clock()  # when a good list was found last
        self._turn = threading.Lock()
        self._looked = 0.0

    # the list

    def refresh(self) -> bool:
        """Look where the list lies; accept what is new and right. Gives whether what counts changed. Refusals are told, not raised."""
        with self._turn:
            return self._look(at_hand_alone=False)

    def _look(self, *, at_hand_alone: bool) -> bool:
        self._looked = time.monotonic()
        before, found = self._held, None
        self.recall()
        try:
            if self._place.at_hand or not at_hand_alone:
                found = self._place.text(self._clock().timestamp())
            if found is not None:
                self._accept(found)
        except TrustListStale as refusal:
            if self.problem != str(refusal):
                LOG.error("trust list: %s", refusal)
            self.problem, self._refused = str(refusal), found is not None
        else:
            if found is not None:
                self.problem, self._refused, self._good = None, False, self._clock()
        return self._held is not before

    def _look_soon(self) -> None:
        """Something may be there that we do not have. Who asks may not be kept waiting: an address is left to `watch`."""
        if time.monotonic() - self._looked > LOOK_AGAIN_S and self._turn.acquire(blocking=False):
            try:
                self._place.hurry()
                self._look(at_hand_alone=True)
            finally:
                self._turn.release()

    async def watch(self) -> None:
        """Follow the list until cancelled."""
        while True:
            await asyncio.sleep(self._settings.trust.poll_s)
            try:
                await asyncio.to_thread(self.refresh)
            except IsthmusError as error:
                LOG.error("trust list: %s", error)

    def hear(self, country: str, header: str | None) -> None:
        """Note which list a peer shows that it follows."""
        self.heard.hear(country, header, self._digests, self._clock())

    def alarms(self) -> list[Alarm]:
        """What the operator has to know now."""
        held, now = self._held, self._clock()
        of_list = list_alarms(
            held.listed if held else None, refused=self.problem if self._refused else None, good=self._good,
            missing=self.problem, env=self._settings.env, now=now,
        )  # fmt: skip
        return [*of_list, *self.heard.alarms(held.listed.seq if held else -1, now)]

    @property
    def accepted(self) -> TrustList | None:
        """The list as it was accepted, what must still wait included; whether it still runs is not asked."""
        return self._held.listed if self._held else None

    @property
    def waiting(self) -> dict[str, int]:
        """What of the list does not count yet, and from which second on it will."""
        now = int(self._clock().timestamp())
        return waiting(self._held.since, self._hold_s, now) if self._held else {}

    def let_in(self, ncp_id: str) -> list[str]:
        """End the wait of everything that is a participant's: an operator called them. Gives what waited."""
        names = [name for name in self.waiting if name.split(" ")[1] == ncp_id]
        if self._db is None:
            raise SettingsProblem("a wait is ended in the node's database", key="database")
        if names:
            ended = update(trust_entry).where(trust_entry.c.name.in_(names)).values(since=0)
            self._db.write_now(lambda connection: connection.execute(ended) and None)
            self.refresh()
        return names

    @property
    def current(self) -> TrustList:
        """The list as it counts now. Raises TrustListStale when it has run out or none was ever accepted."""
        now = self._clock()
        if self._held is None:
            raise TrustListStale(f"no trust list was accepted yet: {self.problem or 'none was looked for'}")
        if not self._held.listed.runs(now):
            raise TrustListStale("the trust list has run out")
        return counting(self._held.listed, self._held.since, self._hold_s, int(now.timestamp()))

    @property
    def seq_header(self) -> str:
        """`NCP-Trust-Seq`: number and digest, by which peers notice that they follow another list."""
        listed = self.current
        return f"{listed.seq};sha256={listed.digest}"

    # who

    def peer(self, der: bytes | None) -> Participant:
        """The active participant whose client certificate this is. Raises UntrustedCountry."""
        if der is None:
            raise _unknown("the connection has no client certificate")
        spki, now = spki_sha256(der), self._clock()
        for participant in self.current.participants:
            for key in participant.tls:
                if key.spki_sha256 == spki:
                    if participant.active and key.holds("client", now):
                        return participant
                    raise _unknown(
                        "the peer is suspended, or its certificate is not good for this", participant.country
                    )
        raise _unknown("the peer's certificate is not in the trust list")

    def country(self, code: str) -> Participant:
        """The country that answers under this code. Raises UntrustedCountry."""
        found = [p for p in self.current.participants if p.country == code and "A" in p.roles and p.active]
        if len(found) != 1:
            raise _unknown(f"{code} is not a country that answers now, by the trust list", code)
        return found[0]

    @property
    def countries(self) -> tuple[Participant, ...]:
        """Those who answer now, ourselves left out; by code."""
        found = (p for p in self.current.participants if "A" in p.roles and p.active)
        return tuple(sorted((p for p in found if p.ncp_id != self._settings.ncp_id), key=lambda p: p.country))

    @property
    def ours(self) -> Participant:
        """Our own entry. Raises UntrustedCountry when the list does not have us, or suspends us."""
        participant = self._named(self._settings.ncp_id)
        if participant.country != self._settings.country:
            raise _unknown("the trust list has our ncp_id under another country")
        return participant

    def key(self, iss: str, kid: str, use: str) -> StatementKey:
        """The key of an active participant for one use. An unknown `kid` makes us look at the file once more.

        Raises UntrustedCountry. Source: field-faults F53.
        """
        found = self._key(iss, kid, use)
        if found is None:
            self._look_soon()
            found = self._key(iss, kid, use)
        if found is None:
            raise _unknown("the trust list has no such key for this issuer and use")
        return found

    def server_pins(self, participant: Participant) -> frozenset[str]:
        """The server keys that may answer for a participant, as the list has them now. Raises UntrustedCountry."""
        now = self._clock()
        pins = frozenset(key.spki_sha256 for key in self._named(participant.ncp_id).tls if key.holds("server", now))
        if not pins:
            raise _unknown("the trust list has no server key for it", participant.country)
        return pins

    def is_active(self, ncp_id: str, der: bytes | None) -> bool:
        """Whether a transfer that is under way may go on."""
        try:
            participant = self._named(ncp_id)
        except (UntrustedCountry, TrustListStale):
            return False
        if der is None:
            return True
        spki, now = spki_sha256(der), self._clock()
        return any(
            key.spki_sha256 == spki and (key.holds("client", now) or key.holds("server", now))
            for key in participant.tls
        )

    def may_stay(self, der: bytes) -> bool:
        """Whether a peer may keep a connection open. When the list has run out it may: what it asks is refused in words."""
        try:
            self.peer(der)
        except UntrustedCountry:
            return False
        except TrustListStale:
            return True
        return True

    def _named(self, ncp_id: str) -> Participant:
        for participant in self.current.participants:
            if participant.ncp_id == ncp_id:
                if participant.active:
                    return participant
                raise _unknown(f"{participant.country} is suspended in the trust list", participant.country)
        raise _unknown("not in the trust list")

    def _key(self, iss: str, kid: str, use: str) -> StatementKey | None:
        now = self._clock()
        keys = [key for p in self.current.participants if p.ncp_id == iss and p.active for key in p.keys]
        return next((key for key in keys if key.kid == kid and key.holds(use, now)), None)

    # accepting

    def recall(self) -> None:
        """Take over what was accepted before a restart, or by another process of the node since; and whose wait was ended."""
        if self._db is None:
            return
        stored, held = self._db.read_now(_stored), self._held
        if stored is None:
            return
        if held is None or (stored[0] > held.listed.seq):
            self._hold(self._restored(*stored) or held)
        elif any(held.since.values()):
            known = self._db.read_now(_known)
            if known != held.since:
                self._held = replace(held, since=known)

    def _accept(self, token: str) -> None:
        digest, held = digest_of(token), self._held
        if held is not None and held.listed.digest == digest:
            return
        now = self._clock()
        least = held.listed.seq if held is not None else self._least()
        listed = read_trust_list(token, self._operators, env=self._settings.env, now=now, after_seq=least)
        if self._floor is not None:
            _no_other_bytes(listed, *self._floor)
        before = frozenset[str]()
        if held is not None:
            before = attested(listed, counting(held.listed, held.since, self._hold_s, int(now.timestamp())), now)
        second = int(now.timestamp())
        if self._db is not None:
            since = self._db.write_now(lambda connection: _keep(connection, listed, token, second, before))
        else:
            if held is not None:
                _no_other_bytes(listed, held.listed.seq, held.listed.digest)
            since = known_since(None if held is None else held.since, listed, second, before)
        self._hold(_Held(listed, since))
        LOG.info("trust list: number %d accepted", listed.seq)

    def _hold(self, held: _Held | None) -> None:
        self._held = held
        if held is not None:
            kept = islice(reversed(self._digests.items()), DIGESTS_KEPT)
            self._digests = {**dict(reversed(list(kept))), held.listed.seq: held.listed.digest}

    def _least(self) -> int:
        """The lowest number still accepted: the stored one, else the setting for first use."""
        stored = None if self._db is None else self._db.read_now(_stored)
        return self._settings.trust.min_seq if stored is None else stored[0]

    def _restored(self, seq: int, digest: str, token: str) -> _Held | None:
        """The list that is stored, if it still holds; the file may be gone or broken."""
        assert self._db is not None  # asked before
        try:
            listed = read_trust_list(token, self._operators, env=self._settings.env, now=self._clock(), after_seq=seq)
            if self._floor is not None:
                _no_other_bytes(listed, *self._floor)
        except TrustListStale:
            return None
        return _Held(listed, self._db.read_now(_known))


def waiting_in(db: Database, hold_s: int, second: int) -> dict[str, int]:
    """What waits in a node's database, for who only looks."""
    return waiting(db.read_now(_known), hold_s, second)


def _stored(connection: Connection) -> tuple[int, str, str] | None:
    row = connection.execute(select(trust_list.c.seq, trust_list.c.digest, trust_list.c.token)).first()
    return None if row is None else (row.seq, row.digest, row.token)


def _known(connection: Connection) -> dict[str, int]:
    return {row.name: row.since for row in connection.execute(select(trust_entry.c.name, trust_entry.c.since))}


def _keep(
    connection: Connection, listed: TrustList, token: str, second: int, attested: frozenset[str]
) -> dict[str, int]:
    """Store what was accepted; another process may have been first."""
    stored = _stored(connection)
    if stored is not None:
        _no_other_bytes(listed, stored[0], stored[1])
    since = known_since(None if stored is None else _known(connection), listed, second, attested)
    connection.execute(delete(trust_list))
    connection.execute(delete(trust_entry))
    connection.execute(
        insert(trust_list).values(id=1, seq=listed.seq, digest=listed.digest, token=token, accepted=second)
    )
    if since:
        connection.execute(insert(trust_entry), [{"name": name, "since": first} for name, first in since.items()])
    return since


def _no_other_bytes(listed: TrustList, seq: int, digest: str) -> None:
    if listed.seq < seq or (listed.seq == seq and listed.digest != digest):
        raise TrustListStale(
            f"the trust list is refused: number {listed.seq} is lower than {seq}, or is known with other bytes"
        )


def _unknown(why: str, country: str | None = None) -> UntrustedCountry:
    return UntrustedCountry(why, country=country)
