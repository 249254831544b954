"""What a report says of its confidentiality counts, in whatever form it lies in the archive.

Source: trust.md §3.3; interfaces.md §10 (equality of nothing and restricted).
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.archive.conftest import NOW, Node, dicom
from tests.archive.test_formed import EVA, PDF, SEEN, STUDY, instance, listed, read, take
from tests.originals.made import CDA_HEAD, ENCAPSULATED_CDA, cda, encapsulated, section
from tests.originals.made import report as sr

from isthmus.archive.doors.sidecars import read_sidecar
from isthmus.consent.decision import Decision, DirectiveSet, decide
from isthmus.consent.rules import Rules
from isthmus.consent.speaking import Recipient
from isthmus.model.documents import Document
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.model.queries import DocumentQuery
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.header import Header
from isthmus.national.files import Files
from isthmus.originals.publish import read_publication
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import write_report

SERVICES = frozenset({"imaging-report", "imaging-manifest", "imaging-pixels"})
DOCTOR, MIDWIFE, NURSE = "2212", "2222", "2221"
V3 = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
PERSON = Patient(EVA, (HumanName("Testova", ("Eva",)),), "1970-01-01", "female")
HEAD = CDA_HEAD.replace('<confidentialityCode code="R"/>', '<confidentialityCode code="N"/>')


def decision(role: str) -> Decision:
    rules = Rules(opt_in=False, presence=frozenset({"id-document"}), services=SERVICES)
    who = Recipient("BB", "B1", "doctor-7", role, "TREAT")
    return decide(who=who, presence="id-document", directives=DirectiveSet(), rules=rules, now=NOW)


async def offered(node: Node, role: str, patient: PatientIdentifier = EVA) -> tuple[tuple[Document, ...], bool]:
    """What a professional is shown, and whether the images of the study are given."""
    archive = Files(node.settings, node.database, lambda: NOW)
    found = await archive.find_documents(DocumentQuery(patient=patient))
    await archive.close()
    may = decision(role)
    return may.visible(found), may.shows_study(STUDY, found)


def fhir(node: Node, label: str) -> None:
    _bundle(node, label)


def _bundle(node: Node, label: str, *where: str) -> None:
    named = Identifier("urn:ietf:rfc:3986", "urn:uuid:5f0c1e10-0000-4000-8000-000000000001")
    bundle = json.loads(write_report(ImagingReport(Header(named, PERSON, "CT", "2026-03-01")), load_pack()))
    resources = {entry["resource"]["resourceType"]: entry["resource"] for entry in bundle["entry"]}
    resources["Bundle"] = bundle
    for kind in where:
        resources[kind].setdefault("meta", {})["security"] = [{"system": V3, "code": label}]
    if not where:
        resources["Composition"]["confidentiality"] = label
    assert take(node, json.dumps(bundle).encode(), "json").outcome == "accepted"


def labelled_by(*where: str) -> Callable[[Node, str], None]:
    return lambda node, label: _bundle(node, label, *where)


def cda_header(node: Node, label: str) -> None:
    head = HEAD.replace('confidentialityCode code="N"', f'confidentialityCode code="{label}"')
    take(node, cda(section("19005-8", "Beurteilung", "Unauffällig"), head=head), "xml")


def cda_section(node: Node, label: str) -> None:
    told = section("19005-8", "Beurteilung", "Unauffällig", f'<confidentialityCode code="{label}"/>')
    take(node, cda(told, head=HEAD), "xml")


def cda_of_which_nothing_can_be_made(node: Node, label: str) -> None:
    head = HEAD.replace('confidentialityCode code="N"', f'confidentialityCode code="{label}"')
    bad = '<component><nonXMLBody><text mediaType="application/pdf" representation="B64">!</text></nonXMLBody></component>'
    take(node, f"{head}{bad}</ClinicalDocument>".encode(), "xml")


def pdf(node: Node, label: str) -> None:
    take(node, PDF, "pdf", EVA, confidentiality=label)


ALONE = [
    fhir,
    labelled_by("Composition"),
    labelled_by("DiagnosticReport"),
    labelled_by("Bundle"),
    labelled_by("Patient"),
    cda_header,
    cda_section,
    cda_of_which_nothing_can_be_made,
    pdf,
]


@pytest.mark.anyio
@pytest.mark.threat("T32")
@pytest.mark.parametrize("brought", ALONE)
async def test_a_very_restricted_report_is_absent_without_a_trace(
    node: Node, brought: Callable[[Node, str], None]
) -> None:
    node.bring(dicom())
    before = await offered(node, DOCTOR)

    brought(node, "V")

    assert await offered(node, DOCTOR) == before
    assert before[1]


@pytest.mark.anyio
@pytest.mark.parametrize("brought", ALONE)
async def test_a_restricted_report_is_for_physicians_and_midwives_alone(
    node: Node, brought: Callable[[Node, str], None]
) -> None:
    node.bring(dicom())
    before, _ = await offered(node, NURSE)

    brought(node, "R")

    assert [len((await offered(node, role))[0]) - len(before) for role in (DOCTOR, MIDWIFE, NURSE)] == [1, 1, 0]


@pytest.mark.anyio
@pytest.mark.parametrize("label", ["HIV", "T"])
async def test_a_label_that_nobody_knows_is_restricted(node: Node, label: str) -> None:
    node.bring(dicom())
    cda_header(node, label)

    assert [len((await offered(node, role))[0]) for role in (DOCTOR, NURSE)] == [3, 2]


def structured(label: str) -> bytes:
    return instance(sr, SEEN, ConfidentialityCode=label)


def letter(label: str) -> bytes:
    return instance(lambda **more: encapsulated(PDF, **more), ConfidentialityCode=label)


def letter_in_cda(label: str) -> bytes:
    head = HEAD.replace('confidentialityCode code="N"', f'confidentialityCode code="{label}"')
    told = cda(section("19005-8", "Beurteilung", "Unauffällig"), head=head)
    return instance(lambda **more: encapsulated(told, ENCAPSULATED_CDA, **more))


@pytest.mark.anyio
@pytest.mark.parametrize("made", [structured, letter, letter_in_cda])
async def test_a_study_is_as_confidential_as_the_report_that_is_an_instance_of_it(
    node: Node, made: Callable[[str], bytes]
) -> None:
    node.bring(dicom(), made("V"))
    assert await offered(node, DOCTOR) == ((), False)


@pytest.mark.anyio
@pytest.mark.parametrize("made", [structured, letter, letter_in_cda])
async def test_a_study_with_a_restricted_report_inside_is_for_physicians(
    node: Node, made: Callable[[str], bytes]
) -> None:
    node.bring(dicom(), made("R"))

    found, images = await offered(node, DOCTOR)

    assert (len(found), images) == (3, True)
    assert await offered(node, NURSE) == ((), False)


def test_the_document_that_is_made_says_how_confidential_it_is(node: Node) -> None:
    node.bring(dicom(), structured("R"))
    pdf(node, "R")

    assert [read(node, document).header.confidentiality for document in listed(node)] == ["R", "R"]


def test_a_label_is_raised_by_bringing_the_report_again_and_never_lowered(node: Node) -> None:
    node.bring(dicom())
    said = []
    for label in (None, "R", None, "N"):
        take(node, PDF, "pdf", EVA, confidentiality=label)
        (document,) = listed(node)
        said.append((document.sensitivity, read(node, document).header.confidentiality))

    assert said == [((), None), (("R",), "R"), (("R",), "R"), (("R",), "R")]


def test_whoever_brings_a_report_says_how_confidential_it_is() -> None:
    node = {
        "resourceType": "DocumentReference",
        "status": "current",
        "securityLabel": [{"coding": [{"system": V3, "code": "R"}]}],
        "meta": {"security": [{"system": V3, "code": "V"}]},
        "content": [{"attachment": {"contentType": "application/pdf", "data": "JVBERi0="}}],
    }

    assert read_publication(json.dumps(node).encode()).confidentiality == "V"
    assert read_sidecar(b'{"patient": "urn:oid:2.999.1|1", "confidentiality": "R"}').confidentiality == "R"
