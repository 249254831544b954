"""Documents with one mistake each, made by chance from sound ones and the same every time: something taken away, said twice, of another
type, or under a code that there is not. Not every one is wrong; whether it is, engines decide.

Source: wire.md §5.5.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

Place = tuple[str | int, ...]
BOGUS: Final = "bogus"


@dataclass(frozen=True, slots=True)
class Mutant:
    """`place` is where, in the document it was made from."""

    source: str
    kind: str
    place: Place
    body: bytes

    @property
    def name(self) -> str:
        return f"{self.source} · {self.kind} · {self.path}"

    @property
    def path(self) -> str:
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.place).lstrip(".")


def mutants(sources: Mapping[str, bytes], count: int, *, seed: int) -> Iterator[Mutant]:
    """As many as are asked for, the kinds in equal parts and the documents in turn; none is its source."""
    chance = random.Random(seed)
    names = sorted(sources)
    made: set[bytes] = set()
    for number in range(count * 4):
        if len(made) == count:
            return
        source, (kind, (fits, change)) = (
            names[number % len(names)],
            list(KINDS.items())[(number // len(names)) % len(KINDS)],
        )
        node = orjson.loads(sources[source])
        found = [place for place, value in places(node) if fits(place, value)]
        if not found:
            continue
        place = chance.choice(found)
        change(_at(node, place[:-1]), place[-1])
        body = orjson.dumps(node)
        if body not in made and body != sources[source]:
            made.add(body)
            yield Mutant(source, kind, place, body)


def places(node: Any, here: Place = ()) -> Iterator[tuple[Place, Any]]:
    steps = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, value in steps:
        place = (*here, step)
        if step not in ("resourceType", "div", "data"):
            yield place, value
            yield from places(value, place)


def _at(node: Any, place: Place) -> Any:
    for step in place:
        node = node[step]
    return node


def _remove(node: Any, step: Any) -> None:
    del node[step]


def _double(node: Any, step: Any) -> None:
    if isinstance(node, list):
        node.insert(step, node[step])
    else:
        node[step] = (
            [*node[step], node[step][0]] if isinstance(node[step], list) and node[step] else [node[step], node[step]]
        )


def _retype(node: Any, step: Any) -> None:
    value = node[step]
    node[step] = (
        {"value": value}
        if isinstance(value, bool)
        else str(value)
        if isinstance(value, int)
        else BOGUS
        if isinstance(value, dict | list)
        else 7
    )


def _recode(node: Any, step: Any) -> None:
    node[step] = BOGUS


CODED: Final = frozenset(
    {
        "code",
        "status",
        "type",
        "use",
        "gender",
        "mode",
        "intent",
        "availability",
        "relation",
        "system",
        "contentType",
        "language",
    }
)


def _coded(place: Place, value: Any) -> bool:
    return isinstance(value, str) and place[-1] in CODED


KINDS: Final[dict[str, tuple[Callable[[Place, Any], bool], Callable[[Any, Any], None]]]] = {
    "taken away": (lambda place, value: True, _remove),
    "said twice": (lambda place, value: True, _double),
    "of another type": (lambda place, value: True, _retype),
    "a code that there is not": (_coded, _recode),
}
"""Each kind: where it can be made, and how."""
