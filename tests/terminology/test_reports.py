"""National codes of a report, in the European document that is made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from isthmus.model.codes import SNOMED
from isthmus.terminology.mapping import Transcoder, read_codes
from isthmus.terminology.reports import transcode_document

GR = "urn:oid:2.999.6"
HEADER = "kind,system,code,eu_system,eu_code,eu_display\n"


@pytest.fixture
def transcoder(tmp_path: Path) -> Transcoder:
    file = tmp_path / "codes.csv"
    file.write_text(
        f"{HEADER}procedure,{GR},CT-17,{SNOMED},169069000,CT of chest\nbody-part,{GR},B4,{SNOMED},51185008,\n"
    )
    return Transcoder(read_codes(file))


def document(*resources: dict[str, Any]) -> bytes:
    return json.dumps(
        {"resourceType": "Bundle", "type": "document", "entry": [{"resource": r} for r in resources]}
    ).encode()


def concept(code: str, words: str = "Αξονική θώρακος", system: str = GR) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": words}], "text": words}


def test_the_code_that_others_know_comes_first_and_the_one_of_home_stays_marked(transcoder: Transcoder) -> None:
    body = document({"resourceType": "Procedure", "code": concept("CT-17"), "bodySite": [concept("B4", "Θώρακας")]})

    procedure = json.loads(transcode_document(body, transcoder))["entry"][0]["resource"]

    assert procedure["code"]["coding"] == [
        {"system": SNOMED, "code": "169069000", "display": "CT of chest"},
        {"system": GR, "code": "CT-17", "display": "Αξονική θώρακος", "userSelected": True},
    ]
    assert procedure["code"]["text"] == "Αξονική θώρακος"
    assert procedure["bodySite"][0]["coding"][0] == {"system": SNOMED, "code": "51185008"}
    assert transcoder.unmapped == []


def test_what_no_table_knows_stays_as_it_came_marked_and_is_counted(transcoder: Transcoder) -> None:
    body = document({"resourceType": "ServiceRequest", "code": concept("CT-99", "Άλλη")})

    order = json.loads(transcode_document(body, transcoder))["entry"][0]["resource"]

    assert order["code"]["coding"] == [{"system": GR, "code": "CT-99", "display": "Άλλη", "userSelected": True}]
    assert [(one.kind, one.system, one.code, one.display) for one in transcoder.unmapped] == [
        ("procedure", GR, "CT-99", "Άλλη")
    ]


def test_a_document_without_national_codes_stays_the_same_bytes(transcoder: Transcoder) -> None:
    known = concept("169069000", system=SNOMED)
    body = document(
        {"resourceType": "Procedure", "code": known},
        {"resourceType": "Observation", "code": concept("X"), "valueString": "words"},
        {"resourceType": "Procedure", "code": {"text": "words alone"}},
    )

    assert transcode_document(body, transcoder) == body
    assert transcoder.unmapped == []
