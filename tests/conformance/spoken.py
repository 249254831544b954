"""A sound conversation with a border, every exchange under a name, written by the wire's own writers and never spoken."""

from __future__ import annotations

import hashlib
from base64 import b64encode, urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import orjson
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID
from tests.conformance.test_emitted import EMITTED, ROWS
from tests.wire.made import BASE, HANDLE, KOS_ENTRY, MANIFEST, MANIFEST_ENTRY, PATIENT, PDF_ENTRY, REPORT_ENTRY, STUDY
from tests.wire.test_reports import REPORT

from isthmus import errors
from isthmus.conformance.evidence import Exchange
from isthmus.model.documents import Document
from isthmus.model.queries import Page
from isthmus.wire import documents, patients
from isthmus.wire.images import content_type
from isthmus.wire.kos import write_kos
from isthmus.wire.manifests import write_manifest
from isthmus.wire.outcomes import outcome_headers, write_outcome
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import write_report

PACK = load_pack()
ORIGIN = BASE.removesuffix("/fhir")
NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
BOUND = "thumbprint-of-bb"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
LOINC = "http://loinc.org"
STUDY_UID = STUDY.study_instance_uid
FIRST = STUDY.series[0].instances[0].sop_instance_uid
FHIR = {"content-type": "application/fhir+json", "cache-control": "no-store"}
SINGLE = f"application/dicom; transfer-syntax={EXPLICIT}"
PDF = b"%PDF-1.7 a letter"
Named = dict[str, Exchange]


def jwt(claims: dict[str, Any], **header: str) -> str:
    parts = (urlsafe_b64encode(orjson.dumps(part)).decode().rstrip("=") for part in ({"alg": "ES256"} | header, claims))
    return ".".join((*parts, "signature"))


CLAIMS = {
    "iss": "urn:ehealth:aa:ncp-idp", "sub": "doctor", "client_id": "urn:ehealth:bb:ncp-idp", "aud": "urn:ehealth:aa:ncp-idp", "jti": "j-1",
    "exp": int(NOW.timestamp()) + 300, "iat": int(NOW.timestamp()), "scope": "patient/DocumentReference.rs", "patient": HANDLE,
    "cnf": {"x5t#S256": BOUND},
}  # fmt: skip
REPORT_BODY = write_report(REPORT, PACK)
EARLIER_BODY = write_report(replace(REPORT, header=replace(REPORT.header, version="1")), PACK)
_DOCUMENTS = (
    replace(REPORT_ENTRY, size_bytes=len(REPORT_BODY)),
    replace(
        REPORT_ENTRY, id="b-report-1", status="superseded", replaces=None, report_version="1", size_bytes=None,
        url=f"{BASE}/Bundle/b-report-1", indexed="2026-03-02T10:50:00+01:00",
    ),
    MANIFEST_ENTRY, KOS_ENTRY, PDF_ENTRY,
)  # fmt: skip
DOCUMENTS = tuple(replace(one, updated=one.indexed) for one in _DOCUMENTS)


def said(
    path: str, answer: bytes, *, status: int = 200, headers: dict[str, str] | None = None, **more: Any
) -> Exchange:
    """One exchange under the token, without a fault."""
    number = hashlib.sha256(path.encode() + answer).hexdigest()[:16]
    sent = {"authorization": f"Bearer {jwt(CLAIMS)}", "accept": "application/fhir+json", "x-request-id": number}
    return Exchange(
        path=path, origin=ORIGIN, status=status, answer=answer, peer=BOUND, at=NOW,
        headers={**(headers or FHIR), "x-request-id": number}, sent=sent | more.pop("sent", {}), **more,
    )  # fmt: skip


def listed(
    *pairs: tuple[str, str],
    by: tuple[str, str] = ("patient", f"Patient/{HANDLE}"),
    known: tuple[Document, ...] = DOCUMENTS,
) -> Exchange:
    """A search of the list, answered as the definitions say."""
    asked = (by, *(pairs if any(name == "status" for name, _ in pairs) else (("status", "current"), *pairs)))
    query = documents.read_search([("patient", HANDLE), *asked[1:]], ZoneInfo("UTC"), PACK)
    found = tuple(one for one in known if documents.matches(one, query, PACK, ZoneInfo("UTC")))
    answer = documents.write_found(Page(found, len(found)), query, base=BASE, handle=HANDLE, pack=PACK)
    return said("/fhir/DocumentReference", answer, query=asked)


