"""The data set: every element is told by a report that has it, and only then; every table names elements that are."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import resources
from typing import Any

import pytest
from tests.wire.made import MANIFEST, STUDY
from tests.wire.made_reports import FULL

from isthmus.conformance import elements
from isthmus.conformance.dataset import NOWHERE, PLACES, UNUSED, Coverage, coverage
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


def at(node: Any, *names: str) -> list[Any]:
    """What stands at a place, through every list on the way."""
    if isinstance(node, list):
        return [found for one in node for found in at(one, *names)]
    if not names:
        return [node]
    return at(node[names[0]], *names[1:]) if names[0] in node else []


FUNCTIONS = {"custodian": "CST"}  # which of several that stand at one place, by what they are to it


def standing_at(place: str, *bodies: bytes) -> list[Any]:
    kind, *names = re.sub(r"\[\w+\]", "", place).split(".")
    held = [one for body in bodies for one in at(json.loads(body), "entry", "resource") if one["resourceType"] == kind]
    found = at(held, *names)
    function = FUNCTIONS.get(place.partition("performer[")[2].rstrip("]"))
    return [one for one in found if function in (None, *at(one, "function", "coding", "code"))]


@pytest.mark.parametrize("place", [one.place for one in UNUSED])
def test_nothing_is_written_where_the_page_says_that_nothing_is(place: str) -> None:
    bodies = (write_report(FULL, PACK), write_manifest(FULL_MANIFEST, PACK))

    assert standing_at(place, *bodies) == []
    assert standing_at("ImagingStudy.series[any].uid", *bodies)
    assert standing_at("DocumentReference.content.attachment.url", *bodies)
    assert {element for one in UNUSED for element in one.elements} <= {*REPORT_IDS, *MANIFEST_IDS}


def test_a_picture_that_is_no_instance_is_not_read_as_key_image_and_the_words_of_its_section_stay() -> None:
    sent = json.loads(write_report(FULL, PACK))
    for image in (r for r in at(sent, "entry", "resource") if r["resourceType"] == "DocumentReference"):
        del image["identifier"], image["content"][0]["attachment"]["url"]
        image["content"][0]["attachment"] |= {"contentType": "image/jpeg", "data": "/9j/2Q=="}

    read, whole = read_report(json.dumps(sent).encode(), PACK), read_report(write_report(FULL, PACK), PACK)

    assert whole.key_images
    assert read.key_images == ()
    assert [one.text for one in read.examination.findings] == [one.text for one in whole.examination.findings]


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
