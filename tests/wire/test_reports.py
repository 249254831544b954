"""Reports: a round trip by chapters, reports written by others, and the original inside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.wire.made import HOSPITAL, PATIENT, STUDY

from isthmus.errors import CountryMisanswered, MalformedRequest
from isthmus.fhir import bundles
from isthmus.fhir.bundles import Closed
from isthmus.model.codes import LOINC, SNOMED, Code
from isthmus.model.identifiers import Identifier
from isthmus.model.people import HumanName
from isthmus.model.queries import REGIONS
from isthmus.model.report.comparison import ComparedStudy, Comparison
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.dose import Dose
from isthmus.model.report.examination import Examination, Procedure, Recommendation
from isthmus.model.report.header import Attester, Header, Person
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.order import Order
from isthmus.model.report.presented_form import PresentedForm
from isthmus.model.report.sites import Site
from isthmus.model.report.statements import Finding, Statement
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import original_of, read_report, report_index, write_report

PACK = load_pack()
AUTHOR = Person(HumanName("Radio", ("Logan",)), Identifier("urn:oid:2.999.9", "P-1"))
PDF = b"%PDF-1.4 any bytes \x00\xff"
REPORT_STUDY = replace(STUDY, placer_order_numbers=STUDY.placer_order_numbers, custodian=None)
REPORT = ImagingReport(
    Header(
        identifier=Identifier("urn:ietf:rfc:3986", "urn:uuid:7a3b4f7e-8f40-4a3b-9b2e-2f2a7c1d0001"),
        patient=PATIENT,
        title="CT head report",
        date="2026-03-02T11:00:00+01:00",
        type=Code(LOINC, "18747-6"),
        language="en",
        version="2",
        authors=(AUTHOR,),
        organisation=HOSPITAL,
        attester=Attester(AUTHOR, "2026-03-02T11:00:00+01:00"),
        custodian=HOSPITAL,
    ),
    Order(
        accession_numbers=STUDY.accession_numbers,
        placer_order_numbers=STUDY.placer_order_numbers,
        requested="CT of the head",
        placed="2026-03-01T08:00:00+01:00",
        requester=Person(HumanName("Asker", ("Ann",))),
        reasons=(Statement("Headache", Code(SNOMED, "25064002")), Statement("Fall <2 m> & pain")),
        history=(Statement("Hypertension"), Statement("Pacemaker")),
    ),
    Examination(
        studies=(REPORT_STUDY,),
        procedures=(
            Procedure(
                Statement("CT of the head", Code(SNOMED, "303653007")),
                "Plain CT, 1 mm",
                "2026-03-02T09:14:00+01:00",
                sites=(Site("Head", Code(SNOMED, "69536005", "Head")),),
            ),
        ),
        performed="2026-03-02T09:14:00+01:00",
        regions=(REGIONS["774007"], REGIONS["1141981001"]),
        findings=(Finding("No haemorrhage"), Finding("Small cyst", Code(SNOMED, "441457006", "Cyst"))),
        impressions=(Finding("Normal", Code(SNOMED, "17621005")),),
        recommendations=(Recommendation("None needed"),),
    ),
    doses=(Dose("DLP 600 mGy.cm", "2.999.7.1"),),
    key_images=(
        KeyImage("2.999.7.1.1.2", "2.999.7.1.1", "2.999.7.1", "CT", title="Axial", comment="The cyst"),
        KeyImage("2.999.7.1.1.1", modality="CT"),
    ),
    comparison=Comparison("With CT of 2024", (ComparedStudy("2.999.7.0", "2024-01-01", "CT head", ("CT",)),)),
    presented_forms=(PresentedForm("application/pdf", PDF, "en", "CT head report"),),
)


def _bundle(body: bytes) -> dict[str, Any]:
    bundle: dict[str, Any] = orjson.loads(body)
    return bundle


def _resource(bundle: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind)
    return found


def test_a_report_comes_back_chapter_by_chapter() -> None:
    read = read_report(write_report(REPORT, PACK), PACK)

    assert read.header == REPORT.header
    assert read.order == REPORT.order
    assert read.examination == REPORT.examination
    assert read.doses == REPORT.doses
    assert read.key_images == REPORT.key_images
    assert read.comparison == REPORT.comparison
    assert read.presented_forms == REPORT.presented_forms


def test_the_sections_stand_in_order_with_their_words() -> None:
    sections = read_report(write_report(REPORT, PACK), PACK).sections

    assert [section.code.code for section in sections if section.code] == [
        "18726-0", "55115-0", "11329-0", "55111-9", "18834-2", "59776-5", "19005-8", "18783-1",
    ]  # fmt: skip
    assert "Fall &lt;2 m&gt; &amp; pain" in (sections[1].narrative or "")
    assert "DLP 600 mGy.cm" in (sections[3].narrative or "")


@pytest.mark.parametrize(
    ("language", "title", "label"),
    [("el", "Συμπέρασμα", "Δόση ακτινοβολίας"), ("de-AT", "Beurteilung", "Strahlendosis"),
     ("bg", "Заключение", "Лъчева доза"), ("xx", "Impression", "Radiation dose"), (None, "Impression", "Radiation dose")],
)  # fmt: skip
def test_headings_and_labels_are_in_the_language_of_the_report(language: str | None, title: str, label: str) -> None:
    report = replace(REPORT, header=replace(REPORT.header, language=language))

    sections = read_report(write_report(report, PACK), PACK).sections

    assert sections[6].title == title
    assert f"{label}: DLP 600 mGy.cm" in (sections[3].narrative or "")


@pytest.mark.requirement("REP-12")
def test_each_of_two_studies_is_based_on_the_order_of_its_own_accession_number() -> None:
    numbers = (*STUDY.accession_numbers, Identifier("urn:oid:2.999.5.1", "A2026-0043"))
    other = replace(REPORT_STUDY, study_instance_uid="2.999.7.2", series=(), accession_numbers=numbers[1:])
    examination = replace(REPORT.examination, studies=(REPORT_STUDY, other))
    report = replace(REPORT, order=replace(REPORT.order, accession_numbers=numbers), examination=examination)

    body = write_report(report, PACK)
    orders = [e["resource"] for e in _bundle(body)["entry"] if e["resource"]["resourceType"] == "ServiceRequest"]
    told = [[i["value"] for i in order["identifier"] if i["type"]["coding"][0]["code"] == "ACSN"] for order in orders]
    read = read_report(body, PACK)

    assert told == [["A2026-0042"], ["A2026-0043"]]
    assert read.order == report.order
    assert read.examination == report.examination


def test_a_study_named_without_series_keeps_its_modality() -> None:
    study = replace(REPORT_STUDY, series=(), other_modalities=("CT",))
    body = write_report(replace(REPORT, examination=replace(REPORT.examination, studies=(study,))), PACK)

    assert read_report(body, PACK).examination.studies == (study,)
    assert report_index(body).modalities == ("CT",)


def test_a_version_may_have_a_document_identifier_of_its_own() -> None:
    own = Identifier("urn:ietf:rfc:3986", "urn:uuid:7a3b4f7e-8f40-4a3b-9b2e-2f2a7c1d0002")
    header = replace(REPORT.header, document_identifier=own)

    body = write_report(replace(REPORT, header=header), PACK)

    assert _bundle(body)["identifier"]["value"] == own.value
    assert _resource(_bundle(body), "Composition")["identifier"]["value"] == header.identifier.value
    assert read_report(body, PACK).header == header


def test_a_mandatory_section_without_content_says_so_twice() -> None:
    bundle = _bundle(write_report(ImagingReport(REPORT.header), PACK))

    sections = _resource(bundle, "Composition")["section"]

    assert [s["code"]["coding"][0]["code"] for s in sections] == ["18726-0", "55115-0", "11329-0", "55111-9"]
    assert all("Not available" in s["text"]["div"] for s in sections)
    assert ["emptyReason" in s for s in sections] == [False, True, True, True]
    assert _resource(bundle, "ImagingStudy")["status"] == "unknown"


def test_every_reference_is_a_uuid_and_resolves_and_no_address_is_told() -> None:
    body = write_report(REPORT, PACK)
    bundle = _bundle(body)
    closed = Closed(bundle)

    found = [(r["reference"], closed.find(r, bundle)) for r in bundles.references(bundle)]

    assert all(reference.startswith("urn:uuid:") and target is not None for reference, target in found)
    assert closed.of_type("Endpoint") == []
    assert b"/studies/" not in body


def test_the_same_report_is_the_same_bytes() -> None:
    assert write_report(REPORT, PACK) == write_report(REPORT, PACK)


def test_the_original_is_the_pdf_inside_byte_by_byte() -> None:
    assert original_of(write_report(REPORT, PACK)) == ("application/pdf", PDF)


def test_without_a_pdf_the_original_is_the_bundle_as_issued() -> None:
    body = write_report(replace(REPORT, presented_forms=()), PACK)

    assert original_of(body) == ("application/fhir+json", body)


def test_what_is_indexed_of_a_report() -> None:
    index = report_index(write_report(REPORT, PACK))

    assert index.patient == PATIENT.identifier
    assert (index.birth_date, index.status, index.version, index.language) == ("1970-01-01", "final", "2", "en")
    assert index.study_instance_uids == ("2.999.7.1",)
    assert index.accession_numbers == STUDY.accession_numbers
    assert index.modalities == ("CT", "KO")
    assert [region.code for region in index.regions] == ["774007", "1141981001"]
    assert index.authors == ("Logan Radio",)
    assert index.custodian == HOSPITAL
    assert index.period_start == "2026-03-02T09:14:00+01:00"


@pytest.mark.parametrize("body", [b"", b"%PDF", b"[]", b'{"resourceType":"Bundle","type":"document"}'])
def test_what_is_no_report_is_refused(body: bytes) -> None:
    with pytest.raises(CountryMisanswered):
        read_report(body, PACK)
    with pytest.raises(MalformedRequest):
        report_index(body)


@pytest.mark.parametrize("name", ["pt-sofia", "us-iason", "mr-petra"])
def test_a_report_of_the_practice_country_is_read(name: str) -> None:
    body = resources.files("isthmus.demo").joinpath(f"data/reports/{name}.json").read_bytes()

    report = read_report(body, PACK)

    assert report.header.authors
    assert report.header.language
    assert report.study_instance_uids
    assert report.order.accession_numbers
    assert report.examination.findings
    assert original_of(body)[1].startswith(b"%PDF")
    assert all(section.narrative for section in report.sections)


def _as(form: str) -> bytes:
    """Our report with the references of another's: REST addresses, relative or absolute; or uuids in two cases."""
    bundle = _bundle(write_report(REPORT, PACK))
    names = {}
    for number, entry in enumerate(bundle["entry"]):
        local = f"{entry['resource']['resourceType']}/{number}"
        names[entry["fullUrl"]] = local
        if form == "case":
            entry["fullUrl"] = entry["fullUrl"].upper().replace("URN:UUID", "urn:uuid")
        elif form != "uuid":
            entry["fullUrl"] = f"https://x.example/fhir/{local}"
    for reference in bundles.references(bundle):
        target = names[reference["reference"]]
        if form in ("relative", "absolute"):
            reference["reference"] = target if form == "relative" else f"https://x.example/fhir/{target}"
    return orjson.dumps(bundle)