def posted(exchange: Exchange) -> Exchange:
    """The same search, by POST."""
    return replace(
        exchange, method="POST", path=f"{exchange.path}/_search", query=(), body=urlencode(exchange.query).encode(),
        sent={**exchange.sent, "content-type": "application/x-www-form-urlencoded"},
    )  # fmt: skip


def looked_for(*more: tuple[str, str], found: bool = True, **traits: str) -> Exchange:
    """A search for the person."""
    whole = {"identifier": f"{PATIENT.identifier.system}|{PATIENT.identifier.value}", "family": PATIENT.name.family}
    whole |= {"birthdate": PATIENT.birth_date, "gender": PATIENT.gender} | traits
    person = replace(PATIENT, handle=HANDLE) if found else None
    link = f"{BASE}/Patient"
    answer = patients.write_found(person, several=False, self_link=link, base=BASE, pack=PACK)
    return said("/fhir/Patient", answer, query=(*whole.items(), *more))


def refused(path: str, error: errors.IsthmusError, **more: Any) -> Exchange:
    headers = FHIR | {name.lower(): value for name, value in outcome_headers(error)}
    return said(path, write_outcome(error), status=error.meaning.status, headers=headers, **more)


def dicom(
    sop: str,
    sop_class: str = "1.2.840.10008.5.1.4.1.1.2",
    syntax: str = EXPLICIT,
    patient: str = PATIENT.identifier.value,
) -> bytes:
    """A small Part 10 file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(sop_class), UID(sop)
    meta.TransferSyntaxUID = UID(syntax)
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = sop_class, sop
    data.StudyInstanceUID, data.SeriesInstanceUID, data.PatientID = STUDY_UID, "2.999.7.1.1", patient
    data.Rows = data.Columns = 2
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 15, 0, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    if syntax in (EXPLICIT, IMPLICIT):
        data.PixelData = b"\1\0\2\0\3\0\4\0"
    else:
        data.BitsAllocated = data.BitsStored = 8
        data.HighBit, data.PixelData = 7, encapsulate([b"\xff\xd8\xff\xd9"])
    held = BytesIO()
    data.save_as(held, enforce_file_format=True)
    return held.getvalue()


INSTANCES = {i.sop_instance_uid: dicom(i.sop_instance_uid, i.sop_class_uid) for s in STUDY.series for i in s.instances}


def multipart(*files: bytes, syntax: str = EXPLICIT) -> bytes:
    head = f"--b\r\nContent-Type: application/dicom; transfer-syntax={syntax}\r\n\r\n".encode()
    return b"".join(head + file + b"\r\n" for file in files) + b"--b--\r\n"


def images(
    path: str, answer: bytes, *, accept: str = AS_STORED, media: str = content_type("b"), **more: Any
) -> Exchange:
    headers = {"content-type": media, "cache-control": "no-store"}
    return said(f"/dicom-web/studies/{path}", answer, headers=headers, sent={"accept": accept}, **more)


def document(path: str, body: bytes, media: str = "application/fhir+json", accept: str = "") -> Exchange:
    return said(path, body, headers=FHIR | {"content-type": media}, sent={"accept": accept or media})


def sound() -> Named:
    """Everything that is asked in a visit, and some things that are refused."""
    open_ = {"authorization": ""}
    of_study = ("study-instance-uid", STUDY_UID)
    wrapped = orjson.dumps(
        {"resourceType": "Binary", "contentType": "application/pdf", "data": b64encode(PDF).decode()}
    )
    assertion = {"client_assertion": jwt({})}
    every = {
        "metadata": said("/fhir/metadata", EMITTED["capability"][1], sent=open_),
        "smart": said("/.well-known/smart-configuration", EMITTED["smart"][1], headers={"content-type": "application/json"}, sent=open_),
        "token": said("/oauth/token", orjson.dumps({"access_token": jwt(CLAIMS)}), query=tuple(assertion.items()), method="POST", sent=open_),
        "patient": looked_for(),
        "patient by given name": looked_for(given="Eva"),
        "patient in capitals": looked_for(family="TESTOVA"),
        "another birth date": looked_for(found=False, birthdate="1980-01-01"),
        "two identifiers": looked_for(("identifier", "urn:oid:2.999.9|8"), found=False),
        "no identifier": refused("/fhir/Patient", errors.MalformedRequest("x", reason="search-mask"), query=(("gender", "male"),)),
        "whole": listed(),
        "whole by POST": posted(listed()),
        "whole by identifier": listed(by=("patient.identifier", "urn:oid:2.999.4.1|1234567")),
        "superseded": listed(("status", "superseded")),
        "type": listed(("type", f"{LOINC}|85430-7")),
        "types": listed(("type", f"{LOINC}|85430-7,{LOINC}|18748-4")),
        "category": listed(("category", "Medical-Imaging")),
        "contenttype": listed(("contenttype", "application/dicom")),
        "date": listed(("date", "ge2026-01-01")),
        "creation": listed(("creation", "ge2026-01-01")),
        "period": listed(("period", "ge2026-01-01")),
        "together": listed(("type", "85430-7"), ("contenttype", "application/pdf")),
        "modality": listed(("modality", "PT")),
        "bodysite": listed(("bodysite", "http://snomed.info/sct|1141981001")),
        "anatomical-region": listed(("anatomical-region", "1141981001")),
        "study": listed(of_study),
        "study with prefix": listed(("study-instance-uid", f"urn:oid:{STUDY_UID}")),
        "accession": listed(("accession-number", "urn:oid:2.999.5.1|A2026-0042")),
        "related": listed(("related:identifier", f"urn:dicom:uid|urn:oid:{STUDY_UID}")),
        "format": listed(("format", "1.2.840.10008.5.1.4.1.1.88.59")),
        "identifier": listed(("identifier", "urn:dicom:uid|urn:oid:2.999.7.9.1")),
        "author": listed(("author.family", "Radio")),
        "changed since": listed(("_lastUpdated", "ge2026-01-01")),
        "nothing": listed(("modality", "NM")),
        "no date": refused("/fhir/DocumentReference", errors.MalformedRequest("x", reason="value"), query=(("patient", HANDLE), ("date", "soon"))),
        "no patient": refused("/fhir/DocumentReference", errors.MalformedRequest("x", reason="required")),
        "unknown parameter": refused(
            "/fhir/DocumentReference", errors.UnsupportedRequest("x", path="colour"), query=(("patient", HANDLE), ("colour", "red"))
        ),
        "manifest": document("/fhir/Bundle/b-manifest", write_manifest(MANIFEST, PACK)),
        "manifest again": document("/fhir/Bundle/b-manifest", write_manifest(MANIFEST, PACK)),
        "kos": document("/fhir/Binary/b-kos", write_kos(MANIFEST, PACK), "application/dicom"),
        "report": document("/fhir/Bundle/b-report", REPORT_BODY),
        "earlier report": document("/fhir/Bundle/b-report-1", EARLIER_BODY),
        "pdf": document("/fhir/Binary/b-pdf", PDF, "application/pdf"),
        "pdf wrapped": document("/fhir/Binary/b-pdf", wrapped),
        "unknown": refused("/fhir/Bundle/unknown", errors.DocumentNotFound("x")),
        "another's": refused("/fhir/Bundle/anothers", errors.DocumentNotFound("x")),
        "all images": images(STUDY_UID, multipart(*INSTANCES.values())),
        "one image": images(f"{STUDY_UID}/series/2.999.7.1.1/instances/{FIRST}", INSTANCES[FIRST], accept="application/dicom", media=SINGLE),
        "another's images": refused("/dicom-web/studies/2.999.8", errors.ImagesNotFound("x")),
        "restricted images": refused("/dicom-web/studies/2.999.9", errors.ImagesNotFound("x")),
        "no uid": refused("/dicom-web/studies/1.2.x", errors.MalformedRequest("x", reason="uid")),
        "metadata of images": refused(f"/dicom-web/studies/{STUDY_UID}/metadata", errors.ImagesNotFound("x")),
        "rows": said("/dicom-web/studies", b"[%s]" % ROWS["row"], headers=FHIR | {"content-type": "application/dicom+json"}),
        "no rows": said("/dicom-web/studies", b"", status=204),
        "studies": said("/fhir/ImagingStudy", EMITTED["studies"][1], query=(("patient", f"Patient/{HANDLE}"),)),
        "no token": refused("/fhir/DocumentReference", errors.InvalidToken("x", reason="token-missing"), query=(("patient", HANDLE),), sent=open_),
    }  # fmt: skip
    return every
