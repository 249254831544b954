"""Who is the patient: the one person a country finds for what was typed, or nobody.

Source: ITI-78; trust.md M3.
"""

from __future__ import annotations

from functools import partial

from isthmus.country_b import tokens
from isthmus.country_b.client import Call, Client
from isthmus.country_b.visit import Visit
from isthmus.errors import CountryMisanswered, MalformedRequest, PatientNotFound
from isthmus.model.masks import SearchMask
from isthmus.model.people import Patient
from isthmus.model.queries import PatientQuery
from isthmus.wire import patients as wire

TRAITS = {"family": "family", "birthdate": "birth_date", "gender": "gender", "given": "given"}


async def find_patients(client: Client, visit: Visit, country: str, query: PatientQuery) -> Patient:
    """Find the one person. The patient carries the handle under which this professional may go on.

    Raises MalformedRequest when the country's mask asks for more, PatientNotFound, PatientAmbiguous.
    """
    complete(query, client.directory.country(country).mask)
    token = await tokens.identify(client, visit, country)
    pack = client.pack(country)
    call = Call(
        "ITI-78",
        "fhir",
        "/Patient/_search",
        "POST",
        wire.write_search(query, pack),
        token=token,
        again=partial(tokens.identify, client, visit, country),
        patient=query.identifiers[0],
        absent=PatientNotFound,
    )
    async with client.exchange(visit, country, call) as exchange:
        told = await exchange.read()
        with client.reading(country, "ITI-78"):
            found = wire.read_found(told, pack)
        if found.identifier not in query.identifiers or not found.handle:
            raise CountryMisanswered("the person found has another identifier than the one asked for", country=country)
    return found


def complete(query: PatientQuery, mask: SearchMask) -> None:
    """Hold a query against the country's published mask before anything is sent. Raises MalformedRequest (search-mask)."""
    import re2

    lacking = [trait for trait, member in TRAITS.items() if mask.required(trait) and not getattr(query, member)]
    if lacking:
        words = f"the country's search mask asks for {', '.join(lacking)}"
        raise MalformedRequest(words, reason="search-mask", path=lacking[0])
    for identifier in query.identifiers:
        kinds = [kind for kind in mask.identifiers if kind.system == identifier.system]
        if not kinds:
            raise MalformedRequest(
                f"the country issues no identifiers under this authority; it issues {', '.join(k.system for k in mask.identifiers)}",
                reason="search-mask-value",
                path="identifier",
            )
        value = identifier.value
        if not any(len(value) <= 64 and re2.fullmatch(kind.pattern, value) for kind in kinds):
            raise MalformedRequest(
                "the identifier does not have the form that the country uses",
                reason="search-mask-value",
                path="identifier",
            )
