"""Bundles: addresses below a base, references, and narrative that cannot break out."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import CountryMisanswered
from isthmus.fhir import elements as el
from isthmus.fhir.bundles import Closed, below
from isthmus.fhir.narrative import facts, items, narrative, paragraphs

BASE = "https://a.example/ncp-aa/fhir"


@pytest.mark.fault("F41")
@pytest.mark.parametrize(
    ("url", "place"),
    [
        (f"{BASE}/Bundle/1", ("Bundle/1", "")),
        ("https://A.example:443/ncp-aa/fhir/Bundle/1?x=y", ("Bundle/1", "x=y")),
        ("DocumentReference?page=2", ("DocumentReference", "page=2")),
        ("https://a.example.evil/ncp-aa/fhir/Bundle/1", None),
        ("https://a.example/ncp-aa/fhir.evil/Bundle/1", None),
        ("https://a.example/ncp-aa/fhir", None),
        ("http://a.example/ncp-aa/fhir/Bundle/1", None),
        ("https://a.example:8443/ncp-aa/fhir/Bundle/1", None),
        ("https://x@a.example/ncp-aa/fhir/Bundle/1", None),
        ("https://a.example/ncp-aa/fhir/../x", None),
        ("https://a.example:99999/ncp-aa/fhir/x", None),
        (f"{BASE}/Bundle/1#x", None),
        (f"{BASE}//Bundle/1", None),
    ],
)
def test_only_what_lies_below_the_base_is_home(url: str, place: tuple[str, str] | None) -> None:
    assert below(BASE, url) == place


def _closed(source_url: str, target_url: str) -> tuple[Closed, dict[str, Any], dict[str, Any]]:
    source: dict[str, Any] = {"resourceType": "Composition", "contained": [{"id": "in", "resourceType": "Patient"}]}
    target: dict[str, Any] = {"resourceType": "Patient", "id": "1"}
    entries = [{"fullUrl": source_url, "resource": source}, {"fullUrl": target_url, "resource": target}]
    return Closed({"entry": entries}), source, target


@pytest.mark.fault("F29")
@pytest.mark.parametrize(
    ("source_url", "target_url", "reference", "found"),
    [
        ("http://x/fhir/Composition/1", "http://x/fhir/Patient/1", "Patient/1", True),
        ("http://x/fhir/Composition/1", "http://y/fhir/Patient/1", "Patient/1", False),
        ("http://x/fhir/Composition/1", "http://y/fhir/Patient/1", "http://y/fhir/Patient/1", True),
        ("http://x/fhir/Composition/1", "http://x/fhir/Patient/1", "Patient/1/_history/2", True),
        ("urn:uuid:AA", "urn:uuid:Bb", "urn:uuid:bB", True),
        ("urn:uuid:aa", "http://x/fhir/Patient/1", "Patient/1", False),
        ("urn:uuid:aa", "urn:Patient/1", "urn:Patient/1", True),
        ("urn:uuid:aa", "urn:uuid:bb", "1", False),
    ],
)
def test_a_reference_finds_by_the_rules_alone(source_url: str, target_url: str, reference: str, found: bool) -> None:
    closed, source, target = _closed(source_url, target_url)

    assert closed.find({"reference": reference}, source) is (target if found else None)


def test_a_contained_resource_is_found_in_its_own() -> None:
    closed, source, _ = _closed("urn:uuid:a", "urn:uuid:b")

    assert closed.find({"reference": "#in"}, source) == source["contained"][0]
    assert closed.find({"reference": "#out"}, source) is None


@given(st.text())
def test_no_words_break_out_of_the_narrative(words: str) -> None:
    content = paragraphs([words]) + items([words]) + facts([(words, words)])

    root = ElementTree.fromstring(narrative(content, "en")["div"])

    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
        "div", "p", "ul", "li", "table", "tbody", "tr", "th", "td",
    }  # fmt: skip


@pytest.mark.parametrize("body", [b"", b"\xff", b"1", b"[]", b"NaN", b'{"a":' * 2000])
def test_what_is_no_object_is_the_error_that_was_asked_for(body: bytes) -> None:
    with pytest.raises(CountryMisanswered):
        el.read_object(body)


def test_readers_pass_over_members_of_another_kind() -> None:
    node: dict[str, Any] = {"a": 1, "b": [1, {"c": "x"}], "d": {"e": True}}

    assert el.text(node, "a") is None
    assert el.child(node, "b", "c") == {}
    assert el.children(node, "b") == [{"c": "x"}]
    assert el.number({"n": True}, "n") is None
    assert el.text(node, "d", "e") is None
