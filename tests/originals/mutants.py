"""Mutants of real and made documents, by a seed: what a reader of originals must survive.

Whatever it is given, it gives a report that can be written and read again, or one of our errors, in bounded time.
"""

from __future__ import annotations

import contextlib
import copy
import io
import random
from collections.abc import Iterator
from xml.etree import ElementTree

import pydicom
from pydicom.dataset import Dataset
from tests.hostile.tried import Tried, try_out
from tests.originals.made import (
    CATALOGUE,
    ENTRIES,
    cda,
    code,
    coded,
    dose_report,
    encapsulated,
    heading,
    image,
    nested,
    number,
    report,
    section,
    text,
)

from isthmus.errors import IsthmusError, MalformedRequest
from isthmus.originals.beside import Beside
from isthmus.originals.child import Asked, report_task
from isthmus.originals.child import made_report as report_made
from isthmus.originals.instances import is_instance
from isthmus.originals.sr.tree import told_tree, tree_task, written
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import read_report

_MM = code("mm", "UCUM")
SR = report(
    heading(
        "121070",
        "Findings",
        text(code("121071"), "Seen"),
        number(code("81827009", "SCT", "Diameter"), "12", _MM, image()),
    ),
    heading("121072", "Impressions", coded(code("121073"), code("50960005", "SCT", "Bleeding"))),
)
CDA = cda(
    section(
        "59776-5",
        "Befund",
        '<table><tr><td ID="a">x</td></tr></table>',
        "<entry><observation><value/></observation></entry>",
    ),
    section("19005-8", "Beurteilung", "<list><item>y</item></list>"),
)
INTERESTING = (
    b"\x00",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"SQ\x00\x00",
    b"\xfe\xff\x00\xe0",
    b"\xfe\xff\x0d\xe0",
)
MARKUP = (
    b"<section>",
    b"</section>",
    b"<entry>",
    b"</entry>",
    b"<text>",
    b"&#0;",
    b"&amp;",
    b"<!--",
    b"]]>",
    b"<![CDATA[",
    b'="',
    b"xsi:type",
)


class Bytes:
    """A document in hand, as a child gets it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size_bytes(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, size: int, /) -> bytes:
        return self._data[offset : offset + size]


def mutants(seeds: list[bytes], seed: int, pieces: tuple[bytes, ...]) -> Iterator[bytes]:
    """Endless: of a form that is well-formed in half of them, so that what is behind the grammar is tried too."""
    chance = random.Random(seed)  # noqa: S311  # mutants, not secrets
    while True:
        data = chance.choice(seeds)
        if chance.random() < 0.5:
            yield (
                _grown(chance, data)
                if data.startswith(b"<")
                else chance.choice((_overwritten, _replanted))(chance, data)
            )
        else:
            yield torn(chance, data, pieces)


def torn(chance: random.Random, whole: bytes, pieces: tuple[bytes, ...]) -> bytes:
    """Bytes changed, cut, doubled, moved, and pieces of the grammar put where they do not belong."""
    data = bytearray(whole)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at, length = chance.randrange(len(data) or 1), chance.randint(1, 64)
        kind = chance.randrange(5)
        if kind == 0:
            data[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = data[at : at + length] * chance.randint(1, 20)
        elif kind == 3:
            data[at:at] = chance.choice(pieces)
        else:
            to = chance.randrange(len(data) or 1)
            data[to:to] = data[at : at + length]
    return bytes(data)


def _overwritten(chance: random.Random, whole: bytes) -> bytes:
    """Values changed behind the head of a file, mostly printable, so that most lengths and tags stay."""
    data = bytearray(whole)
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(400, len(data))
        data[at] = chance.choice((chance.randrange(32, 127), chance.randrange(256)))
    return bytes(data)


def _grown(chance: random.Random, whole: bytes) -> bytes:
    """A tree with branches dropped, doubled, moved and renamed, and attributes exchanged."""
    root = ElementTree.fromstring(whole)  # noqa: S314  # ours
    for _ in range(chance.randint(1, 12)):
        every = list(root.iter())
        one, other = chance.choice(every), chance.choice(every)
        kind = chance.randrange(6)
        if kind == 0 and len(one):
            one.remove(chance.choice(list(one)))
        elif kind == 1 and len(one) and len(every) < 2000:
            one.append(copy.deepcopy(chance.choice(list(one))))
        elif kind == 2 and other is not root and one not in set(other.iter()) and len(every) < 2000:
            one.append(copy.deepcopy(other))
        elif kind == 3:
            one.tag = other.tag
        elif kind == 4:
            one.attrib = dict(other.attrib)
        else:
            one.text = other.text
    return ElementTree.tostring(root)


def _replanted(chance: random.Random, whole: bytes) -> bytes:
    """A content tree with branches dropped, doubled, moved, and elements exchanged between its items."""
    root = pydicom.dcmread(io.BytesIO(whole))
    for _ in range(chance.randint(1, 12)):
        every = [root, *_items(root)]
        one, other = chance.choice(every), chance.choice(every)
        held, kind = one.get("ContentSequence", []), chance.randrange(4)
        if kind == 0 and held:
            del held[chance.randrange(len(held))]
        elif kind == 1 and other is not root and len(every) < 500:
            one.ContentSequence = [*held, copy.deepcopy(other)]
        elif kind == 2 and held:
            held[chance.randrange(len(held))] = copy.deepcopy(chance.choice(list(held)))
        elif names := [e.tag for e in other if e.keyword != "ContentSequence"]:
            tag = chance.choice(names)
            one[tag] = copy.deepcopy(other[tag])
    with io.BytesIO() as out:
        root.save_as(out)
        return out.getvalue()


def _items(of: Dataset) -> Iterator[Dataset]:
    for one in of.get("ContentSequence", []):
        yield one
        yield from _items(one)


def survives(data: bytes) -> bool:
    """Whether a report is made of it, or its tree is read. Raises what no reader may raise; AssertionError when it told too much."""
    made = False
    asked = Asked("eu-2026-09", "2026-11-25T10:00:00Z", Beside())
    try:
        body = report_made(b"".join(report_task(Bytes(data), asked.options)))
    except IsthmusError as error:
        told = error.message
    else:
        told, made = read_report(body, load_pack()).header.status, True
    assert told
    assert "Testova" not in told
    return _has_tree(data) or made


def _has_tree(data: bytes) -> bool:
    with contextlib.suppress(MalformedRequest):
        return is_instance(data) and bool(written(told_tree(b"".join(tree_task(Bytes(data), {})))))
    return False


def run(form: str, seed: int, seconds: float) -> Tried:
    """Try mutants of a form for so long. Raises AssertionError for the first that breaks something."""
    seeds, pieces = SEEDS[form]
    return try_out(form, seed, mutants(seeds, seed, pieces), seconds, survives)


SEEDS = {
    "sr": ([SR, dose_report(), report(nested(6)), encapsulated(b"%PDF-1.7 x")], INTERESTING),
    "cda": ([CDA, cda(CATALOGUE, section("59776-5", "Befund", '<content ID="f1">x</content>', ENTRIES))], MARKUP),
}
