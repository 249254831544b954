"""May it be given: context, directives and rules in, a filter out. Pure and deterministic; doubt closes.

The filter is all that crosses: an empty one and a patient who has nothing are the same thing outside.

Source: trust.md §3.2–3.4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from isthmus.consent.records import Directive, write_record
from isthmus.consent.roles import Act, Roles
from isthmus.consent.rules import BREAK_GLASS, Rules
from isthmus.consent.speaking import WHO, Recipient, Specificity, allows, denying, names_of, speaks
from isthmus.errors import InsufficientRights, InvalidAssertion
from isthmus.model.confidentiality import RESTRICTED, VERY_RESTRICTED
from isthmus.model.documents import WITHDRAWN, Document
from isthmus.model.identifiers import Identifier


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
    """What may be given to one professional about one patient, now. `version` changes when what was said or ruled changes.

    `obligations` are Country A's own, never told: `notify` the patient at once, `review` what was done.
    """

    version: str
    directives: tuple[Directive, ...]  # in force, about this recipient, and not lifted
    everything_denied: bool
    permitted: bool  # what holds when no directive speaks
    acts: frozenset[Act]
    services: frozenset[str]
    labels: frozenset[str]  # of confidentiality, that may be seen
    recipient: Recipient
    zone: tzinfo
    obligations: frozenset[str] = frozenset()

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

        A report shows only when every study it names does, and a study only when every study does that its own reports, key images
        and presentation states refer to. What is denied by its own modality, date or label alone hides no more than itself. What
        was withdrawn hides others only when a directive names it.
        """
        if self.everything_denied:
            return ()
        named = _with_versions([d for d in documents if self._names(d)], documents)
        denied = [d for d in documents if d in named or (d.status != WITHDRAWN and not self._allows(d))]
        spreading = [d for d in denied if d in named or d.kind.is_manifest]
        uids = {uid for document in spreading for uid in document.study_instance_uids}
        uids |= {d.scope for d in self.directives if d.kind == "restrict-study"}
        while drawn := [
            d for d in documents if uids.intersection(d.refers_to) and not uids.issuperset(d.study_instance_uids)
        ]:
            spreading += drawn
            uids.update(uid for document in drawn for uid in document.study_instance_uids)
        numbers = _numbers(spreading)
        of_studyless = _numbers(d for d in spreading if not d.study_instance_uids)
        return tuple(
            document
            for document in documents
            if document not in denied
            and not uids.intersection(document.study_instance_uids)
            and not (of_studyless if document.study_instance_uids else numbers) & _numbers((document,))
        )

    def _names(self, document: Document) -> bool:
        """Whether a directive restricts this very document."""
        names = names_of(document)
        return any(d.kind == "restrict-report" and d.scope in names for d in self.directives)

    def _offered(self, document: Document) -> bool:
        """By role and by the country's list entry: the same for every patient. What was withdrawn never is."""
        if document.status == WITHDRAWN:
            return False
        service, act = (
            ("imaging-manifest", Act.MANIFEST) if document.kind.is_manifest else ("imaging-report", Act.REPORT)
        )
        return service in self.services and act in self.acts

    def _allows(self, document: Document) -> bool:
        return not self.labelled(document) and allows(self._spoken(document), otherwise=self.permitted)

    def labelled(self, document: Document) -> bool:
        """Whether its own label of confidentiality keeps it from this recipient."""
        return bool({RESTRICTED, VERY_RESTRICTED}.intersection(document.sensitivity) - self.labels)

    def denying(self, document: Document) -> tuple[Directive, ...]:
        """The directives that deny this document by itself; none when it is only hidden with another."""
        return denying(self._spoken(document))

    def _spoken(self, document: Document) -> list[tuple[Directive, Specificity]]:
        said = [(d, speaks(d, document, self.recipient, self.zone)) for d in self.directives]
        return [(directive, how) for directive, how in said if how is not None]


def decide(
    *, who: Recipient, presence: str, directives: DirectiveSet, rules: Rules, now: datetime, zone: tzinfo = UTC
) -> Decision:
    """What may be given, now. Raises InsufficientRights (role, purpose) and InvalidAssertion (presence)."""
    acts, emergency = rules.roles.acts_of(who.role), who.purpose == BREAK_GLASS
    if Act.LIST not in acts or (emergency and Act.BREAK_GLASS not in acts):
        raise InsufficientRights("this role may not do this here", reason="role")
    if who.purpose not in rules.purposes:
        raise InsufficientRights("this purpose of use is not answered", reason="purpose")
    if not rules.accepts(presence, who.purpose):
        raise InvalidAssertion("this way of recognising the patient is not accepted", reason="presence")
    mine = [d for d in directives.directives if d.holds(now) and _concerns(d, who)]
    lifts = emergency and not any(d.kind == "restrict-purpose" for d in mine)
    over = lifts and rules.optout_btg
    opted_out, opted_in = any(d.kind == "opt-out" for d in mine), any(d.permits for d in mine)
    kept = [d for d in mine if d.permits or not lifts or d.subject in rules.absolute]
    spoken = f"{directives.digest}|{[d.id for d in mine]}|{_said(rules)}|{who}|{who.person}"
    return Decision(
        version=hashlib.sha256(spoken.encode()).hexdigest(),
        directives=tuple(d for d in kept if d.kind != "opt-out" and (not emergency or d.kind != "restrict-purpose")),
        everything_denied=(opted_out or (rules.opt_in and not opted_in)) and not over,
        permitted=not rules.opt_in or over,
        acts=acts,
        services=rules.services,
        labels=_labels(who, rules.roles, v_btg=lifts and rules.v_btg),
        recipient=who,
        zone=zone,
        obligations=frozenset({"notify", "review"}) if emergency else frozenset(),
    )


def _concerns(directive: Directive, who: Recipient) -> bool:
    """Not another recipient's. An organisation may be the recipient, or have made what is asked for."""
    subject = directive.subject
    return subject not in WHO or subject == "organisation" or WHO[subject][1](directive.scope, who)


def _labels(who: Recipient, roles: Roles, *, v_btg: bool) -> frozenset[str]:
    restricted = roles.is_physician(who.role) and who.purpose in ("TREAT", BREAK_GLASS)
    seen = {RESTRICTED} if restricted else set()
    return frozenset(seen | {VERY_RESTRICTED} if v_btg else seen)


def _said(rules: Rules) -> str:
    sets = (rules.presence, rules.services, rules.absolute)
    return f"{rules.opt_in} {rules.btg} {rules.optout_btg} {rules.v_btg} {[sorted(one) for one in sets]}"


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
