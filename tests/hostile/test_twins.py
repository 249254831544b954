"""Restricted equals absent: in bytes, sizes, counts, order, links, errors, records and time; at every endpoint, behind every kind of source."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.hostile.worlds import HIDDEN, KINDS, SHOWN, World, calls, hide, pages, told, world

from isthmus.country_a.api import ROUTES

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]
PAIRS, MEDIAN_MS = 50, 5.0
TIMED = ("documents", "Bundle hidden", "studies", "rows of studies", "the study", "metadata of the study")
ALIKE = [("restrict-study", (SHOWN, HIDDEN), (SHOWN,)), ("opt-out", (SHOWN, HIDDEN), ())]


async def answers(made: World) -> dict[str, tuple[Any, ...]]:
    """What each call is answered, with how many records it left."""
    found = {}
    for name, (path, query, more) in calls(made).items():
        before = made.border.events()
        reply = await made.ask(path, query, **more)
        found[name] = (*told(made, reply), made.border.events() - before)
    return found


@pytest.mark.requirement("SEC-08")
@pytest.mark.threat("T32")
@pytest.mark.threat("T34")
@pytest.mark.threat("T35")
@pytest.mark.parametrize(("said", "held", "lacking"), ALIKE, ids=["restricted", "opted-out"])
@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_hidden_is_answered_like_what_was_never_there(
    tmp_path: Path, kind: str, said: str, held: tuple[str, ...], lacking: tuple[str, ...]
) -> None:
    async with world(tmp_path / "hiding", kind, *held) as hiding, world(tmp_path / "lacking", kind, *lacking) as other:
        await hide(hiding, said, HIDDEN if said != "opt-out" else "")
        ours, theirs = await answers(hiding), await answers(other)
        listed = [await pages(hiding, f"/fhir/{name}") for name in ("DocumentReference", "ImagingStudy")]
        lists = [await pages(other, f"/fhir/{name}") for name in ("DocumentReference", "ImagingStudy")]

    assert set(hiding.hidden) >= {"DocumentReference", "Bundle", "Binary", "ImagingStudy"}
    assert {name: apart(ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]} == {}
    assert listed == lists
    assert HIDDEN not in str(listed)


def apart(ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Where two answers part."""
    left, right = ours[2], theirs[2]
    at = next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    return ours[:2], theirs[:2], ours[3:], theirs[3:], left[max(0, at - 60) : at + 60], right[max(0, at - 60) : at + 60]


@pytest.mark.threat("T33")
@pytest.mark.parametrize(
    "kind", ["files"]
)  # a source in this process counts with what it does itself: tests/proof/test_twins.py
async def test_what_was_hidden_takes_as_much_work_as_what_was_never_there(tmp_path: Path, kind: str) -> None:
    """Without the grid of time on which answers leave, which would hide more."""
    async with (
        world(tmp_path / "hiding", kind, SHOWN, HIDDEN) as hiding,
        world(tmp_path / "other", kind, SHOWN) as other,
    ):
        await hide(hiding, "restrict-study", HIDDEN)
        late = {name: await difference_ms(hiding, other, name, PAIRS) for name in TIMED}

    assert {name: took for name, took in late.items() if abs(took) >= MEDIAN_MS} == {}


async def difference_ms(
    hiding: World, other: World, name: str, pairs: int, clock: Callable[[], float] = time.process_time
) -> float:
    """The median of how much more the hidden one takes, over pairs that follow one another: of the processor, so that nothing else that
    runs on the machine counts; or by another clock."""
    took: list[float] = []
    for pair in range(pairs):
        spans = {}
        for made in (hiding, other) if pair % 2 else (other, hiding):
            if pair % 20 == 0:
                await made.admitted()
            path, query, more = calls(made)[name]
            began = clock()
            await made.ask(path, query, **more)
            spans[id(made)] = (clock() - began) * 1000
        took.append(spans[id(hiding)] - spans[id(other)])
    return statistics.median(took)


def test_every_route_that_gives_anything_of_a_patient_is_among_the_calls(tmp_path: Path) -> None:
    """A route that is added must be asked here too."""
    border: Any = None
    asked = {path for path, _, _ in calls(World(border)).values()}

    def is_asked(pattern: str) -> bool:
        parts = pattern.split("/")
        return any(
            len(parts) == len(path.split("/"))
            and all(p.startswith("{") or p == q for p, q in zip(parts, path.split("/"), strict=True))
            for path in asked
        )

    given = [r.path for r in ROUTES if r.needs.stage.__name__ == "Admitted" and not r.path.endswith("{path}")]
    assert [path for path in given if not is_asked(path)] == ["/fhir/Patient/{id}"]
