"""Every HTTP face under what schemathesis makes of its description: an answer of the table, never a fault, never a patient.

Each case is asked twice, by whoever holds all credentials and by whoever holds none. The long run is in `tests/proof`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.hostile.described import FACES, alone, template
from tests.hostile.judged import put, schema_of, well_said
from tests.hostile.running import Face, running

from isthmus.country_a import api as border
from isthmus.country_b.local import app as local
from isthmus.country_b.portal import app as portal
from isthmus.operations import health

EXAMPLES = 6
RETRIEVED = re.compile(r"/dicom-web(/(studies|series|instances)/\{\w+\})+")
NOTHING_THERE = {  # nobody comes back from an identity service, and the country of the fakes has images alone;
    "portal": [
        "GET /sign-in/callback",
        "GET /visits/{visit}/studies/{study}/series/{series}/instances/{instance}/text",
    ],
    # a match is asked for in FHIR, a receipt and a checkpoint are statements, no forms; and nothing is stored over the border
    "border": [
        "POST /ncp/receipts", "POST /ncp/views", "POST /ncp/witness/add-checkpoint",
        "POST /fhir/Patient/$match", "GET /fhir/{path}", "POST /fhir/{path}",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Face]]:
    with running(tmp_path_factory.mktemp) as made:
        yield made


@schema_of("border", examples=EXAMPLES).parametrize()  # type: ignore[untyped-decorator]  # theirs
def test_the_border(case: Any, faces: Callable[[str], Face]) -> None:
    put(case, faces("border"), "border")


@schema_of("portal", examples=EXAMPLES).parametrize()  # type: ignore[untyped-decorator]  # theirs
def test_the_portal(case: Any, faces: Callable[[str], Face]) -> None:
    put(case, faces("portal"), "portal")


@schema_of("visit", examples=EXAMPLES).parametrize()  # type: ignore[untyped-decorator]  # theirs
def test_the_service_of_a_visit(case: Any, faces: Callable[[str], Face]) -> None:
    put(case, faces("visit"), "visit")


@schema_of("intake", examples=4 * EXAMPLES).parametrize()  # type: ignore[untyped-decorator]  # theirs
def test_the_listener_of_the_intake(case: Any, faces: Callable[[str], Face]) -> None:
    put(case, faces("intake"), "intake")


@schema_of("ohif", examples=EXAMPLES).parametrize()  # type: ignore[untyped-decorator]  # theirs
def test_the_listener_of_ohif(case: Any, faces: Callable[[str], Face]) -> None:
    put(case, faces("ohif"), "ohif")


@schema_of("operations", examples=EXAMPLES).parametrize()  # type: ignore[untyped-decorator]  # theirs
def test_the_listener_of_operations(case: Any, faces: Callable[[str], Face]) -> None:
    put(case, faces("operations"), "operations")


# the descriptions themselves


def _rows(name: str) -> Iterator[tuple[str, str]]:
    """Every row of a face's table, as method and an address of that row."""
    if name == "border":
        yield from ((method, route.path.replace("{path}", "x")) for route in border.ROUTES for method in route.methods)
    for route in portal.ROUTES if name == "portal" else ():
        yield from (
            (method, template(route.pattern))
            for method, page in (("GET", route.get), ("POST", route.post))
            if page is not None
        )
    for row in local.ROUTES if name == "visit" else ():
        yield from (
            (method, f"/visits/{{visit}}/{template(row.pattern)}".replace("{path}", "x"))
            for method in row.methods
            if method != "HEAD"
        )
    if name == "visit":
        yield from (("POST", f"/visits/{{visit}}/{word}") for word in local.HANDED_OUT)
    if name == "operations":
        yield from (("GET", path) for path in health.PAGES)


@pytest.mark.parametrize("name", ["border", "portal", "visit", "operations"])
def test_every_row_of_a_table_is_described_and_nothing_else(name: str) -> None:
    told = {(one.method, one.path.replace("{path}", "x")) for one in FACES[name]()}
    by_retrieval = {one for one in told if name == "border" and RETRIEVED.fullmatch(one[1])}

    assert told - by_retrieval - {("GET", "/static/{file}")} == set(_rows(name)) - {
        (m, "/dicom-web/x") for m in ("GET", "POST")
    }
    assert bool(by_retrieval) == (name == "border")


@pytest.mark.parametrize("name", [name for name in FACES if name != "intake"])
def test_each_parameter_alone_is_answered_and_every_address_is_reached(name: str, faces: Callable[[str], Face]) -> None:
    """Whoever holds all credentials gets more than refusals, wherever something is to be had."""
    face, unreached = faces(name), list[str]()
    for one in FACES[name]():
        best = 599
        for path, query, form in alone(one):
            response = face.session(trusted=True).request(
                one.method, face.at + path, params=query, data=form, headers={"Accept": "*/*"}, allow_redirects=False
            )
            problem = well_said(response, name=name, trusted=True, face=face)
            assert problem is None, (
                problem,
                one.method,
                path,
                query,
                form,
                response.status_code,
                response.content[:300],
            )
            best = min(best, response.status_code)
        unreached += [f"{one.method} {one.path}"] if best >= 400 else []

    assert sorted(row for row in unreached if not row.startswith("POST /dicom-web")) == sorted(
        NOTHING_THERE.get(name, [])
    )
