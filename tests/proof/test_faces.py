"""The long run of every HTTP face: each bound of each parameter, other methods and media types, and many more generated requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.hostile.judged import put, schema_of
from tests.hostile.running import Face, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
EXAMPLES = 60


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Face]]:
    with running(tmp_path_factory.mktemp) as made:
        yield made


@schema_of("border", examples=EXAMPLES, systematic=True).parametrize()  # type: ignore[untyped-decorator]  # theirs
def test_the_border(case: Any, faces: Callable[[str], Face]) -> None:
    put(case, faces("border"), "border")


@schema_of("portal", examples=EXAMPLES, systematic=True).parametrize()  # type: ignore[untyped-decorator]  # theirs
def test_the_portal(case: Any, faces: Callable[[str], Face]) -> None:
    put(case, faces("portal"), "portal")


@schema_of("visit", examples=EXAMPLES, systematic=True).parametrize()  # type: ignore[untyped-decorator]  # theirs
def test_the_service_of_a_visit(case: Any, faces: Callable[[str], Face]) -> None:
    put(case, faces("visit"), "visit")


@schema_of("intake", examples=EXAMPLES, systematic=True).parametrize()  # type: ignore[untyped-decorator]  # theirs
def test_the_listener_of_the_intake(case: Any, faces: Callable[[str], Face]) -> None:
    put(case, faces("intake"), "intake")


@schema_of("ohif", examples=EXAMPLES, systematic=True).parametrize()  # type: ignore[untyped-decorator]  # theirs
def test_the_listener_of_ohif(case: Any, faces: Callable[[str], Face]) -> None:
    put(case, faces("ohif"), "ohif")


@schema_of("operations", examples=EXAMPLES, systematic=True).parametrize()  # type: ignore[untyped-decorator]  # theirs
def test_the_listener_of_operations(case: Any, faces: Callable[[str], Face]) -> None:
    put(case, faces("operations"), "operations")
