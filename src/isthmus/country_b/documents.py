"""Studies and reports: the list of one patient, and one document of it.

Source: ITI-67, ITI-68; trust.md M6, M7.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from isthmus.consent.roles import Act
from isthmus.country_b import tokens
from isthmus.country_b.arrivals import check_cda, check_subject
from isthmus.country_b.client import FHIR_JSON, Call, Client
from isthmus.country_b.visit import Visit
from isthmus.errors import CountryMisanswered, DocumentNotFound, RequestProblem
from isthmus.fhir.bundles import below
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import checked_id
from isthmus.model.imaging import Manifest, Study
from isthmus.model.people import HumanName, Patient
from isthmus.model.queries import DocumentQuery
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.examination import Examination
from isthmus.model.report.header import Header, Person
from isthmus.wire import documents as wire
from isthmus.wire.kos_reading import read_kos
from isthmus.wire.manifests import read_manifest
from isthmus.wire.report.document import read_report

PAGES_MAX, ENTRIES_MAX = 50, 5000


async def find_documents(client: Client, visit: Visit, country: str, query: DocumentQuery) -> tuple[Document, ...]:
    """List studies and reports, every page of them. Finding nothing is an answer like any other.

    Raises CountryMisanswered when the answer is not about the patient asked for, or has no end.
    """
    visit.require(Act.LIST)
    patient = visit.patient_in(country)
    participant, pack = client.directory.country(country), client.pack(country)
    path, method = "/DocumentReference/_search", "POST"
    body: bytes | None = wire.write_search(replace(query, patient_handle=patient.handle), pack)
    found: list[Document] = []
    for _ in range(PAGES_MAX):
        token = await tokens.care(client, visit, country)
        call = Call(
            "ITI-67",
            "fhir",
            path,
            method,
            body,
            token=token,
            again=partial(tokens.care, client, visit, country),
            patient=patient.identifier,
            categories=("list",),
        )
        async with client.exchange(visit, country, call) as exchange:
            told = await exchange.read()
            with client.reading(country, "ITI-67") as forgiven:
                page = wire.read_found(told, base=participant.endpoints.fhir, handle=patient.handle or "", pack=pack)
                forgiven |= set(page.tolerances)
        found.extend(page.documents)
        if page.next_query is None:
            return tuple(found)
        if len(found) > ENTRIES_MAX:
            break
        path, method, body = f"/DocumentReference?{page.next_query}", "GET", None
    raise CountryMisanswered("the list has no end", reason="peer-limit", country=country)


async def get_entry(client: Client, visit: Visit, country: str, document_id: str) -> Document:
    """Give one entry of the patient's list, earlier versions included. Raises DocumentNotFound."""
    query = DocumentQuery(statuses=("current", "superseded"))
    for document in await find_documents(client, visit, country, query):
        if document.id == document_id:
            return document
    raise DocumentNotFound("no such document of this patient", country=country)


async def get_document(
    client: Client, visit: Visit, country: str, document_id: str, kind: str = "Bundle", accept: str = FHIR_JSON
) -> bytes:
    """Fetch one document as issued: its bytes, also where the country wraps them in a resource. Raises DocumentNotFound."""
    patient = visit.patient_in(country)
    token = await tokens.care(client, visit, country)
    call = Call(
        "ITI-68",
        "fhir",
        f"/{kind}/{checked_id(document_id)}",
        accept=accept,
        token=token,
        again=partial(tokens.care, client, visit, country),
        patient=patient.identifier,
        categories=("document",),
    )
    async with client.exchange(visit, country, call) as exchange:
        body = await exchange.read()
        if kind == "Binary" and exchange.response.headers.get("content-type", "").startswith(FHIR_JSON):
            return wire.read_binary(body)
        return body


async def get_report(client: Client, visit: Visit, country: str, document_id: str) -> tuple[ImagingReport, bytes]:
    """Fetch a report: what it says, and its bytes. Refused when it is about another person.

    Raises ArrivalRefused (wrong-patient), CountryMisanswered, DocumentNotFound.
    """
    visit.require(Act.REPORT)
    body = await get_document(client, visit, country, document_id)
    with client.reading(country, "ITI-68") as forgiven:
        report = read_report(body, client.pack(country), forgive=forgiven.add)
    check_subject(visit.patient_in(country), report.header.patient, country)
    return report, body


