"""Documents that a repository makes when it is asked for: the same bytes each time, and one document with what lists them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.national.fhir.behind import LOINC, PDF, STUDY_UID, Behind, entry

from isthmus.errors import DocumentNotFound, MalformedRequest
from isthmus.model.documents import DocumentKind
from isthmus.national.fhir.settled import settled
from isthmus.testing.engines.fhir_repository import FhirRepository

TYPE = {"coding": [{"system": LOINC, "code": "85430-7"}]}
EVERY = ("DocumentReference", "DiagnosticReport", "Composition")


@pytest.fixture
def made(tmp_path: Path, repository: FhirRepository) -> Iterator[Behind]:
    behind = Behind(tmp_path, repository, report_resources=EVERY)
    yield behind
    behind.close()


def _compose(repository: FhirRepository, finding: str = "Nothing", patient: str = "p1", **members: Any) -> None:
    subject = {"reference": f"Patient/{patient}"}
    uid = {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY_UID}"}
    repository.put({"resourceType": "ImagingStudy", "id": "s1", "status": "available", "subject": subject, "identifier": [uid]})  # fmt: skip
    repository.put(
        {
            "resourceType": "DiagnosticReport",
            "id": "r1",
            "status": "final",
            "code": TYPE,
            "subject": subject,
            "imagingStudy": [{"reference": "ImagingStudy/s1"}],
            "conclusion": finding,
        }
    )
    repository.put(
        {
            "resourceType": "Composition",
            "id": "c1",
            "status": "final",
            "type": TYPE,
            "title": "CT of the chest",
            "date": "2026-01-05T12:00:00+02:00",
            "identifier": {"system": "urn:oid:2.999.9", "value": "77"},
            "subject": subject,
            "section": [{"title": "Impression", "entry": [{"reference": "DiagnosticReport/r1"}]}],
            **members,
        }
    )


def test_a_composition_is_the_document_it_is_the_head_of(made: Behind, repository: FhirRepository) -> None:
    _compose(repository)

    (document,) = made.listed()
    one, two = made.get(document.id), made.get(document.id)

    assert (document.kind, document.title) == (DocumentKind.REPORT_FHIR, "CT of the chest")
    assert document.study_instance_uids == (STUDY_UID,)
    assert one.body == two.body
    told = json.loads(one.body)
    assert (told["type"], told["timestamp"]) == ("document", "2026-01-05T12:00:00+02:00")
    assert "id" not in told
    assert "meta" not in told
    assert (document.unique_id.system, document.unique_id.value) == tuple(told["identifier"].values())


def test_what_it_leads_to_may_change_and_is_another_document_then(made: Behind, repository: FhirRepository) -> None:
    _compose(repository)
    (old,) = made.listed()
    diagnostic = repository.versions["DiagnosticReport", "r1"][-1]
    assert diagnostic is not None
    repository.put(diagnostic | {"conclusion": "Something"})

    with pytest.raises(DocumentNotFound):
        made.get(old.id)

    (new,) = made.listed()
    assert new.id != old.id
    assert b"Something" in made.get(new.id).body


def test_an_entry_that_leads_to_it_and_the_head_are_one(made: Behind, repository: FhirRepository) -> None:
    _compose(repository)
    repository.put(entry("d1", ("application/fhir+json", f"{repository.url}/Composition/c1/$document")))

    assert len(made.listed()) == 1


def test_an_entry_that_cannot_be_given_hides_nothing(made: Behind, repository: FhirRepository) -> None:
    _compose(repository)
    related = {"related": [{"reference": "Composition/c1"}]}
    repository.put(entry("d1", ("application/pdf", "https://elsewhere.example/x.pdf"), context=related))
    assert [document.kind for document in made.listed()] == [DocumentKind.REPORT_FHIR]
    repository.put(entry("d1", ("application/pdf", PDF), context=related))

    assert [document.issued for document in made.listed()] == ["application/pdf"]


@pytest.mark.parametrize(
    "members", [{"status": "entered-in-error"}, {"subject": {"reference": "Patient/p2"}}, {"type": {"text": "x"}}]
)
def test_what_does_not_count_is_not_listed(made: Behind, repository: FhirRepository, members: dict[str, Any]) -> None:
    _compose(repository, **members)

    assert made.listed() == []


def test_a_later_composition_replaces_the_one_before(made: Behind, repository: FhirRepository) -> None:
    _compose(repository)
    later = repository.versions["Composition", "c1"][-1]
    assert later is not None
    relation = {"code": "replaces", "targetReference": {"reference": "Composition/c1"}}
    number = {"system": "urn:oid:2.999.9", "value": "78"}
    repository.put(later | {"id": "c2", "identifier": number, "title": "Corrected", "relatesTo": [relation]})

    old, new = sorted(made.listed(), key=lambda document: document.status, reverse=True)

    assert (old.status, new.status, new.title, new.replaces) == ("superseded", "current", "Corrected", old.id)


@pytest.mark.fault("F30")
def test_digits_and_words_stay_as_they_are_written() -> None:
    body = (
        b'\n{ "resourceType" : "Bundle","id":"1","type":"document", "timestamp":"2026-01-01T00:00:00Z",'
        b' "entry":[{"resource":{"resourceType":"Composition","date":"2026-01"}},{"v":[1.50,120,1e2,12345678901234567.89],'
        b'"w":"\\u00fc\xc3\xbc"}] }\n'
    )

    told = settled(body)

    assert b'{"v":[1.50,120,1e2,12345678901234567.89],"w":"\\u00fc\xc3\xbc"}' in told
    assert settled(body.replace(b'"id":"1"', b'"id":"2"').replace(b"00:00:00Z", b"00:00:01Z")) == told
    assert settled(body.replace(b"1.50", b"1.5")) != told
    assert settled(told) == told


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"{", b'{"resourceType":"Bundle"', b'{"resourceType":"Bundle",}', b"\xff"])  # fmt: skip
def test_what_is_no_document_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        settled(body)
