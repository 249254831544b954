"""What a node does beside its exchanges: signs where its log ends, shows that to its peers, and has theirs proven.

A peer that falls silent is an alarm; the service goes on. What a peer signed and cannot prove is an incident on our trail.

Source: trust.md §4.3, §4.4, T77, T78, T106.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Protocol

from sqlalchemy import Connection, delete, insert, select

from isthmus import telemetry
from isthmus.audit import delivery
from isthmus.audit.events import Note as Event
from isthmus.audit.events import Side
from isthmus.audit.evidence.write import keep_list
from isthmus.audit.log import claims, witness
from isthmus.audit.log.checkpoints import Checkpoints
from isthmus.audit.log.nodes import Nodes
from isthmus.audit.merkle import continues
from isthmus.audit.query import Index
from isthmus.audit.trail import Trail
from isthmus.errors import IsthmusError
from isthmus.model.amounts import amount
from isthmus.storage.database import Database
from isthmus.storage.schema.audit_log import audit_checkpoint
from isthmus.trust.strict_json import read_object
from isthmus.trust.trustlist import Participant
from isthmus.wire.notes import Note, Submission, read_lines

TICK_S, SUBMIT_S, AGAIN_S, PROVE_S = 1.0, 20.0, 5.0, 5.0
SILENT_S = 600.0
PROOFS_AT_ONCE = 200
INDEX_AT_ONCE = 10_000


class Line(Protocol):
    """How a peer's `/ncp` is asked: status and body. Raises IsthmusError when it is not reached."""

    async def ask(self, peer: Participant, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]: ...


