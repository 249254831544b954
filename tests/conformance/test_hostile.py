"""Whatever stands where something else should, a requirement says what is wrong and never breaks: what is judged is foreign."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import orjson
import pytest
from tests.conformance.mutating import members, samples
from tests.conformance.spoken import PACK, sound
from tests.conformance.test_evidence import SOUND, TRAILS

from isthmus.conformance.evidence import Arrival, Trails, Written
from isthmus.conformance.requirement import Kind, examine
from isthmus.fhir.elements import Node

ODD: tuple[Any, ...] = (
    None,
    1,
    -1.5,
    True,
    "",
    "x",
    [],
    {},
    [[]],
    [1],
    [None],
    {"a": 1},
    [{"a": [1]}],
    {"resourceType": 1},
)
MUTANTS = 400


def odd(root: Any) -> Iterator[Any]:
    """Copies with one member that is of another kind, the same ones every time."""
    random, paths = Random(17), list(members(root))
    for _ in range(MUTANTS):
        changed = copy.deepcopy(root)
        holder, path = changed, random.choice(paths)
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = random.choice(ODD)
        yield changed


@pytest.mark.parametrize("sample", samples())
def test_a_resource_of_any_shape_is_judged(sample: str) -> None:
    kind, root = samples()[sample]

    for changed in odd(root):
        examine(kind, changed, PACK)


@pytest.mark.parametrize(
    "name", ["patient", "whole", "manifest", "pdf wrapped", "unknown", "rows", "studies", "token", "no date"]
)
def test_an_answer_of_any_shape_is_judged(name: str) -> None:
    exchange = sound()[name]

    for changed in odd(exchange.decoded):
        examine(Kind.EXCHANGE, replace(exchange, answer=orjson.dumps(changed)), PACK)


def test_a_conversation_with_answers_of_any_shape_is_judged() -> None:
    named = sound()
    rest = tuple(named[name] for name in ("metadata", "whole", "kos", "report", "all images"))

    for name in ("whole", "manifest", "patient"):
        for changed in list(odd(named[name].decoded))[:60]:
            examine(Kind.CONVERSATION, (*rest, replace(named[name], answer=orjson.dumps(changed))), PACK)


@pytest.mark.parametrize(
    "name", [name for name, (_, subject) in SOUND.items() if isinstance(subject, Arrival | Written | dict)]
)
def test_what_arrived_in_any_shape_is_judged(name: str) -> None:
    kind, subject = SOUND[name]
    document = subject if isinstance(subject, dict) else subject.document
    if isinstance(document, dict) and document:
        for changed in odd(document):
            examine(kind, changed if isinstance(subject, dict) else replace(subject, document=changed), PACK)


@pytest.mark.parametrize("side", ["asking", "answering"])
def test_a_trail_of_any_shape_is_judged(side: str) -> None:
    events: list[Node] = list(getattr(TRAILS, side))

    for changed in odd(events):
        told = tuple(event for event in changed if isinstance(event, dict))
        examine(
            Kind.TRAILS,
            Trails(TRAILS.conversation, **{"asking": TRAILS.asking, "answering": TRAILS.answering} | {side: told}),
            PACK,
        )
