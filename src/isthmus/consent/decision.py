"""May it be given: context, directives and rules in, a filter out. Pure and deterministic; doubt closes.

The filter is all that crosses: an empty one and a patient who has nothing are the same thing outside.

Source: trust.md §3.2–3.4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from isthmus.consent.records import Directive, period_of, write_record
from isthmus.consent.roles import Act, acts_of, is_physician
from isthmus.consent.rules import RESTRICTED_LABEL, VERY_RESTRICTED_LABEL, Rules
from isthmus.errors import InsufficientRights, InvalidAssertion, MalformedRequest
from isthmus.model.documents import WITHDRAWN, Document
from isthmus.model.identifiers import Identifier
from isthmus.model.intervals import read_interval

SPECIFICITY = {
    "permit": 0,
    "restrict-imaging": 1,
    "restrict-country": 2,
    "restrict-organisation": 3,
    "restrict-period": 4,
    "restrict-modality": 5,
    "restrict-region": 5,
    "restrict-report": 6,
    "restrict-study": 6,
}
"""The most specific provision wins; of two equal ones the denying."""


@dataclass(frozen=True, slots=True)
class DirectiveSet:
    """Everything one patient said, in force or not, as it was verified."""

    directives: tuple[Directive, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over the directives, ordered."""
        records = sorted(write_record(directive) for directive in self.directives)
        return hashlib.sha256(b"\n".join(records)).hexdigest()


def joined(sets: Sequence[DirectiveSet], now: datetime, beside: Sequence[DirectiveSet] = ()) -> DirectiveSet:
    """What a person said under several identifiers that are known to be theirs: what restricts in any of them holds.

    A permission counts only where each of `sets` has one; `beside` is what was said under identifiers that nobody merged, which
    only restricts. Decision 0012.
    """
    agreed = len(sets) < 2 or all(any(d.permits and d.holds(now) for d in one.directives) for one in sets)
    said = [d for one in sets for d in one.directives if agreed or not d.permits]
    return DirectiveSet((*said, *(d for one in beside for d in one.directives if not d.permits)))


@dataclass(frozen=True, slots=True)
class Decision:
    """What may be given to one professional about one patient, now. `version` changes when what was said or ruled changes."""

    version: str
    directives: tuple[Directive, ...]  # in force, and about this peer and organisation
    everything_denied: bool
    permitted: bool  # what holds when no directive speaks
    acts: frozenset[Act]
    services: frozenset[str]
    sees_restricted_labels: bool
    organisation: str
    zone: tzinfo

    def visible(self, documents: Sequence[Document]) -> tuple[Document, ...]:
        """Those of a patient's documents that may be given, in their order. Give it all: a report depends on its studies."""
        return tuple(document for document in self._granted(documents) if self._offered(document))

    def shows_study(self, study_instance_uid: str, documents: Sequence[Document]) -> bool:
        """Whether the images of a study may be given: its manifest is the patient's, and nothing hides it."""
        return any(
            d.kind.is_manifest and study_instance_uid in d.study_instance_uids and d.status != WITHDRAWN
            for d in self._granted(documents)
        )

    def _granted(self, documents: Sequence[Document]) -> tuple[Document, ...]:
        """A denied study hides its manifests and every report that names it, a denied report hides the studies it names.

        A report shows only when every study it names does. What is denied by its own modality, date or label alone hides no
        more than itself. What was withdrawn hides others only when a directive names it.
        """
        if self.everything_denied:
            return ()
        named = _with_versions([d for d in documents if self._names(d)], documents)
        denied = [d for d in documents if d in named or (d.status != WITHDRAWN and not self._allows(d))]
        spreading = [d for d in denied if d in named or d.kind.is_manifest]
        uids = {uid for document in spreading for uid in document.study_instance_uids}
        uids |= {d.scope for d in self.directives if d.kind == "restrict-study"}
        numbers = _numbers(spreading)
        of_studyless = _numbers(d for d in spreading if not d.study_instance_uids)
        return tuple(
            document
            for document in documents
            if document not in denied
            and not uids.intersection(document.study_instance_uids)
            and not (of_studyless if document.study_instance_uids else numbers) & _numbers((document,))
        )

    def permits(self, document: Document) -> bool:
        """Whether this document alone may be given. For a list use `visible`."""
        return bool(self.visible((document,)))

    def _names(self, document: Document) -> bool:
        """Whether a directive restricts this very document."""
        ids = {document.id, document.unique_id.value, document.unique_id.value.removeprefix("urn:oid:")}
        return any(d.kind == "restrict-report" and d.scope in ids for d in self.directives)

    def _offered(self, document: Document) -> bool:
        """By role and by the country's list entry: the same for every patient. What was withdrawn never is."""
        if document.status == WITHDRAWN:
            return False
        service, act = (
            ("imaging-manifest", Act.MANIFEST) if document.kind.is_manifest else ("imaging-report", Act.REPORT)
        )
        return service in self.services and act in self.acts

    def _allows(self, document: Document) -> bool:
        labels = set(document.sensitivity)
        if VERY_RESTRICTED_LABEL in labels or (RESTRICTED_LABEL in labels and not self.sees_restricted_labels):
            return False
        speaking = [d for d in self.directives if self._is_about(d, document)]
        if not speaking:
            return self.permitted
        rank = max(SPECIFICITY[d.kind] for d in speaking)
        return all(d.permits for d in speaking if SPECIFICITY[d.kind] == rank)

    def _is_about(self, directive: Directive, document: Document) -> bool:
        scope = directive.scope
        match directive.kind:
            case "restrict-study":
                return scope in document.study_instance_uids
            case "restrict-report":
                return scope in (
                    document.id,
                    document.unique_id.value,
                    document.unique_id.value.removeprefix("urn:oid:"),
                )
            case "restrict-period":
                return _overlaps(scope, document, self.zone)
            case "restrict-modality":
                return scope in document.modalities or not document.modalities
            case "restrict-region":
                return scope in {region.code for region in document.regions} or not document.regions
            case "restrict-organisation":
                holder = document.custodian.identifier if document.custodian else None
                return scope in (self.organisation, holder)
        return True  # imaging, country (of this peer, or it would not be here), permit


