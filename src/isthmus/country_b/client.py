"""The only way out across the border: each exchange is recorded before it is asked and after it ended.

directory (where; still trusted) → trail (opened) → outbound (mutual TLS, pinned key) → trail (closed).

Source: trust.md §2.6, §4.2; architecture.md §7.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from urllib.parse import parse_qsl, urlsplit

import anyio

from isthmus import telemetry
from isthmus.audit.events import Delivery, Intent, Outcome, Parts
from isthmus.audit.trail import Opened, Trail
from isthmus.config import Settings
from isthmus.conformance.evidence import FORM
from isthmus.conformance.evidence import Exchange as Evidence
from isthmus.conformance.watch import Said, Watch
from isthmus.consent.emergency import Emergencies
from isthmus.consent.roles import roles_of
from isthmus.country_b.visit import Visit
from isthmus.errors import (
    Absence,
    DocumentNotFound,
    IntegrityLost,
    IsthmusError,
    Refusal,
    RequestProblem,
    ServiceNotOffered,
    TrustProblem,
)
from isthmus.fhir import elements as el
from isthmus.model.identifiers import PatientIdentifier
from isthmus.sandbox import Sandbox
from isthmus.transport.outbound import Outbound, Response
from isthmus.trust.directory import Directory
from isthmus.trust.keys import SigningKey
from isthmus.trust.trustlist import Participant
from isthmus.trust.turnover.own import Own
from isthmus.wire.notes import Leaf, Note, read_shown
from isthmus.wire.outcomes import read_outcome
from isthmus.wire.packs.pack import Pack, agreed_pack
from isthmus.wire.tokens import Token, token_number

ERROR_BODY_MAX = 1 << 20
JSON_MAX = 20 << 20
FHIR_JSON = "application/fhir+json"
UNAUTHORIZED = 401
SEARCHES = frozenset({"ITI-67", "ITI-78", "ImagingStudy", "RAD-129"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request to be sent: to which of the country's endpoints, and what of it the trail names."""

    transaction: str  # ITI-71, ITI-78, ITI-67, ITI-68, RAD-107
    endpoint: str  # token, fhir, dicomweb, ncp
    path: str = field(default="", repr=False)
    method: str = "GET"
    body: bytes | None = field(default=None, repr=False)
    accept: str = FHIR_JSON
    token: str | None = field(default=None, repr=False)
    again: Callable[[str], Awaitable[str]] | None = field(default=None, repr=False)  # another one than was refused
    service: str | None = None  # what the country must offer for it
    patient: PatientIdentifier | None = None
    categories: tuple[str, ...] = ()
    absent: type[Absence] = DocumentNotFound  # what "not there" means for this question
    media_type: str = FORM


@dataclass(slots=True)
class Exchange:
    """An answer that has begun: its response, and what was counted of it for the record."""

    exchange_id: str
    response: Response
    participant: Participant
    instances: int = 0
    size_bytes: int = 0
    digest: str | None = None
    heard: bytes = field(default=b"", repr=False)  # of a small answer, for who watches
    notes: list[str] = field(default_factory=list)
    number: int = 0  # of our record
    delivery: Delivery | None = None  # the instances that came
    parts: Parts = field(default_factory=dict, repr=False)

    async def read(self, limit_bytes: int = JSON_MAX) -> bytes:
        """The whole body of a small answer. Raises CountryMisanswered past the limit."""
        body = await self.response.read(limit_bytes)
        self.size_bytes += len(body)
        self.heard = body
        return body