class Rounds:
    """The rounds of one node. `alarms` are what an operator should know now; `shown` the checkpoints that came with answers."""

    def __init__(
        self,
        *,
        state: Database,
        head_key: bytes,
        trail: Trail,
        checkpoints: Checkpoints,
        peers: Callable[[], tuple[Participant, ...]],
        line: Line,
        side: Side,
        shown: dict[str, Note],
        index: Index,
        clock: Callable[[], datetime],
    ) -> None:
        self._side, self.shown, self._index = side, shown, index
        self._state, self._head_key, self._trail, self._checkpoints = state, head_key, trail, checkpoints
        self._peers, self._line, self._clock = peers, line, clock
        self._told: dict[str, int] = {}  # the size that each peer saw last
        self._seen_at = time.monotonic()
        self.alarms: dict[str, str] = {}

    async def watch(self) -> None:
        """Go round until cancelled."""
        submitted = proved = 0.0
        while True:
            await asyncio.to_thread(self._checkpoints.tick_now)
            await self._alarm("checkpoint", self._checkpoints.problem)
            now = time.monotonic()
            if now - submitted >= SUBMIT_S:
                seen = await self._each(self.submit)
                submitted = now if all(seen) else now - SUBMIT_S + AGAIN_S
                await self._silence()
            if now - proved >= PROVE_S:
                proved = now
                await self._each(self.prove)
                await self.overdue()
                await asyncio.to_thread(self._index.catch_up, INDEX_AT_ONCE)
                await self._state.write(partial(keep_list, now=self._clock()))
            await asyncio.sleep(TICK_S)

    # our log, seen by others

    async def submit(self, peer: Participant) -> bool:
        """Show a peer where our log ends; whether it says that it has seen it."""
        for _ in range(2):  # the first answer may tell what it saw last
            note = await asyncio.to_thread(self._checkpoints.tick_now)
            if note is None or peer.log is None:
                return False
            size, old = note.checkpoint.size, self._told.get(peer.ncp_id, 0)
            if old > size:
                await self._alarm(
                    f"behind {peer.country}", f"{peer.country} has seen {amount(old, 'record')}, we have {size}"
                )
                return False
            proof = await self._state.read(partial(self._continued, old, size))
            status, body = await self._line.ask(
                peer, "POST", "/witness/add-checkpoint", Submission(old, tuple(proof), note).write()
            )
            if status == 200:
                return await self._cosigned(peer, note, body)
            if status != 409 or (last := _number(body)) is None or last == old:
                what = f"{peer.country} does not witness our log: {status}"
                await self._alarm(f"witness {peer.country}", what, incident=status in (409, 422))
                return False
            self._told[peer.ncp_id] = last
        return False

    def _continued(self, old: int, size: int, connection: Connection) -> list[bytes]:
        return Nodes(connection, self._head_key).continued(old, size)

    async def _cosigned(self, peer: Participant, note: Note, body: bytes) -> bool:
        with contextlib.suppress(ValueError):
            cosigned = note.with_lines(read_lines(body.decode("utf-8")))
            if peer.log is not None and peer.log.cosigned_at(cosigned) is not None:
                self._told[peer.ncp_id] = note.checkpoint.size
                now = self._clock()
                await self._state.write(lambda c: keep_seen(c, cosigned, now))
                self._seen_at = time.monotonic()
                for name in (f"witness {peer.country}", f"behind {peer.country}"):
                    await self._alarm(name, None)
                return True
        await self._alarm(f"witness {peer.country}", f"{peer.country} answered without its cosignature")
        return False

    async def _silence(self) -> None:
        silent = time.monotonic() - self._seen_at > SILENT_S and bool(self._peers())
        what = "no other country has seen our log for ten minutes" if silent else None
        await self._alarm("witnesses", what, incident=True)

    # their logs, proven to us

    async def prove(self, peer: Participant) -> bool:
        """Fetch the proofs of what a peer says it logged, and hold what it showed against what we have seen; whether it gave them."""
        if peer.log is None:
            return False
        origin = peer.log.name
        held = await self._state.read(lambda c: witness.seen(c, origin))
        if held is None:
            return False
        if (shown := self.shown.get(origin)) is not None and await self._compare(peer, held, shown):
            self.shown.pop(origin, None)
        size = held.checkpoint.size
        for claim in await self._state.read(lambda c: claims.waiting(c, origin, size, PROOFS_AT_ONCE)):
            status, body = await self._line.ask(peer, "GET", f"/log/proof?seq={claim.leaf.seq}&size={size}")
            proof = _hashes(body) if status == 200 else None
            if proof is not None and claims.holds(claim, proof, held):
                await self._state.write(partial(claims.proven, claim=claim, proof=proof, note=held))
            elif status == 200:
                await self._state.write(partial(claims.wrong, claim=claim))
                await self._incident("log-proof-wrong", peer.country, f"record {claim.number}, theirs {claim.leaf.seq}")
            else:
                return False  # asked again, until it is late
        return True

    async def _compare(self, peer: Participant, held: Note, shown: Note) -> bool:
        """Whether a checkpoint that came with an answer is of the log that we have seen. An offence is kept."""
        (old, new) = sorted((held.checkpoint, shown.checkpoint), key=lambda one: one.size)
        proof: list[bytes] | None = []
        if old.size not in (0, new.size):
            status, body = await self._line.ask(peer, "GET", f"/log/proof?old={old.size}&size={new.size}")
            if status != 200:
                return False
            proof = _hashes(body)
        if proof is None or not continues(old.size, old.root, new.size, new.root, proof):
            now, against = self._clock(), held.write()
            keep = partial(witness.keep_offence, note=shown, what="split view", against=against, now=now)
            if await self._state.write(keep):
                await self._incident("log-split-view", peer.country, f"{amount(shown.checkpoint.size, 'record')} shown")
        return True

    async def overdue(self) -> None:
        """Say what was not proven, and not signed for, in time."""
        now = self._clock()
        counted = await self._state.write(lambda c: claims.late(c, now))
        for origin, count in counted.items():
            await self._incident("log-proof-missing", origin, amount(count, "record"))
        for exchange_id, peer in await self._state.write(lambda c: delivery.missing(c, now)):
            await self._trail.note(
                Event(kind="receipt-missing", side="A", exchange_id=exchange_id, details={"peer": peer})
            )
        shares = await self._state.read(lambda c: delivery.share_missing(c, now))
        for name in [name for name in self.alarms if name.partition("receipts ")[2] not in ("", *shares)]:
            self.alarms.pop(name)
        for peer, share in shares.items():
            what = f"{peer} signed for less than it was sent: {share:.1%} of a day's deliveries are without receipt"
            await self._alarm(f"receipts {peer}", what, incident=True)

    # what is said

    def alarming(self) -> dict[tuple[str, str], str]:
        """The alarms that go on now, for who watches over the whole node."""
        return {("log", name): what for name, what in self.alarms.items()}

    async def _each(self, work: Callable[[Participant], Awaitable[bool]]) -> list[bool]:
        async def one(peer: Participant) -> bool:
            try:
                return await work(peer)
            except IsthmusError as error:
                telemetry.log().warning("a peer's log is not reached", country=peer.country, reason=error.reason)
                return False

        return await asyncio.gather(*(one(peer) for peer in self._peers()))

    async def _alarm(self, name: str, what: str | None, *, incident: bool = False) -> None:
        """Raise or end an alarm; what is an incident is written down when it begins."""
        if what is None:
            self.alarms.pop(name, None)
        elif name not in self.alarms:
            self.alarms[name] = what
            telemetry.log().error("alarm", what=what)
            if incident:
                await self._incident("witness", name, what)

    async def _incident(self, kind: str, who: str, what: str) -> None:
        telemetry.log().error("incident", kind=kind, who=who, what=what)
        await self._trail.note(Event(kind=kind, side=self._side, details={"peer": who, "what": what}))


def keep_seen(connection: Connection, note: Note, now: datetime) -> None:
    """Keep a checkpoint of ours with who has seen it; further cosignatures of the same are added."""
    size = note.checkpoint.size
    kept = connection.execute(select(audit_checkpoint.c.note).where(audit_checkpoint.c.size == size)).scalar()
    if kept is not None:
        connection.execute(delete(audit_checkpoint).where(audit_checkpoint.c.size == size))
        before = Note.read(kept)
        fresh = {line.name + line.key_id.hex() for line in note.signatures}
        note = note.with_lines([line for line in before.signatures if line.name + line.key_id.hex() not in fresh])
    connection.execute(insert(audit_checkpoint).values(size=size, note=note.write(), seen_at=now))


def _number(body: bytes) -> int | None:
    text = body.decode("ascii", "replace")
    return int(text) if text.removesuffix("\n").isdecimal() and len(text) < 20 else None


def _hashes(body: bytes) -> list[bytes] | None:
    """The proof of an answer; None when it is none."""
    try:
        proof = read_object(body).get("proof")
        if not isinstance(proof, list) or len(proof) > 64:
            return None
        return [b64decode(str(part), validate=True) for part in proof]
    except ValueError:
        return None
