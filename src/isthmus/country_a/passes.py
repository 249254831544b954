"""Three passes. Each verb takes the one it needs as its first argument, so that the order of a visit cannot be mistaken.

`Known`: the country is on the list and active. `Introduced`: also the professional. `Admitted`: also the patient, and what may be
given. Only the gate makes them.

Source: architecture.md §7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from isthmus.consent.decision import Decision
from isthmus.errors import ContextMismatch, MalformedRequest
from isthmus.model.documents import Document
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.queries import DocumentQuery, StudyQuery
from isthmus.trust.trustlist import Participant
from isthmus.wire.packs.pack import Pack

Query = TypeVar("Query", DocumentQuery, StudyQuery)
GATE = object()  # the gate's seal; nobody else uses it


def _sealed(seal: object) -> None:
    if seal is not GATE:
        raise RuntimeError("passes are made by country_a/gate.py alone")


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Who asks and why, as vouched for when the token was given. `presence` and the patient come with the care stage."""

    peer: str
    sub: str
    name: str = field(repr=False)
    role: str
    organisation: str
    point_of_care: str
    purpose: str
    presence: str = ""
    on_behalf_of: str = ""  # the physician for whom a clerk acts
    represented: str = ""  # on what ground somebody speaks for the patient
    handle: str | None = field(default=None, repr=False)
    patient: PatientIdentifier | None = None
    emergency: str = field(default="", repr=False)  # with BTG: the reason, its code before its words
    since: int = 0  # with BTG: when it was declared


@dataclass(frozen=True, kw_only=True)
class Known:
    """The country at the other end, active now, on this certificate."""

    seal: object = field(repr=False, compare=False)
    peer: Participant
    x5t: str
    der: bytes = field(repr=False)
    exchange_id: str
    now: datetime
    pack: Pack

    def __post_init__(self) -> None:
        _sealed(self.seal)


@dataclass(frozen=True, kw_only=True)
class Introduced:
    """A professional of that country, for a purpose. Under a care token also the patient attested: no other is found."""

    seal: object = field(repr=False, compare=False)
    known: Known
    asker: Asker
    jti: str
    did: str
    scope: frozenset[str]

    def __post_init__(self) -> None:
        _sealed(self.seal)

    @property
    def pack(self) -> Pack:
        return self.known.pack


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A professional treating this patient, with what may be given now."""

    seal: object = field(repr=False, compare=False)
    introduced: Introduced
    patient: PatientIdentifier
    handle: str = field(repr=False)
    decision: Decision

    def __post_init__(self) -> None:
        _sealed(self.seal)

    @property
    def pack(self) -> Pack:
        return self.introduced.pack

    @property
    def peer(self) -> str:
        return self.introduced.known.peer.ncp_id

    @property
    def sub(self) -> str:
        return self.introduced.asker.sub

    def confine(self, query: Query) -> Query:
        """The query about the attested patient. Raises ContextMismatch when it names another, MalformedRequest when none.

        A chained identifier is compared, never looked up.
        """
        asked = (query.patient_handle, query.patient_identifier)
        if asked == (None, None):
            raise MalformedRequest("a search names its patient", reason="required", path="patient")
        if query.patient_handle not in (None, self.handle) or query.patient_identifier not in (None, self.patient):
            raise ContextMismatch("another patient than the token's")
        return replace(query, patient=self.patient)

    def releasable(self, documents: Sequence[Document]) -> tuple[Document, ...]:
        """What of the patient's documents may be given; what may not drops out without a gap. Give it all of them."""
        return self.decision.visible([d for d in documents if d.patient in (None, self.patient)])


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a route asks of the one who comes: which pass, for which service, under which scope; and its name in the trail."""

    transaction: str
    stage: type = Admitted  # the pass: Known, Introduced, Admitted
    services: frozenset[str] = frozenset()  # one of them must be offered
    scopes: frozenset[str] = frozenset()  # one of them must be held
    categories: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    opens: bool = True  # the gate opens the record; otherwise the row does, when it knows more
    searches: bool = False  # the record holds the whole question: AUD-02
    recorded: bool = True  # False: talk of the logs about themselves