def decide(
    *,
    role: str,
    purpose: str,
    presence: str,
    directives: DirectiveSet,
    rules: Rules,
    peer_country: str,
    organisation: str,
    now: datetime,
    zone: tzinfo = UTC,
) -> Decision:
    """What may be given, now. Raises InsufficientRights (role, purpose) and InvalidAssertion (presence)."""
    acts = acts_of(role)
    if Act.LIST not in acts:
        raise InsufficientRights("this role treats no patients here", reason="role")
    if purpose not in rules.purposes:
        raise InsufficientRights("this purpose of use is not answered", reason="purpose")
    if presence not in rules.presence or presence == "unable":
        raise InvalidAssertion("this way of recognising the patient is not accepted", reason="presence")
    holding = [d for d in directives.directives if d.holds(now)]
    mine = tuple(d for d in holding if d.kind != "restrict-country" or d.scope == peer_country)
    opted_in = any(d.permits for d in mine)
    spoken = f"{directives.digest}|{[d.id for d in mine]}|{rules.opt_in}|{sorted(rules.services)}|{role}|{organisation}"
    return Decision(
        version=hashlib.sha256(spoken.encode()).hexdigest(),
        directives=tuple(d for d in mine if d.kind != "opt-out"),
        everything_denied=any(d.kind == "opt-out" for d in mine) or (rules.opt_in and not opted_in),
        permitted=True,
        acts=acts,
        services=rules.services,
        sees_restricted_labels=is_physician(role),
        organisation=organisation,
        zone=zone,
    )


def _numbers(documents: Iterable[Document]) -> set[Identifier]:
    """Accession numbers with an issuer: they pair a report that names no study with its study."""
    return {number for document in documents for number in document.accession_numbers if number.system}


def _with_versions(denied: list[Document], documents: Sequence[Document]) -> list[Document]:
    """Earlier and later versions of what is denied, however many steps away."""
    found = list(denied)
    while True:
        ids, replaced = {d.id for d in found}, {d.replaces for d in found}
        more = [d for d in documents if d not in found and (d.replaces in ids or d.id in replaced)]
        if not more:
            return found
        found += more


def _overlaps(scope: str, document: Document, zone: tzinfo) -> bool:
    """Whether the examination falls into the period; a document that does not say when does."""
    period = period_of(scope, zone)
    try:
        when = read_interval(document.period_start or document.created, zone)
    except MalformedRequest:
        return True
    return when.start < period.end and when.end > period.start
