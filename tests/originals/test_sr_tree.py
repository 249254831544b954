"""Any content tree becomes text that can be read, in its order, with nothing left out."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from tests.originals.made import (
    BASIC_TEXT,
    IMAGE,
    code,
    coded,
    dose_report,
    heading,
    image,
    item,
    nested,
    number,
    report,
    text,
)
from tests.originals.mutants import Bytes
from tests.originals.test_nothing_lost import TREES

from isthmus.errors import MalformedRequest, UnsupportedRequest
from isthmus.originals.beside import Beside
from isthmus.originals.child import report_of
from isthmus.originals.sr import tree as trees
from isthmus.originals.sr.tree import Node, Reference, content_tree, told_tree, tree_task, written

REMARK = code("1", "99OWN", "Remark")
HELD = "20990101010101.111111+0000"


def words(nodes: tuple[Node, ...]) -> list[str]:
    return [word for node in nodes for word in (node.words, *words(node.below))]


def read(*content: Dataset, **attributes: Any) -> tuple[Node, ...]:
    return content_tree(report(*content, **attributes)).nodes


@pytest.mark.fault("F27")
def test_an_x_ray_dose_report_is_no_report_of_an_examination_but_is_read_as_text() -> None:
    data = dose_report()

    with pytest.raises(UnsupportedRequest, match="no report"):
        report_of(data, Beside())
    tree = content_tree(data)
    assert (tree.title, tree.verified, tree.date) == ("X-Ray Radiation Dose Report", False, "2026-03-02T11:00:00+01:00")
    assert written(tree).splitlines()[4:] == [
        "Procedure reported: Projection X-Ray",
        "Observer Type: Device",
        "Device Observer UID: 2.25.6",
        "Accumulated X-Ray Dose Data",
        "  Dose Area Product Total: 0.00012500 Gy.m2",
        "Irradiation Event X-Ray Data",
        "  Acquisition Plane: Single Plane",
        "  Irradiation Event UID: 2.25.5.1",
        "  DateTime Started: 2026-03-02T09:15:00+01:00",
        "  KVP: 74.0 kV",
        "  Filter wheel: 3",
        f"  {IMAGE} [1] {IMAGE} [2]",
        "Comment: Panel changed",
    ]


@pytest.mark.fault("F27")
@pytest.mark.parametrize("last", ["11", "22", "33", "34", "35", "40", "50", "65", "67", "68", "71", "73", "77"])
def test_a_tree_of_any_class_and_any_title_is_read(last: str) -> None:
    titles = Sequence([code("0815", "99NOBODY", "Wholly unknown")])
    made = report(
        heading("121070", "Findings", text(REMARK, "Seen")),
        sop_class=f"{BASIC_TEXT.rpartition('.')[0]}.{last}",
        ConceptNameCodeSequence=titles,
    )

    tree = content_tree(made)

    assert (tree.title, words(tree.nodes)) == ("Wholly unknown", ["Findings", "Remark: Seen"])


@pytest.mark.fault("F27")
def test_six_levels_are_read_in_their_order() -> None:
    (top,) = read(nested(6))

    before = [f"{said} {n}" for n in range(1, 7) for said in ("Level", "Remark: before")]
    assert words((top,)) == [*before, "Remark: bottom", *(f"Remark: after {n}" for n in range(6, 0, -1))]


@pytest.mark.fault("F27")
def test_a_number_is_read_without_unit_without_value_and_as_it_was_written() -> None:
    bare = item("NUM", code("2", "99OWN", "Count"), MeasuredValueSequence=Sequence([Dataset()]))
    bare.MeasuredValueSequence[0].NumericValue = "7.50"
    none = item("NUM", code("3", "99OWN", "Area"), MeasuredValueSequence=Sequence([]))
    none.NumericValueQualifierCodeSequence = Sequence([code("114000", meaning="Not a number")])
    counted = number(code("4", "99OWN", "Share"), "0.10", code("{ratio}", "UCUM", "ratio"))

    assert words(read(bare, none, counted)) == ["Count: 7.50", "Area: Not a number", "Share: 0.10 ratio"]


@pytest.mark.fault("F27")
def test_an_unknown_code_is_read_by_its_meaning_and_one_without_meaning_by_itself() -> None:
    mute = code("X7", "99OWN")
    mute.CodeMeaning = ""

    found = read(coded(code("5", "99OWN", "Texture"), code("6", "99OWN", "Spiculated")), coded(mute, mute))

    assert words(found) == ["Texture: Spiculated", "X7: X7"]


def test_a_reference_names_its_image_and_one_to_another_item_what_that_says() -> None:
    pointing = Dataset()
    pointing.RelationshipType, pointing.ReferencedContentItemIdentifier = "INFERRED FROM", [1, 1]
    lost = Dataset()
    lost.RelationshipType, lost.ReferencedContentItemIdentifier = "INFERRED FROM", [1, 99]

    first, seen, *_ = read(text(REMARK, "First"), text(REMARK, "Second", pointing, lost, image(frames=[3])))

    assert (first.words, words(seen.below)) == ("Remark: First", ["→ Remark: First", "", ""])
    assert seen.below[2].references == (Reference(IMAGE, 3),)


def test_a_tree_that_is_too_large_says_that_something_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "NODES_MAX", 3)

    tree = content_tree(report(nested(6)))

    assert (len(words(tree.nodes)), tree.whole, written(tree)[-2:]) == (3, False, "…\n")


@pytest.mark.parametrize(
    ("said", "offset", "shown"),
    [
        ("20260302091500", "", "2026-03-02 09:15:00"),
        ("20260302091500.25+0100", "", "2026-03-02T09:15:00.25+01:00"),
        ("202603", "+0100", "2026-03"),
        ("20260302", "", "2026-03-02"),
        ("someday", "", "someday"),
    ],
)
def test_a_date_with_its_time_is_read_as_it_stood_there(said: str, offset: str, shown: str) -> None:
    data = report(text(REMARK, "At", item("DATETIME", REMARK, DateTime=HELD)), TimezoneOffsetFromUTC=offset)

    tree = content_tree(data.replace(HELD.encode(), said.encode().ljust(26)))

    assert words(tree.nodes)[1] == f"Remark: {shown}"


def test_an_object_without_a_tree_is_refused() -> None:
    with pytest.raises(MalformedRequest, match="without a content tree"):
        content_tree(report(ValueType="TEXT"))


def test_a_tree_comes_out_of_the_child_as_it_was_read() -> None:
    data = dose_report()

    assert told_tree(b"".join(tree_task(Bytes(data), {}))) == content_tree(data)


def in_order(node: Dataset) -> Iterator[str]:
    """Every text and code of a tree in its order, by another reader than ours."""
    for one in node.get("ContentSequence", []):
        if one.get("ValueType") == "TEXT":
            yield str(one.TextValue)
        if one.get("ValueType") == "CODE":
            yield str(one.ConceptCodeSequence[0].CodeMeaning)
        if one.get("ValueType") == "NUM":
            yield str(one.MeasuredValueSequence[0].NumericValue)
        yield from in_order(one)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.lists(TREES, min_size=1, max_size=4))
def test_every_word_of_a_tree_is_read_in_its_order(content: list[Dataset]) -> None:
    data = report(*content)

    said, at = written(content_tree(data)), 0
    for word in in_order(pydicom.dcmread(io.BytesIO(data))):
        at = said.index(word.strip(), at) + len(word.strip())


@pytest.mark.parametrize(
    "name", ["dicom/sr/test-SR.dcm", "dicom/pt_headneck_derived/sr_tid1500.dcm", "dicom/sr/reportki.dcm"]
)
def test_trees_of_others_are_read_whole(name: str, sample: Callable[[str], Path]) -> None:
    data = sample(name).read_bytes()

    said = " ".join(written(content_tree(data)).split())

    for word in in_order(pydicom.dcmread(io.BytesIO(data))):
        assert " ".join(word.split()) in said