class Client:
    """Sends what a visit asks. One per node (or command); knows keys, trust and trail."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        trail: Trail,
        outbound: Outbound,
        *,
        own: Own,
        clock: Callable[[], datetime],
        sandbox: Sandbox,
        emergencies: Emergencies | None = None,
    ) -> None:
        self.emergencies = emergencies
        self.settings, self.directory, self.trail, self.clock = settings, directory, trail, clock
        self._own = own
        self.sandbox = sandbox  # where documents of others are parsed
        self.roles = roles_of(settings)
        self.watch = Watch(settings.conformance)
        self._outbound = outbound
        self.tokens: dict[tuple[str, ...], tuple[Token, datetime]] = {}
        self.forgiven: Counter[tuple[str, str]] = Counter()  # by country and word
        self.shown: dict[str, Note] = {}  # by log: the longest checkpoint that came, to be compared with what was seen

    @property
    def sig(self) -> SigningKey:
        """What signs for this country now."""
        return self._own.sig

    @property
    def hpa(self) -> SigningKey:
        """What vouches for its professionals now."""
        return self._own.hpa

    @property
    def certificate(self) -> bytes:
        """What it shows now."""
        return self._own.certificate

    @property
    def outbound(self) -> Outbound:
        """The way out, for questions that are about no patient and carry no token: a border's description, and its refusals."""
        return self._outbound

    def pack(self, country: str) -> Pack:
        """The drafts in which we and this country speak. Raises what the directory raises."""
        return agreed_pack(self.directory.ours.pack, self.directory.country(country).pack)

    def forgive(self, country: str, transaction: str, words: Iterable[str]) -> None:
        """Count what was forgiven in an answer. Source: TOL-10."""
        words = tuple(words)
        self.forgiven.update((country, word) for word in words)
        telemetry.tolerated(country=country, transaction=transaction, words=words)

    @contextlib.contextmanager
    def reading(self, country: str, transaction: str) -> Iterator[set[str]]:
        """Read an answer: what is forgiven in it goes into the set, members of another kind too, and is counted when it was read."""
        forgiven: set[str] = set()
        with el.noting(forgiven):
            yield forgiven
        self.forgive(country, transaction, sorted(forgiven))

    @contextlib.asynccontextmanager
    async def exchange(self, visit: Visit, country: str, call: Call) -> AsyncIterator[Exchange]:
        """Ask, and give the answer while it lasts. Raises the class of error that Country A raised, or what broke on the way.

        The record is open before a byte leaves and closed when the answer was read, whatever ended it.
        """
        intent = self._intent(visit, country, call, secrets.token_hex(16))
        async with self.recorded(intent, country, call) as exchange:
            yield exchange

    @contextlib.asynccontextmanager
    async def recorded(self, intent: Intent, country: str, call: Call) -> AsyncIterator[Exchange]:
        """The same, for what is said in the node's own name: receipts."""
        exchange_id = intent.exchange_id
        opened = await self.trail.open(replace(intent, address=self._address(country, call)))
        exchange: Exchange | None = None
        outcome = Outcome(outcome="incomplete", reason="interrupted")
        try:
            async with self._asked(country, call, opened) as exchange:
                exchange.number = opened.number
                yield exchange
            outcome = Outcome(outcome="complete")
        except IsthmusError as error:
            error.facts.setdefault("exchange_id", exchange_id)
            error.facts.setdefault("country", country)
            outcome = _outcome_of(error, exchange)
            raise
        finally:
            if exchange is not None:
                outcome = Outcome(
                    outcome=outcome.outcome,
                    status=exchange.response.status,
                    instances=exchange.instances,
                    bytes=exchange.size_bytes,
                    digest=exchange.digest,
                    reason=outcome.reason,
                    theirs=self._claimed(exchange),
                    delivery=exchange.delivery,
                    parts=exchange.parts,
                )
            with anyio.CancelScope(shield=True):
                await self.trail.close(opened, outcome)
        self._watched(country, call, exchange)

    def _watched(self, country: str, call: Call, exchange: Exchange) -> None:
        """Hand a whole answer to who watches; what happens there is no matter of the exchange."""
        pack, evidence = partial(self.pack, country), partial(evidence_of, call, exchange)
        said = Said(country, call.transaction, len(exchange.heard), pack, evidence)
        self.watch.see(said, self.watch.chosen())

    @contextlib.asynccontextmanager
    async def _asked(self, country: str, call: Call, opened: Opened) -> AsyncIterator[Exchange]:
        participant = self.directory.country(country)
        if call.service is not None and call.service not in participant.services:
            raise ServiceNotOffered(f"{country} does not offer {call.service}", service=call.service)
        async with self._sent(participant, call, opened) as response:
            fresh = await _another(call) if response.status == UNAUTHORIZED else None
            if fresh is None:
                yield await self._read(opened.exchange_id, response, participant, call)
                return
        async with self._sent(participant, replace(call, token=fresh), opened) as response:
            yield await self._read(opened.exchange_id, response, participant, call)

    def _sent(
        self, participant: Participant, call: Call, opened: Opened
    ) -> contextlib.AbstractAsyncContextManager[Response]:
        headers = {"Accept": call.accept, "X-Request-Id": opened.exchange_id}
        if (log := self.directory.ours.log) is not None:
            headers["NCP-Log"] = Leaf(log.name, opened.number, opened.leaf).write()
        if call.token is not None:
            headers["Authorization"] = f"Bearer {call.token}"
        if call.body is not None:
            headers["Content-Type"] = call.media_type
        return self._outbound.request(
            call.method,
            getattr(participant.endpoints, call.endpoint) + call.path,
            headers=headers,
            body=call.body,
            pins=self.directory.server_pins(participant),
            country=participant.country,
            retry_once=call.path.endswith("/_search"),
            still=partial(self.directory.is_active, participant.ncp_id),
        )

    async def _read(self, exchange_id: str, response: Response, participant: Participant, call: Call) -> Exchange:
        """An answer that may be read. Raises the class of error that the country raised."""
        self.directory.hear(participant.country, response.headers.get("ncp-trust-seq"))
        if response.status not in (200, 202, 206):
            raise read_outcome(
                response.status,
                await response.read(ERROR_BODY_MAX),
                absent=call.absent,
                retry_after=response.headers.get("retry-after"),
                challenge=response.headers.get("www-authenticate"),
            )
        return Exchange(exchange_id, response, participant)

    def _claimed(self, exchange: Exchange) -> Leaf | None:
        """Where the country says that its own record of this exchange lies; and the checkpoint that it shows is remembered."""
        log, headers = exchange.participant.log, exchange.response.headers
        if log is None:
            return None
        with contextlib.suppress(ValueError):
            note = read_shown(headers.get("ncp-checkpoint", ""))
            longest = self.shown.get(log.name)
            if log.signed(note) and (longest is None or longest.checkpoint.size <= note.checkpoint.size):
                self.shown[log.name] = note
        with contextlib.suppress(ValueError):
            leaf = Leaf.read(headers.get("ncp-log", ""))
            return leaf if leaf.origin == log.name else None
        return None

    def _intent(self, visit: Visit, country: str, call: Call, exchange_id: str) -> Intent:
        who = visit.professional
        return Intent(
            side="B",
            transaction=call.transaction,
            exchange_id=exchange_id,
            peer=country,
            organisation=visit.point_of_care.name,
            person=who.sub,
            role=who.role,
            purpose=visit.purpose.value,
            patient=call.patient,
            categories=call.categories,
            origins=(country,),
            token_jti=token_number(call.token),
            details={"of": call.path} if call.method == "GET" else {},
            query=_question(call),
        )

    def _address(self, country: str, call: Call) -> str:
        """Where the country answers; nothing where the list does not know it: the exchange fails, and is recorded."""
        try:
            return urlsplit(getattr(self.directory.country(country).endpoints, call.endpoint)).hostname or ""
        except IsthmusError:
            return ""


