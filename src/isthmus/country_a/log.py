"""Our log and theirs, between nodes: a peer shows where its log ends and is told that we saw it; proofs from ours are given out.

No exchange of a patient's, and so no record: a record of each would make the logs grow for ever. What is at odds is written down.

Source: trust.md §2.6 (M13), §4.4; C2SP tlog-witness.
"""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from isthmus.audit.events import Note, Side
from isthmus.audit.log.checkpoints import Checkpoints, Signer
from isthmus.audit.log.line import PeerLine
from isthmus.audit.log.nodes import Nodes
from isthmus.audit.log.rounds import Rounds
from isthmus.audit.log.witness import Witness
from isthmus.audit.query import Index
from isthmus.audit.trail import Opened, Trail, head_key
from isthmus.config import Settings
from isthmus.country_a.passes import Known
from isthmus.errors import AuditUnavailable, MalformedRequest
from isthmus.fhir.elements import write_object
from isthmus.storage.database import Database
from isthmus.storage.sealed import MasterKey
from isthmus.transport.answers import Answer, json_answer
from isthmus.transport.inbound import Request
from isthmus.transport.outbound import Outbound
from isthmus.trust.directory import Directory
from isthmus.trust.keys import load_log_key
from isthmus.wire.notes import Leaf, LogKey, write_shown
from isthmus.wire.notes import Note as SignedNote

LOG = logging.getLogger("isthmus.country_a")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Log:
    """The log's desk at the border."""

    checkpoints: Checkpoints
    witness: Witness
    head_key: bytes
    state: Database
    trail: Trail
    directory: Directory
    side: Side
    clock: Callable[[], datetime]
    index: Index
    shown: dict[str, SignedNote] = field(default_factory=dict)  # by log: what came with answers to us

    @classmethod
    def open(
        cls,
        settings: Settings,
        state: Database,
        master: MasterKey,
        trail: Trail,
        directory: Directory,
        clock: Callable[[], datetime],
    ) -> Log | None:
        """None where the node has no key for its log yet, which is said; in production that is a SettingsProblem."""
        file = settings.path(settings.keys.log)
        if settings.env != "prod" and not file.exists():
            LOG.warning("the node has no key for its log: nobody can see where its trail ends (keys.log)")
            return None
        key, head = load_log_key(file, settings.env), head_key(master)
        checkpoints = Checkpoints(state, head, Signer(key, settings.folder))
        side: Side = "A" if settings.answers else "B"
        return cls(
            checkpoints, Witness(state, key, clock), head, state, trail, directory, side, clock, Index(state, master)
        )

    def rounds(self, outbound: Outbound) -> Rounds:
        """What is done beside the exchanges."""
        line = PeerLine(self.directory, outbound)
        return Rounds(
            state=self.state, head_key=self.head_key, trail=self.trail, checkpoints=self.checkpoints, peers=line.peers,
            line=line, side=self.side, clock=self.clock, shown=self.shown,
            index=self.index,
        )  # fmt: skip

    async def add_checkpoint(self, known: Known, request: Request) -> Answer:
        """Answer a peer that shows where its log ends."""
        said = await self.witness.add(request.body, self._log_of)
        if said.offence:
            what = {"peer": known.peer.country, "what": said.offence}
            await self.trail.note(Note(kind="log-fork", side=self.side, exchange_id=known.exchange_id, details=what))
        return Answer(said.status, (("Content-Type", said.media_type),), (said.body.encode(),))

    async def get_proof(self, request: Request) -> Answer:
        """Answer with the proof that a record is in our log, or that it continues what it was. Raises MalformedRequest."""
        asked = dict(request.query)
        if len(asked) != len(request.query) or asked.keys() not in ({"seq", "size"}, {"old", "size"}):
            raise MalformedRequest(
                "a proof is asked for with seq and size, or old and size", reason="value", path="size"
            )
        numbers = {name: _number(name, text) for name, text in asked.items()}
        first, size = numbers.get("seq", numbers.get("old", 0)), numbers["size"]

        def proving(nodes: Nodes) -> dict[str, object]:
            if "old" in numbers:
                return {"old": first, "size": size, "proof": _written(nodes.continued(first, size))}
            leaf = b64encode(nodes.leaf(first)).decode()
            return {"seq": first, "size": size, "leaf": leaf, "proof": _written(nodes.included(first, size))}

        told = await self.state.read(lambda connection: proving(Nodes(connection, self.head_key)))
        return json_answer(200, write_object({"origin": self.checkpoints.origin, **told}), "application/json")

    def headers(self, opened: Opened) -> tuple[tuple[str, str], ...]:
        """Where the record of this exchange lies, and where the log ended last."""
        leaf = Leaf(self.checkpoints.origin, opened.number, opened.leaf)
        newest = self.checkpoints.newest
        shown = () if newest is None else (("NCP-Checkpoint", write_shown(newest)),)
        return (("NCP-Log", leaf.write()), *shown)

    def check(self) -> None:
        """Raises AuditUnavailable when the trail does not continue what was signed."""
        if self.checkpoints.problem is not None:
            raise AuditUnavailable(self.checkpoints.problem)

    def _log_of(self, origin: str) -> LogKey | None:
        """The key of an active participant's log; our own is witnessed by others."""
        ours = self.directory.ours.ncp_id
        logs = (p.log for p in self.directory.current.participants if p.active and p.ncp_id != ours)
        return next((log for log in logs if log is not None and log.name == origin), None)


def claimed(known: Known, request: Request) -> Leaf | None:
    """Where the peer says that its own record of this exchange lies; nothing where that is not in its own log."""
    try:
        leaf = Leaf.read(request.headers.get("ncp-log", ""))
    except ValueError:
        return None
    return leaf if known.peer.log is not None and leaf.origin == known.peer.log.name else None


def _number(name: str, text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise MalformedRequest("a number is asked for", reason="value", path=name)
    return int(text)


def _written(proof: list[bytes]) -> list[str]:
    return [b64encode(part).decode() for part in proof]
