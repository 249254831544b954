"""What an original says is in what is made of it: every word, whatever the headings; and what is made keeps the rules of the document."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import orjson
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from tests.originals.made import cda, code, coded, heading, image, number, report, section, text
from tests.originals.mutants import Bytes

from isthmus.conformance.requirement import Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.fhir.narrative import words_in
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.statements import Quantity
from isthmus.originals.beside import Beside
from isthmus.originals.chapters import SECTIONS
from isthmus.originals.child import Asked, made_report, report_of, report_task
from isthmus.originals.coded import DESIGNATORS
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import read_report, write_report

assert groups.GROUPS
PACK = load_pack()
SCHEMES = {system: scheme for scheme, system in DESIGNATORS.items()}
WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Co", "Cn", "Zl", "Zp"), exclude_characters="\\"),
    min_size=1,
    max_size=40,
).map(lambda one: "w" + " ".join(one.split()) + "w")
HEADINGS = st.one_of(
    st.sampled_from(sorted(SECTIONS)).map(lambda key: (key[1], SCHEMES[key[0]])),
    st.tuples(st.just("4711"), st.just("99OWN")),
)
NAMES = st.sampled_from(
    [code("121071", meaning="Finding"), code("121073", meaning="Impression"), code("1", "99OWN", "Remark")]
)
ITEMS = st.one_of(
    st.builds(text, NAMES, WORDS),
    st.builds(lambda name, word: coded(name, code("50960005", "SCT", word[:64])), NAMES, WORDS),
    st.builds(
        lambda word: text(code("2", "99OWN", "Upper"), word, text(code("3", "99OWN", "Lower"), word[::-1])), WORDS
    ),
    st.builds(lambda n: number(code("81827009", "SCT", "Diameter"), str(n), code("mm", "UCUM")), st.integers(0, 10**6)),
    st.just(image()),
)
TREES = st.recursive(
    ITEMS,
    lambda inner: st.builds(
        lambda key, title, below: heading(key[0], title[:60], *below, scheme=key[1]),
        HEADINGS,
        WORDS,
        st.lists(inner, min_size=1, max_size=4),
    ),
    max_leaves=12,
)


def made(data: bytes) -> bytes:
    asked = Asked(PACK.name, "2026-11-25T10:00:00Z", Beside())
    return made_report(b"".join(report_task(Bytes(data), asked.options)))


def narrated(bundle: Any) -> str:
    """All words of all sections, as they are shown."""

    def divs(sections: list[Any]) -> Iterator[str]:
        for one in sections:
            yield words_in(one.get("text", {}).get("div", ""))
            yield from divs(one.get("section", []))

    composition = bundle["entry"][0]["resource"]
    return " ".join(divs(composition["section"]))


def told(node: Dataset) -> Iterator[str]:
    """Every text of a content tree, by another reader than ours."""
    for one in node.get("ContentSequence", []):
        if one.get("ValueType") == "TEXT":
            yield str(one.TextValue)
        if one.get("ValueType") == "CODE":
            yield str(one.ConceptCodeSequence[0].CodeMeaning)
        yield from told(one)


def squeezed(text_: str) -> str:
    return " ".join(text_.split())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.lists(TREES, min_size=1, max_size=4))
def test_every_word_of_a_structured_report_is_in_the_document(content: list[Dataset]) -> None:
    data = report(*content)

    bundle = orjson.loads(made(data))

    shown = narrated(bundle)
    missing = [word for one in told(pydicom.dcmread(io.BytesIO(data))) if (word := squeezed(one)) not in shown]
    assert missing == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["59776-5", "19005-8", "11329-0", "18785-6", "99999-9"]), WORDS, WORDS), max_size=5
    )
)
def test_every_word_of_a_cda_narrative_is_in_the_document(parts: list[tuple[str, str, str]]) -> None:
    sections = [
        section(loinc, "t", f"<paragraph>{escape(one)}</paragraph><list><item>{escape(two)}</item></list>")
        for loinc, one, two in parts
    ]

    shown = narrated(orjson.loads(made(cda(*sections))))

    assert [word for _, *both in parts for word in both if squeezed(word) not in shown] == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.lists(TREES, min_size=1, max_size=4))
def test_what_is_made_of_a_structured_report_keeps_the_rules_of_the_document(content: list[Dataset]) -> None:
    bundle = orjson.loads(made(report(*content)))

    assert examine(Kind.REPORT, bundle, PACK) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.lists(TREES, min_size=1, max_size=4))
def test_what_is_read_back_and_written_again_is_the_same(content: list[Dataset]) -> None:
    once = read_report(made(report(*content)), PACK)

    again = read_report(write_report(once, PACK, assembled="2026-11-25T10:00:00Z"), PACK)

    assert facts(again) == facts(once)


def facts(report_: ImagingReport) -> Any:
    """What is told of header, order and examination; not how its sections are laid out."""
    return (
        report_.header,
        report_.order,
        report_.examination,
        report_.doses,
        report_.presented_forms,
        report_.study_instance_uids,
    )


SAMPLES = (
    "dicom/sr/test-SR.dcm",
    "dicom/pt_headneck_derived/sr_tid1500.dcm",
    "cda/ccda_dir/Diagnostic_Imaging_Report.xml",
    "cda/ehdsi_orcd/18748-4_3-1234-W7.xml",
)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_document_of_others_read_converted_and_read_back_has_the_same_facts(
    name: str, sample: Callable[[str], Path]
) -> None:
    data = sample(name).read_bytes()
    original = report_of(data, Beside())

    back = read_report(made(data), PACK)

    head, read = original.header, back.header
    assert (read.identifier, read.title, read.date, read.status) == (
        head.identifier,
        head.title,
        head.date,
        head.status,
    )
    assert read.patient.identifier == head.patient.identifier
    assert [one.shown for one in read.authors] == [one.shown for one in head.authors]
    assert (read.attester and read.attester.time) == (head.attester and head.attester.time)
    assert back.study_instance_uids == original.study_instance_uids
    assert [f.text for f in back.examination.impressions if f.text] == [
        f.text for f in original.examination.impressions if f.text
    ]
    assert back.order.accession_numbers == original.order.accession_numbers
    assert [one.body for one in back.presented_forms] == [one.body for one in original.presented_forms]


def test_measured_values_of_others_are_measured_values_in_the_document(sample: Callable[[str], Path]) -> None:
    tumour = read_report(made(sample("dicom/pt_headneck_derived/sr_tid1500.dcm").read_bytes()), PACK)
    chest = read_report(made(sample("cda/ccda_dir/Diagnostic_Imaging_Report.xml").read_bytes()), PACK)
    odd = read_report(made(sample("dicom/sr/test-SR.dcm").read_bytes()), PACK)

    values = {part.name.text: part.value for part in tumour.examination.findings[0].parts}
    assert values["Volume (Sum of segmented voxel volumes)"] == Quantity(33.5824, "ml", "ml")
    assert [part.value for part in chest.examination.findings[0].parts] == [Quantity(45.0, "mm", "mm")]
    assert [finding.value for finding in odd.examination.findings] == [Quantity(3.0, "cm"), Quantity(3.0, "cm")]
    assert chest.examination.findings[0].images[0].frame == 1


def test_a_letter_that_names_no_study_says_that_it_is_not_known(sample: Callable[[str], Path]) -> None:
    bundle = orjson.loads(made(sample("cda/ehdsi_orcd/18748-4_3-1234-W7.xml").read_bytes()))

    (study,) = (e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "ImagingStudy")

    assert "value" not in study["identifier"][0]
    assert study["identifier"][0]["_value"]["extension"][0]["valueCode"] == "unknown"
    assert examine(Kind.REPORT, bundle, PACK) == []
    assert read_report(orjson.dumps(bundle), PACK).study_instance_uids == ()
