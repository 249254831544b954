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
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from isthmus.config import Settings
from isthmus.errors import IsthmusError, TrustListStale, UntrustedCountry
from isthmus.storage.database import Database
from isthmus.storage.schema.trust import trust_entry, trust_list
from isthmus.trust.additions import counting, known_since
from isthmus.trust.certificates import spki_sha256
from isthmus.trust.keys import StatementKey, load_public_key
from isthmus.trust.trustlist import MAX_BYTES, Participant, TrustList, digest_of, read_trust_list

LOG = logging.getLogger("isthmus.trust")
LOOK_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class _Held:
    """The accepted list, and since when its entries are known."""

    listed: TrustList
    since: dict[str, int]


class Directory:
    """Follows the list's file. `db` keeps the highest number seen; without one, memory does."""

    def __init__(self, settings: Settings, db: Database | None, clock: Callable[[], datetime]) -> None:
        self.problem: str | None = None
        self._settings = settings
        self._db = db
        self._clock = clock
        self._file = settings.path(settings.trust.list)
        self._hold_s = int(settings.trust.hold_h * 3600)
        operators = [settings.path(name) for name in settings.trust.operator_keys]
        self._operators = tuple(load_public_key(file, settings.env, frozenset({"trustlist"})) for file in operators)
        self._held: _Held | None = None
        self._turn = threading.Lock()
        self._looked = 0.0

    # the list

    def refresh(self) -> bool:
        """Look at the file; accept what is new and right. Gives whether the list changed. Refusals are told, not raised."""
        with self._turn:
            self._looked = time.monotonic()
            before = self._held
            if self._held is None:
                self._held = self._restored()
            try:
                self._accept(self._text())
            except TrustListStale as refusal:
                if self.problem != str(refusal):
                    LOG.error("trust list: %s", refusal)
                self.problem = str(refusal)
            else:
                self.problem = None
            return self._held is not before

    async def watch(self) -> None:
        """Follow the file until cancelled."""
        while True:
            await asyncio.sleep(self._settings.trust.poll_s)
            try:
                await asyncio.to_thread(self.refresh)
            except IsthmusError as error:
                LOG.error("trust list: %s", error)

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
        if found is None and time.monotonic() - self._looked > LOOK_AGAIN_S:
            self.refresh()
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

    def _text(self) -> str:
        try:
            with self._file.open("rb") as stream:
                content = stream.read(MAX_BYTES + 1)
            return content.decode("ascii").strip()
        except OSError as error:
            raise TrustListStale(f"the file {self._file} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise TrustListStale(f"the file {self._file} is no trust list") from None

    def _accept(self, token: str) -> None:
        digest = digest_of(token)
        held = self._held
        if held is not None and held.listed.digest == digest:
            return
        least = held.listed.seq if held is not None else self._least()
        now = self._clock()
        listed = read_trust_list(token, self._operators, env=self._settings.env, now=now, after_seq=least)
        second = int(now.timestamp())
        if self._db is not None:
            since = self._db.write_now(lambda connection: _keep(connection, listed, token, second))
        else:
            if held is not None:
                _no_other_bytes(listed, held.listed.seq, held.listed.digest)
            since = known_since(None if held is None else held.since, listed, second)
        self._held = _Held(listed, since)
        LOG.info("trust list: number %d accepted", listed.seq)

    def _least(self) -> int:
        """The lowest number still accepted: the stored one, else the setting for first use."""
        stored = None if self._db is None else self._db.read_now(_stored)
        return self._settings.trust.min_seq if stored is None else stored[0]

    def _restored(self) -> _Held | None:
        """The list accepted before a restart, should the file be gone or broken."""
        if self._db is None or (stored := self._db.read_now(_stored)) is None:
            return None
        seq, _, token = stored
        try:
            listed = read_trust_list(token, self._operators, env=self._settings.env, now=self._clock(), after_seq=seq)
        except TrustListStale:
            return None
        return _Held(listed, self._db.read_now(_known))


def _stored(connection: Connection) -> tuple[int, str, str] | None:
    row = connection.execute(select(trust_list.c.seq, trust_list.c.digest, trust_list.c.token)).first()
    return None if row is None else (row.seq, row.digest, row.token)


def _known(connection: Connection) -> dict[str, int]:
    return {row.name: row.since for row in connection.execute(select(trust_entry.c.name, trust_entry.c.since))}


def _keep(connection: Connection, listed: TrustList, token: str, second: int) -> dict[str, int]:
    """Store what was accepted; another process may have been first."""
    stored = _stored(connection)
    if stored is not None:
        _no_other_bytes(listed, stored[0], stored[1])
    since = known_since(None if stored is None else _known(connection), listed, second)
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
