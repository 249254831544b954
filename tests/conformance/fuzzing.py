"""Mutants of what crosses the border, by a seed: FHIR documents and answers, and key object selections. Whatever comes, `check` judges it
(every reader and every requirement of that kind stands behind it) in bounded time and memory.

Source: trust.md T63, T98; interfaces.md §2.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

import orjson
from tests.conformance.test_emitted import EMITTED
from tests.engines.judge.mutants import KINDS, places
from tests.hostile.tried import Tried, try_out
from tests.originals.mutants import INTERESTING, torn
from tests.wire.made import MANIFEST

from isthmus.conformance.judgement import UNREADABLE, judge
from isthmus.conformance.requirement import Kind
from isthmus.dicom.windows import BytesSource
from isthmus.wire.kos import write_kos, write_plain_kos
from isthmus.wire.packs.pack import load_pack

SHARDS: Final = (
    b"{",
    b"}",
    b"[",
    b"null",
    b"1e999",
    b'"\\ud800"',
    b"\\u0000",
    b'{"resourceType":"Bundle"}',
    b',"x":',
    b"\xff",
)
FORMS: Final = ("FHIR", "KOS")


def run(form: str, seed: int, seconds: float) -> Tried:
    """Judge mutants for so long. Raises AssertionError for the first that breaks something."""

    def read(data: bytes) -> bool:
        return judge(BytesSource(data), load_pack()).kind != UNREADABLE

    return try_out(form, seed, _mutants(form, seed), seconds, read)


def _mutants(form: str, seed: int) -> Iterator[bytes]:
    """Endless: half of them still of the grammar, with mistakes in it, so that what is behind the readers is tried too."""
    chance = random.Random(seed)
    seeds = _seeds(form)
    while True:
        whole = chance.choice(seeds)
        if form == "FHIR" and chance.random() < 0.5:
            yield _mistaken(chance, whole)
        else:
            yield torn(chance, whole, SHARDS if form == "FHIR" else INTERESTING)


def _mistaken(chance: random.Random, whole: bytes) -> bytes:
    node: Any = orjson.loads(whole)
    for _ in range(chance.choice((1, 1, 2, 5, 12))):
        fits, change = chance.choice(list(KINDS.values()))
        found = [place for place, value in places(node) if fits(place, value)]
        if not found:
            continue
        *above, last = chance.choice(found)
        at = node
        for step in above:
            at = at[step]
        change(at, last)
    return orjson.dumps(node)


def _seeds(form: str) -> list[bytes]:
    if form == "KOS":
        return [write_kos(MANIFEST, load_pack()), write_plain_kos(MANIFEST, load_pack())]
    wanted = (Kind.REPORT, Kind.MANIFEST, Kind.SEARCH, Kind.PATIENTS, Kind.STUDIES, Kind.CAPABILITY)
    return [body for kind, body in EMITTED.values() if kind in wanted]