def _question(call: Call) -> bytes:
    """A search as it is sent; nothing for another request. Source: AUD-02."""
    if call.transaction not in SEARCHES or (call.body is None and "?" not in call.path):
        return b""
    line = f"{call.method} {call.path}".encode()
    return line + b"\n\n" + call.body if call.body else line


async def _another(call: Call) -> str | None:
    """A token anew, once, for one that was refused: its key, or the certificate it is bound to, has turned over. Source: trust.md §6.2."""
    return await call.again(call.token) if call.again is not None and call.token is not None else None


def evidence_of(call: Call, exchange: Exchange) -> Evidence:
    """A question and its answer as requirements read them; of images, which are not held, the head alone."""
    parts = urlsplit(getattr(exchange.participant.endpoints, call.endpoint) + call.path)
    sent = {"accept": call.accept, "x-request-id": exchange.exchange_id}
    sent |= {"authorization": f"Bearer {call.token}"} if call.token else {}
    return Evidence(
        method=call.method,
        path=parts.path,
        origin=f"{parts.scheme}://{parts.netloc}",
        query=tuple(parse_qsl(parts.query)),
        sent=sent | ({"content-type": call.media_type} if call.body is not None else {}),
        body=call.body or b"",
        status=exchange.response.status,
        headers={name.lower(): value for name, value in exchange.response.headers.items()},
        answer=exchange.heard,
    )


def _outcome_of(error: IsthmusError, exchange: Exchange | None) -> Outcome:
    """How the record closes after an error: a refusal, a failure, or an answer that is not whole."""
    broken = isinstance(error, IntegrityLost | TrustProblem) and exchange is not None and exchange.size_bytes > 0
    if isinstance(error, RequestProblem | TrustProblem | Refusal | Absence) and not broken:
        return Outcome(outcome="refused", status=error.meaning.status, reason=error.reason)
    return Outcome(outcome="incomplete" if broken else "failed", status=error.meaning.status, reason=error.reason)
