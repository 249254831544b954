"""Reports that were issued otherwise, as the European document: made once, kept, and gone with what they were made of.

Source: decision 0016; architecture.md §5.6.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from sqlalchemy import select, update
from tests.archive.conftest import ISSUER, NOW, SANDBOX, Node, dicom
from tests.originals.made import CDA_HEAD, ENCAPSULATED_CDA, cda, code, encapsulated, evidence, heading, section, text
from tests.originals.made import report as sr

from isthmus.archive import index, register
from isthmus.archive.corrections import people, reports, studies
from isthmus.archive.doors.offers import Offers
from isthmus.archive.formed import rows
from isthmus.archive.formed.forms import Forms
from isthmus.archive.queries import list_unmapped
from isthmus.archive.register import Traits
from isthmus.archive.reports import Envelope, Reports
from isthmus.archive.verdicts import Verdict
from isthmus.errors import DocumentNotFound
from isthmus.model.codes import SNOMED
from isthmus.model.documents import WITHDRAWN, Document, DocumentKind
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import HumanName
from isthmus.model.queries import DocumentQuery
from isthmus.model.report.document import ImagingReport
from isthmus.national.files import Files
from isthmus.sandbox import Sandbox
from isthmus.storage.schema.archive import documents, formed, instances
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import original_of, read_report

EVA = PatientIdentifier(f"urn:oid:{ISSUER}", "1234567")
PDF = b"%PDF-1.7\n%%EOF\n"
STUDY = "2.25.10"
SEEN = heading("121070", "Findings", text(code("121071"), "No haemorrhage"))


def take(node: Node, body: bytes, form: str, patient: PatientIdentifier | None = None, **said: Any) -> Verdict:
    intake = node.intake()
    door = Reports(node.database, intake.container, lambda: NOW, load_pack(), SANDBOX)
    verdict = door.take(body, form, "r", Envelope(patient, **said))
    intake.close()
    return verdict


def files(node: Node) -> Files:
    return Files(node.settings, node.database, lambda: NOW)


def listed(node: Node, patient: PatientIdentifier = EVA) -> list[Document]:
    """The reports of a patient, also those that are given to nobody."""
    archive = files(node)
    found = asyncio.run(archive.find_documents(DocumentQuery(patient=patient)))
    asyncio.run(archive.close())
    return [document for document in found if not document.kind.is_manifest]


def body(node: Node, document: Document, patient: PatientIdentifier = EVA) -> bytes:
    return asyncio.run(files(node).get_document(patient, document.id)).body


def issued(node: Node, document: Document, patient: PatientIdentifier = EVA) -> bytes:
    return asyncio.run(files(node).get_issued(patient, document.id)).body


def read(node: Node, document: Document) -> ImagingReport:
    return read_report(body(node, document), load_pack())


def instance(made: Callable[..., bytes], *content: Any, **attributes: Any) -> bytes:
    return made(*content, StudyInstanceUID=STUDY, SeriesInstanceUID="2.25.12", IssuerOfPatientID="", **attributes)


def test_a_pdf_is_one_document_with_the_pdf_inside_and_beside_it(node: Node) -> None:
    node.bring(dicom())
    take(node, PDF, "pdf", EVA, studies=(STUDY,), title="Brief", created="2026-03-02", language="de")

    (document,) = listed(node)
    report = read(node, document)

    assert (document.kind, document.media_type, document.profile) == (
        DocumentKind.REPORT_FHIR,
        "application/fhir+json",
        "report_minimal",
    )
    assert (document.issued, document.size_bytes) == ("application/pdf", len(body(node, document)))
    assert original_of(body(node, document)) == ("application/pdf", PDF)
    assert issued(node, document) == PDF
    assert (report.header.patient.identifier, report.header.patient.name) == (EVA, HumanName("Testova", ("Eva",)))
    assert (report.header.title, report.header.language, report.study_instance_uids) == ("Brief", "de", (STUDY,))
    assert report.header.identifier == document.unique_id


def test_a_pdf_of_which_nobody_said_when_has_no_date(node: Node) -> None:
    node.bring(dicom())
    take(node, PDF, "pdf", EVA)

    (document,) = listed(node)

    assert read(node, document).header.date == ""


def test_a_cda_is_one_document_with_its_chapters_and_the_cda_inside_and_beside_it(node: Node) -> None:
    data = cda(section("19005-8", "Beurteilung", "Unauffällig"))
    take(node, data, "xml")

    (document,) = listed(node)
    report = read(node, document)

    assert (document.kind, document.profile, document.issued) == (DocumentKind.REPORT_FHIR, "report", "text/xml")
    assert report.examination.impressions[0].text == "Unauffällig"
    assert report.header.patient.identifier == EVA
    assert original_of(body(node, document)) == ("text/xml", data)
    assert issued(node, document) == data


def test_what_is_made_is_made_once_and_stays_the_same(node: Node) -> None:
    take(node, cda(section("19005-8", "Beurteilung", "Unauffällig")), "xml")

    (first,) = listed(node)
    before = body(node, first)
    (second,) = listed(node)

    assert (second, body(node, second)) == (first, before)


def test_a_report_names_its_patient_as_the_register_knows_them_now(node: Node) -> None:
    node.bring(dicom())
    take(node, PDF, "pdf", EVA)
    (before,) = listed(node)
    traits = Traits((HumanName("Neuova", ("Eva",)),), "1970-01-01", "female")
    node.database.write_now(lambda c: register.put(c, EVA, traits))

    (after,) = listed(node)

    assert (after.id, read(node, after).header.patient.name.family) == (before.id, "Neuova")


def test_of_what_nothing_can_be_made_the_report_is_offered_as_it_was_issued(node: Node) -> None:
    broken = (
        CDA_HEAD.encode()
        + b'<component><nonXMLBody><text mediaType="application/pdf" representation="B64">no base64!</text></nonXMLBody>'
        + b"</component></ClinicalDocument>"
    )
    take(node, broken, "xml")

    (document,) = listed(node)

    assert (document.kind, document.issued) == (DocumentKind.REPORT_CDA, None)
    assert body(node, document) == broken
    with pytest.raises(DocumentNotFound):
        asyncio.run(files(node).get_issued(EVA, "99"))


def test_a_structured_report_of_a_study_is_a_document_too_and_stays_an_instance(node: Node) -> None:
    data = instance(sr, SEEN, CurrentRequestedProcedureEvidenceSequence=evidence(STUDY, "2.25.11", "2.25.100001"))
    node.bring(dicom(), data)

    (document,) = listed(node)
    report = read(node, document)

    assert (document.kind, document.unique_id) == (
        DocumentKind.REPORT_FHIR,
        Identifier("urn:dicom:uid", "urn:oid:2.25.77"),
    )
    assert (document.study_instance_uids, document.report_status, document.issued) == ((STUDY,), "final", None)
    assert [f.text for f in report.examination.findings] == ["No haemorrhage"]
    assert report.header.patient.identifier == EVA
    assert report.order.accession_numbers == (Identifier("urn:oid:2.999.5.1", "A2026-0042"),)
    assert original_of(body(node, document)) == ("application/dicom", data)
    assert [row.state for row in node.rows()] == ["served", "served"]
    with pytest.raises(DocumentNotFound):
        issued(node, document)


def test_encapsulated_documents_are_reports_of_their_study(node: Node) -> None:
    letter = cda(section("19005-8", "Beurteilung", "Unauffällig"))
    node.bring(
        dicom(),
        instance(lambda **more: encapsulated(PDF, **more)),
        instance(lambda **more: encapsulated(letter, ENCAPSULATED_CDA, **more), SOPInstanceUID="2.25.78"),
    )

    pdf, document = listed(node)

    assert original_of(body(node, pdf)) == ("application/pdf", PDF)
    assert (pdf.profile, document.profile) == ("report_minimal", "report")
    assert original_of(body(node, document)) == ("text/xml", letter)
    assert [d.study_instance_uids[-1] for d in (pdf, document)] == [STUDY, STUDY]


def test_the_report_goes_with_its_instance_and_comes_back_with_it(node: Node) -> None:
    node.bring(dicom(), instance(sr, SEEN))
    (before,) = listed(node)

    def state(to: str) -> Callable[[Any], None]:
        def change(connection: Any) -> None:
            connection.execute(update(instances).where(instances.c.sop_instance_uid == "2.25.77").values(state=to))
            index.withdraw(connection, STUDY)

        return change

    node.database.write_now(state("deleted"))
    with pytest.raises(DocumentNotFound):
        body(node, before)
    (gone,) = listed(node)
    node.database.write_now(state("served"))
    (again,) = listed(node)

    assert (gone.id, gone.status) == (before.id, WITHDRAWN)
    assert (again.id, again.status, body(node, again) != b"") == (before.id, "current", True)


def test_an_instance_that_is_no_report_that_can_be_read_is_no_document(node: Node) -> None:
    node.bring(dicom(), instance(lambda **more: encapsulated(b"not a pdf", **more)))

    (document,) = listed(node)

    assert document.status == WITHDRAWN
    assert listed(node) == [document]


def test_a_stranger_is_given_neither_form(node: Node) -> None:
    node.bring(
        dicom(), dicom(2, study="2.25.20", series="2.25.21", PatientID="2", PatientName="B^C"), instance(sr, SEEN)
    )
    take(node, PDF, "pdf", EVA)
    stranger = PatientIdentifier(f"urn:oid:{ISSUER}", "2")

    for document in listed(node):
        for give in (files(node).get_document, files(node).get_issued):
            with pytest.raises(DocumentNotFound):
                asyncio.run(give(stranger, document.id))
    assert listed(node, stranger) == []


def test_two_who_ask_at_once_make_one(node: Node) -> None:
    node.bring(dicom(), instance(sr, SEEN))

    async def both() -> None:
        archive = files(node)
        await asyncio.gather(*(archive.find_documents(DocumentQuery(patient=EVA)) for _ in range(4)))
        await archive.close()

    asyncio.run(both())

    rows = node.database.read_now(
        lambda c: c.execute(select(documents).where(documents.c.foreign_id == "2.25.77")).all()
    )
    assert len(rows) == 1


def test_what_is_erased_is_erased_in_what_was_made_of_it_too(node: Node) -> None:
    node.bring(dicom(), instance(sr, SEEN))
    take(node, PDF, "pdf", EVA)
    listed(node)

    def erase(connection: Any) -> None:
        reports.erased(connection, 1)
        numbers = connection.execute(select(instances.c.id).where(instances.c.sop_instance_uid == "2.25.77")).scalars()
        studies.erased(connection, list(numbers))

    before = node.database.read_now(lambda c: c.execute(select(formed.c.size)).all())
    node.database.write_now(erase)

    assert (len(before), node.database.read_now(lambda c: c.execute(select(formed.c.size)).all())) == (2, [])


def test_what_is_imported_is_made_at_once(node: Node) -> None:
    node.bring(dicom(), instance(sr, SEEN))
    take(node, PDF, "pdf", EVA)

    Offers(node.settings, node.database, lambda: NOW, load_pack(), SANDBOX).make([STUDY])

    assert len(node.database.read_now(lambda c: c.execute(select(formed.c.size)).all())) == 2


def test_a_national_code_of_a_report_is_mapped_by_the_table_of_its_source_and_stays_beside(node: Node) -> None:
    own = '<code code="CT-17" codeSystem="2.999.6" displayName="CT Schädel"/>'
    head = CDA_HEAD.replace('<code code="34227005" codeSystem="2.16.840.1.113883.6.96" displayName="CT of head"/>', own)
    take(node, cda(section("59776-5", "Befund", "Keine Blutung"), head=head), "xml")
    (before,) = listed(node)
    unmapped = node.database.read_now(list_unmapped)
    (node.settings.folder / "codes.csv").write_text(
        f"kind,system,code,eu_system,eu_code,eu_display\nprocedure,urn:oid:2.999.6,CT-17,{SNOMED},34227005,CT of head\n"
    )
    source = replace(node.settings.sources.reports[0], codes="codes.csv")
    sources = replace(node.settings.sources, reports=(source,), images=(source,))
    node.settings = replace(node.settings, sources=sources)

    (after,) = listed(node)
    procedure = next(
        entry["resource"]
        for entry in json.loads(body(node, after))["entry"]
        if entry["resource"]["resourceType"] == "Procedure"
    )

    assert (before.unmapped, [(row["kind"], row["code"]) for row in unmapped]) == (1, [("procedure", "CT-17")])
    assert [(c["code"], c.get("userSelected")) for c in procedure["code"]["coding"]] == [
        ("34227005", None),
        ("CT-17", True),
    ]
    assert (after.id, after.unmapped, bool(after.mapped_by)) == (before.id, 0, True)
    assert node.database.read_now(list_unmapped) == []


def test_a_report_that_names_its_patient_otherwise_than_the_register_now_is_listed_for_nobody(node: Node) -> None:
    letter = cda(section("19005-8", "Beurteilung", "Unauffällig"), head=CDA_HEAD.replace("1234567", "old-card"))
    node.bring(dicom(), instance(lambda **more: encapsulated(letter, ENCAPSULATED_CDA, **more)))
    (before,) = listed(node)
    node.database.write_now(
        lambda c: register.put(c, EVA, Traits((HumanName("Neuova", ("Eva",)),), "1970-01-01", "female"))
    )

    (after,) = listed(node)

    assert (before.status, after.status) == ("current", WITHDRAWN)
    with pytest.raises(DocumentNotFound):
        body(node, after)


def test_a_report_that_gave_way_to_another_of_its_instance_leaves_nothing_to_erase(node: Node) -> None:
    node.bring(dicom(), instance(sr, SEEN))
    (before,) = listed(node)
    node.database.write_now(lambda c: rows.give_up(c, int(before.id)))

    assert node.database.read_now(lambda c: c.execute(select(formed.c.size)).all()) == []


def test_a_report_goes_with_its_study_when_the_source_before_the_archive_tells_it_of_another_patient(
    node: Node,
) -> None:
    node.bring(
        dicom(), dicom(2, study="2.25.20", series="2.25.21", PatientID="2", PatientName="B^C"), instance(sr, SEEN)
    )
    (before,) = listed(node)
    stranger = PatientIdentifier(f"urn:oid:{ISSUER}", "2")
    node.database.write_now(lambda c: index.note_study(c, STUDY, register.anchor(c, stranger), "pacs", "told", ()))

    assert [(d.id, d.status) for d in listed(node)] == [(before.id, WITHDRAWN)]
    assert listed(node, stranger) == []


def test_a_cda_that_names_a_number_merged_into_another_is_a_report_of_who_took_it_over(node: Node) -> None:
    former = PatientIdentifier(f"urn:oid:{ISSUER}", "old")
    traits = Traits((HumanName("Neuova", ("Eva",)),), "1970-01-01", "female")
    node.bring(dicom())
    node.database.write_now(lambda c: register.put(c, former, traits))
    node.database.write_now(lambda c: people.merge(c, former, EVA))
    node.database.write_now(lambda c: register.put(c, EVA, traits))
    take(node, cda(section("19005-8", "Beurteilung", "Unauffällig"), head=CDA_HEAD.replace("1234567", "old")), "xml")

    (document,) = listed(node)
    patient = read(node, document).header.patient

    assert (document.kind, document.issued) == (DocumentKind.REPORT_FHIR, "text/xml")
    assert (patient.identifier, patient.former) == (EVA, (former,))
    assert former not in patient.others


def test_a_report_of_an_instance_that_could_not_be_made_is_made_when_the_register_is_put_right(node: Node) -> None:
    letter = cda(section("19005-8", "Beurteilung", "Unauffällig"), head=CDA_HEAD.replace("1234567", "old-card"))
    node.bring(dicom(PatientName="Neuova^Eva"))
    node.bring(
        instance(lambda **more: encapsulated(letter, ENCAPSULATED_CDA, **more), PatientName="Neuova^Eva"),
    )
    (before,) = listed(node)
    for family in ("Andere", "Testova"):
        traits = Traits((HumanName(family, ("Eva",)),), "1970-01-01", "female")
        node.database.write_now(lambda c, traits=traits: register.put(c, EVA, traits))  # type: ignore[misc]  # at once
        (after,) = listed(node)

    assert (before.status, after.status, after.id) == (WITHDRAWN, "current", before.id)
    assert read(node, after).examination.impressions[0].text == "Unauffällig"
    assert after.study_instance_uids[-1] == STUDY


@dataclass
class Astray:
    """A child that a file has taken over: it gives what is no document."""

    given: bytes

    def run_now(self, task: str, data: bytes, options: Any, **limits: Any) -> bytes:
        return self.given if PDF in data else SANDBOX.run_now(task, data, options, **limits)


@pytest.mark.parametrize(
    "given",
    [
        b"[]",
        b"no JSON",
        b'{"entry":[{"resource":[]}]}',
        b'{"resourceType":"Bundle","type":"document","entry":[]}',
        b"!\xff",
    ],
)
def test_one_bad_file_is_one_report_of_which_nothing_can_be_made(node: Node, given: bytes) -> None:
    node.bring(dicom(), instance(lambda **more: encapsulated(PDF, **more)))
    take(node, PDF, "pdf", EVA)
    take(node, cda(section("19005-8", "Beurteilung", "Unauffällig")), "xml")
    whose = node.database.read_now(lambda c: register.patient_row(c, EVA))
    assert whose is not None

    Forms(node.settings, node.database, lambda: NOW, load_pack(), cast("Sandbox", Astray(given))).make(whose[0])

    assert {document.kind for document in listed(node) if document.status == "current"} == {
        DocumentKind.REPORT_PDF,
        DocumentKind.REPORT_FHIR,
    }


def issued_anew(**flags: Any) -> bytes:
    before = evidence(STUDY, "2.25.12", "2.25.77")
    return instance(sr, SEEN, PredecessorDocumentsSequence=before, SOPInstanceUID="2.25.70", **flags)


def test_a_structured_report_that_was_issued_anew_takes_the_place_of_the_one_before(node: Node) -> None:
    node.bring(dicom(), instance(sr, SEEN), issued_anew())

    by = {document.unique_id.value: document for document in listed(node)}
    old, new = by["urn:oid:2.25.77"], by["urn:oid:2.25.70"]

    assert (old.status, new.status, new.replaces) == ("superseded", "current", old.id)
    assert read(node, new).header.replaces == old.unique_id


def test_a_report_that_is_final_does_not_give_way_to_one_that_is_not(node: Node) -> None:
    node.bring(dicom(), instance(sr, SEEN), issued_anew(CompletionFlag="PARTIAL"))

    assert [(document.status, document.replaces) for document in listed(node)] == [("current", None)] * 2


def test_what_was_replaced_stays_so_when_the_later_one_is_gone(node: Node) -> None:
    node.bring(dicom(), instance(sr, SEEN), issued_anew())
    listed(node)

    def delete(connection: Any) -> None:
        studies.delete_(connection, studies.What(instance="2.25.70"))

    node.database.write_now(delete)

    assert sorted(document.status for document in listed(node)) == ["superseded", WITHDRAWN]


@pytest.mark.parametrize(("named", "status"), [("d1", "superseded"), ("d7", "current")])
def test_a_document_that_says_which_it_replaces_takes_its_place_under_another_identifier_too(
    node: Node, named: str, status: str
) -> None:
    first = CDA_HEAD.replace('extension="d2"/>', 'extension="d1"/>').replace('extension="s1"', 'extension="s0"')
    second = re.sub(r"(<parentDocument>)<id [^>]*/>", rf'\1<id root="2.999.8" extension="{named}"/>', CDA_HEAD)
    told = section("19005-8", "Beurteilung", "Unauffällig")
    take(node, cda(told, head=first), "xml")

    verdict = take(node, cda(told, head=second), "xml")

    old, new = listed(node)
    assert (verdict.outcome, old.status, new.status) == ("accepted", status, "current")
    assert new.replaces == (old.id if status == "superseded" else None)