async def get_manifest(client: Client, visit: Visit, country: str, document_id: str) -> tuple[Manifest, bytes]:
    """Fetch the manifest of a study: what it describes, and its bytes.

    Refused when it is about another person, or places the images elsewhere: an address is compared, never followed.

    Source: trust.md §2.8; WAD-16.
    """
    visit.require(Act.MANIFEST)
    body = await get_document(client, visit, country, document_id)
    with client.reading(country, "ITI-68") as forgiven:
        read = read_manifest(body, client.pack(country))
        forgiven |= set(read.tolerances)
    return _checked(client, visit, country, read.manifest), body


async def get_kos(client: Client, visit: Visit, country: str, document_id: str) -> tuple[Manifest, bytes]:
    """Fetch the manifest of a study in its DICOM form: held to the same as the other. Raises also CountryMisanswered.

    Source: MADO; trust.md §2.8.
    """
    visit.require(Act.MANIFEST)
    body = await get_document(client, visit, country, document_id, "Binary", "application/dicom")
    try:
        read = read_kos(body, client.pack(country))
    except RequestProblem as error:
        raise CountryMisanswered("a manifest that cannot be read", country=country, path="Binary") from error
    client.forgive(country, "ITI-68", read.tolerances)
    return _checked(client, visit, country, read.manifest), body


async def get_described(client: Client, visit: Visit, country: str, entry: Document) -> tuple[Manifest, bytes]:
    """Fetch the manifest that an entry names, in the form in which the country offers it. Raises what either form raises."""
    get = get_kos if entry.kind is DocumentKind.MANIFEST_KOS else get_manifest
    return await get(client, visit, country, entry.id)


def _checked(client: Client, visit: Visit, country: str, manifest: Manifest) -> Manifest:
    check_subject(visit.patient_in(country), manifest.study.patient, country)
    _check_place(manifest.endpoint_address, client.directory.country(country).endpoints.dicomweb, country)
    return manifest


async def get_binary(client: Client, visit: Visit, country: str, document: Document) -> bytes:
    """Fetch a document that is no FHIR: a manifest as KOS, a report as PDF or CDA; its bytes, in the media type listed.

    A manifest is refused when it is about another person, or places the images elsewhere; a CDA document when it is about
    another person. What a PDF says of its person cannot be read: whose it is says the list that it stands on.
    Raises ArrivalRefused (wrong-patient), CountryMisanswered, DocumentNotFound.
    """
    if document.kind is DocumentKind.MANIFEST_KOS:
        return (await get_kos(client, visit, country, document.id))[1]
    visit.require(Act.REPORT)
    if document.inline is not None:
        return document.inline
    body = await get_document(client, visit, country, document.id, "Binary", document.media_type)
    if document.kind is DocumentKind.REPORT_CDA:
        await check_cda(client.sandbox, visit.patient_in(country), body, country)
    return body


def report_as_listed(document: Document, patient: Patient) -> ImagingReport:
    """What the list says of a report that exists only as PDF or CDA, as a report without text: its page has a head then."""
    header = Header(
        identifier=document.unique_id,
        patient=patient,
        title=document.title,
        date=document.created,
        status=document.report_status or "unknown",
        language=document.language,
        version=document.report_version,
        authors=tuple(Person(HumanName(name)) for name in document.authors),
        custodian=document.custodian,
    )
    studies = tuple(
        Study(uid, patient, (), document.period_start, other_modalities=document.modalities)
        for uid in document.study_instance_uids
    )
    return ImagingReport(
        header, examination=Examination(studies, performed=document.period_start, regions=document.regions)
    )


def _check_place(address: str | None, base: str, country: str) -> None:
    if address is not None and below(base, f"{address.rstrip('/')}/studies") is None:
        raise CountryMisanswered(
            "the images lie outside the country's own address", country=country, path="Endpoint.address"
        )
