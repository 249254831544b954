"""What a repository holds as CDA or PDF crosses as the European document, with what it holds inside and beside it.

Source: decision 0016; architecture.md §5.6.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from tests.national.fhir.behind import MINE, PDF, STUDY_UID, Behind, entry, patient_node, studies
from tests.national.fhir.behind import cda as small
from tests.originals.made import CDA_HEAD, cda, section

from isthmus.model.documents import WITHDRAWN, Document, DocumentKind
from isthmus.model.identifiers import Identifier
from isthmus.model.people import HumanName
from isthmus.model.report.document import ImagingReport
from isthmus.storage.schema.archive import formed
from isthmus.testing.engines.fhir_repository import FhirRepository
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import original_of, read_report

PDF_TYPE, XML = "application/pdf", "text/xml"
OURS = f'<id root="2.999.4.1" extension="{MINE.identifier.value}"/>'
HEAD = CDA_HEAD.replace('<id root="2.999.4.1" extension="1234567"/>', OURS).replace('code="R"', 'code="N"')
HEAD = HEAD.replace("<family>Testova</family></name>\n<admin", "<family>Müller</family></name>\n<admin")
LETTER = cda(section("19005-8", "Beurteilung", "Unauffällig"), head=HEAD)
UNIQUE = {"system": "urn:ietf:rfc:3986", "value": "urn:oid:2.999.9.7"}
BROKEN = f'{HEAD}<component><nonXMLBody><text mediaType="application/pdf" representation="B64">!</text></nonXMLBody></component></ClinicalDocument>'.encode()


def only(behind: Behind) -> Document:
    (document,) = behind.listed()
    return document


def read(behind: Behind, document: Document) -> ImagingReport:
    return read_report(behind.get(document.id).body, load_pack())


def pdf_entry(body: bytes = PDF, **members: Any) -> dict[str, Any]:
    return entry("d1", (PDF_TYPE, body), masterIdentifier=UNIQUE, context=studies(STUDY_UID)) | members


def test_a_cda_is_one_document_with_its_chapters_and_the_cda_inside_and_beside_it(
    behind: Behind, repository: FhirRepository
) -> None:
    repository.put(entry("d1", (XML, LETTER)))

    document = only(behind)
    content, report = behind.get(document.id), read(behind, document)

    assert (document.kind, document.profile, document.issued) == (DocumentKind.REPORT_FHIR, "report", XML)
    assert (document.size_bytes, content.media_type) == (len(content.body), document.media_type)
    assert [one.text for one in report.examination.impressions] == ["Unauffällig"]
    assert report.header.patient.identifier == MINE.identifier
    assert report.study_instance_uids == document.study_instance_uids == ("2.25.1",)
    assert original_of(content.body) == (XML, LETTER)
    assert behind.issued(document.id).body == LETTER


def test_a_pdf_is_the_minimal_document_with_what_its_entry_tells(behind: Behind, repository: FhirRepository) -> None:
    number = {"identifier": {"type": {"coding": [{"code": "ACSN"}]}, "system": "urn:oid:2.999.5.1", "value": "A1"}}
    context = {"related": [*studies(STUDY_UID)["related"], number], "period": {"start": "2026-01-05"}}
    node = pdf_entry(context=context, docStatus="final")
    node["content"][0]["attachment"] |= {"title": "CT of the chest", "creation": "2026-01-06", "language": "el"}
    repository.put(node)

    document = only(behind)
    report = read(behind, document)

    assert (document.profile, document.issued) == ("report_minimal", PDF_TYPE)
    assert (report.header.title, report.header.language, report.header.status) == ("CT of the chest", "el", "final")
    assert report.header.identifier == document.unique_id == Identifier(UNIQUE["system"], UNIQUE["value"])
    assert report.header.patient == replace(MINE, telecoms=report.header.patient.telecoms)
    assert report.study_instance_uids == (STUDY_UID,)
    assert report.order.accession_numbers == (Identifier("urn:oid:2.999.5.1", "A1"),)
    assert original_of(behind.get(document.id).body) == (PDF_TYPE, PDF)


def test_what_is_made_is_the_same_at_every_reading_and_after_a_start(
    behind: Behind, repository: FhirRepository
) -> None:
    repository.put(entry("d1", (XML, LETTER)))
    document = only(behind)
    before = behind.get(document.id)

    behind.again()

    assert only(behind) == document
    assert (behind.get(document.id).body, behind.get(document.id).etag) == (before.body, before.etag)


def test_nothing_that_was_made_is_kept(behind: Behind, repository: FhirRepository) -> None:
    repository.put(entry("d1", (XML, LETTER)))
    document = only(behind)
    behind.get(document.id)

    rows = behind.index.read_now(lambda c: c.execute(select(formed)).all())

    assert [(row.size, row.body) for row in rows] == [(document.size_bytes, b"")]


def test_a_report_names_its_patient_as_the_repository_tells_them_now(
    behind: Behind, repository: FhirRepository
) -> None:
    repository.put(pdf_entry())
    before = only(behind)
    repository.put(patient_node("p1", replace(MINE, names=(HumanName("Neuer", ("Eva",)),))))

    after = only(behind)

    assert (after.id, read(behind, after).header.patient.name.family) == (before.id, "Neuer")
    assert after.size_bytes == len(behind.get(after.id).body)


def test_a_later_version_is_another_document_and_of_the_earlier_nothing_is_noted(
    behind: Behind, repository: FhirRepository
) -> None:
    repository.put(pdf_entry())
    first = only(behind)
    repository.put(pdf_entry(PDF + b"amended"))

    now = only(behind)

    assert [d.id for d in behind.known() if d.status == WITHDRAWN] == [first.id]
    assert behind.issued(now.id).body == PDF + b"amended"
    noted = behind.index.read_now(lambda c: c.execute(select(formed.c.document)).scalars().all())
    assert [str(number) for number in noted] == [now.id]


def test_the_document_says_how_confidential_it_and_its_entry_are(behind: Behind, repository: FhirRepository) -> None:
    repository.put(pdf_entry(meta={"security": [{"code": "R"}]}))

    document = only(behind)

    assert document.sensitivity == ("R",)
    assert read(behind, document).header.confidentiality == "R"


def test_of_what_nothing_can_be_made_the_report_crosses_as_it_lies_and_the_log_says_so(
    behind: Behind, repository: FhirRepository, caplog: pytest.LogCaptureFixture
) -> None:
    repository.put(entry("d1", (XML, BROKEN)))
    repository.put(entry("d2", (PDF_TYPE, PDF)))

    with caplog.at_level(logging.WARNING, "isthmus.archive"):
        broken, whole = sorted(behind.listed(), key=lambda one: one.kind is DocumentKind.REPORT_FHIR)

    assert (broken.kind, broken.issued, broken.size_bytes) == (DocumentKind.REPORT_CDA, None, len(BROKEN))
    assert behind.get(broken.id).body == BROKEN
    assert whole.kind is DocumentKind.REPORT_FHIR
    assert [r.getMessage() for r in caplog.records] == ["no European document can be made of a report: no base64"]
    caplog.clear()
    behind.listed()
    assert caplog.records == []  # and is not tried again while it is the same


def test_a_cda_that_names_a_merged_number_of_the_person_is_theirs(behind: Behind, repository: FhirRepository) -> None:
    former = replace(MINE, identifier=replace(MINE.identifier, value="77"))
    link = [{"other": {"reference": "Patient/p1"}, "type": "replaced-by"}]
    repository.put(patient_node("p9", former, active=False, link=link))
    replaces = [{"other": {"reference": "Patient/p9"}, "type": "replaces"}]
    node = patient_node("p1", MINE, link=replaces)
    node["identifier"].append({"system": former.identifier.system, "value": "77"})
    repository.put(node)
    repository.put(entry("d1", (XML, small(former)), patient="p1"))

    document = only(behind)

    assert document.kind is DocumentKind.REPORT_FHIR
    assert read(behind, document).header.patient.identifier == MINE.identifier
