"""Reports in a FHIR repository: which are offered, under which numbers, and that each is this patient's."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.national.fhir.behind import (
    LOINC,
    MINE,
    PDF,
    STRANGER,
    STUDY_UID,
    Behind,
    cda,
    entry,
    patient_node,
    person,
    report,
    studies,
)

from isthmus.errors import DocumentNotFound, NationalInfrastructureUnavailable, SettingsProblem
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.queries import DocumentQuery
from isthmus.testing.engines.fhir_repository import FhirRepository
from isthmus.wire.packs.pack import load_pack

Node = dict[str, Any]
FHIR, XML, PDF_TYPE = "application/fhir+json", "text/xml", "application/pdf"


def _only(behind: Behind) -> Document:
    (document,) = behind.listed()
    return document


def _lies_as(document: Document) -> str:
    """The media type in which the repository holds it."""
    return document.issued or document.media_type


# what is offered, and how it is told


def test_a_report_tells_itself_and_its_entry_completes_it(behind: Behind, repository: FhirRepository) -> None:
    repository.put_binary("b1", FHIR, report(status="amended", version="2"))
    custodian = {"display": "General", "identifier": {"system": "urn:oid:2.999.6", "value": "H1"}}
    repository.put(entry("d1", (FHIR, "Binary/b1"), context=studies(STUDY_UID), custodian=custodian))

    document = _only(behind)

    assert (document.kind, document.title, document.media_type) == (DocumentKind.REPORT_FHIR, "CT report", FHIR)
    assert (document.report_status, document.report_version, document.language) == ("amended", "2", "en")
    assert document.unique_id == Identifier("urn:ietf:rfc:3986", "urn:uuid:5f0c1e10-0000-4000-8000-000000000001")
    assert document.study_instance_uids == (STUDY_UID,)
    assert document.custodian is not None
    assert document.custodian.name == "General"
    assert (document.indexed, document.created) == ("2026-03-02T07:00:00Z", "2026-03-01T09:00:00+02:00")
    assert document.patient == MINE.identifier


def test_a_pdf_is_told_by_its_entry(behind: Behind, repository: FhirRepository) -> None:
    accession = {
        "identifier": {
            "type": {"coding": [{"code": "ACSN"}]},
            "system": "urn:oid:2.999.5.1",
            "value": "A1",
        }
    }
    context = {"related": [*studies(STUDY_UID)["related"], accession], "period": {"start": "2026-01-05"}}
    node = entry("d1", (PDF_TYPE, PDF), context=context, docStatus="final", author=[{"display": "Dr Radio"}])
    node["content"][0]["attachment"] |= {"title": "CT of the chest", "creation": "2026-01-06", "language": "el"}
    node["masterIdentifier"] = {"system": "urn:ietf:rfc:3986", "value": "urn:oid:2.999.9.7"}
    repository.put(node)

    document = _only(behind)

    assert (document.kind, document.issued) == (DocumentKind.REPORT_FHIR, PDF_TYPE)
    assert (document.title, document.created) == ("CT of the chest", "2026-01-06")
    assert document.accession_numbers == (Identifier("urn:oid:2.999.5.1", "A1"),)
    assert (document.study_instance_uids, document.period_start) == ((STUDY_UID,), "2026-01-05")
    assert (document.report_status, document.authors, document.language) == ("final", ("Dr Radio",), "el")
    assert document.unique_id == Identifier("urn:ietf:rfc:3986", "urn:oid:2.999.9.7")
    assert document.size_bytes == len(behind.get(document.id).body)


def test_every_way_to_hold_bytes_gives_them(behind: Behind, repository: FhirRepository) -> None:
    bundle = report(number=9)
    repository.put_binary("pdf", PDF_TYPE, PDF)
    repository.put_binary("cda", XML, cda())
    repository.put(json.loads(bundle) | {"id": "own"})
    repository.put(entry("a", (PDF_TYPE, "Binary/pdf")))
    repository.put(entry("b", (PDF_TYPE, PDF + b"inline")))
    repository.put(entry("c", (XML, f"{repository.url}/Binary/cda")))
    repository.put(entry("d", (FHIR, "Bundle/own")))

    listed = behind.listed()

    assert sorted(_lies_as(document) for document in listed) == sorted([PDF_TYPE, PDF_TYPE, XML, FHIR])
    bodies = {_lies_as(document): behind.issued(document.id).body for document in listed}
    assert bodies[XML] == cda()
    assert json.loads(bodies[FHIR])["identifier"] == json.loads(bundle)["identifier"]
    assert {behind.issued(d.id).body for d in listed if _lies_as(d) == PDF_TYPE} == {PDF, PDF + b"inline"}


def test_a_binary_that_comes_as_a_resource_is_unwrapped(behind: Behind, repository: FhirRepository) -> None:
    data = base64.b64encode(PDF).decode()
    wrapped = {"resourceType": "Binary", "id": "b1", "contentType": PDF_TYPE, "data": f"{data[:4]}\n{data[4:]}"}
    repository.bodies["Binary/b1"] = json.dumps(wrapped).encode()
    repository.put(entry("d1", (PDF_TYPE, "Binary/b1")))

    assert behind.issued(_only(behind).id).body == PDF


@pytest.mark.parametrize(
    ("declared", "body", "form"),
    [
        ("application/pdf", cda(), XML),
        ("text/xml", PDF, PDF_TYPE),
        ("application/pdf", report(), FHIR),
        ("application/json; charset=utf-8", b"\xef\xbb\xbf\n" + report(), None),
        ("Application/PDF", PDF, PDF_TYPE),
        ("application/hl7-cda+xml", cda(), XML),
    ],
)
def test_a_document_is_what_its_bytes_are(
    behind: Behind, repository: FhirRepository, declared: str, body: bytes, form: str | None
) -> None:
    repository.put(entry("d1", (declared, body)))

    assert [_lies_as(document) for document in behind.listed()] == ([form] if form else [])


def test_of_several_forms_the_structured_one_is_the_document(behind: Behind, repository: FhirRepository) -> None:
    repository.put(entry("d1", (PDF_TYPE, PDF), (FHIR, report()), (XML, cda())))

    assert _only(behind).kind is DocumentKind.REPORT_FHIR


def test_a_form_that_cannot_be_read_leaves_the_next(behind: Behind, repository: FhirRepository) -> None:
    repository.put(entry("d1", (PDF_TYPE, PDF), (FHIR, b'{"resourceType":"Bundle"}'), (XML, b"<html/>")))

    assert _lies_as(_only(behind)) == PDF_TYPE


_MANIFEST: Node = {"content": [{"attachment": {"contentType": "application/dicom", "url": "Binary/b1"}}]}
_FORMAT = {"format": {"code": load_pack().codes["format_manifest_fhir"]}}
NO_REPORTS: dict[str, Node] = {
    "another type": entry("d1", (PDF_TYPE, PDF), type={"coding": [{"system": LOINC, "code": "11502-2"}]}),
    "the type of another system": entry("d1", (PDF_TYPE, PDF), type={"coding": [{"code": "18748-4"}]}),
    "no type": entry("d1", (PDF_TYPE, PDF), type=None),
    "a manifest in DICOM": entry("d1", **_MANIFEST),
    "a manifest in FHIR": entry("d1", content=[{"attachment": {"contentType": FHIR, "url": "Binary/b1"}, **_FORMAT}]),
    "entered in error": entry("d1", (PDF_TYPE, PDF), status="entered-in-error"),
    "a document in error": entry("d1", (PDF_TYPE, PDF), docStatus="entered-in-error"),
    "no content": entry("d1", content=[]),
    "a content without bytes": entry("d1", content=[{"attachment": {"contentType": PDF_TYPE}}]),
    "bytes that are no base64": entry("d1", content=[{"attachment": {"contentType": PDF_TYPE, "data": "%"}}]),
    "a form nobody reads": entry("d1", ("image/jpeg", b"\xff\xd8")),
    "no document": entry("d1", (XML, b"<ClinicalDocument/>")),
    "a DICOM file": entry("d1", (PDF_TYPE, b"\0" * 128 + b"DICM")),
    "a web page": entry("d1", (PDF_TYPE, b"<html>log in</html>")),
    "a bundle about nothing": entry("d1", (FHIR, b'{"resourceType":"Bundle","type":"document","entry":[]}')),
    "no subject": entry("d1", (PDF_TYPE, PDF), subject=None),
    "a subject elsewhere": entry(
        "d1", (PDF_TYPE, PDF), subject={"reference": "https://elsewhere.example/fhir/Patient/p1"}
    ),
    "a subject of another kind": entry("d1", (PDF_TYPE, PDF), subject={"reference": "Group/p1"}),
    "a subject with another number": entry(
        "d1",
        (PDF_TYPE, PDF),
        subject={"reference": "Patient/p1", "identifier": {"system": MINE.identifier.system, "value": "124"}},
    ),
    "nothing of the right shape": entry("d1", (PDF_TYPE, PDF), subject=[1], content="x"),
}


@pytest.mark.parametrize("what", NO_REPORTS)
def test_what_is_no_report_of_this_patient_is_not_listed(behind: Behind, repository: FhirRepository, what: str) -> None:
    answer = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": NO_REPORTS[what]}]}
    repository.alter = lambda path, held: answer if path.startswith("DocumentReference?") else held

    assert behind.listed() == []


def test_the_types_that_are_reports_are_the_operators_statement(repository: FhirRepository, tmp_path: Path) -> None:
    repository.put(entry("d1", (PDF_TYPE, PDF), type={"coding": [{"system": "urn:oid:2.999.8", "code": "BEF,1"}]}))
    repository.put(entry("d2", (PDF_TYPE, PDF + b"2")))
    named, every = (
        Behind(_folder(tmp_path, name), repository, report_types=types)
        for name, types in (("named", ("urn:oid:2.999.8|BEF,1",)), ("every", ()))
    )

    found = len(named.listed()), len(every.listed())

    named.close()
    every.close()
    assert found == (1, 2)


@pytest.mark.parametrize(
    "wrong", [{"report_resources": ("Observation",)}, {"report_resources": ()}, {"report_types": ("18748-4",)}]
)
def test_settings_that_nobody_knows_stop_the_start(
    repository: FhirRepository, tmp_path: Path, wrong: dict[str, tuple[str, ...]]
) -> None:
    with pytest.raises(SettingsProblem):
        Behind(_folder(tmp_path, "wrong"), repository, **wrong)


def _folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


def test_a_list_has_as_many_pages_as_it_needs(behind: Behind, repository: FhirRepository) -> None:
    repository.page_max = 7
    for number in range(30):
        repository.put(entry(f"d{number}", (PDF_TYPE, PDF + b"%d" % number)))

    assert len(behind.listed()) == 30


def test_a_study_that_is_named_as_a_resource_is_told_by_its_uid(behind: Behind, repository: FhirRepository) -> None:
    uid = {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY_UID}"}
    repository.put({"resourceType": "ImagingStudy", "id": "s1", "identifier": [{"value": "x"}, uid]})
    related = [{"reference": "ImagingStudy/s1"}, {"reference": "ImagingStudy/gone"}]
    repository.put(entry("d1", (PDF_TYPE, PDF), context={"related": related}))

    assert _only(behind).study_instance_uids == (STUDY_UID,)


def test_labels_of_confidentiality_come_along(behind: Behind, repository: FhirRepository) -> None:
    label = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]}
    repository.put(entry("d1", (PDF_TYPE, PDF), securityLabel=[label], meta={"security": [{"code": "V"}]}))

    document = _only(behind)

    assert document.sensitivity == ("R", "V")
    assert behind.get(document.id).document.sensitivity == ("R", "V")


def _cda_said(label: str) -> bytes:
    return cda().replace(b"<recordTarget>", f'<confidentialityCode code="{label}"/><recordTarget>'.encode(), 1)


@pytest.mark.parametrize(
    ("form", "body"), [(FHIR, report(confidentiality="V")), (XML, _cda_said("V"))], ids=["FHIR", "CDA"]
)
def test_what_a_document_says_of_its_confidentiality_counts_without_its_entry(
    behind: Behind, repository: FhirRepository, form: str, body: bytes
) -> None:
    repository.put(entry("d1", (form, body)))

    document = _only(behind)

    assert document.sensitivity == ("V",)
    assert behind.get(document.id).document.sensitivity == ("V",)


# DiagnosticReport


def _diagnostic(id_: str, *forms: Node, **members: Any) -> Node:
    radiology = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}]}
    return {
        "resourceType": "DiagnosticReport",
        "id": id_,
        "status": "final",
        "category": [radiology],
        "code": {"text": "CT of the chest"},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2026-01-05T10:15:00+02:00",
        "issued": "2026-01-05T12:00:00+02:00",
        "resultsInterpreter": [{"display": "Dr Radio"}],
        "imagingStudy": [{"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY_UID}"}}],
        "presentedForm": list(forms),
        **members,
    }


_FORM = {"contentType": PDF_TYPE, "data": base64.b64encode(PDF).decode()}
BOTH = ("DocumentReference", "DiagnosticReport")


@pytest.fixture
def both(tmp_path: Path, repository: FhirRepository) -> Any:
    made = Behind(_folder(tmp_path, "both"), repository, report_resources=BOTH)
    yield made
    made.close()


def test_a_diagnostic_report_is_its_presented_form(both: Behind, repository: FhirRepository) -> None:
    number = {"type": {"coding": [{"code": "ACSN"}]}, "system": "urn:oid:2.999.5.1", "value": "A1"}
    repository.put(_diagnostic("r1", _FORM, identifier=[{"system": "urn:oid:2.999.9", "value": "77"}, number]))

    document = _only(both)

    assert (document.issued, document.title, document.status) == (PDF_TYPE, "CT of the chest", "current")
    assert (document.report_status, document.authors) == ("final", ("Dr Radio",))
    assert (document.study_instance_uids, document.accession_numbers) == (
        (STUDY_UID,),
        (Identifier("urn:oid:2.999.5.1", "A1"),),
    )
    assert (document.unique_id, document.period_start) == (
        Identifier("urn:oid:2.999.9", "77"),
        "2026-01-05T10:15:00+02:00",
    )
    assert both.issued(document.id).body == PDF


def test_a_diagnostic_report_is_only_asked_for_where_the_settings_say_so(
    behind: Behind, repository: FhirRepository
) -> None:
    repository.put(_diagnostic("r1", _FORM))

    assert behind.listed() == []
    assert not [path for path in repository.asked if path.startswith("DiagnosticReport")]


@pytest.mark.parametrize(
    "members",
    [
        {"status": "registered"},
        {"status": "cancelled"},
        {"status": "entered-in-error"},
        {"presentedForm": []},
        {"category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}]},
        {"subject": {"reference": "Patient/p2"}},
    ],
)
def test_a_report_that_was_not_issued_or_is_of_another_kind_is_none(
    both: Behind, repository: FhirRepository, members: Node
) -> None:
    repository.put(_diagnostic("r1", _FORM, **members))

    assert both.listed() == []


def test_a_report_without_category_is_known_by_its_code(both: Behind, repository: FhirRepository) -> None:
    code = {"coding": [{"system": LOINC, "code": "18748-4"}]}
    repository.put(_diagnostic("r1", _FORM, category=[], code=code))

    assert len(both.listed()) == 1


@pytest.mark.parametrize("linked", [True, False])
def test_a_report_and_its_document_are_one(both: Behind, repository: FhirRepository, *, linked: bool) -> None:
    context = {"related": [{"reference": "DiagnosticReport/r1"}]} if linked else {}
    repository.put(_diagnostic("r1", _FORM))
    repository.put(entry("d1", (PDF_TYPE, PDF + b"2" if linked else PDF), context=context))

    document = _only(both)

    assert both.issued(document.id).body == (PDF + b"2" if linked else PDF)


# numbers, versions, and what is gone


def test_numbers_and_bytes_stay_over_a_restart_and_nothing_is_fetched_twice(
    behind: Behind, repository: FhirRepository
) -> None:
    repository.put_binary("b1", FHIR, report())
    repository.put(entry("d1", (FHIR, "Binary/b1")))
    first = behind.listed()
    fetched = repository.asked.count("Binary/b1")
    behind.again()

    second = behind.listed()

    assert first == second
    assert (fetched, repository.asked.count("Binary/b1")) == (1, 1)
    assert behind.get(first[0].id).body == report()


def test_a_version_with_the_same_bytes_keeps_its_number(behind: Behind, repository: FhirRepository) -> None:
    repository.put(entry("d1", (PDF_TYPE, PDF), description="old"))
    old = _only(behind)
    repository.put(entry("d1", (PDF_TYPE, PDF), description="new"))

    new = _only(behind)

    assert (old.id, old.title, new.title) == (new.id, "old", "new")
    assert old.unique_id == new.unique_id


def test_a_version_with_other_bytes_is_another_document(behind: Behind, repository: FhirRepository) -> None:
    repository.put(entry("d1", (FHIR, report(title="First"))))
    old = _only(behind)
    repository.put(entry("d1", (FHIR, report(title="Second"))))

    new = _only(behind)

    assert (new.title, new.status) == ("Second", "current")
    assert new.id != old.id
    assert new.unique_id != old.unique_id
    with pytest.raises(DocumentNotFound):
        behind.get(old.id)


def test_bytes_that_change_behind_an_entry_are_never_given_under_the_old_number(
    behind: Behind, repository: FhirRepository
) -> None:
    repository.put_binary("b1", PDF_TYPE, PDF)
    repository.put(entry("d1", (PDF_TYPE, "Binary/b1")))
    old = _only(behind)
    repository.put_binary("b1", PDF_TYPE, PDF + b"corrected")

    with pytest.raises(DocumentNotFound):
        behind.get(old.id)

    new = _only(behind)
    assert new.id != old.id
    assert behind.issued(new.id).body == PDF + b"corrected"


def test_an_entry_that_changed_since_it_was_listed_gives_its_bytes_still(
    behind: Behind, repository: FhirRepository
) -> None:
    repository.put(entry("d1", (PDF_TYPE, PDF)))
    document = _only(behind)
    repository.put(entry("d1", (PDF_TYPE, PDF), description="new"))

    assert behind.issued(document.id).body == PDF


def test_what_replaces_and_what_is_replaced_are_both_offered(behind: Behind, repository: FhirRepository) -> None:
    repository.put(entry("old", (PDF_TYPE, PDF)))
    relation = {"code": "replaces", "target": {"reference": "DocumentReference/old"}}
    appended = {"code": "appends", "target": {"reference": "DocumentReference/new"}}
    repository.put(entry("new", (PDF_TYPE, PDF + b"new"), relatesTo=[relation]))
    repository.put(entry("addendum", (PDF_TYPE, PDF + b"addendum"), relatesTo=[appended]))

    told = {behind.issued(document.id).body: document for document in behind.listed()}

    old, new, addendum = told[PDF], told[PDF + b"new"], told[PDF + b"addendum"]
    assert (old.status, new.status, new.replaces) == ("superseded", "current", old.id)
    assert (addendum.status, addendum.replaces) == ("current", None)


def test_a_status_there_is_the_status_here(behind: Behind, repository: FhirRepository) -> None:
    repository.put(entry("d1", (PDF_TYPE, PDF), status="superseded"))

    assert _only(behind).status == "superseded"


@pytest.mark.parametrize("how", ["deleted", "in error", "reassigned", "another type", "the patient is out of use"])
def test_what_is_taken_back_is_gone_at_once(behind: Behind, repository: FhirRepository, how: str) -> None:
    repository.put(entry("d1", (PDF_TYPE, PDF)))
    document = _only(behind)

    if how == "deleted":
        repository.delete("DocumentReference", "d1")
    elif how == "in error":
        repository.put(entry("d1", (PDF_TYPE, PDF), status="entered-in-error"))
    elif how == "reassigned":
        repository.put(entry("d1", (PDF_TYPE, PDF), patient="p2"))
    elif how == "another type":
        repository.put(entry("d1", (PDF_TYPE, PDF), type={"coding": [{"system": LOINC, "code": "1"}]}))
    else:
        repository.put(patient_node("p1", MINE, active=False))

    assert behind.listed() == []
    with pytest.raises(DocumentNotFound):
        behind.get(document.id)


def test_a_document_that_was_given_to_another_patient_is_theirs_under_another_number(
    behind: Behind, repository: FhirRepository
) -> None:
    repository.put(entry("d1", (PDF_TYPE, PDF)))
    mine = _only(behind)
    repository.put(entry("d1", (PDF_TYPE, PDF), patient="p2"))

    (theirs,) = behind.listed(STRANGER)

    assert theirs.id != mine.id
    assert theirs.unique_id != mine.unique_id
    with pytest.raises(DocumentNotFound):
        behind.get(theirs.id)
    assert behind.issued(theirs.id, STRANGER).body == PDF


def test_what_comes_back_has_its_number_again(behind: Behind, repository: FhirRepository) -> None:
    repository.put(entry("d1", (PDF_TYPE, PDF)))
    before = _only(behind)
    repository.put(entry("d1", (PDF_TYPE, PDF), status="entered-in-error"))
    assert behind.listed() == []
    repository.put(entry("d1", (PDF_TYPE, PDF)))

    assert _only(behind).id == before.id


def test_one_patient_by_two_numbers_has_the_documents_under_each(behind: Behind, repository: FhirRepository) -> None:
    other = PatientIdentifier("urn:oid:2.999.4.9", "E7")
    identifiers = [{"system": i.system, "value": i.value} for i in (MINE.identifier, other)]
    repository.put(patient_node("p1", MINE, identifier=identifiers))
    repository.put(entry("d1", (PDF_TYPE, PDF)))
    again = replace(MINE, identifier=other)

    (one,), (two,) = behind.listed(), behind.listed(again)

    assert one.id != two.id
    assert (one.patient, two.patient) == (MINE.identifier, other)
    with pytest.raises(DocumentNotFound):
        behind.get(one.id, again)


def test_documents_of_a_merged_record_are_the_survivors(behind: Behind, repository: FhirRepository) -> None:
    link = [{"other": {"reference": "Patient/p1"}, "type": "replaced-by"}]
    repository.put(patient_node("p0", MINE, active=False, link=link))
    repository.put(entry("d1", (PDF_TYPE, PDF), patient="p0"))

    assert behind.issued(_only(behind).id).body == PDF


# whose a document is


WRONG: dict[str, tuple[str, bytes]] = {
    "a FHIR document of another": (FHIR, report(STRANGER)),
    "a CDA of another": (XML, cda(STRANGER)),
    "the same number of another issuer": (
        FHIR,
        report(replace(MINE, identifier=PatientIdentifier("urn:oid:2.999.4.7", "123"))),
    ),
    "the number, but another name and birth date": (
        FHIR,
        report(replace(person("123", "Somebody", "Else"), birth_date="1999-09-09")),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_document_that_names_another_is_given_to_nobody(
    behind: Behind, repository: FhirRepository, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    caplog.set_level(logging.DEBUG)
    repository.put(entry("d1", (PDF_TYPE, PDF), WRONG[what]))

    assert behind.listed() == []
    assert behind.listed(STRANGER) == []
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in told] == [
        "hospital: DocumentReference d1 is not offered: another-patient"
    ]
    assert not any(word in caplog.text for word in ("Müller", "Other", "Somebody", "123", "1970"))


def test_two_people_in_one_document_are_not_one(behind: Behind, repository: FhirRepository) -> None:
    mixed = json.loads(report())
    theirs = next(
        e["resource"] for e in json.loads(report(STRANGER))["entry"] if e["resource"]["resourceType"] == "Patient"
    )
    mixed["entry"].append({"fullUrl": "urn:uuid:0f0c1e10-0000-4000-8000-000000000009", "resource": theirs})
    diagnostic = next(e["resource"] for e in mixed["entry"] if e["resource"]["resourceType"] == "DiagnosticReport")
    diagnostic["subject"] = {"reference": "urn:uuid:0f0c1e10-0000-4000-8000-000000000009"}
    repository.put(entry("d1", (FHIR, json.dumps(mixed).encode())))

    assert behind.listed() == []


def test_a_number_of_the_hospital_names_the_patient_who_carries_it(behind: Behind, repository: FhirRepository) -> None:
    local = PatientIdentifier("urn:oid:2.999.4.8", "H-9")
    identifiers = [{"system": i.system, "value": i.value} for i in (MINE.identifier, local)]
    repository.put(patient_node("p1", MINE, identifier=identifiers))
    repository.put(entry("d1", (FHIR, report(replace(MINE, identifier=local)))))

    assert len(behind.listed()) == 1


def test_content_that_became_another_patients_does_not_leave(behind: Behind, repository: FhirRepository) -> None:
    repository.put_binary("b1", FHIR, report())
    repository.put(entry("d1", (FHIR, "Binary/b1")))
    document = _only(behind)
    repository.put_binary("b1", FHIR, report(STRANGER))

    with pytest.raises(DocumentNotFound):
        behind.get(document.id)

    assert behind.listed() == []
    repository.put_binary("b1", FHIR, report())
    behind.again()
    assert _only(behind).id == document.id


def test_a_document_whose_bytes_are_gone_is_not_listed_again_until_they_are_back(
    behind: Behind, repository: FhirRepository
) -> None:
    repository.put_binary("b1", PDF_TYPE, PDF)
    repository.put(entry("d1", (PDF_TYPE, "Binary/b1")))
    document = _only(behind)
    repository.delete("Binary", "b1")

    with pytest.raises(DocumentNotFound):
        behind.get(document.id)

    assert behind.listed() == []
    repository.put_binary("b1", PDF_TYPE, PDF)
    assert behind.issued(_only(behind).id).body == PDF
    assert _only(behind).id == document.id


@pytest.mark.fault("F38")
def test_documents_of_others_that_a_repository_answers_with_are_nobodys_business(
    behind: Behind, repository: FhirRepository
) -> None:
    repository.put(entry("d1", (PDF_TYPE, PDF)))
    repository.put(entry("d2", (PDF_TYPE, PDF + b"theirs"), patient="p2"))
    everything = [{"resource": repository.versions["DocumentReference", id_][-1]} for id_ in ("d1", "d2")]
    answer = {"resourceType": "Bundle", "type": "searchset", "entry": everything}
    repository.alter = lambda path, held: answer if path.startswith("DocumentReference?") else held

    assert [behind.issued(document.id).body for document in behind.listed()] == [PDF]


# bytes that cannot be had


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/fhir/Binary/b1",
        "https://elsewhere.example/report.pdf",
        "file:///etc/passwd",
        "//elsewhere.example/report.pdf",
        "../admin/report.pdf",
        "/other/Binary/b1",
        "http://[::1/fhir",
        "Binary/%2e%2e/%2e%2e/admin",
        "",
    ],
)
def test_nobody_is_led_elsewhere(behind: Behind, repository: FhirRepository, url: str) -> None:
    repository.put(entry("d1", (PDF_TYPE, url)))

    assert behind.listed() == []
    assert not [path for path in repository.asked if "admin" in path or "other" in path]


@pytest.mark.parametrize("announced", [True, False])
def test_a_document_that_is_too_large_is_left_out_and_asked_for_once(
    behind: Behind, repository: FhirRepository, *, announced: bool
) -> None:
    large = entry("d1", (PDF_TYPE, "Binary/b1"))
    if announced:
        large["content"][0]["attachment"]["size"] = 100 << 20
    repository.bodies["Binary/b1"] = PDF + bytes(64 << 20)
    repository.put(large)
    repository.put(entry("d2", (PDF_TYPE, PDF)))

    assert len(behind.listed()) == 1
    assert len(behind.listed()) == 1
    assert repository.asked.count("Binary/b1") == (0 if announced else 1)


def test_a_document_that_is_none_is_fetched_once_and_again_when_it_changes(
    behind: Behind, repository: FhirRepository
) -> None:
    repository.put_binary("b1", FHIR, b"{}")
    repository.put(entry("d1", (FHIR, "Binary/b1")))
    assert (behind.listed(), behind.listed()) == ([], [])
    asked = repository.asked.count("Binary/b1")
    repository.put_binary("b1", FHIR, report())
    repository.put(entry("d1", (FHIR, "Binary/b1"), description="mended"))

    assert (asked, len(behind.listed())) == (1, 1)


@pytest.mark.parametrize("status", [404, 410])
def test_bytes_that_are_gone_leave_their_entry_out(behind: Behind, repository: FhirRepository, status: int) -> None:
    repository.put_binary("b1", PDF_TYPE, PDF)
    repository.put(entry("d1", (PDF_TYPE, "Binary/b1")))
    repository.put(entry("d2", (PDF_TYPE, PDF)))
    repository.statuses["Binary/b1"] = status

    assert len(behind.listed()) == 1
    repository.statuses.clear()
    assert len(behind.listed()) == 2


@pytest.mark.parametrize("status", [302, 401, 403, 429, 500, 503])
def test_bytes_that_cannot_be_had_now_make_no_shorter_list(
    behind: Behind, repository: FhirRepository, status: int
) -> None:
    repository.put_binary("b1", PDF_TYPE, PDF)
    repository.put(entry("d1", (PDF_TYPE, "Binary/b1")))
    repository.put(entry("d2", (PDF_TYPE, PDF)))
    repository.statuses["Binary/b1"] = status

    with pytest.raises(NationalInfrastructureUnavailable):
        behind.listed()


def test_a_repository_that_does_not_answer_fails_the_question(behind: Behind, repository: FhirRepository) -> None:
    repository.put(entry("d1", (PDF_TYPE, PDF)))
    document = _only(behind)
    repository.statuses["DocumentReference"] = 503

    with pytest.raises(NationalInfrastructureUnavailable):
        behind.listed()
    with pytest.raises(NationalInfrastructureUnavailable):
        behind.get(document.id)


def test_many_questions_at_once_give_each_document_one_number(behind: Behind, repository: FhirRepository) -> None:
    import asyncio

    for number in range(12):
        repository.put(entry(f"d{number}", (PDF_TYPE, PDF + b"%d" % number)))

    async def ask() -> list[list[str]]:
        query = DocumentQuery(patient=MINE.identifier)
        answers = await asyncio.gather(*(behind.connector.find_documents(query) for _ in range(6)))
        return [[document.id for document in answer] for answer in answers]

    answers = behind.run(ask())

    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0]) == 12
