"""Findings and the images they are seen in: a round trip, the forms others write, and references meant to harm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.test_reports import PACK, REPORT

from isthmus.fhir.bundles import Closed
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.statements import Finding
from isthmus.wire.report.document import read_report, write_report
from isthmus.wire.report.key_images import IMAGES_MAX, REFERENCES_MAX

STUDY, SERIES, SOP = "2.999.7.1", "2.999.7.1.1", "2.999.7.1.1.2"
LISTED = REPORT.key_images[0]  # a key image of the report, which a finding is seen in too
FRAME = KeyImage("2.999.7.1.1.9", SERIES, STUDY, "US", frame=4)
XVER = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ImagingSelection."
Node = dict[str, Any]


def _report(*images: KeyImage) -> ImagingReport:
    findings = (Finding("No haemorrhage"), Finding("Small cyst", images=images))
    return replace(REPORT, examination=replace(REPORT.examination, findings=findings))


def _bundle(report: ImagingReport) -> Node:
    bundle: Node = orjson.loads(write_report(report, PACK))
    return bundle


def _cyst(bundle: Node) -> Node:
    observations = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Observation"]
    return next(node for node in observations if node.get("valueString") == "Small cyst")


def _read(bundle: Node) -> tuple[ImagingReport, list[str]]:
    words: list[str] = []
    return read_report(orjson.dumps(bundle), PACK, forgive=words.append), words


def _derived(*references: Any, resources: tuple[Node, ...] = ()) -> Node:
    """A report of ours whose finding is derived from these, with these resources at urn:uuid:…0, …1 and so on."""
    bundle = _bundle(_report())
    _cyst(bundle)["derivedFrom"] = list(references)
    bundle["entry"] += [{"fullUrl": _url(n), "resource": resource} for n, resource in enumerate(resources)]
    return bundle


def _url(number: int) -> str:
    return f"urn:uuid:00000000-0000-4000-8000-{number:012}"


def _identifier(tag: str, uid: str) -> Node:
    return {"type": {"coding": [{"code": tag}]}, "system": "urn:ietf:rfc:3986", "value": f"urn:oid:{uid}"}


IDENTIFIERS = [_identifier("00080018", SOP), _identifier("112002", SERIES), _identifier("110180", STUDY)]


@pytest.mark.requirement("REP-16")
def test_a_finding_comes_back_with_its_images_and_their_frames() -> None:
    report = _report(LISTED, FRAME, replace(FRAME, frame=None))

    read, words = _read(_bundle(report))

    assert read.examination == report.examination
    assert read.key_images == report.key_images
    assert words == []


@pytest.mark.requirement("REP-15")
@pytest.mark.requirement("REP-16")
def test_an_observation_is_derived_from_its_studies_and_then_from_its_images() -> None:
    bundle = _bundle(_report(LISTED, FRAME))
    closed = Closed(bundle)

    found = list(closed.follow(_cyst(bundle), "derivedFrom"))

    assert [node["resourceType"] for node in found] == ["ImagingStudy", "DocumentReference", "DocumentReference"]
    assert [node["identifier"][0]["value"] for node in found[1:]] == [
        f"urn:oid:{SOP}",
        f"urn:oid:{FRAME.sop_instance_uid}",
    ]
    assert found[2]["extension"][1] == {"url": "urn:ncp:ext:frame", "valuePositiveInt": 4}
    assert len(closed.of_type("DocumentReference")) == len(REPORT.key_images) + 1


def test_an_image_of_another_study_is_not_written() -> None:
    assert _bundle(_report(replace(FRAME, study_instance_uid="2.999.7.0"))) == _bundle(_report())


def test_an_image_that_a_finding_alone_refers_to_is_not_listed_as_a_key_image_too() -> None:
    read, _ = _read(_bundle(_report(FRAME)))

    assert read.key_images == REPORT.key_images
    assert read.examination.findings[1].images == (FRAME,)


FOREIGN: dict[str, tuple[Any, Node | None, tuple[KeyImage, ...]]] = {
    "identifier alone": (
        {"type": "DocumentReference", "identifier": _identifier("00080018", SOP)},
        None,
        (KeyImage(SOP),),
    ),
    "document of a later draft": (
        {"reference": _url(0)},
        {"resourceType": "DocumentReference", "identifier": IDENTIFIERS},
        (KeyImage(SOP, SERIES, STUDY),),
    ),
    "document with the address of a frame": (
        {"reference": _url(0)},
        {
            "resourceType": "DocumentReference",
            "identifier": IDENTIFIERS[:1],
            "content": [{"attachment": {"url": f"https://a.example/studies/1.2/series/1.3/instances/{SOP}/frames/7"}}],
        },
        (KeyImage(SOP, frame=7),),
    ),
    "media": (
        {"reference": _url(0)},
        {
            "resourceType": "Media",
            "identifier": IDENTIFIERS,
            "modality": {"coding": [{"code": "US"}]},
            "content": {"url": "https://a.example/picture.png"},
        },
        (KeyImage(SOP, SERIES, STUDY, "US"),),
    ),
    "selection": (
        {"reference": _url(0)},
        {
            "resourceType": "ImagingSelection",
            "studyUid": STUDY,
            "seriesUid": SERIES,
            "instance": [{"uid": SOP, "subset": ["2", "0", "x", "5"]}, {"uid": f"urn:oid:{SOP}.1"}, {"uid": "no"}],
        },
        (
            KeyImage(SOP, SERIES, STUDY, frame=2),
            KeyImage(SOP, SERIES, STUDY, frame=5),
            KeyImage(f"{SOP}.1", SERIES, STUDY),
        ),
    ),
    "selection as basic": (
        {"reference": _url(0)},
        {
            "resourceType": "Basic",
            "extension": [
                {"url": f"{XVER}studyUid", "valueId": STUDY},
                {"url": f"{XVER}seriesUid", "valueId": SERIES},
                {
                    "url": f"{XVER}instance",
                    "extension": [{"url": "uid", "valueId": SOP}, {"url": f"{XVER}instance.subset", "valueString": "3"}],
                },
            ],
        },
        (KeyImage(SOP, SERIES, STUDY, frame=3),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_the_forms_of_others_are_read(name: str) -> None:
    reference, resource, expected = FOREIGN[name]

    read, words = _read(_derived(reference, resources=(resource,) if resource else ()))

    assert read.examination.findings[1].images == expected
    assert words == []


def test_a_contained_image_and_one_that_stands_alone_in_no_list_are_read() -> None:
    bundle = _derived()
    _cyst(bundle)["contained"] = [{"resourceType": "Media", "id": "m", "identifier": IDENTIFIERS}]
    _cyst(bundle)["derivedFrom"] = {"reference": "#m"}

    read, words = _read(bundle)

    assert read.examination.findings[1].images == (KeyImage(SOP, SERIES, STUDY),)
    assert words == []


def test_what_is_no_image_is_not_missed() -> None:
    study = {"type": "ImagingStudy", "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"}}
    bundle = _derived(study, {"reference": _url(0)}, resources=({"resourceType": "Observation", "valueString": "x"},))

    read, words = _read(bundle)

    assert read.examination.findings[1].images == ()
    assert words == []


@pytest.mark.parametrize(
    ("reference", "resource", "word"),
    [
        ({"reference": "urn:uuid:00000000-0000-4000-8000-0000000000ff"}, None, "finding-without-image"),
        ({"reference": "https://elsewhere.example/DocumentReference/1"}, None, "finding-without-image"),
        ({"reference": "#nothing"}, None, "finding-without-image"),
        ({}, None, "finding-without-image"),
        ({"reference": _url(0)}, {"resourceType": "DocumentReference"}, "finding-without-image"),
        ({"reference": _url(0)}, {"resourceType": "Basic", "extension": [{"url": 7}]}, "finding-without-image"),
        (
            {"reference": _url(0)},
            {"resourceType": "ImagingSelection", "studyUid": "2.999.7.0", "instance": [{"uid": SOP}]},
            "image-of-another-study",
        ),
        (
            {"reference": _url(0)},
            {"resourceType": "Media", "identifier": [IDENTIFIERS[0], _identifier("110180", "2.999.7.0")]},
            "image-of-another-study",
        ),
        (
            {"reference": _url(0)},
            {"resourceType": "ImagingSelection", "instance": [{"uid": f"{SOP}.{n}"} for n in range(IMAGES_MAX + 1)]},
            None,
        ),
    ],
)  # fmt: skip
def test_a_reference_that_leads_nowhere_or_elsewhere_is_left_out_and_counted(
    reference: Node, resource: Node | None, word: str | None
) -> None:
    read, words = _read(_derived(reference, resources=(resource,) if resource else ()))

    images = read.examination.findings[1].images
    assert words == ([word] if word else [])
    assert len(images) == (0 if word else IMAGES_MAX)
    assert read.examination.findings[1].text == "Small cyst"


def test_more_references_than_anybody_reads_are_bounded() -> None:
    named = [{"identifier": _identifier("00080018", f"{SOP}.{n}")} for n in range(REFERENCES_MAX + 1)]

    read, words = _read(_derived(*named))

    assert len(read.examination.findings[1].images) == IMAGES_MAX
    assert words == ["too-many-images"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([SOP, STUDY, _url(0), "#m"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["reference", "identifier", "type", "coding", "code", "value", "resourceType", "instance"]
                            + ["uid", "subset", "studyUid", "extension", "url", "content", "attachment", "contained"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)  # fmt: skip
KINDS = st.sampled_from(["DocumentReference", "Media", "ImagingSelection", "Basic", "ImagingStudy", 7, None])


@settings(max_examples=200, deadline=None)
@given(references=JSON, resource=st.dictionaries(st.text(max_size=3), JSON, max_size=2) | JSON, kind=KINDS)
def test_whatever_stands_there_a_report_is_read_and_only_its_own_study_is_named(
    references: Any, resource: Any, kind: Any
) -> None:
    bundle = _derived(resources=({"resourceType": kind} | (resource if isinstance(resource, dict) else {}),))
    _cyst(bundle)["derivedFrom"] = references

    read, words = _read(_clean(bundle))

    for image in read.examination.findings[1].images:
        assert image.study_instance_uid in (None, STUDY)
        assert image.frame is None or image.frame > 0
    assert set(words) <= {"finding-without-image", "image-of-another-study", "too-many-images"}


def _clean(node: Any, shrink: Callable[[int], int] = lambda n: n % 2**53) -> Any:
    """Numbers that JSON can hold."""
    if isinstance(node, dict):
        return {name: _clean(value) for name, value in node.items()}
    if isinstance(node, list):
        return [_clean(value) for value in node]
    return shrink(node) if isinstance(node, int) and not isinstance(node, bool) else node
