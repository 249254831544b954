"""A report with everything in it that the data set names, and reports with any part of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from tests.wire.made import HOSPITAL, PATIENT, STUDY

from isthmus.model.codes import DCM, LOINC, SNOMED, Code
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import Address, Contact, HumanName, Organisation, Telecom
from isthmus.model.queries import REGIONS
from isthmus.model.report.comparison import ComparedReport, ComparedStudy, Comparison
from isthmus.model.report.devices import Device
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.dose import Dose, Exposure
from isthmus.model.report.examination import Examination, Procedure, Recommendation
from isthmus.model.report.header import Attester, Header, Insurance, Person, Validator
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.order import Order
from isthmus.model.report.presented_form import PresentedForm
from isthmus.model.report.safety import Ingredient, Medication, Pregnancy, Reaction
from isthmus.model.report.sites import Site
from isthmus.model.report.specimen import Specimen
from isthmus.model.report.statements import Finding, Part, Quantity, ReferenceRange, Statement

WHEN, PERFORMED = "2026-03-02T11:00:00+01:00", "2026-03-02T09:14:00+01:00"
ICD, EDQM, ATC = "http://hl7.org/fhir/sid/icd-10", "http://standardterms.edqm.eu", "http://www.whocc.no/atc"
HIGH = Code("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "H", "High")
LEFT = Code(SNOMED, "7771000", "Left")
SURGERY = Address(("Main Street 1",), "Anytown", "1000", country="BE", use="work")
AUTHOR = Person(
    HumanName("Radio", ("Logan",), prefix=("Dr",)),
    Identifier("urn:oid:2.999.9", "P-1"),
    Code("urn:oid:2.16.840.1.113883.2.9.6.2.7", "2212", "Specialist medical practitioners"),
    Code(SNOMED, "394914008", "Radiology"),
    HOSPITAL,
    (SURGERY,),
    (Telecom("+32 2 555 01 01", "phone", "work"),),
)
ASKER = replace(AUTHOR, name=HumanName("Asker", ("Ann",)), identifier=Identifier("urn:oid:2.999.9", "P-2"))
VALIDATOR = replace(AUTHOR, name=HumanName("Second", ("Sam",)), identifier=Identifier("urn:oid:2.999.9", "P-3"))
MAKER = replace(AUTHOR, name=HumanName("Graphy", ("Rita",)), identifier=Identifier("urn:oid:2.999.9", "P-4"))
SCANNER = Device(
    "Scanner 3", Identifier("urn:oid:2.999.10", "D-3"), Code(SNOMED, "90003000", "CT scanner"), "Acme", "Spiral 9", "SN1", "4.2", "0123"
)  # fmt: skip
SECOND_SCANNER = replace(
    SCANNER, name="Scanner 4", identifier=Identifier("urn:oid:2.999.10", "D-4"), serial_number="SN2"
)
HEAD = Site("Head", Code(SNOMED, "69536005", "Head"))
CONTRAST = Medication(
    "Iohexol",
    Code(SNOMED, "109218004", "Iohexol"),
    "Brandname 300",
    (
        Ingredient(
            Statement("Iohexol", Code(ATC, "V08AB02", "iohexol")), Quantity(300, "mg", "mg"), Quantity(1, "mL", "mL")
        ),
    ),
    Code(EDQM, "11201000", "Solution for injection"),
    Code(EDQM, "20045000", "Intravenous use"),
    Quantity(80, "mL", "mL"),
    PERFORMED,
    "3 mL/s",
)
RASH = Reaction(
    "Hives five minutes after the injection",
    Statement("Iohexol", Code(SNOMED, "109218004", "Iohexol")),
    "allergy",
    (Statement("Urticaria", Code(SNOMED, "126485001", "Urticaria")),),
    "moderate",
    "high",
    "confirmed",
    "2026-03-02T09:20:00+01:00",
)
NODULE = Finding(
    "larger than before",
    Code(SNOMED, "81827009", "Diameter"),
    (KeyImage("2.999.7.1.1.2", "2.999.7.1.1", "2.999.7.1", "CT", frame=7),),
    "Diameter of the nodule",
    Quantity(12.5, "mm", "mm", uncertainty=0.5),
    ReferenceRange(high=Quantity(6, "mm", "mm"), text="follow-up below"),
    (HIGH,),
    Site("Lung", Code(SNOMED, "39607008", "Lung"), LEFT, Code(SNOMED, "27925004", "Nodule")),
    Statement("Caliper", Code(SNOMED, "113011001")),
    "2026-03-02T10:00:00+01:00",
    (
        Part(Statement("Volume", Code(SNOMED, "118565006")), Quantity(0.8, "mL", "mL")),
        Part(Statement("Edge"), Statement("sharp")),
    ),
)
CYST = Finding("", Code(SNOMED, "441457006", "Cyst"), name="Kidney", value=Statement("Cyst", Code(SNOMED, "441457006")))
CANCER = Finding(
    "Suspected carcinoma of the lung",
    Code(ICD, "C34.9", "Malignant neoplasm of bronchus and lung"),
    site=Site("Lung", laterality=LEFT),
    observed="2026-03-02",
    stages=(Statement("cT1b", Code(SNOMED, "1229849005", "cT1b")),),
    certainty="provisional",
)
EVA = replace(
    PATIENT,
    others=(PatientIdentifier("urn:oid:2.999.4.9", "PASS-1"),),
    addresses=(Address(("Home Road 2",), "Oldtown", "2000", "North", "BG", use="home"), Address(words="at sea")),
    telecoms=(Telecom("+359 2 555", "phone", "mobile"), Telecom("eva@x.example", "email")),
    contacts=(
        Contact(
            HumanName("Testov", ("Ivan",)),
            Code("http://terminology.hl7.org/CodeSystem/v3-RoleCode", "FTH", "father"),
            (Address(city="Oldtown"),),
            (Telecom("+359 2 556", "phone"),),
        ),
    ),
)
FULL = ImagingReport(
    Header(
        identifier=Identifier("urn:ietf:rfc:3986", "urn:uuid:7a3b4f7e-8f40-4a3b-9b2e-2f2a7c1d0001"),
        patient=EVA,
        title="CT head report",
        date=WHEN,
        type=Code(LOINC, "18747-6"),
        status="amended",
        language="en",
        version="2",
        authors=(AUTHOR,),
        organisation=HOSPITAL,
        attester=Attester(AUTHOR, WHEN),
        custodian=replace(HOSPITAL, addresses=(SURGERY,), telecoms=(Telecom("+32 2 555 00 00", "phone"),)),
        document_identifier=Identifier("urn:ietf:rfc:3986", "urn:uuid:7a3b4f7e-8f40-4a3b-9b2e-2f2a7c1d0002"),
        issued="2026-03-02T11:05:00+01:00",
        devices=(Device("Reader AI", manufacturer="Acme", version="1.0"),),
        validators=(Validator(VALIDATOR, WHEN), Validator(None, WHEN, Device("Checker AI", version="2"))),
        recipients=(ASKER, Organisation("Family practice", "F1", "urn:oid:2.999.6", (SURGERY,))),
        insurances=(Insurance(Organisation("Health fund", "HF", "urn:oid:2.999.11"), Identifier("urn:oid:2.999.12", "INS-7")),),
        confidentiality="R",
        service=Code("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD", "Radiology"),
        replaces=Identifier("urn:ietf:rfc:3986", "urn:uuid:7a3b4f7e-8f40-4a3b-9b2e-2f2a7c1d0003"),
        appends=Identifier("urn:ietf:rfc:3986", "urn:uuid:7a3b4f7e-8f40-4a3b-9b2e-2f2a7c1d0004"),
    ),
    Order(
        accession_numbers=STUDY.accession_numbers,
        placer_order_numbers=STUDY.placer_order_numbers,
        requested="CT of the head and chest",
        placed="2026-03-01T08:00:00+01:00",
        requester=ASKER,
        reasons=(Statement("Headache", Code(SNOMED, "25064002")), Statement("Fall <2 m> & pain")),
        history=(Statement("Hypertension", Code(ICD, "I10", "Essential hypertension")), Statement("Smoker")),
        filler_order_numbers=(Identifier("urn:oid:2.999.5.3", "F-9"),),
        requested_code=Code(SNOMED, "303653007", "CT of head"),
        question="Bleeding?",
        priority="urgent",
        observations=(
            Finding("", Code(LOINC, "29463-7", "Body weight"), value=Quantity(80, "kg", "kg"), observed="2026-03-01"),
            Finding("", Code(LOINC, "33914-3", "eGFR"), value=Quantity(55, "mL/min", "mL/min"), interpretations=(HIGH,)),
        ),
        medications=(replace(CONTRAST, name="Metformin", code=None, brand=None, ingredients=(), given=None, note="stop for two days"),),
        implants=(Device("Pacemaker", Identifier("urn:oid:2.999.10", "I-1"), Code(SNOMED, "14106009", "Cardiac pacemaker"), note="not MR safe"),),
        allergies=(Reaction("", Statement("Penicillin"), "allergy", criticality="low"),),
        pregnancy=Pregnancy(Statement("Not pregnant", Code(SNOMED, "60001007", "Not pregnant")), Quantity(0, "wk", "wk"), "2026-03-02"),
        sex_for_clinical_use=Code("http://terminology.hl7.org/CodeSystem/sex-parameter-for-clinical-use", "female-typical"),
    ),
    Examination(
        studies=(
            replace(
                STUDY, patient=EVA, custodian=None, procedure_code=Code(SNOMED, "303653007", "CT of head"),
                series=(replace(STUDY.series[0], performers=(MAKER,), devices=(SECOND_SCANNER,)), *STUDY.series[1:]),
            ),
        ),  # fmt: skip
        procedures=(
            Procedure(
                Statement("CT of the head", Code(SNOMED, "303653007", "CT of head")),
                "Plain CT, 1 mm",
                PERFORMED,
                "2026-03-02T09:30:00+01:00",
                (HEAD, Site("Chest", laterality=LEFT)),
                (SCANNER,),
                (VALIDATOR,),
                ("Without contrast", "Portal venous phase"),
            ),
            Procedure(Statement("CT of the chest"), performed=PERFORMED),
        ),
        performed=PERFORMED,
        performed_until="2026-03-02T09:40:00+01:00",
        regions=(REGIONS["774007"], REGIONS["1141981001"]),
        medications=(CONTRAST,),
        reactions=(RASH,),
        findings=(Finding("No haemorrhage"), NODULE, CYST),
        impressions=(Finding("Normal head", Code(SNOMED, "17621005")), CANCER),
        conclusion="A nodule that needs an answer soon.",
        recommendations=(
            Recommendation("PET-CT", Code(SNOMED, "443271005", "PET-CT"), "2026-03-10", "2026-03-20"),
            Recommendation("Discuss in the tumour board"),
            Recommendation("Surgery", planned="2026-04-01", plan="Resection, then pathology"),
        ),
        communication="Told to Dr Asker by telephone at 11:10.",
    ),
    doses=(
        Dose(
            "DLP 600 mGy.cm in all",
            "2.999.7.1",
            (Exposure(Code(DCM, "113813", "CT Dose Length Product Total"), Quantity(600, "mGy.cm", "mGy.cm")),),
            SCANNER,
        ),
    ),
    key_images=(
        KeyImage(
            "2.999.7.1.1.2", "2.999.7.1.1", "2.999.7.1", "CT", "Axial", "The nodule", 3,
            Site("Lung", Code(SNOMED, "39607008", "Lung"), LEFT), None, 512, 512, 40, 1.5, VALIDATOR, SCANNER,
        ),
        KeyImage("2.999.7.1.1.1", modality="CT"),
    ),
    comparison=Comparison(
        "With CT of 2024",
        (ComparedStudy("2.999.7.0", "2024-01-01", "CT head", ("CT",)),),
        (ComparedReport(Identifier("urn:oid:2.999.13", "R-2024"), "Report of 2024"),),
    ),
    presented_forms=(PresentedForm("application/pdf", b"%PDF-1.4 any bytes \x00\xff", "en", "CT head report", WHEN),),
    specimens=(
        Specimen(
            (Identifier("urn:oid:2.999.14", "S-1"),),
            Statement("Stone", Code(SNOMED, "56381008", "Calculus")),
            "2026-03-01T10:00:00+01:00",
            "2026-03-01T10:30:00+01:00",
            Site("Kidney", Code(SNOMED, "64033007", "Kidney"), LEFT, Code(SNOMED, "56381008", "Calculus")),
            Device("Catheter 5F", type=Code(SNOMED, "19923001", "Catheter")),
            Statement("Extraction", Code(SNOMED, "119295008")),
            "2026-03-01T12:00:00+01:00",
            "in saline",
        ),
    ),
)  # fmt: skip

WORDS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12)
DATES = st.sampled_from(["2024", "2025-07", "2026-03-01", "2026-03-01T10:00:00+02:00", "2026-03-01T10:00:00.5Z"])
NUMBERS = st.integers(-(10**9), 10**9).map(lambda n: n / 1000) | st.integers(0, 10**6).map(float)


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def _few(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=2).map(tuple)


CODES = st.builds(
    Code, st.sampled_from([SNOMED, LOINC, ICD]), st.from_regex(r"[0-9]{3,8}", fullmatch=True), _maybe(WORDS)
)
QUANTITIES = st.builds(
    Quantity, NUMBERS, _maybe(WORDS), st.sampled_from([None, "mm", "mGy.cm"]), st.sampled_from([None, "<", ">="])
)
STATEMENTS = st.builds(Statement, WORDS, _maybe(CODES))
SITES = st.builds(Site, WORDS, _maybe(CODES), _maybe(CODES), _maybe(CODES))
RANGES = st.builds(ReferenceRange, _maybe(QUANTITIES), _maybe(QUANTITIES), WORDS)
MEASURED = st.builds(
    Finding,
    WORDS,
    _maybe(CODES),
    name=WORDS,
    value=_maybe(QUANTITIES | STATEMENTS),
    reference=_maybe(RANGES),
    interpretations=_few(CODES),
    site=_maybe(SITES),
    method=_maybe(STATEMENTS),
    observed=_maybe(DATES),
    parts=_few(st.builds(Part, STATEMENTS, QUANTITIES | STATEMENTS)),
)
CONDITIONS = st.builds(
    Finding,
    WORDS,
    _maybe(CODES),
    site=_maybe(SITES),
    observed=_maybe(DATES),
    stages=_few(STATEMENTS),
    certainty=st.sampled_from(["provisional", "confirmed"]),
)
DEVICES = st.builds(
    Device, WORDS, note=_maybe(WORDS), model=_maybe(WORDS), serial_number=_maybe(WORDS), udi=_maybe(WORDS)
)
PEOPLE = st.builds(Person, st.builds(HumanName, WORDS, _few(WORDS)), role=_maybe(CODES), specialty=_maybe(CODES))
INGREDIENTS = st.builds(Ingredient, STATEMENTS, QUANTITIES, _maybe(QUANTITIES))
MEDICATIONS = st.builds(
    Medication, WORDS, _maybe(CODES), _maybe(WORDS), _few(INGREDIENTS), _maybe(CODES), _maybe(CODES), _maybe(QUANTITIES),
    _maybe(DATES), _maybe(WORDS),
)  # fmt: skip
REACTIONS = st.builds(
    Reaction,
    WORDS,
    _maybe(STATEMENTS),
    st.sampled_from([None, "allergy", "intolerance"]),
    _few(STATEMENTS),
    st.sampled_from([None, "mild", "moderate", "severe"]),
    st.sampled_from([None, "low", "high", "unable-to-assess"]),
    st.sampled_from([None, "unconfirmed", "confirmed", "refuted"]),
    _maybe(DATES),
)
PROCEDURES = st.builds(
    Procedure,
    STATEMENTS,
    WORDS,
    DATES,
    sites=_few(SITES),
    devices=_few(DEVICES),
    performers=_few(PEOPLE),
    details=_few(WORDS),
)
ORDERS = st.builds(
    Order,
    requested=WORDS,
    placed=_maybe(DATES),
    requester=_maybe(PEOPLE),
    history=_few(STATEMENTS),
    question=_maybe(WORDS.map("? {}".format)),
    priority=st.sampled_from([None, "stat"]),
    observations=_few(MEASURED),
    medications=_few(MEDICATIONS),
    implants=_few(DEVICES),
    allergies=_few(REACTIONS),
    pregnancy=_maybe(st.builds(Pregnancy, STATEMENTS, _maybe(QUANTITIES), _maybe(DATES))),
)
EXAMINATIONS = st.builds(
    Examination,
    studies=st.just((replace(FULL.examination.studies[0], accession_numbers=(), placer_order_numbers=()),)),
    procedures=_few(PROCEDURES),
    performed=_maybe(st.just("2020-01-01")),
    medications=_few(MEDICATIONS),
    reactions=_few(REACTIONS),
    findings=_few(MEASURED),
    impressions=_few(MEASURED | CONDITIONS),
    recommendations=_few(
        st.builds(Recommendation, WORDS, _maybe(CODES), _maybe(DATES), _maybe(st.just("2099-01-01")), _maybe(WORDS))
    ),
    communication=_maybe(WORDS),
)
DOSES = st.builds(Dose, WORDS, st.just("2.999.7.1"), _few(st.builds(Exposure, CODES, QUANTITIES)), _maybe(DEVICES))
SPECIMENS = st.builds(
    Specimen,
    material=STATEMENTS,
    collected=_maybe(DATES),
    site=_maybe(SITES),
    device=_maybe(DEVICES),
    note=_maybe(WORDS),
)
REPORTS = st.builds(
    ImagingReport, st.just(FULL.header), ORDERS, EXAMINATIONS, _few(DOSES), specimens=_few(SPECIMENS), presented_forms=st.just(FULL.presented_forms),
)  # fmt: skip
"""Reports of which any element may be missing."""
