"""Who is the patient: the one person who fits all that was said, or nobody; never candidates.

Answers leave on a grid of time, so that how long the register searched tells nothing.

Source: ITI-78; trust.md §2.6 (M3), F14; PID-01 to PID-14.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from isthmus.country_a.handles import Handles
from isthmus.country_a.media import check_fhir, fhir_answer
from isthmus.country_a.passes import Admitted, Introduced
from isthmus.errors import DocumentNotFound, NationalInfrastructureUnavailable, UnsupportedRequest
from isthmus.model.masks import SearchMask
from isthmus.model.queries import PatientQuery
from isthmus.national.connector import NationalConnector
from isthmus.transport.answers import Answer
from isthmus.transport.inbound import Request
from isthmus.wire import patients as wire

_FHIR = ("application/fhir+json", "application/json")


def is_match(request: Request) -> bool:
    """Whether it is asked by `$match`. Source: ITI-119."""
    return request.path.endswith("/$match")


def read_search(introduced: Introduced, request: Request, mask: SearchMask) -> PatientQuery:
    """Read a patient search, by GET, POST or `$match`, and hold it against our mask."""
    check_fhir(request.accept)
    if is_match(request):
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in _FHIR:
            raise UnsupportedRequest(
                "the body has to be application/fhir+json", reason="body-media", path="Content-Type"
            )
        return wire.read_search((*request.query, *wire.read_match(request.body)), mask, introduced.pack)
    pairs = request.query if request.method != "POST" else (*request.query, *request.form())
    return wire.read_search(pairs, mask, introduced.pack)


async def find_patients(
    introduced: Introduced,
    query: PatientQuery,
    national: NationalConnector,
    handles: Handles,
    base: str,
    nobody: Callable[[], Awaitable[None]],
    on_the_grid: Callable[[], Awaitable[None]],
    *,
    graded: bool = False,
) -> Answer:
    """Answer a patient search. Under a care token only the attested person is found; `nobody` counts a search in vain.

    `graded` says of who is found that the match is certain: no other is given.

    Source: ITI-78; ITI-119; PID-08, PID-11, PID-12.
    """
    asker, patient = introduced.asker, None
    found = [one for one in await national.find_patients(query) if wire.fits(one, query)]
    if asker.patient is not None:
        found = [one for one in found if one.identifier == asker.patient]
    if len(found) == 1:
        handle = asker.handle or await handles.give(asker.peer, asker.sub, found[0].identifier)
        patient = replace(found[0], handle=handle)
    else:
        await nobody()
    body = wire.write_found(
        patient, several=len(found) > 1, self_link=f"{base}/Patient", base=base, pack=introduced.pack, graded=graded
    )
    await on_the_grid()
    return replace(fhir_answer(body), about=found[0].identifier if len(found) == 1 else None)


async def get_patient(admitted: Admitted, request: Request, handle: str, national: NationalConnector) -> Answer:
    """Answer the reading of the attested patient. Raises DocumentNotFound for any other handle."""
    check_fhir(request.accept)
    if handle != admitted.handle:
        raise DocumentNotFound("no such patient under this token")
    found = list(await national.find_patients(PatientQuery(identifiers=(admitted.patient,))))
    if not found:  # merged into another since, or taken out of the register
        raise DocumentNotFound("no such patient under this token")
    if len(found) != 1:
        raise NationalInfrastructureUnavailable("the register has the attested patient more than once")
    return fhir_answer(wire.write_patient(replace(found[0], handle=handle), admitted.pack))
