"""Asks a live border, for `isthmus check --border`: how it describes itself, what it refuses, and in a visit what it tells of a patient.

Nothing is judged here. Outside a visit no token is sent, so that nothing of a patient can come; what names a patient is a name nobody
has. In a visit each question is one of the visit: on the trail, with the token it needs.

Source: CAP; SEC-02; interfaces.md §2.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from isthmus.conformance.evidence import Conversation, Exchange
from isthmus.country_b import tokens
from isthmus.country_b.client import ERROR_BODY_MAX, FHIR_JSON, Call, Client, evidence_of
from isthmus.country_b.visit import Visit
from isthmus.errors import SettingsProblem
from isthmus.fhir import elements as el
from isthmus.fhir.bundles import below
from isthmus.fhir.elements import Node
from isthmus.model.identifiers import is_uid, plain_uid
from isthmus.model.queries import DocumentQuery, PatientQuery
from isthmus.wire import documents, patients
from isthmus.wire.packs.pack import Pack

_STUDY: Final = "2.25.1"
_DICOM: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
MAX_DOCUMENTS: Final = 30
MAX_BYTES: Final = 256 * 1024 * 1024


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
    known = ", ".join(f"{one.endpoints.fhir} ({one.country})" for one in client.directory.countries)
    raise SettingsProblem(
        f"the trust list has no border at this address; it has {known or 'none that answers another country'}",
        reason="usage",
    )


async def probe(client: Client, country: str) -> Conversation:
    """Ask every question, one after the other. Raises CountryUnreachable, CountryTimedOut, UntrustedCountry, CountryMisanswered."""
    return tuple([await _asked(client, country, question) for question in QUESTIONS])


async def probe_visit(client: Client, visit: Visit, country: str, query: PatientQuery) -> Conversation:
    """Ask in a visit: who the patient is, what there is, each document of the list's beginning, and one image.

    Raises what the visit's questions raise: a refusal ends it.
    """
    pack, participant, patient = client.pack(country), client.directory.country(country), visit.patient_in(country)
    person = Call(
        "ITI-78", "fhir", "/Patient/_search", "POST", patients.write_search(query, pack),
        token=await tokens.identify(client, visit, country), patient=patient.identifier,
    )  # fmt: skip
    said = [await _told(client, visit, country, person)]
    care = await tokens.care(client, visit, country)
    body = documents.write_search(DocumentQuery(patient_handle=patient.handle), pack)
    listing = Call("ITI-67", "fhir", "/DocumentReference/_search", "POST", body, token=care, patient=patient.identifier)
    said.append(await _told(client, visit, country, replace(listing, categories=("list",))))
    for entry in said[-1].entries("DocumentReference")[:MAX_DOCUMENTS]:
        attachment = el.child(entry, "content", "attachment")
        place = below(participant.endpoints.fhir, el.text(attachment, "url") or "")
        accept = el.text(attachment, "contentType") or FHIR_JSON
        if place is not None:
            one = Call("ITI-68", "fhir", f"/{place[0]}", accept=accept, token=care, patient=patient.identifier)
            said.append(await _told(client, visit, country, one))
    image = next((path for one in said if (path := _first_instance(one.node, pack))), None)
    if image is not None:
        call = Call("RAD-107", "dicomweb", image, accept=_DICOM, token=care, patient=patient.identifier)
        said.append(await _told(client, visit, country, replace(call, categories=("images",))))
    return tuple(said)


async def _told(client: Client, visit: Visit, country: str, call: Call) -> Exchange:
    async with client.exchange(visit, country, call) as exchange:
        await exchange.read(MAX_BYTES)
        return evidence_of(call, exchange)


def _first_instance(node: Node, pack: Pack) -> str | None:
    """Where the first image of a manifest is, by its UIDs alone."""
    for entry in el.children(node, "entry") if node.get("type") == "document" else []:
        study = el.child(entry, "resource")
        series = el.child(study, "series")
        uids = [
            plain_uid(el.text(one, "value") or "")
            for one in el.children(study, "identifier")
            if one.get("system") == pack.systems["uid"]
        ]
        named = (*uids[:1], el.text(series, "uid") or "", el.text(el.child(series, "instance"), "uid") or "")
        if study.get("resourceType") == "ImagingStudy" and len(named) == 3 and all(is_uid(uid) for uid in named):
            return "/studies/{}/series/{}/instances/{}".format(*named)
    return None


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
