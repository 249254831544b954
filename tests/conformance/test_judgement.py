"""What a live border answers, judged: what is in order is silent, what is not is told with the question that was asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.conformance.test_structure import RESOURCES

from isthmus.conformance.evidence import Exchange
from isthmus.conformance.judgement import judge, judge_conversation
from isthmus.dicom.windows import BytesSource
from isthmus.wire.packs.pack import load_pack

PACK = load_pack()
JSON = {"content-type": "application/fhir+json", "cache-control": "no-store", "x-request-id": "a1"}


def asked(path: str, answer: bytes, **more: Any) -> Exchange:
    return Exchange(path=path, answer=answer, headers=JSON, sent={"x-request-id": "a1"}, **more)


def test_a_capability_statement_of_another_version_is_told_with_its_question() -> None:
    node = orjson.loads(RESOURCES["capability"]) | {"fhirVersion": "5.0.0"}

    found = judge_conversation((asked("/fhir/metadata", orjson.dumps(node)),), PACK)

    assert "CAP-01" in {one.requirement for one in found}
    assert all(one.path.startswith("GET /fhir/metadata") for one in found if one.requirement == "CAP-01")


def test_a_search_that_is_answered_to_who_shows_no_token_is_an_error() -> None:
    found = judge_conversation(
        (asked("/fhir/DocumentReference", RESOURCES["search"], query=(("patient", "Patient/1"),)),), PACK
    )

    assert "SEC-02" in {one.requirement for one in found}


def test_a_cda_report_is_held_against_the_data_set_and_against_other_files(sample: Callable[[str], Path]) -> None:
    judged = judge(BytesSource(sample("cda/ehdsi_orcd/18748-4_3-1234-W7.xml").read_bytes()), PACK)

    assert judged.kind == "CDA"
    assert judged.facts is not None
    assert {one.element: one.present for one in judged.coverage}["A.1.1.1"]


SHAPES: list[Any] = [
    {"resourceType": "Bundle", "type": "document", "entry": [{"resource": {"resourceType": "Composition", "section": 5}}]},
    {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": {"resourceType": "DocumentReference", "content": "x"}}]},
    {"resourceType": "Bundle", "type": "searchset", "link": [{"relation": "self", "url": "http://[x/Patient"}]},
    {"resourceType": "Bundle", "entry": {"resource": []}},
    {"resourceType": "CapabilityStatement", "rest": [[1]]},
    {"resourceType": "DocumentReference", "extension": [None], "context": {"related": "x"}},
    {"token_endpoint": 5},
]  # fmt: skip


@pytest.mark.parametrize("node", SHAPES)
def test_a_resource_of_any_shape_is_judged(node: Any) -> None:
    judged = judge(BytesSource(orjson.dumps(node)), PACK)

    assert judged.findings
    assert all(one.path and one.advice for one in judged.findings)
