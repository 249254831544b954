"""Reports published by FHIR: what is kept, what replaces what, and what each refusal says.

Source: ITI-105; ITI-65; interfaces.md §11; trust.md T99.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from typing import Any

import orjson
import pytest
from tests.archive.conftest import NOW, dicom
from tests.archive.doors.conftest import SYSTEM, Intakes, Reply

from isthmus.archive.verdicts import REASONS
from isthmus.model.documents import Document
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.model.queries import DocumentQuery
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.header import Header
from isthmus.national.files import Files
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import write_report

EVA = PatientIdentifier(SYSTEM, "1234567")
PDF = b"%PDF-1.7\nA report.\n%%EOF\n"
FHIR = "application/fhir+json"


def reference(body: bytes = PDF, media: str = "application/pdf", **said: Any) -> dict[str, Any]:
    node = {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"identifier": {"system": EVA.system, "value": EVA.value}},
        "content": [{"attachment": {"contentType": media, "data": b64encode(body).decode()}}],
    }
    return {name: value for name, value in (node | said).items() if value is not None}


def about(*studies: str, accession: str | None = None) -> dict[str, Any]:
    related: list[Any] = [{"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}} for uid in studies]
    if accession is not None:
        kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
        related.append({"identifier": {"type": kind, "system": "urn:oid:2.999.5.1", "value": accession}})
    return {"related": related}


def report(version: str = "1", patient: str = EVA.value, system: str = EVA.system) -> bytes:
    said = Patient(PatientIdentifier(system, patient), (HumanName("Testova", ("Eva",)),), "1970-01-01", "female")
    identifier = Identifier("urn:ietf:rfc:3986", "urn:uuid:5f0c1e10-0000-4000-8000-000000000001")
    header = Header(identifier, said, title="CT report", date="2026-03-01T09:00:00+02:00", version=version)
    return write_report(ImagingReport(header), load_pack())


def send(doors: Intakes, node: Any, sender: str | None = "ris", path: str = "/fhir/DocumentReference") -> Reply:
    return doors.post(path, orjson.dumps(node), FHIR, sender=sender)


def reason(reply: Reply) -> str:
    assert reply.json["resourceType"] == "OperationOutcome"
    return str(reply.json["issue"][0]["details"]["coding"][0]["code"])


def listed(doors: Intakes, patient: PatientIdentifier = EVA) -> list[Document]:
    files = Files(doors.settings, doors.database, lambda: NOW)
    return [d for d in asyncio.run(files.find_documents(DocumentQuery(patient))) if not d.kind.is_manifest]


@pytest.fixture
def known(doors: Intakes) -> Intakes:
    """With Eva registered, and a study of hers."""
    assert doors.store(dicom()).status == 200
    return doors


def test_a_pdf_is_kept_for_its_patient_with_what_is_said_of_it(known: Intakes) -> None:
    said = reference(
        context=about("2.25.10", accession="A1"),
        masterIdentifier={"system": "urn:ietf:rfc:3986", "value": "urn:uuid:7"},
        description="CT of the chest",
        date="2026-03-01T09:00:00+02:00",
    )

    reply = send(known, said)

    assert reply.status == 201
    (kept,) = listed(known)
    assert reply.headers["location"] == f"http://127.0.0.1:{known.port}/fhir/DocumentReference/{kept.id}"
    assert (kept.title, kept.created) == ("CT of the chest", "2026-03-01T09:00:00+02:00")
    assert kept.study_instance_uids == ("2.25.10",)
    assert kept.accession_numbers == (Identifier("urn:oid:2.999.5.1", "A1"),)
    assert kept.unique_id == Identifier("urn:ietf:rfc:3986", "urn:uuid:7")


def test_a_fhir_report_is_kept_and_registers_its_patient(doors: Intakes) -> None:
    reply = send(doors, reference(report(), FHIR))

    assert reply.status == 201
    assert [document.title for document in listed(doors)] == ["CT report"]


def test_the_same_document_again_is_answered_with_the_same_place(known: Intakes) -> None:
    first = send(known, reference())

    again = send(known, reference())

    assert (first.status, again.status) == (201, 200)
    assert first.headers["location"] == again.headers["location"]
    assert len(listed(known)) == 1


@pytest.mark.parametrize("by", ["identifier", "reference"])
def test_a_document_takes_the_place_of_the_one_it_replaces(known: Intakes, by: str) -> None:
    unique = {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:7"}
    place = send(known, reference(masterIdentifier=unique)).headers["location"]
    target = {"identifier": unique} if by == "identifier" else {"reference": place}

    reply = send(known, reference(PDF + b"corrected", relatesTo=[{"code": "replaces", "target": target}]))

    assert reply.status == 201
    old, new = sorted(listed(known), key=lambda document: int(document.id))
    assert (old.status, new.status, new.replaces) == ("superseded", "current", old.id)


def test_what_was_replaced_already_is_not_replaced_again(known: Intakes) -> None:
    place = send(known, reference()).headers["location"]
    relation = [{"code": "replaces", "target": {"reference": place}}]
    send(known, reference(PDF + b"2", relatesTo=relation))

    reply = send(known, reference(PDF + b"3", relatesTo=relation))

    assert (reply.status, reason(reply)) == (409, "older-version")


def test_a_document_of_another_source_is_not_replaced(known: Intakes) -> None:
    place = send(known, reference()).headers["location"]
    known.store(dicom(5, study="2.25.50", PatientID="77"), sender="lab")
    theirs = {"identifier": {"system": "urn:oid:2.999.4.9", "value": "77"}}
    relation = [{"code": "replaces", "target": {"reference": place}}]

    mine = send(known, reference(PDF + b"x", relatesTo=relation), sender="lab")
    other = send(known, reference(PDF + b"x", subject=theirs, relatesTo=relation), sender="lab")

    assert [reason(mine), reason(other)] == ["other-issuer", "unknown-replaced"]
    assert [document.status for document in listed(known)] == ["current"]


def test_a_later_version_of_a_report_replaces_it_and_an_older_one_comes_too_late(doors: Intakes) -> None:
    statuses = [send(doors, reference(report(version), FHIR)).status for version in ("2", "3", "1")]

    assert statuses == [201, 201, 409]
    assert [document.status for document in listed(doors)] == ["superseded", "current"]


def test_a_transaction_with_its_binary_is_one_document(known: Intakes) -> None:
    urls = ["urn:uuid:00000000-0000-4000-8000-00000000000a", "urn:uuid:00000000-0000-4000-8000-00000000000b"]
    entry = reference()
    entry["content"] = [{"attachment": {"contentType": "application/pdf", "url": urls[1]}}]
    binary = {"resourceType": "Binary", "contentType": "application/pdf", "data": b64encode(PDF).decode()}
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"fullUrl": urls[0], "resource": entry, "request": {"method": "POST", "url": "DocumentReference"}},
            {"fullUrl": urls[1], "resource": binary, "request": {"method": "POST", "url": "Binary"}},
        ],
    }

    reply = send(known, bundle, path="/fhir")

    assert (reply.status, reply.json["type"]) == (200, "transaction-response")
    assert [one["response"]["status"] for one in reply.json["entry"]] == ["201", "200"]
    assert len(listed(known)) == 1


def test_a_patient_may_come_along_contained(known: Intakes) -> None:
    patient = {"resourceType": "Patient", "id": "p", "identifier": [{"system": EVA.system, "value": EVA.value}]}

    reply = send(known, reference(contained=[patient], subject={"reference": "#p"}))

    assert reply.status == 201


@pytest.mark.parametrize(
    ("said", "status", "word"),
    [
        ({"subject": {"identifier": {"system": SYSTEM, "value": "404"}}}, 422, "unknown-patient"),
        ({"subject": {"identifier": {"system": "urn:oid:2.999.77", "value": EVA.value}}}, 422, "other-issuer"),
        ({"subject": {"reference": "Patient/7"}}, 422, "no-patient"),
        ({"subject": None}, 422, "no-patient"),
        ({"body": b"<ClinicalDocument/>"}, 422, "unknown-form"),
        ({"body": b"MZ program"}, 422, "unknown-form"),
        ({"body": b"<?xml version='1.0'?><a/>", "media": "text/xml"}, 422, "unknown-form"),
        ({"body": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "media": "text/xml"}, 422, "unknown-form"),
        ({"body": b"{}", "media": FHIR}, 422, "not-a-report"),
        ({"body": report(patient="8"), "media": FHIR}, 422, "contradicts-assignment"),
        ({"relatesTo": [{"code": "replaces", "target": {"reference": "DocumentReference/99"}}]}, 409, "unknown-replaced"),
        ({"context": about("2.25.70")}, 422, "contradicts-study"),
    ],
)  # fmt: skip
def test_what_is_not_taken_says_why(known: Intakes, said: dict[str, Any], status: int, word: str) -> None:
    known.store(dicom(7, study="2.25.70", PatientID="70"))

    reply = send(known, reference(**said))

    assert (reply.status, reason(reply)) == (status, word)
    assert word in REASONS
    assert listed(known) == []


@pytest.mark.parametrize(
    "node",
    [
        {"resourceType": "Patient"},
        {"resourceType": "Bundle", "type": "document"},
        {"resourceType": "Bundle", "type": "transaction", "entry": []},
        reference(status="superseded"),
        reference(docStatus="entered-in-error"),
        reference(content=[]),
        reference(content=[{"attachment": {"contentType": "application/pdf", "url": "http://127.0.0.1:1/report.pdf"}}]),
        reference(content=[{"attachment": {"contentType": "application/pdf", "data": "no base64!"}}]),
        reference(content=[{"attachment": {"contentType": "text/html", "data": "QQ=="}}]),
        reference(content=[{"attachment": {"contentType": "application/pdf", "data": "QQ==", "size": 2}}]),
        reference(content=[{"attachment": {"contentType": "application/pdf", "data": "QQ==", "hash": "QQ=="}}]),
        reference(relatesTo=[{"code": "transforms", "target": {"reference": "DocumentReference/1"}}]),
        reference(context=about("1..2")),
        [],
    ],
)
def test_what_is_no_publication_is_a_bad_request(known: Intakes, node: Any) -> None:
    reply = send(known, node)

    assert reply.status in (400, 415)
    assert reply.json["resourceType"] == "OperationOutcome"
    assert listed(known) == []


def test_a_right_digest_and_size_are_believed_after_they_are_looked_at(known: Intakes) -> None:
    said = reference()
    digest = b64encode(hashlib.sha1(PDF, usedforsecurity=False).digest()).decode()
    said["content"][0]["attachment"] |= {"size": len(PDF), "hash": digest}

    assert send(known, said).status == 201


def test_a_report_about_another_person_of_that_number_is_held(known: Intakes) -> None:
    said = Patient(EVA, (HumanName("Contradictus", ("Otho",)),), "1931-01-31", "male")
    identifier = Identifier("urn:ietf:rfc:3986", "urn:uuid:5f0c1e10-0000-4000-8000-000000000002")
    body = write_report(
        ImagingReport(Header(identifier, said, title="X", date="2026-03-01T09:00:00+02:00")), load_pack()
    )

    reply = send(known, reference(body, FHIR))

    assert (reply.status, reason(reply)) == (202, "contradicts-register")
    assert listed(known) == []


def test_a_document_that_is_too_long_is_refused_while_it_comes(known: Intakes) -> None:
    reply = send(known, reference(bytes(20 << 20)))

    assert reply.status == 413


@pytest.mark.parametrize("media", ["application/fhir+xml", "text/plain", ""])
def test_another_form_is_refused(known: Intakes, media: str) -> None:
    assert known.post("/fhir/DocumentReference", b"<DocumentReference/>", media, sender="ris").status == 415


def test_nobody_publishes_without_a_token(known: Intakes) -> None:
    assert send(known, reference(), sender=None).status == 401
    assert send(known, reference(), sender="guess").status == 401


def test_what_can_be_done_here_is_told(doors: Intakes) -> None:
    reply = doors.ask("GET", "/fhir/metadata")

    assert (reply.status, reply.json["resourceType"]) == (200, "CapabilityStatement")
    assert reply.json["rest"][0]["resource"] == [{"type": "DocumentReference", "interaction": [{"code": "create"}]}]
    assert doors.ask("GET", "/fhir/DocumentReference/1").status == 404
    assert doors.ask("DELETE", "/fhir/DocumentReference/1").status == 405
