"""Everything the patient has: the decision needs it whole, before anything is filtered, counted or sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

from isthmus.consent.decision import Decision
from isthmus.country_a.passes import Admitted
from isthmus.model.documents import Document
from isthmus.model.queries import DocumentQuery, ImagesQuery
from isthmus.national.connector import KnowsCorrections, NationalConnector
from isthmus.transport.answers import Answer


async def all_documents(admitted: Admitted, national: NationalConnector) -> list[Document]:
    """All documents of the attested patient, also when nothing may be given: asking takes the same time then."""
    query = DocumentQuery(patient=admitted.patient, statuses=(), pack=admitted.pack.name)
    return list(await national.find_documents(query))


def with_codes(answer: Answer, given: Collection[Document]) -> Answer:
    """The answer, with what the record of the exchange says of the codes in these documents: once for a study, in however many forms."""
    unmapped: dict[object, int] = {}
    for document in given:
        unmapped[document.study_instance_uids or document.id] = document.unmapped
    mapped_by = tuple(sorted({document.mapped_by for document in given if document.mapped_by}))
    return replace(answer, unmapped=sum(unmapped.values()), mapped_by=mapped_by)


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
