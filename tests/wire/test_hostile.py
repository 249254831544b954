"""Whatever stands in an answer, a reader gives a value or an error of ours, never another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from tests.wire.made import BASE, HANDLE, KOS_ENTRY, MANIFEST, MANIFEST_ENTRY, PATIENT, REPORT_ENTRY
from tests.wire.test_reports import REPORT

from isthmus.errors import IsthmusError
from isthmus.model.queries import Page
from isthmus.wire import documents, patients
from isthmus.wire.manifests import read_manifest, write_manifest
from isthmus.wire.outcomes import read_outcome
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import original_of, read_report, report_index, write_report

PACK = load_pack()
QUERY = documents.read_search([("patient", HANDLE)], ZoneInfo("UTC"), PACK)
PAGE = Page((REPORT_ENTRY, MANIFEST_ENTRY, KOS_ENTRY), 3, "c")
READERS: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "list": (
        documents.write_found(PAGE, QUERY, base=BASE, handle=HANDLE, pack=PACK),
        lambda b: documents.read_found(b, base=BASE, handle=HANDLE, pack=PACK),
    ),
    "patient": (
        patients.write_found(PATIENT, several=False, self_link=BASE, base=BASE, pack=PACK),
        lambda b: patients.read_found(b, PACK),
    ),
    "manifest": (write_manifest(MANIFEST, PACK), lambda b: read_manifest(b, PACK)),
    "report": (write_report(REPORT, PACK), lambda b: (read_report(b, PACK), original_of(b))),
    "index": (write_report(REPORT, PACK), report_index),
    "outcome": (orjson.dumps({"resourceType": "OperationOutcome", "issue": [{}]}), lambda b: read_outcome(400, b)),
}
ODD: list[Any] = [
    None,
    0,
    -1,
    1.5,
    True,
    "",
    "x",
    "urn:oid:",
    "../..",
    "\u0000",
    [],
    {},
    [[]],
    [None],
    {"x": {}},
    "9" * 70,
]


def _places(node: Any) -> list[tuple[Any, Any]]:
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
    return [place for key in keys for place in ((node, key), *_places(node[key]))]


@pytest.mark.parametrize("name", READERS)
def test_a_reader_gives_a_value_or_an_error_of_ours(name: str) -> None:
    body, read = READERS[name]
    chance = Random(7)

    for _ in range(150):
        node = orjson.loads(body)
        for _ in range(chance.randint(1, 4)):
            holder, key = chance.choice(_places(node))
            holder[key] = deepcopy(chance.choice(ODD))
        with contextlib.suppress(IsthmusError):
            read(orjson.dumps(node))
