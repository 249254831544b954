"""The only way in, and the order of its checks; it encloses the sending, so that a streamed study ends inside its own record.

peer → token → offered service, scope → patient → decision → record opened → verb → sent → record closed. Whatever is refused is
recorded like an answer, with as many records. Passes are made here and nowhere else.

Source: trust.md §2.6 (order on every resource request), §4.2; architecture.md §7.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar

import anyio
from sqlalchemy import Connection

from isthmus import telemetry
from isthmus.audit.events import Delivery, Intent, Outcome, Parts
from isthmus.audit.trail import Opened, Trail
from isthmus.consent.decision import Decision
from isthmus.country_a.counting import Counting
from isthmus.country_a.floods import Floods
from isthmus.country_a.handles import Handles
from isthmus.country_a.holdings import Deciding
from isthmus.country_a.log import Log, claimed
from isthmus.country_a.passes import GATE, Admitted, Asker, Introduced, Known, Needs
from isthmus.country_a.tokens import TOKEN_LIFE_S
from isthmus.errors import (
    InsufficientRights,
    InvalidToken,
    IsthmusError,
    ServiceNotOffered,
    TooOften,
    UntrustedCountry,
)
from isthmus.transport.answers import Answer, Receive, Send
from isthmus.transport.grid import Grid
from isthmus.transport.inbound import Request
from isthmus.transport.pump import Sent, pump
from isthmus.trust.certificates import spki_sha256, x5t_s256
from isthmus.trust.directory import Directory
from isthmus.trust.jws import read_statement
from isthmus.trust.keys import StatementKey
from isthmus.wire.packs.pack import agreed_pack

ASK_AGAIN_S = 1.0
LOOK_AGAIN_S = 0.1  # whether what is being sent was corrected: our own index knows
ABSENT = 404
IMAGES = "RAD-107"
P = TypeVar("P")

Also = Callable[[Connection], None]


@dataclass
class Visit:
    """One request inside the gate: its passes, its record, its sending."""

    gate: Gate
    request: Request
    needs: Needs
    send_message: Send
    receive: Receive
    intent: Intent
    passes: dict[str, Known | Introduced | Admitted] = field(default_factory=dict)
    opened: Opened | None = None
    closed: bool = False
    told: bool = True  # false in a flood, which is counted and not told one by one
    began: float = field(default_factory=anyio.current_time)

    @property
    def known(self) -> Known:
        return _as(Known, self.passes.get("known"))

    @property
    def introduced(self) -> Introduced:
        return _as(Introduced, self.passes.get("introduced"))

    @property
    def admitted(self) -> Admitted:
        return _as(Admitted, self.passes.get("admitted"))

    async def on_the_grid(self) -> None:
        """Wait until an answer to a search may leave that says "nothing" (`transport/grid.py`)."""
        await self.gate.grid.searched(self.began)

    async def open(self, intent: Intent, also: Also | None = None) -> Opened:
        """Open the record: durable before anything is asked for. `also` runs in the same transaction."""
        self.intent = replace(intent, theirs=self.intent.theirs, address=self.request.client or "")
        self.opened = await self.gate.trail.open(self.intent, also)
        return self.opened

    async def send(
        self,
        answer: Answer,
        still: Callable[[Decision], Awaitable[bool]] | None = None,
        missing: Sequence[str] = (),
        unchanged: Callable[[], Awaitable[bool]] | None = None,
        study: str = "",
        parts: Parts = MappingProxyType({}),
    ) -> Sent:
        """Send the answer and close the record. `still` asks whether a changed decision would give the same, `unchanged`
        whether nothing of it was taken away meanwhile.

        `missing` names what is known to lack; the instances of a `study` are to be signed for; `parts` are kept beside the record.
        """
        may_go_on = None if still is None else self.gate.watching(self.admitted, still, unchanged)
        log = self.gate.log.headers(self.opened) if self.gate.log is not None and self.opened is not None else ()
        answer = replace(answer, headers=(*answer.headers, *self.gate.trust_header(), *log))
        sent = await pump(answer, self.request, self.send_message, self.receive, may_go_on=may_go_on)
        await self.close(
            Outcome(
                outcome="complete" if sent.complete else "incomplete", status=sent.status, instances=sent.instances,
                bytes=sent.bytes, digest=sent.digest, reason=sent.why, missing=missing, unmapped=answer.unmapped,
                mapped_by=answer.mapped_by, as_issued=answer.as_issued, patient=answer.about, parts=parts, delivery=self._delivery(study, sent),
            )
        )  # fmt: skip
        return sent

    def _delivery(self, study: str, sent: Sent) -> Delivery | None:
        if not study or not sent.items:
            return None
        peer, did = self.admitted.introduced.known.peer.country, self.admitted.introduced.did
        return Delivery(side="A", peer=peer, study_instance_uid=study, items=sent.items, did=did)

    async def close(self, outcome: Outcome) -> None:
        """Close the record, also when the asker has hung up: closing words are shielded."""
        with anyio.CancelScope(shield=True):
            if self.closed:
                return
            self.closed = True
            if not self.needs.recorded:
                return
            if self.opened is not None:
                await self.gate.trail.close(self.opened, outcome)
            elif not await self.gate.refuse(self, outcome):
                return
            known = self.passes.get("known")
            telemetry.exchange(
                telemetry.log(), exchange_id=self.request.exchange_id, transaction=self.needs.transaction,
                country=known.peer.country if isinstance(known, Known) else "unknown", outcome=outcome.outcome,
                size_bytes=outcome.bytes, duration_ms=(anyio.current_time() - self.began) * 1000,
            )  # fmt: skip


class Gate:
    """Everything a request must pass before a verb is asked."""

    def __init__(
        self,
        *,
        directory: Directory,
        trail: Trail,
        handles: Handles,
        deciding: Deciding,
        counting: Counting,
        clock: Callable[[], datetime],
        grid: Grid,
        log: Log | None = None,
    ) -> None:
        self.log = log
        self.directory, self.trail, self.handles, self.counting = directory, trail, handles, counting
        self._floods, self.grid, self.deciding, self._clock = Floods(), grid, deciding, clock

    @asynccontextmanager
    async def admit(
        self,
        request: Request,
        needs: Needs,
        send: Send,
        receive: Receive,
        also: Callable[[Visit], Also | None] | None = None,
    ) -> AsyncIterator[Visit]:
        """Check, open the record, hand over a visit with its passes; close the record whatever happens inside."""
        intent = Intent(
            side="A", transaction=needs.transaction, exchange_id=request.exchange_id, peer="unknown",
            categories=needs.categories, details=needs.details, query=request.as_sent if needs.searches else b"",
            address=request.client or "",
        )  # fmt: skip
        visit = Visit(self, request, needs, send, receive, intent)
        try:
            await self._check(visit)
            if needs.opens:
                await visit.open(visit.intent)
            yield visit
        except IsthmusError as error:
            failed = error.meaning.status >= 500 and not isinstance(error, ServiceNotOffered)
            outcome = Outcome(
                outcome="failed" if failed else "refused", status=error.meaning.status, reason=error.reason
            )
            if failed:
                telemetry.failed(
                    exchange_id=request.exchange_id, transaction=needs.transaction, reason=error.reason, message=str(error)
                )  # fmt: skip
            await visit.close(outcome)
            if isinstance(error, TooOften):
                self._limited(visit, error)
            if error.meaning.status == ABSENT:  # absent, another's, restricted: one answer, at one time
                await self.grid.absent(visit.began)
            raise
        except Exception:
            await visit.close(Outcome(outcome="failed", status=500, reason="internal"))
            raise
        except BaseException:
            await visit.close(Outcome(outcome="incomplete", reason="hang-up"))
            raise

    def _limited(self, visit: Visit, error: TooOften) -> None:
        """The operator's event: which limit stopped which country."""
        telemetry.limited(
            str(error.facts.get("limit", "source")), country=visit.intent.peer, verdict="stopped",
            exchange_id=visit.request.exchange_id, told=visit.told,
        )  # fmt: skip

    async def _check(self, visit: Visit) -> None:
        known = self._known(visit.request)
        visit.passes["known"] = known
        visit.intent = replace(visit.intent, peer=known.peer.country, theirs=claimed(known, visit.request))
        if visit.needs.stage is Known:
            self.counting.token(known)
            return
        self.counting.request(known, transfer=visit.needs.transaction == IMAGES)
        introduced = await self._introduced(known, visit.request)
        visit.passes["introduced"] = introduced
        asker = introduced.asker
        visit.intent = replace(
            visit.intent, organisation=asker.organisation, person=f"{asker.sub} {asker.name}", role=asker.role,
            purpose=asker.purpose, patient=asker.patient, token_jti=introduced.jti, decision_id=introduced.did,
        )  # fmt: skip
        self._permitted(visit.needs, introduced)
        if visit.needs.stage is Admitted:
            admitted = await self._admitted(introduced)
            visit.passes["admitted"] = admitted
            visit.intent = replace(visit.intent, decision_version=admitted.decision.version)

    def _known(self, request: Request) -> Known:
        if request.peer_der is None:
            raise UntrustedCountry("the connection has no client certificate")
        peer = self.directory.peer(request.peer_der)
        return Known(
            seal=GATE, peer=peer, x5t=x5t_s256(request.peer_der), der=request.peer_der, exchange_id=request.exchange_id,
            now=self._clock(), pack=agreed_pack(self.directory.ours.pack, peer.pack),
        )  # fmt: skip

    async def _introduced(self, known: Known, request: Request) -> Introduced:
        """The access token: ours, on this certificate, in time; and what it was given for."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise InvalidToken("an access token is needed", reason="token-missing")
        ours = self.directory.ours.ncp_id

        def key_for(iss: str, kid: str) -> StatementKey:
            if iss != ours:
                raise UntrustedCountry("a token that we did not issue")
            return self.directory.key(ours, kid, "at")

        statement = read_statement(
            token.strip(), typ=frozenset({"at+jwt"}), key_for=key_for, audience=frozenset({ours}), max_life_s=TOKEN_LIFE_S,
            now=known.now, x5t=known.x5t, reason="token", error=InvalidToken,
        )  # fmt: skip
        claims = statement.claims
        asker = await self.handles.asker_of(str(claims.get("did")))
        if asker is None or claims.get("client_id") != known.peer.ncp_id or not _is_of(asker, claims, known):
            raise InvalidToken("a token of another country, or one whose decision is gone")
        return Introduced(
            seal=GATE, known=known, asker=asker, jti=statement.jti, did=str(claims["did"]),
            scope=frozenset(str(claims.get("scope", "")).split()),
        )  # fmt: skip

    def _permitted(self, needs: Needs, introduced: Introduced) -> None:
        """Offered at all, by our own list entry; then the scope. Both before any patient is looked at."""
        if needs.services and not needs.services & self.directory.ours.services:
            raise ServiceNotOffered("this country does not offer it", service=", ".join(sorted(needs.services)))
        if needs.scopes and not needs.scopes & introduced.scope:
            raise InsufficientRights("the token does not reach that far", reason="scope")

    async def _admitted(self, introduced: Introduced) -> Admitted:
        asker = introduced.asker
        if asker.patient is None or asker.handle is None:
            raise InsufficientRights("a token of the care stage is needed", reason="scope")
        decision = await self.deciding.decide(introduced)
        return Admitted(seal=GATE, introduced=introduced, patient=asker.patient, handle=asker.handle, decision=decision)

    async def decide_first(self, known: Known, asker: Asker) -> None:
        """The decision of the care stage: refuses by role, purpose and presence; its filter is asked for later, each time."""
        introduced = Introduced(seal=GATE, known=known, asker=asker, jti="", did="", scope=frozenset())
        await self.deciding.decide(introduced)

    def watching(
        self,
        admitted: Admitted,
        still: Callable[[Decision], Awaitable[bool]],
        unchanged: Callable[[], Awaitable[bool]] | None = None,
    ) -> Callable[[], Awaitable[bool]]:
        """Whether a transfer may go on: the peer is still active, nothing of it was taken away, and the patient has not
        changed their mind about it."""
        known, version, asked = admitted.introduced.known, admitted.decision.version, anyio.current_time()
        looked = 0.0

        async def may_go_on() -> bool:
            nonlocal version, asked, looked
            if not self.directory.is_active(known.peer.ncp_id, known.der):
                return False
            try:
                if unchanged is not None and anyio.current_time() - looked >= LOOK_AGAIN_S:
                    looked = anyio.current_time()
                    if not await unchanged():
                        return False
                if anyio.current_time() - asked < ASK_AGAIN_S:
                    return True
                asked = anyio.current_time()
                decision = await self.deciding.decide(admitted.introduced)
                if decision.version != version and not await still(decision):
                    return False
            except IsthmusError:
                return False
            version = decision.version
            return True

        return may_go_on

    async def refuse(self, visit: Visit, outcome: Outcome) -> bool:
        """Record what was refused before a record was open; in a flood it is counted instead, and this gives False."""
        subject = visit.intent.peer
        if subject == "unknown" and visit.request.peer_der is not None:
            subject = _spki(visit.request.peer_der)
        count = self._floods.count(subject, anyio.current_time())
        if count is None:
            visit.told = False
            return False
        more = {"refusals": str(count)} if count > 1 else {}
        await self.trail.record(replace(visit.intent, details={**visit.intent.details, **more}), outcome)
        return True

    def trust_header(self) -> tuple[tuple[str, str], ...]:
        """Which trust list we follow. Source: trust.md §2.2."""
        try:
            return (("NCP-Trust-Seq", self.directory.seq_header),)
        except IsthmusError:
            return ()


def _as(kind: type[P], given: object) -> P:
    if not isinstance(given, kind):
        raise RuntimeError("a verb asks for a pass that its route does not name")
    return given


def _is_of(asker: Asker, claims: dict[str, object], known: Known) -> bool:
    return asker.peer == known.peer.ncp_id and (asker.sub, asker.handle) == (claims.get("sub"), claims.get("patient"))


def _spki(der: bytes) -> str:
    try:
        return spki_sha256(der)
    except UntrustedCountry:
        return "unreadable"
