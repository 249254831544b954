"""Everything the patient has, and everything they said: a decision needs both whole, before anything is filtered, counted or sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from isthmus.config import Consent
from isthmus.consent.decision import Decision, DirectiveSet, decide, joined
from isthmus.consent.roles import ROLES, Roles
from isthmus.consent.rules import Rules
from isthmus.consent.speaking import Recipient
from isthmus.country_a.passes import Admitted, Introduced
from isthmus.errors import InsufficientRights
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.queries import DocumentQuery, ImagesQuery
from isthmus.national.connector import KnowsCorrections, KnowsIdentifiers, NationalConnector
from isthmus.transport.answers import Answer
from isthmus.trust.trustlist import Participant


async def all_documents(admitted: Admitted, national: NationalConnector) -> list[Document]:
    """All documents of the attested patient, also when nothing may be given: asking takes the same time then."""
    query = DocumentQuery(patient=admitted.patient, statuses=(), pack=admitted.pack.name)
    return list(await national.find_documents(query))


def with_codes(answer: Answer, given: Collection[Document]) -> Answer:
    """The answer, with what the record of the exchange says of these documents: of the codes in them, once for a study, in however many
    forms; and how many reports are given as they were issued alone."""
    unmapped: dict[object, int] = {}
    for document in given:
        unmapped[document.study_instance_uids or document.id] = document.unmapped
    mapped_by = tuple(sorted({document.mapped_by for document in given if document.mapped_by}))
    as_issued = sum(document.kind in (DocumentKind.REPORT_PDF, DocumentKind.REPORT_CDA) for document in given)
    return replace(answer, unmapped=sum(unmapped.values()), mapped_by=mapped_by, as_issued=as_issued)


async def steady(query: ImagesQuery, national: NationalConnector) -> Callable[[], Awaitable[bool]] | None:
    """From now on: whether nothing of a study has been taken away since. None where the source does not know."""
    if not isinstance(national, KnowsCorrections):
        return None
    asked, study = national.corrections_of, query.study_instance_uid
    before = await asked(study)

    async def unchanged() -> bool:
        return await asked(study) == before

    return unchanged


async def may_give(admitted: Admitted, decision: Decision, query: ImagesQuery, national: NationalConnector) -> bool:
    """Whether this decision shows the study. Asked again while a transfer runs."""
    return decision.shows_study(query.study_instance_uid, await all_documents(admitted, national))


class DirectiveSource(Protocol):
    """What patients said. `consent/directives.py`."""

    async def of(self, patient: PatientIdentifier) -> DirectiveSet: ...


class Deciding:
    """Decides for whoever asks, anew at every request: what the patient said a second ago counts."""

    def __init__(
        self,
        directives: DirectiveSource,
        national: NationalConnector | None,
        law: Consent,
        ours: Callable[[], Participant],
        clock: Callable[[], datetime],
        *,
        can_tell: bool,
        roles: Roles = ROLES,
    ) -> None:
        self.roles = roles
        self._directives, self._national, self._law = directives, national, law
        self._ours, self._clock, self._can_tell = ours, clock, can_tell

    @property
    def rules(self) -> Rules:
        """What the country says: its own entry of the list, and its settings. No emergency where patients cannot be told of it."""
        ours, law = self._ours(), self._law
        return Rules(
            opt_in=law.regime != "opt-out", presence=ours.policy.patient_presence, services=ours.services,
            btg=ours.policy.btg and self._can_tell, optout_btg=ours.policy.optout_btg, v_btg=law.v_btg,
            absolute=frozenset(law.absolute), roles=self.roles,
        )  # fmt: skip

    async def decide(self, introduced: Introduced) -> Decision:
        """What may be given. Raises what `consent.decision.decide` does, and InsufficientRights without a patient."""
        asker, country = introduced.asker, introduced.known.peer.country
        if asker.patient is None or self._national is None:
            raise InsufficientRights("a token of the care stage is needed", reason="scope")
        who = Recipient(country, asker.organisation, asker.sub, asker.role, asker.purpose)
        return await self.decide_about(asker.patient, who, asker.presence, asker.represented)

    async def decide_about(
        self, patient: PatientIdentifier, who: Recipient, presence: str, represented: str = ""
    ) -> Decision:
        """The same for anybody who might ask; `represented`: on what ground somebody speaks for the patient."""
        rules = replace(self.rules, represented=represented in self._law.representatives)
        said, merged = await self.said_by(patient)
        zone = self._national.zone if self._national is not None else UTC
        decision = decide(who=who, presence=presence, directives=said, rules=rules, now=self._clock(), zone=zone)
        if merged:  # nobody's number any more: nothing may be given under it
            return replace(decision, everything_denied=True, version=f"{decision.version} merged")
        return decision

    async def numbers_of(self, patient: PatientIdentifier) -> list[PatientIdentifier]:
        """Every number that the same person has or had. Decision 0012."""
        former = await _former(self._national, patient)
        return list(dict.fromkeys((patient, *(former or ()), *(await _others(self._national, patient)))))

    async def said_by(self, patient: PatientIdentifier) -> tuple[DirectiveSet, bool]:
        """What a person said under every number they have or had; and whether this one is nobody's any more. Decision 0012."""
        former = await _former(self._national, patient)
        under = (patient, *(former or ()))
        said = [await self._directives.of(number) for number in under]
        others = [number for number in await _others(self._national, patient) if number not in under]
        beside = [await self._directives.of(number) for number in others]
        return joined(said, self._clock(), beside), former is None


async def _former(national: NationalConnector | None, patient: PatientIdentifier) -> Sequence[PatientIdentifier] | None:
    """Under which other identifiers this patient may have said something. Decision 0012."""
    return await national.former_identifiers(patient) if isinstance(national, KnowsCorrections) else ()


async def _others(national: NationalConnector | None, patient: PatientIdentifier) -> Sequence[PatientIdentifier]:
    """Under which further identifiers the same person is found, and may have restricted something."""
    return await national.other_identifiers(patient) if isinstance(national, KnowsIdentifiers) else ()
