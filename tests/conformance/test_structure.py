"""What we emit fits the JSON schema of R4, where one is at hand.

The schema (fhir.schema.json of R4, 3.5 MB) is not part of the repository; ISTHMUS_R4_SCHEMA says where it lies.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from tests.conformance.test_emitted import EMITTED

from isthmus import errors
from isthmus.wire.outcomes import write_outcome

OUTCOME = write_outcome(errors.UnsupportedRequest("the parameter foo is not known here", path="foo"))
BODIES = {name: body for name, (_, body) in EMITTED.items()} | {"outcome": OUTCOME}
RESOURCES = {name: body for name, body in BODIES.items() if b'"resourceType"' in body[:200]}  # the rest is not FHIR


@pytest.fixture(scope="module")
def definitions() -> Any:
    path = os.environ.get("ISTHMUS_R4_SCHEMA")
    if path is None:
        pytest.skip("no R4 schema is here (set ISTHMUS_R4_SCHEMA to fhir.schema.json)")
    return orjson.loads(Path(path).read_bytes())["definitions"]


def _faults(node: dict[str, Any], definitions: Any) -> Iterator[str]:
    """Faults of a resource; those of the entries one by one, since the schema names no type there."""
    entries = [dict(entry) for entry in node.get("entry", [])]
    for entry in entries:
        yield from _faults(entry.pop("resource"), definitions)
    frame = node | ({"entry": entries} if entries else {})
    schema = {"$ref": f"#/definitions/{node['resourceType']}", "definitions": definitions}
    for error in jsonschema.Draft7Validator(schema).iter_errors(frame):
        yield f"{node['resourceType']} {list(error.absolute_path)}"


@pytest.mark.parametrize("name", RESOURCES)
def test_what_we_emit_fits_the_schema(name: str, definitions: Any) -> None:
    assert list(_faults(orjson.loads(RESOURCES[name]), definitions)) == []
