"""Asks a live border the questions that are about no patient, for `isthmus check --border`: how it describes itself, and what it refuses.

Nothing is judged here. No token is sent, so that nothing of a patient can come; what names a patient is a name nobody has.

Source: CAP; SEC-02; interfaces.md §2.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from isthmus.conformance.evidence import Conversation, Exchange
from isthmus.country_b.client import ERROR_BODY_MAX, FHIR_JSON, Client
from isthmus.errors import SettingsProblem

_STUDY: Final = "2.25.1"


@dataclass(frozen=True, slots=True)
class _Question:
    endpoint: str  # fhir, dicomweb, token
    path: str
    accept: str = FHIR_JSON
    method: str = "GET"
    body: bytes | None = None
    more: Mapping[str, str] = field(default_factory=dict)


QUESTIONS: Final = (
    _Question("fhir", "/metadata"),
    _Question("fhir", "/.well-known/smart-configuration", accept="application/json"),
    _Question("fhir", "/metadata", accept=f"{FHIR_JSON};fhirVersion=5.0"),
    _Question("fhir", "/DocumentReference?patient=Patient/nobody&status=current"),
    _Question("fhir", "/Patient?identifier=urn:oid:2.999.9|nobody"),
    _Question("fhir", "/ImagingStudy?patient=Patient/nobody"),
    _Question("fhir", "/Bundle/nothing"),
    _Question("fhir", "/Binary/nothing"),
    _Question("dicomweb", "/studies", accept="application/dicom+json"),
    _Question("dicomweb", f"/studies/{_STUDY}", accept='multipart/related; type="application/dicom"'),
    _Question("token", "", accept="application/json", method="POST", body=b"grant_type=client_credentials"),
)


def country_at(client: Client, border: str) -> str:
    """The country whose border stands at this address. Raises SettingsProblem for one that the trust list does not have."""
    asked = urlsplit(border)
    for one in client.directory.countries:
        if any(urlsplit(origin)[:2] == asked[:2] for origin in one.endpoints.origins):
            return one.country
    raise SettingsProblem(
        "the trust list has no border at this address: it is asked as its list names it", reason="usage"
    )


async def probe(client: Client, country: str) -> Conversation:
    """Ask every question, one after the other. Raises CountryUnreachable, CountryTimedOut, UntrustedCountry, CountryMisanswered."""
    return tuple([await _asked(client, country, question) for question in QUESTIONS])


async def _asked(client: Client, country: str, question: _Question) -> Exchange:
    participant = client.directory.country(country)
    url = getattr(participant.endpoints, question.endpoint) + question.path
    headers = {"accept": question.accept, "x-request-id": secrets.token_hex(16), **question.more}
    if question.body is not None:
        headers["content-type"] = "application/x-www-form-urlencoded"
    pins = client.directory.server_pins(participant)
    async with client.outbound.request(
        question.method, url, headers=headers, body=question.body, pins=pins, country=country
    ) as response:
        answer = await response.read(ERROR_BODY_MAX)
        parts = urlsplit(url)
        return Exchange(
            method=question.method,
            path=parts.path,
            origin=f"{parts.scheme}://{parts.netloc}",
            query=tuple(parse_qsl(parts.query)),
            sent=headers,
            body=question.body or b"",
            status=response.status,
            headers={name.lower(): value for name, value in response.headers.items()},
            answer=answer,
            at=client.clock(),
        )