@pytest.mark.fault("F29")
@pytest.mark.parametrize("form", ["uuid", "relative", "absolute", "case"])
def test_references_are_resolved_by_the_rules_of_the_bundle(form: str) -> None:
    read = read_report(_as(form), PACK)

    assert (read.header, read.order, read.examination) == (REPORT.header, REPORT.order, REPORT.examination)


@pytest.mark.fault("F29")
def test_an_id_alone_never_matches() -> None:
    bundle = _bundle(_as("relative"))
    for number, entry in enumerate(bundle["entry"]):
        entry["resource"]["id"] = str(number)
        entry["fullUrl"] = f"urn:uuid:00000000-0000-4000-8000-{number:012}"

    with pytest.raises(CountryMisanswered):
        read_report(orjson.dumps(bundle), PACK)


def test_a_minimal_report_of_hl7_europe_is_read_with_its_pdf(sample: Callable[[str], Path]) -> None:
    binary = orjson.loads(sample("fhir/hl7eu_imaging_r4/Binary-BinaryUnstructuredReport.json").read_bytes())
    root = "http://hl7.eu/fhir/imaging-r4/"
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:oid:2.999.1", "value": "1"}],
        "name": [{"text": "Eva"}],
    }
    report = {
        "resourceType": "DiagnosticReport",
        "identifier": [{"system": "urn:x", "value": "r1"}],
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "85430-7"}], "text": "Chest X-ray"},
        "subject": {"reference": "Patient/p"},
        "issued": "2025-01-01T10:00:00Z",
        "imagingStudy": [{"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}, "type": "ImagingStudy"}],
        "basedOn": [
            {
                "identifier": {
                    "type": {"coding": [{"code": "ACSN"}]},
                    "system": "urn:oid:2.999.5",
                    "value": "A1",
                }
            }
        ],
        "presentedForm": [{"contentType": "application/pdf", "url": f"{root}Binary/{binary['id']}"}],
        "conclusion": "Clear lungs",
    }
    named = {"DiagnosticReport/r": report, "Patient/p": patient, f"Binary/{binary['id']}": binary}
    body = orjson.dumps(
        {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"fullUrl": root + name, "resource": resource} for name, resource in named.items()],
        }
    )

    read = read_report(body, PACK)

    assert (read.header.title, read.header.date) == ("Chest X-ray", "2025-01-01T10:00:00Z")
    assert read.study_instance_uids == ("1.2.3",)
    assert read.order.accession_numbers == (Identifier("urn:oid:2.999.5", "A1"),)
    assert read.sections[0].lines == ("Clear lungs",)
    assert original_of(body)[0] == "application/pdf"
    assert original_of(body)[1].startswith(b"%PDF-1.4")
    assert report_index(body).birth_date == ""


