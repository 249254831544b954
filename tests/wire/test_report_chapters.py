"""Every element of the data set, there and back; what is missing says so; the words cover what the entries say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from time import process_time
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.wire.made_reports import CONTRAST, FULL, HEAD, MAKER, RASH, REPORTS, SECOND_SCANNER

from isthmus.conformance.requirement import Kind, Severity, examine
from isthmus.conformance.requirements import all as groups
from isthmus.conformance.structure import structure_faults
from isthmus.fhir.bundles import Closed
from isthmus.fhir.elements import Node
from isthmus.model.codes import SNOMED, Code
from isthmus.model.identifiers import Identifier
from isthmus.model.people import HumanName
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.examination import Examination
from isthmus.model.report.header import Attester, Person
from isthmus.model.report.order import Order
from isthmus.model.report.safety import Reaction
from isthmus.model.report.statements import Finding, Quantity
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import read_report, write_report

PACK = load_pack()
assert groups.GROUPS
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
CODE = Code(SNOMED, "72704001", "Fracture")
CHAPTERS = ("header", "order", "examination", "doses", "key_images", "comparison", "presented_forms", "specimens")


def _there_and_back(report: ImagingReport) -> ImagingReport:
    return read_report(write_report(report, PACK), PACK)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_report_with_everything_comes_back_with_everything(chapter: str) -> None:
    assert getattr(_there_and_back(FULL), chapter) == getattr(FULL, chapter)


@settings(
    max_examples=40,
    deadline=None,
    phases=QUICK,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(REPORTS)
def test_any_report_comes_back_as_it_was(report: ImagingReport) -> None:
    read = _there_and_back(report)

    for chapter in ("header", "order", "examination", "doses", "specimens"):
        assert getattr(read, chapter) == getattr(report, chapter)


@settings(
    max_examples=30,
    deadline=None,
    phases=QUICK,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(REPORTS)
@pytest.mark.requirement("REP-10")
def test_the_narrative_of_any_report_covers_what_its_entries_say(report: ImagingReport) -> None:
    bundle = orjson.loads(write_report(report, PACK))

    assert list(_silent(bundle)) == []


def _silent(bundle: Node) -> Iterator[str]:
    """What entries say in words or numbers and the narrative of their section does not."""
    closed = Closed(bundle)
    composition = closed.of_type("Composition")[0]
    for section in composition["section"]:
        told = " ".join(unescape(re.sub("<[^>]+>", " ", section["text"]["div"])).split())
        for reference in section.get("entry", []):
            entry = closed.find(reference, composition)
            if entry is not None and entry["resourceType"] != "ImagingStudy":
                yield from (said for said in _said(entry) if " ".join(said.split()) not in told)


def _said(entry: Node) -> Iterator[str]:
    for name in ("valueString", "description"):
        if name in entry:
            yield entry[name]
    for note in entry.get("note", []):
        yield note["text"]
    for holder in (entry, *entry.get("component", [])):
        if "valueQuantity" in holder:
            number = holder["valueQuantity"]["value"]
            yield Quantity(float(number)).shown
        if "valueCodeableConcept" in holder and "text" in holder["valueCodeableConcept"]:
            yield holder["valueCodeableConcept"]["text"]
    for name in ("bodySite", "method", "code"):
        for concept in entry[name] if isinstance(entry.get(name), list) else [entry.get(name, {})]:
            if "text" in concept and concept["text"] not in ("Finding", "Impression"):
                yield concept["text"]


def test_a_report_with_everything_is_valid_r4_and_fulfils_every_requirement() -> None:
    bundle = orjson.loads(write_report(FULL, PACK))

    assert [f for f in structure_faults(bundle) if f.severity is Severity.ERROR] == []
    assert examine(Kind.REPORT, bundle, PACK) == []


@settings(
    max_examples=20,
    deadline=None,
    phases=QUICK,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(REPORTS)
def test_any_report_is_valid_r4(report: ImagingReport) -> None:
    bundle = orjson.loads(write_report(report, PACK))

    assert [f for f in structure_faults(bundle) if f.severity is Severity.ERROR] == []


def _resources(report: ImagingReport, kind: str) -> list[dict[str, Any]]:
    bundle = orjson.loads(write_report(report, PACK))
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


ABSENT = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}


@pytest.mark.requirement("REP-21")
def test_what_must_be_there_and_is_not_known_says_so() -> None:
    header = replace(
        FULL.header,
        patient=replace(FULL.header.patient, names=(HumanName(""),), birth_date=""),
        date="",
        issued=None,
        authors=(),
        organisation=None,
        devices=(),
        attester=Attester(Person(HumanName("Radio"))),
    )
    report = ImagingReport(header, Order(medications=(replace(CONTRAST, given=None),)), Examination())

    composition, patient = _resources(report, "Composition")[0], _resources(report, "Patient")[0]

    assert (composition["_date"], composition["author"]) == (ABSENT, [ABSENT])
    assert [one["_time"] for one in composition["attester"] if "time" not in one] == [ABSENT]
    assert (patient["_birthDate"], patient["name"]) == (ABSENT, [ABSENT])
    assert "birthDate" not in patient
    assert _resources(report, "MedicationAdministration")[0]["_effectiveDateTime"] == ABSENT
    assert _there_and_back(report).header.date == header.date or header.date == ""


@pytest.mark.requirement("REP-21")
def test_no_time_zone_is_invented() -> None:
    performed = replace(FULL.examination, performed="2026-03-02", performed_until=None, procedures=())

    body = write_report(replace(FULL, examination=performed), PACK)

    assert read_report(body, PACK).examination.performed == "2026-03-02"
    assert b"2026-03-02T00:00" not in body


def test_a_reaction_to_contrast_is_an_event_and_an_allergy_that_receivers_can_warn_of() -> None:
    event, allergy = _resources(FULL, "AdverseEvent")[0], _resources(FULL, "AllergyIntolerance")

    assert event["actuality"] == "actual"
    assert any(one["code"]["text"] == "Iohexol" and one["criticality"] == "high" for one in allergy)


def test_a_reaction_of_another_with_conditions_and_no_allergy_is_read() -> None:
    bundle = orjson.loads(write_report(FULL, PACK))
    event = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "AdverseEvent")
    bundle["entry"].append(
        {"fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000001", "resource": {"resourceType": "Condition", "code": {"text": "Urticaria"}}}
    )  # fmt: skip
    del event["subjectMedicalHistory"]
    event["resultingCondition"] = {"reference": "urn:uuid:00000000-0000-4000-8000-000000000001"}
    event["severity"] = {"coding": [{"system": "http://snomed.info/sct", "code": "24484000"}]}

    read = read_report(orjson.dumps(bundle), PACK).examination.reactions

    assert [(one.text, one.severity, [m.text for m in one.manifestations]) for one in read] == [
        (RASH.text, "severe", ["Urticaria"])
    ]


def test_a_quantity_in_a_unit_of_nobody_keeps_its_words() -> None:
    bundle = orjson.loads(write_report(FULL, PACK))
    measured = next(
        e["resource"] for e in bundle["entry"] if "valueQuantity" in e["resource"] and "method" in e["resource"]
    )
    measured["valueQuantity"] = {"value": 3, "code": "fingers", "system": "urn:x"}

    value = read_report(orjson.dumps(bundle), PACK).examination.findings[1].value

    assert value == Quantity(3, "fingers")


@pytest.mark.parametrize(
    ("told", "text"),
    [({"valueBoolean": True}, "true"), ({"valueDateTime": "2026"}, "2026"),
     ({"valueRange": {"low": {"value": 1, "unit": "mm"}, "high": {"value": 2, "unit": "mm"}}}, "1 mm – 2 mm"),
     ({"valuePeriod": {"start": "2025", "end": "2026"}}, "2025 – 2026")],
)  # fmt: skip
def test_a_value_of_another_kind_is_read_as_words(told: dict[str, Any], text: str) -> None:
    bundle = orjson.loads(write_report(FULL, PACK))
    first = next(e["resource"] for e in bundle["entry"] if e["resource"].get("valueString") == "No haemorrhage")
    del first["valueString"]
    first |= told

    assert read_report(orjson.dumps(bundle), PACK).examination.findings[0].text == text


def test_a_report_read_and_written_again_says_the_same() -> None:
    once = _there_and_back(FULL)

    again = _there_and_back(once)

    assert [getattr(again, chapter) for chapter in CHAPTERS] == [getattr(once, chapter) for chapter in CHAPTERS]
    assert [section.title for section in again.sections] == [section.title for section in once.sections]


def test_an_order_asked_for_by_an_organisation_alone_names_it() -> None:
    order = replace(FULL.order, requester=None, organisation=FULL.header.organisation)

    assert _there_and_back(replace(FULL, order=order)).order == order


def test_a_finding_of_the_head_on_the_left_keeps_its_side() -> None:
    finding = Finding("Fracture", site=replace(HEAD, laterality=FULL.order.requested_code))

    read = _there_and_back(replace(FULL, examination=replace(FULL.examination, findings=(finding,))))

    assert read.examination.findings == (finding,)


def test_an_allergy_that_is_known_and_no_more_says_that_its_signs_are_not_known() -> None:
    order = replace(FULL.order, allergies=(Reaction("Latex", severity="mild"),))
    report = replace(FULL, order=order)

    told = [one["reaction"][0]["manifestation"] for one in _resources(report, "AllergyIntolerance") if one.get("note")]

    assert [ABSENT] in told
    assert _there_and_back(report).order.allergies == order.allergies


def test_an_insurance_without_identifier_is_known_by_the_number_of_its_card() -> None:
    bundle = orjson.loads(write_report(FULL, PACK))
    coverage = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Coverage")
    del coverage["identifier"]

    insurance = read_report(orjson.dumps(bundle), PACK).header.insurances[0]

    assert insurance.number == Identifier(None, "INS-7")


def test_the_code_of_home_travels_beside_the_code_that_others_know() -> None:
    home = Code("urn:oid:2.999.20", "RX-7", "Röntgen", is_original=True)
    code = replace(CODE, original=home)
    finding = Finding("Fracture", code, site=replace(HEAD, code=code, laterality=code))

    read = _there_and_back(replace(FULL, examination=replace(FULL.examination, findings=(finding,)))).examination

    site = read.findings[0].site
    told = [read.findings[0].code, site.code if site else None, site.laterality if site else None]
    assert [one.original for one in told if one] == [home, home, home]


def test_a_report_of_very_many_specimens_and_reasons_is_read_soon() -> None:
    bundle = orjson.loads(write_report(FULL, PACK))
    order = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "ServiceRequest")
    order["reasonCode"] = [{"text": str(n)} for n in range(20_000)]
    order["extension"] = [
        {
            "url": order["extension"][0]["url"],
            "extension": [{"url": "concept", "valueCodeableConcept": {"text": str(n)}}],
        }
        for n in range(20_000)
    ]
    bundle["entry"] += [
        {"fullUrl": f"urn:uuid:{n}", "resource": {"resourceType": "Specimen", "note": [{"text": "x"}]}}
        for n in range(20_000)
    ]
    started = process_time()

    read = read_report(orjson.dumps(bundle), PACK)

    assert process_time() - started < 20
    assert (len(read.specimens), len(read.order.reasons)) == (20_001, 20_000)


def test_who_and_what_made_a_series_is_told_with_it_and_in_words() -> None:
    bundle = orjson.loads(write_report(FULL, PACK))
    (first, second) = _resources(FULL, "ImagingStudy")[0]["series"]
    composition = bundle["entry"][0]["resource"]
    words = next(s for s in composition["section"] if s["code"]["coding"][0]["code"] == "18726-0")["text"]["div"]
    series = _there_and_back(FULL).examination.studies[0].series

    assert [one["function"]["coding"][0]["code"] for one in first["performer"]] == ["PRF", "DEV"]
    assert "performer" not in second
    assert [(s.performers, s.devices) for s in series] == [((MAKER,), (SECOND_SCANNER,)), ((), ())]
    assert "Rita Graphy" in words
    assert "Scanner 4" in words


def test_a_series_that_names_an_organisation_or_nobody_is_read_without_them() -> None:
    bundle = orjson.loads(write_report(FULL, PACK))
    study = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "ImagingStudy")
    organisation = next(e["fullUrl"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Organization")
    study["series"][0]["performer"] = [{"actor": {"reference": organisation}}, {"actor": {"display": "Somebody"}}, {}]

    read = read_report(orjson.dumps(bundle), PACK).examination.studies[0].series[0]

    assert (read.performers, read.devices) == ((), ())
