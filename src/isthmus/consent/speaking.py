"""Whether a directive speaks of a document and of whoever asks for it, and how specifically.

What is asked for, who asks, in which role and for what are four axes. Of two directives the more specific one wins only when it is
nowhere less specific than the other: a permission for one study says nothing against a person who may see nothing.

Source: trust.md §3.2, §3.3 (7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from datetime import tzinfo

from isthmus.consent.records import Directive, period_of
from isthmus.errors import MalformedRequest
from isthmus.model.documents import Document
from isthmus.model.intervals import read_interval


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whoever asks. `person` is the professional's id as that country gives it, `role` an ISCO-08 code."""

    country: str
    organisation: str
    person: str = field(repr=False)
    role: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Specificity:
    """How close a directive comes, on each axis; 0 is "all of it"."""

    what: int = 0
    who: int = 0
    role: int = 0
    purpose: int = 0

    def beats(self, other: Specificity) -> bool:
        """More specific somewhere, and nowhere less."""
        return self != other and all(mine >= its for mine, its in zip(astuple(self), astuple(other), strict=True))


WHO: dict[str, tuple[Specificity, Callable[[str, Recipient], bool]]] = {
    "country": (Specificity(who=1), lambda scope, who: scope == who.country),
    "organisation": (Specificity(who=2), lambda scope, who: scope == who.organisation),
    "person": (Specificity(who=3), lambda scope, who: scope == f"{who.country}/{who.person}"),
    "role": (Specificity(role=1), lambda scope, who: who.role.startswith(scope)),
    "purpose": (Specificity(purpose=1), lambda scope, who: scope == who.purpose),
}
"""Subjects that are about whoever asks."""


def speaks(directive: Directive, document: Document, who: Recipient, zone: tzinfo) -> Specificity | None:
    """How specifically a directive speaks of this document for this recipient; None when it is about something else.

    A document that does not say its modality, region or day counts as what was restricted, and never as what was permitted.
    """
    subject, scope = directive.subject, directive.scope
    if subject in WHO and WHO[subject][1](scope, who):
        return WHO[subject][0]
    if subject in WHAT and WHAT[subject][1](scope, document, zone, not directive.permits):
        return WHAT[subject][0]
    return Specificity() if subject in ("", "imaging") else None


def denying(spoken: Sequence[tuple[Directive, Specificity]]) -> tuple[Directive, ...]:
    """The restrictions that no permission beats: of two equal ones, and of two that cannot be compared, the denying wins."""
    permits = [how for directive, how in spoken if directive.permits]
    return tuple(d for d, how in spoken if not d.permits and not any(permit.beats(how) for permit in permits))


def allows(spoken: Sequence[tuple[Directive, Specificity]], *, otherwise: bool) -> bool:
    """Whether the most specific of these directives permits; `otherwise` is what holds when none of them speaks."""
    return (otherwise or any(directive.permits for directive, _ in spoken)) and not denying(spoken)


def names_of(document: Document) -> frozenset[str]:
    """By what a directive may call this very document."""
    unique = document.unique_id.value
    return frozenset({document.id, unique, unique.removeprefix("urn:oid:")})


def _holder(document: Document) -> str | None:
    return document.custodian.identifier if document.custodian else None


def _among(scope: str, said: Sequence[str], unsaid: bool) -> bool:
    return scope in said if said else unsaid


def _overlaps(scope: str, document: Document, zone: tzinfo, unsaid: bool) -> bool:
    """Whether the examination falls into the period."""
    period = period_of(scope, zone)
    try:
        when = read_interval(document.period_start or document.created, zone)
    except MalformedRequest:
        return unsaid
    return when.start < period.end and when.end > period.start


WHAT: dict[str, tuple[Specificity, Callable[[str, Document, tzinfo, bool], bool]]] = {
    "organisation": (Specificity(what=1), lambda scope, document, zone, unsaid: scope == _holder(document)),
    "period": (Specificity(what=2), _overlaps),
    "modality": (Specificity(what=3), lambda scope, document, zone, unsaid: _among(scope, document.modalities, unsaid)),
    "region": (
        Specificity(what=3),
        lambda scope, document, zone, unsaid: _among(scope, [region.code for region in document.regions], unsaid),
    ),
    "label": (Specificity(what=3), lambda scope, document, zone, unsaid: scope in document.sensitivity),
    "report": (Specificity(what=4), lambda scope, document, zone, unsaid: scope in names_of(document)),
    "study": (Specificity(what=4), lambda scope, document, zone, unsaid: scope in document.study_instance_uids),
}
"""Subjects that are about documents. `unsaid` is what a document counts as that does not say."""
