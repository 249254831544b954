"""What is read of a DICOM structured report: header, chapters, measurements, images; nothing of it is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from tests.originals.made import (
    BASIC_TEXT,
    CT,
    ENHANCED,
    IMAGE,
    PRIOR,
    SERIES,
    SOP,
    STUDY,
    code,
    coded,
    evidence,
    heading,
    image,
    item,
    number,
    report,
    text,
)

from isthmus.errors import MalformedRequest, UnsupportedRequest
from isthmus.model.codes import SNOMED, Code
from isthmus.model.identifiers import UNIDENTIFIED, Identifier, PatientIdentifier
from isthmus.model.people import HumanName, Organisation, Patient
from isthmus.model.report.document import ImagingReport, Section
from isthmus.model.report.statements import Quantity
from isthmus.originals.beside import Beside
from isthmus.originals.child import report_of

FINDING, IMPRESSION = code("121071", meaning="Finding"), code("121073", meaning="Impression")
MM = code("mm", "UCUM", "millimeter")
DIAMETER = code("81827009", "SCT", "Diameter")


def read(*content: Dataset, known: Beside | None = None, **attributes: Any) -> ImagingReport:
    return report_of(report(*content, **attributes), known or Beside())


def observer(family: str, when: str, organisation: str = "") -> Dataset:
    one = Dataset()
    one.VerifyingObserverName, one.VerificationDateTime, one.VerifyingOrganization = family, when, organisation
    return one


def test_the_header_says_whose_by_whom_when_and_of_which_study() -> None:
    author = Dataset()
    author.PersonName = "Radio^Logan"
    verified = Sequence([observer("Old^One", "20260302110500+0100"), observer("Legal^Legia", "20260302120000+0100")])

    made = read(
        coded(code("121049", meaning="Language"), code("eng", "ISO639_2", "English"), relation="HAS CONCEPT MOD"),
        AuthorObserverSequence=Sequence([author]),
        VerifyingObserverSequence=verified,
    )
    head, study = made.header, made.examination.studies[0]

    assert head.identifier == Identifier("urn:dicom:uid", f"urn:oid:{SOP}")
    assert head.patient.identifier == PatientIdentifier("urn:oid:2.999.4.1", "1234567")
    assert (head.patient.names, head.patient.birth_date, head.patient.gender) == (
        (HumanName("Testova", ("Eva",)),),
        "1970-01-01",
        "female",
    )
    assert (head.title, head.type, head.language) == ("CT Report", Code("http://loinc.org", "18747-6"), "en")
    assert (head.date, head.status) == ("2026-03-02T11:00:00+01:00", "final")
    assert [one.name.family for one in head.authors] == ["Radio"]
    assert head.attester is not None
    assert (head.attester.person.name.family, head.attester.time) == ("Legal", "2026-03-02T12:00:00+01:00")
    assert head.organisation is not None
    assert head.organisation.name == "Example Hospital"
    assert (study.study_instance_uid, study.description, study.started) == (
        STUDY,
        "CT head",
        "2026-03-02T09:14:00+01:00",
    )
    assert made.order.accession_numbers == (Identifier(None, "A2026-0042"),)
    assert made.order.requester is not None
    assert made.order.requester.name.family == "Asker"


@pytest.mark.parametrize(
    ("completion", "verification", "preliminary", "status"),
    [
        ("COMPLETE", "VERIFIED", "", "final"),
        ("COMPLETE", "VERIFIED", "PRELIMINARY", "preliminary"),
        ("COMPLETE", "UNVERIFIED", "", "preliminary"),
        ("PARTIAL", "VERIFIED", "", "partial"),
        ("PARTIAL", "UNVERIFIED", "", "partial"),
        ("", "", "", "unknown"),
    ],
)
def test_the_status_follows_from_completion_and_verification(
    completion: str, verification: str, preliminary: str, status: str
) -> None:
    flags: dict[str, Any] = {
        "CompletionFlag": completion,
        "VerificationFlag": verification,
        "PreliminaryFlag": preliminary,
    }

    assert read(**flags).header.status == status


@pytest.mark.parametrize("sop_class", [BASIC_TEXT, ENHANCED, "1.2.840.10008.5.1.4.1.1.88.34"])
def test_headings_of_either_code_system_are_chapters(sop_class: str) -> None:
    made = read(
        heading("121109", "Indications for Procedure", text(code("121110"), "Fall from a ladder")),
        heading("11329-0", "History", text(code("121060"), "Anticoagulated"), scheme="LN"),
        heading("121064", "Current Procedure Descriptions", text(code("121065"), "Plain CT, 1 mm")),
        heading("18834-2", "Comparison", text(code("121069"), "None available"), scheme="LN"),
        heading("121070", "Findings", text(FINDING, "No haemorrhage"), text(FINDING, "Old infarct")),
        heading("19005-8", "Impression", text(IMPRESSION, "No acute lesion"), scheme="LN"),
        heading("121074", "Recommendations", text(code("121075"), "MR in six weeks")),
        sop_class=sop_class,
    )
    done = made.examination

    assert [one.text for one in made.order.reasons] == ["Fall from a ladder"]
    assert [one.text for one in made.order.history] == ["Anticoagulated"]
    assert [one.technique for one in done.procedures] == ["Plain CT, 1 mm"]
    assert made.comparison is not None
    assert made.comparison.text == "None available"
    assert [one.text for one in done.findings] == ["No haemorrhage", "Old infarct"]
    assert [one.text for one in done.impressions] == ["No acute lesion"]
    assert [one.text for one in done.recommendations] == ["MR in six weeks"]
    assert made.sections == ()


def test_elements_without_headings_find_their_chapters() -> None:
    made = read(
        text(FINDING, "No haemorrhage"), text(IMPRESSION, "Normal"), coded(FINDING, code("50960005", "SCT", "Bleeding"))
    )

    assert [(one.text, one.code) for one in made.examination.findings] == [
        ("No haemorrhage", None),
        ("Bleeding", Code(SNOMED, "50960005")),
    ]
    assert [one.text for one in made.examination.impressions] == ["Normal"]


def test_a_number_with_its_unit_is_a_measurement_with_site_method_and_image() -> None:
    made = read(
        heading(
            "121070",
            "Findings",
            number(
                DIAMETER,
                "12.5",
                MM,
                coded(
                    code("363698007", "SCT", "Finding Site"),
                    code("69536005", "SCT", "Head"),
                    relation="HAS CONCEPT MOD",
                ),
                coded(code("121401", meaning="Derivation"), code("R-00317", "SRT", "Mean"), relation="HAS CONCEPT MOD"),
                image(frames=[3, 7], relation="INFERRED FROM"),
            ),
        )
    )
    (finding,) = made.examination.findings

    assert (finding.name, finding.code, finding.value) == (
        "Diameter",
        Code(SNOMED, "81827009"),
        Quantity(12.5, "mm", "mm"),
    )
    assert finding.site is not None
    assert finding.site.code == Code(SNOMED, "69536005")
    assert [(part.name.text, part.value) for part in finding.parts][0][0] == "Derivation"
    assert [(i.sop_instance_uid, i.series_instance_uid, i.study_instance_uid, i.frame) for i in finding.images] == [
        (IMAGE, SERIES, STUDY, 3),
        (IMAGE, SERIES, STUDY, 7),
    ]


@pytest.mark.parametrize("said", ["", "1e400", "nan", "12,5", "12 or 13"])
def test_a_number_that_is_none_stays_in_words(said: str) -> None:
    data = report(heading("121070", "Findings", number(DIAMETER, "7777777777777777", MM)))

    made = report_of(data.replace(b"7" * 16, said.encode().ljust(16)), Beside())

    assert [(f.value, f.text) for f in made.examination.findings] == [(None, f"{said} millimeter" if said else "")]


def test_values_that_belong_together_are_one_finding() -> None:
    made = read(
        heading(
            "126010",
            "Imaging Measurements",
            heading(
                "125007",
                "Measurement Group",
                text(code("112039", meaning="Tracking Identifier"), "Lesion 1"),
                coded(
                    code("363698007", "SCT", "Finding Site"),
                    code("10200004", "SCT", "Liver"),
                    relation="HAS CONCEPT MOD",
                ),
                number(DIAMETER, "12", MM, coded(code("121401", meaning="Derivation"), code("R-1", "SRT", "Mean"))),
                number(code("118565006", "SCT", "Volume"), "0.8", code("cm3", "UCUM")),
            ),
        )
    )
    (finding,) = made.examination.findings

    assert (finding.name, finding.site and finding.site.text) == ("Lesion 1", "Liver")
    assert [(part.name.text, part.value) for part in finding.parts] == [
        ("Diameter (Mean)", Quantity(12.0, "mm", "mm")),
        ("Volume", Quantity(0.8, "cm3", "cm3")),
    ]


def test_an_image_without_words_is_a_key_image_of_the_report() -> None:
    made = read(heading("121070", "Findings", image(), text(FINDING, "Seen")))

    assert [(i.sop_instance_uid, i.series_instance_uid, i.comment) for i in made.key_images] == [
        (IMAGE, SERIES, "Findings")
    ]


def test_a_region_of_an_image_names_the_image_and_a_reference_to_an_item_is_followed_once() -> None:
    region = item(
        "SCOORD",
        None,
        image(relation="SELECTED FROM"),
        relation="INFERRED FROM",
        GraphicType="CIRCLE",
        GraphicData=[1.0, 1.0, 2.0, 2.0],
    )
    reference = Dataset()
    reference.RelationshipType, reference.ReferencedContentItemIdentifier = "INFERRED FROM", [1, 1, 1]
    looped = Dataset()
    looped.RelationshipType, looped.ReferencedContentItemIdentifier = "INFERRED FROM", [1, 1]
    made = read(
        heading(
            "121070",
            "Findings",
            image(),
            text(FINDING, "By region", region),
            text(FINDING, "By reference", reference, looped),
        )
    )

    assert [(f.text, [i.sop_instance_uid for i in f.images]) for f in made.examination.findings] == [
        ("By region", [IMAGE]),
        ("By reference", [IMAGE]),
    ]


def test_what_is_not_understood_stays_a_section_and_what_is_measured_in_it_is_a_finding_too() -> None:
    made = read(
        heading(
            "9999",
            "Own Heading",
            text(code("1", "99OWN", "Remark"), "Patient moved"),
            number(DIAMETER, "3", MM),
            heading("9998", "Inner", item("DATE", code("2", "99OWN", "Seen on"), Date="20260301"), scheme="99OWN"),
            scheme="99OWN",
        ),
        item("PNAME", code("3", "99OWN", "Assistant"), PersonName="Help^Hal"),
    )

    assert made.sections == (
        Section("CT Report", Code("http://loinc.org", "18747-6"), None, ("Assistant: Hal Help",)),
        Section(
            "Own Heading",
            Code("", "9999"),
            None,
            ("Remark: Patient moved", "Diameter: 3 mm"),
            None,
            (Section("Inner", Code("", "9998"), None, ("Seen on: 2026-03-01",)),),
        ),
    )
    assert [f.value for f in made.examination.findings] == [Quantity(3.0, "mm", "mm")]


def test_a_scheme_that_the_document_explains_has_its_own_system() -> None:
    explained = Dataset()
    explained.CodingSchemeDesignator, explained.CodingSchemeUID = "99OWN", "2.999.3"

    made = read(coded(FINDING, code("7", "99OWN", "Curious")), CodingSchemeIdentificationSequence=Sequence([explained]))

    assert made.examination.findings[0].code == Code("urn:oid:2.999.3", "7")


def test_further_evidence_is_what_it_was_compared_with() -> None:
    made = read(PertinentOtherEvidenceSequence=evidence(PRIOR, "2.25.9.1", "2.25.9.1.1"))

    assert made.comparison is not None
    assert [one.study_instance_uid for one in made.comparison.studies] == [PRIOR]
    assert made.study_instance_uids == (STUDY,)


def test_whose_it_is_is_decided_by_who_keeps_it_and_contradiction_is_refused() -> None:
    number_ = PatientIdentifier("urn:oid:2.999.1", "1234567")
    registered = Patient(PatientIdentifier("urn:oid:2.999.1", "other"), (HumanName("Beside"),), "1970-01-01", "female")

    for issuer in ("", "LOCAL", "2.999.1"):  # a local name does not say that it is another issuer
        assert read(known=Beside(number=number_), IssuerOfPatientID=issuer).header.patient.identifier == number_
    with pytest.raises(MalformedRequest, match="another patient"):
        read(known=Beside(number=number_), IssuerOfPatientID="2.999.4.1")
    assert read(known=Beside(patient=registered)).header.patient == registered
    assert read(PatientID="").header.patient.identifier == UNIDENTIFIED
    with pytest.raises(MalformedRequest, match="another patient"):
        read(known=Beside(number=PatientIdentifier("urn:oid:2.999.1", "7654321")))


def test_a_number_without_issuer_is_of_this_study_alone() -> None:
    first, second = read(IssuerOfPatientID=""), read(IssuerOfPatientID="", StudyInstanceUID="2.25.2")

    assert first.header.patient.identifier != second.header.patient.identifier


@pytest.mark.parametrize("last", ["88.59", "88.67", "88.50", "2"])
def test_objects_that_are_no_reports_are_refused(last: str) -> None:
    with pytest.raises(UnsupportedRequest, match="no report"):
        read(sop_class=CT if last == "2" else f"1.2.840.10008.5.1.4.1.1.{last}")


def test_the_file_itself_is_inside_as_it_was_issued() -> None:
    data = report(text(FINDING, "Seen"))

    (form,) = report_of(data, Beside()).presented_forms

    assert (form.media_type, form.body) == ("application/dicom", data)


def test_a_measurement_report_of_others_is_read(sample: Callable[[str], Path]) -> None:
    made = report_of(sample("dicom/pt_headneck_derived/sr_tid1500.dcm").read_bytes(), Beside())
    (group,) = made.examination.findings
    values = {part.name.text: part.value for part in group.parts}

    assert (made.header.title, made.header.status, made.header.language) == (
        "Imaging Measurement Report",
        "partial",
        "en",
    )
    assert (group.name, group.site and group.site.text) == ("primary tumor", "pharyngeal tonsil (adenoid)")
    assert values["SUVbw (Mean)"] == Quantity(6.01529, "Standardized Uptake Value body weight", "{SUVbw}g/ml")
    assert values["Volume (Sum of segmented voxel volumes)"] == Quantity(33.5824, "ml", "ml")
    assert [one.name and one.name.text for one in made.examination.procedures] == ["PET whole body"]
    assert group.images[0].study_instance_uid == made.study_instance_uids[0]


def test_everybody_who_verified_it_is_told_with_number_organisation_and_time() -> None:
    first, last = observer("One^Old", "20260302110500+0100", "Clinic"), observer("Legal^Legia", "20260302120000+0100")
    local = code("1705", "99LOCAL", "JR")
    local.CodingSchemeUID = "2.999.77"
    first.VerifyingObserverIdentificationCodeSequence = Sequence([local])

    head = read(VerifyingObserverSequence=Sequence([first, last])).header

    assert head.attester is not None
    assert (head.attester.person.name.family, head.attester.person.identifier) == ("Legal", None)
    (validator,) = head.validators
    assert validator.person is not None
    assert (validator.person.name.family, validator.time) == ("One", "2026-03-02T11:05:00+01:00")
    assert validator.person.identifier == Identifier("urn:oid:2.999.77", "1705")
    assert validator.person.organisation == Organisation("Clinic")


@pytest.mark.parametrize(
    ("named", "replaced"),
    [
        ([(STUDY, "2.25.70")], Identifier("urn:dicom:uid", "urn:oid:2.25.70")),
        ([(PRIOR, "2.25.70")], None),
        ([(STUDY, "2.25.70"), (STUDY, "2.25.71")], None),
        ([], None),
    ],
)
def test_a_report_issued_anew_says_which_it_replaces(named: list[tuple[str, str]], replaced: Identifier | None) -> None:
    before = Sequence([one for study, sop in named for one in evidence(study, SERIES, sop)])

    assert read(PredecessorDocumentsSequence=before).header.replaces == replaced