def test_a_report_of_another_guide_keeps_its_unknown_sections(sample: Callable[[str], Path]) -> None:
    folder = "fhir/mii_bildgebung_r4/"
    names = {
        "Composition/mii-exa-bildgebung-semistrukt-befundbericht": None,
        "DiagnosticReport/mii-exa-bildgebung-radiologischer-Befund": None,
        "ImagingStudy/mii-exa-bildgebung-bildgebungsstudie-ct": None,
    }
    entries = [
        {
            "fullUrl": f"https://mii.example/{name}",
            "resource": orjson.loads(sample(f"{folder}{name.replace('/', '-')}.json").read_bytes()),
        }
        for name in names
    ]
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:oid:2.999.1", "value": "1"}],
        "name": [{"family": "Beispiel"}],
        "birthDate": "1960",
    }
    entries.append({"fullUrl": "https://mii.example/Patient/PatExample", "resource": patient})
    entries[0]["resource"]["identifier"] = {"value": "c1"}

    read = read_report(orjson.dumps({"resourceType": "Bundle", "type": "document", "entry": entries}), PACK)

    assert read.header.title == "Mammographic Report"
    assert [section.title for section in read.sections] == ["Left Breast"]
    assert read.sections[0].lines == ("Mammography report",)
    assert len(read.sections[0].sections) == 1


def test_a_form_in_base64_with_line_breaks_is_read() -> None:
    bundle = _bundle(write_report(REPORT, PACK))
    form = _resource(bundle, "DiagnosticReport")["presentedForm"][0]
    form["data"] = "\r\n".join(form["data"][i : i + 8] for i in range(0, len(form["data"]), 8))

    assert original_of(orjson.dumps(bundle))[1] == PDF
    form["data"] = "@@" + b64encode(PDF).decode()
    assert original_of(orjson.dumps(bundle))[0] == "application/fhir+json"
