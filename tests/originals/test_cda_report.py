"""What is read of a CDA document as a report: all of its header, sections by chapter, entries, narrative that is safe."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.originals.made import CATALOGUE, CDA_HEAD, ENTRIES, cda, section

from isthmus.demo.reports import reports
from isthmus.errors import MalformedRequest
from isthmus.model.codes import DCM, LOINC, SNOMED, Code
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.safety import Medication
from isthmus.model.report.statements import Quantity, Statement
from isthmus.originals.beside import Beside
from isthmus.originals.child import report_of

EVA = PatientIdentifier("urn:oid:2.999.4.1", "1234567")


def read(*sections: str, known: Beside | None = None, head: str = CDA_HEAD) -> ImagingReport:
    return report_of(cda(*sections, head=head), known or Beside())


def test_all_of_the_header_is_there() -> None:
    made = read()
    head, patient, order, done = made.header, made.header.patient, made.order, made.examination

    assert (patient.identifier, patient.others) == (EVA, (PatientIdentifier("urn:oid:2.999.4.9", "card"),))
    assert patient.names == (HumanName("Testova", ("Eva",), prefix=("Dr.",)),)
    assert (patient.birth_date, patient.gender) == ("1970-01-01", "female")
    assert [(a.lines, a.postal_code, a.city, a.use) for a in patient.addresses] == [
        (("Weg 1",), "1010", "Wien", "home")
    ]
    assert [(t.value, t.system, t.use) for t in patient.telecoms] == [("+43 1 2345", "phone", "home")]
    assert [(c.name.given, c.relationship and c.relationship.code) for c in patient.contacts] == [(("Ida",), "MTH")]
    assert head.identifier == Identifier("urn:oid:2.999.8", "s1")
    assert head.document_identifier == Identifier("urn:oid:2.999.8", "d2")
    assert head.replaces == Identifier("urn:oid:2.999.8", "d1")
    assert (head.title, head.date, head.type) == ("CT head", "2026-03-02T11:00:00+01:00", Code(LOINC, "18747-6"))
    assert (head.status, head.language, head.version, head.confidentiality) == ("final", "de", "2", "R")
    assert [(p.shown, p.identifier, p.role and p.role.code) for p in head.authors] == [
        ("Logan Radio", Identifier("urn:oid:2.999.5", "p1"), "2212")
    ]
    assert head.authors[0].organisation is not None
    assert head.authors[0].organisation.identifier == "H1"
    assert (head.organisation and head.organisation.name, head.custodian and head.custodian.name) == (
        "Example Hospital",
        "Archive",
    )
    assert head.attester is not None
    assert (head.attester.person.shown, head.attester.time) == ("Legia Legal", "2026-03-02T12:00:00+01:00")
    assert [(v.person and v.person.shown, v.time) for v in head.validators] == [
        ("Vera Valida", "2026-03-02T11:30:00+01:00")
    ]
    assert [getattr(one, "shown", "") for one in head.recipients] == ["Gil Family"]
    assert (order.requester and order.requester.shown, order.priority) == ("Ada Asker", "urgent")
    assert made.study_instance_uids == ("2.25.1",)
    (procedure,) = done.procedures
    assert procedure.name == Statement("CT of head", Code(SNOMED, "34227005"))
    assert (procedure.performed, procedure.performed_until) == (
        "2026-03-02T09:14:00+01:00",
        "2026-03-02T09:20:00+01:00",
    )
    assert [one.shown for one in procedure.performers] == ["Tom Tech"]


def test_which_order_number_is_the_accession_number_only_its_issuer_tells() -> None:
    unknown, known = read(), read(known=Beside(accession_issuer="2.999.5.1"))
    both = (Identifier("urn:oid:2.999.5.1", "A2026-0042"), Identifier("urn:oid:2.999.5.2", "P-77"))

    assert (unknown.order.accession_numbers, unknown.order.placer_order_numbers) == ((), both)
    assert (known.order.accession_numbers, known.order.placer_order_numbers) == (both[:1], both[1:])


def test_sections_are_chapters_and_their_narrative_is_kept() -> None:
    made = read(
        section("18785-6", "Fragestellung", "Sturz"),
        section("11329-0", "Anamnese", "<list><item>Antikoagulation</item></list>"),
        section("55111-9", "Technik", "Nativ"),
        section("59776-5", "Befund", "<paragraph>Keine Blutung.</paragraph><paragraph>Alter Infarkt.</paragraph>"),
        section("19005-8", "Beurteilung", "<content styleCode='Bold'>Unauffällig</content>"),
        section("18783-1", "Empfehlung", "MRT in sechs Wochen"),
        section("73568-8", "Mitteilung", "Telefonisch an Dr. Asker"),
        section("99999-9", "Eigenes", "<table><tr><td>1</td><td>2</td></tr></table>"),
    )
    done, narratives = made.examination, {s.title: s.narrative for s in made.sections}

    assert [one.text for one in made.order.reasons] == ["Sturz"]
    assert [one.text for one in made.order.history] == ["Antikoagulation"]
    assert done.procedures[0].technique == "Nativ"
    assert [one.text for one in done.findings] == ["Keine Blutung.\nAlter Infarkt."]
    assert [one.text for one in done.impressions] == ["Unauffällig"]
    assert [one.text for one in done.recommendations] == ["MRT in sechs Wochen"]
    assert done.communication == "Telefonisch an Dr. Asker"
    assert narratives["Befund"] == "<p>Keine Blutung.</p><p>Alter Infarkt.</p>"
    assert narratives["Beurteilung"] == "<span><b>Unauffällig</b></span>"
    assert narratives["Eigenes"] == "<table><tr><td>1</td><td>2</td></tr></table>"


def test_nested_sections_belong_to_the_chapter_they_stand_in_or_to_their_own() -> None:
    inner = f"<component>{section('99999-9', 'Leber', 'Zyste')}</component>"
    other = f"<component>{section('19005-8', 'Beurteilung', 'Gutartig')}</component>"

    made = read(section("59776-5", "Befund", "Übersicht", inner, other))

    assert [f.shown for f in made.examination.findings] == ["Übersicht", "Leber: Zyste"]
    assert [f.text for f in made.examination.impressions] == ["Gutartig"]


def test_entries_are_findings_with_value_site_interpretation_and_images() -> None:
    made = read(CATALOGUE, section("59776-5", "Befund", '<content ID="f1">Runde Struktur.</content>', ENTRIES))
    measured, coded, words = made.examination.findings

    assert (measured.name, measured.code, measured.value) == (
        "Diameter",
        Code(SNOMED, "81827009"),
        Quantity(12.5, "mm", "mm"),
    )
    assert [one.code for one in measured.interpretations] == ["H"]
    assert measured.site is not None
    assert measured.site.text == "Liver"
    assert measured.observed == "2026-03-02"
    assert [(i.sop_instance_uid, i.series_instance_uid, i.study_instance_uid) for i in measured.images] == [
        ("2.25.1.1.1", "2.25.1.1", "2.25.1")
    ]
    assert (coded.code, coded.text) == (Code(SNOMED, "50960005"), "Bleeding")
    assert words.text == "Runde Struktur."
    assert made.examination.studies[0].modalities == ("CT",)


def test_what_was_given_and_done_has_a_place_of_its_own() -> None:
    entries = """<entry><substanceAdministration><effectiveTime value="20260302"/><doseQuantity value="80" unit="mL"/>
      <consumable><manufacturedProduct><manufacturedMaterial>
      <code code="V08AB02" codeSystem="2.16.840.1.113883.6.73" displayName="iohexol"/><name>Omnipaque</name>
      </manufacturedMaterial></manufacturedProduct></consumable></substanceAdministration></entry>
      <entry><procedure><code code="77477000" codeSystem="2.16.840.1.113883.6.96" displayName="CT"/></procedure></entry>"""

    done = read(section("55111-9", "Technik", "", entries)).examination

    assert done.medications == (
        Medication(
            "Omnipaque", Code("http://www.whocc.no/atc", "V08AB02"), dose=Quantity(80.0, "mL", "mL"), given="2026-03-02"
        ),
    )
    assert [one.name for one in done.procedures] == [Statement("CT", Code(SNOMED, "77477000"))]


def test_what_is_denied_is_never_turned_round() -> None:
    entry = '<entry><observation negationInd="true"><code code="1" displayName="Bleeding"/></observation></entry>'

    made = read(section("59776-5", "Befund", "Keine Blutung.", entry))

    assert [f.text for f in made.examination.findings] == ["Keine Blutung."]


def test_an_impression_that_its_entries_do_not_say_whole_is_said_in_words_too() -> None:
    entry = '<entry><observation><code code="121073" codeSystem="1.2.840.10008.2.16.4"/><value xsi:type="ST">Zyste.</value></observation></entry>'

    covered = read(section("19005-8", "Beurteilung", "<paragraph>Zyste.</paragraph>", entry))
    more = read(section("19005-8", "Beurteilung", "<paragraph>Zyste.</paragraph><paragraph>Tumor?</paragraph>", entry))

    assert [f.text for f in covered.examination.impressions] == ["Zyste."]
    assert [f.text for f in more.examination.impressions] == ["Zyste.\nTumor?", "Zyste."]


@pytest.mark.requirement("REP-24")
def test_a_narrative_keeps_words_and_structure_and_nothing_that_acts() -> None:
    evil = (
        '<paragraph styleCode="x onclick">a &lt;script&gt;alert(1)&lt;/script&gt;</paragraph>'
        '<linkHtml href="javascript:alert(1)">press</linkHtml><renderMultiMedia referencedObject="m"/>'
        '<script xmlns="http://www.w3.org/1999/xhtml">alert(2)</script>'
        '<table onload="x"><thead><tr><th colspan="2&quot;">h</th></tr></thead><tbody><tr><td colspan="2">c</td></tr></tbody></table>'
    )

    (kept,) = read(section("99999-9", "Eigenes", evil)).sections

    assert kept.narrative == (
        "<p>a &lt;script&gt;alert(1)&lt;/script&gt;</p>pressalert(2)"
        '<table><thead><tr><th>h</th></tr></thead><tbody><tr><td colspan="2">c</td></tr></tbody></table>'
    )


def test_whose_it_is_is_decided_by_who_keeps_it_and_contradiction_is_refused() -> None:
    def known(number: str, family: str, born: str) -> Beside:
        return Beside(
            patient=Patient(PatientIdentifier("urn:oid:2.999.7", number), (HumanName(family),), born, "female")
        )

    assert read(known=Beside(number=PatientIdentifier("urn:oid:2.999.4.9", "card"))).header.patient.others == (EVA,)
    assert read(known=known("9", "TESTOVA", "1970-01-01")).header.patient.identifier.value == "9"
    for one in (
        known("9", "Other", "1970-01-01"),
        known("9", "Testova", "1971-01-01"),
        Beside(number=PatientIdentifier("s", "v")),
    ):
        with pytest.raises(MalformedRequest, match="another patient"):
            read(known=one)


def test_of_level_one_the_pdf_is_inside_and_so_is_the_document() -> None:
    pdf = b"%PDF-1.7 letter"
    held = f'<text mediaType="application/pdf" representation="B64">{b64encode(pdf).decode()}</text>'
    body = f"<component><nonXMLBody>{held}</nonXMLBody></component></ClinicalDocument>"
    data = (CDA_HEAD + body).encode()

    made = report_of(data, Beside())

    assert [(form.media_type, form.body) for form in made.presented_forms] == [
        ("application/pdf", pdf),
        ("text/xml", data),
    ]
    assert made.header.title == "CT head"


def test_the_documents_of_others_are_read(sample: Callable[[str], Path]) -> None:
    letter = report_of(sample("cda/ehdsi_orcd/18748-4_3-1234-W7.xml").read_bytes(), Beside())
    film = report_of(sample("cda/ehdsi_orcd/x-clinical-image_3-1234-W7.xml").read_bytes(), Beside())
    chest = report_of(sample("cda/ccda_dir/Diagnostic_Imaging_Report.xml").read_bytes(), Beside())
    opacity, size = chest.examination.findings[0], chest.examination.findings[0].parts[0]

    assert [form.media_type for form in letter.presented_forms] == ["application/pdf", "text/xml"]
    assert letter.presented_forms[0].body.startswith(b"%PDF-")
    assert (letter.header.patient.name.family, letter.header.status, letter.header.language) == (
        "Schuman",
        "final",
        "nl-BE",
    )
    assert film.presented_forms[0].media_type.startswith(("image/", "application/"))
    assert "new round density" in opacity.text
    assert (size.name.text, size.value) == ("Nodule size", Quantity(45.0, "mm", "mm"))
    assert [i.sop_instance_uid for i in opacity.images] == [
        "1.2.840.113619.2.62.994044785528.20060823.200608232232322.3"
    ]
    assert chest.examination.impressions[0].text.startswith("No acute cardiopulmonary process.")
    assert [one.text for one in chest.order.reasons] == ["Suspected lung tumor"]
    assert [one.text for one in chest.order.history] == ["Sore throat."]
    assert [one.name and one.name.code and one.name.code.code for one in chest.examination.procedures][-1] == "70548"
    assert Code(DCM, "121181") not in [one.code for one in chest.sections]


def test_the_practice_document_keeps_its_facts() -> None:
    (source,) = (one for one in reports().values() if one.form == "cda")

    made = report_of(source.document.read_bytes(), Beside())

    assert made.header.patient.identifier == source.patient.identifier
    assert made.study_instance_uids == source.study_instance_uids
    assert "Kein Hinweis auf eine Ischämie" in made.examination.impressions[0].text
