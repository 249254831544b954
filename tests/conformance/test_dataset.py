"""The data set: every element is told by a report that has it, and only then; every table names elements that are."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

import pytest
from tests.wire.made import MANIFEST, STUDY
from tests.wire.made_reports import FULL

from isthmus.conformance import elements
from isthmus.conformance.dataset import NOWHERE, PLACES, Coverage, coverage
from isthmus.demo.reports import reports
from isthmus.model.identifiers import UNIDENTIFIED
from isthmus.model.people import Address, HumanName, Organisation, Patient, Telecom
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.header import Header
from isthmus.originals.beside import Beside
from isthmus.originals.cda.report import report_of_cda
from isthmus.wire.kos import write_kos
from isthmus.wire.kos_reading import read_kos
from isthmus.wire.manifests import read_manifest, write_manifest
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import read_report, write_report

PACK = load_pack()
REPORT_IDS, MANIFEST_IDS = ([one.id for one in table] for table in (elements.REPORT, elements.MANIFEST))
TOLD = {one.element: one.present for one in coverage(read_report(write_report(FULL, PACK), PACK))}
BARE = ImagingReport(
    Header(replace(FULL.header.identifier, value=""), Patient(UNIDENTIFIED, (HumanName(""),), "", "unknown"), "", "", status="unknown")
)  # fmt: skip
CUSTODIAN = Organisation("Archive", "R9", "urn:oid:2.999.6", (Address(city="Oldtown"),), (Telecom("1", "phone"),))
FULL_MANIFEST = replace(MANIFEST, study=replace(STUDY, custodian=CUSTODIAN))
MANIFEST_TOLD = {
    "manifest": coverage(read_manifest(write_manifest(FULL_MANIFEST, PACK), PACK).manifest),
    "kos": coverage(read_kos(write_kos(FULL_MANIFEST, PACK), PACK).manifest),
}


@pytest.mark.parametrize("element", REPORT_IDS)
def test_every_element_of_a_report_is_told(element: str) -> None:
    assert TOLD[element]
    assert element in PLACES["report"]


@pytest.mark.parametrize("element", REPORT_IDS)
def test_no_element_is_told_by_a_report_that_has_nothing(element: str) -> None:
    assert {one.element: one.present for one in coverage(BARE)}[element] is False


@pytest.mark.parametrize("form", ["manifest", "kos"])
@pytest.mark.parametrize("element", MANIFEST_IDS)
def test_every_element_of_a_manifest_is_told(form: str, element: str) -> None:
    told = {one.element: one.present for one in MANIFEST_TOLD[form]}

    assert told[element] == (element in PLACES[form])
    assert told[element] or element in NOWHERE


@pytest.mark.parametrize("form", PLACES)
def test_a_table_names_only_elements_that_are(form: str) -> None:
    assert set(PLACES[form]) <= {*REPORT_IDS, *MANIFEST_IDS}


def test_a_report_of_the_practice_country_says_what_it_has_not() -> None:
    body = resources.files("isthmus.demo").joinpath("data/reports/pt-sofia.json").read_bytes()

    told = coverage(read_report(body, PACK))

    assert Coverage("A.1.1.1", "M", True) in told
    assert Coverage("A.4.1", "-", False) in told


@pytest.mark.parametrize("name", [i for i, one in reports().items() if one.form == "cda"])
def test_what_a_cda_document_is_found_to_tell_its_table_says_too(name: str) -> None:
    read = report_of_cda(reports()[name].document.read_bytes(), Beside())

    told = {one.element for one in coverage(read) if one.present}

    assert {"A.1.1.1", "A.1.8.0", "A.5.5.1", "A.8.1"} <= told
    assert told <= set(PLACES["cda"])
