"""Any content tree as text that can be read, whatever its template and SOP class: each item in its order, an unknown code with its meaning.

Nothing is judged and nothing is left out but the coordinates of regions, which their images show. Numbers stay as they were written.
Runs in a child.

Source: PS3.3 §C.17.3; field-faults F27.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from isthmus.dicom import tags
from isthmus.dicom.content import Item
from isthmus.originals.cda.child import Bytes
from isthmus.originals.coded import Coding
from isthmus.originals.instances import read_tree
from isthmus.originals.outline import Told
from isthmus.originals.sr.body import CONTAINER, FRAMES_MAX, TreeReader
from isthmus.originals.sr.header import SrHeader

MAX_BYTES: Final = 64 << 20
NODES_MAX: Final = 20_000
"""Of one tree; what is beyond is said to be missing. A dose report of a long intervention has about ten thousand."""
SEE: Final = "→"


@dataclass(frozen=True, slots=True)
class Reference:
    """An object that an item refers to; of an image perhaps one frame."""

    sop_instance_uid: str
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A content item: its words, and what hangs below it."""

    words: str
    heading: bool = False  # of a container
    references: tuple[Reference, ...] = ()
    below: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class ContentTree:
    """A document of items, with what its header says of it. Not `whole` when items are missing."""

    title: str
    date: str  # FHIR dateTime, "" when none is said
    language: str | None
    authors: tuple[str, ...]
    verified: bool
    whole: bool
    nodes: tuple[Node, ...]

    def __repr__(self) -> str:  # never in a log
        return f"ContentTree({len(self.nodes)} nodes)"


def tree_task(source: Bytes, options: Mapping[str, object]) -> Iterator[bytes]:
    """For the child: the content tree of an instance, as JSON. Raises MalformedRequest for what has none."""
    yield msgspec.json.encode(content_tree(source.read_at(0, min(source.size_bytes, MAX_BYTES + 1))))


def told_tree(given: bytes) -> ContentTree:
    """What `tree_task` gave."""
    return msgspec.json.decode(given, type=ContentTree)


def content_tree(data: bytes) -> ContentTree:
    """Read the content tree of any structured object. Raises MalformedRequest."""
    root = read_tree(data)
    coding = Coding.of(root)
    head, reader = SrHeader(root, coding), _NodeReader(root, coding)
    nodes = reader.below(root)
    return ContentTree(
        title=reader.name(root) or head.title,
        date=head.date,
        language=head.language,
        authors=tuple(one.shown for one in head.authors()),
        verified=root.text(tags.VERIFICATION_FLAG) == "VERIFIED",
        whole=reader.left > 0,
        nodes=nodes,
    )


class _NodeReader(TreeReader):
    def __init__(self, root: Item, coding: Coding) -> None:
        super().__init__(root, coding)
        self.left = NODES_MAX

    def below(self, item: Item) -> tuple[Node, ...]:
        found = []
        for one in item.below:
            if self.left <= 0:
                break
            self.left -= 1
            found.append(self.node(one))
        return tuple(found)

    def node(self, item: Item) -> Node:
        target = self.target(item)
        if target is not None:
            return Node(f"{SEE} {self.words(target)}".strip(), references=self.references(target))
        is_heading = item.text(tags.VALUE_TYPE) == CONTAINER
        return Node(self.words(item), is_heading, self.references(item), self.below(item))

    def words(self, item: Item) -> str:
        """Name, value and time of an item, as they are read."""
        kind = item.text(tags.VALUE_TYPE)
        text, value = (number_words(item), None) if kind == "NUM" else self.value(item, kind)
        observed = self.date_time(item.text(tags.OBSERVATION_DATE_TIME))
        frames = self.frames(item)
        many = ", ".join(map(str, frames)) if len(frames) > FRAMES_MAX else ""
        said = Told(self.name(item), None, "; ".join(filter(None, (text, many))), value).shown
        return f"{said} ({observed})" if observed else said

    def references(self, item: Item) -> tuple[Reference, ...]:
        """The images that an item itself refers to; other objects stand in its words."""
        if item.text(tags.VALUE_TYPE) != "IMAGE":
            return ()
        found = [one.text(tags.REFERENCED_SOP_INSTANCE_UID) for one in item.items(tags.REFERENCED_SOP_SEQUENCE)]
        frames = self.frames(item)
        shown: list[int] | list[None] = frames if 0 < len(frames) <= FRAMES_MAX else [None]
        return tuple(Reference(sop, frame) for sop in found if sop for frame in shown)

    def frames(self, item: Item) -> list[int]:
        said = item.first(tags.REFERENCED_SOP_SEQUENCE).text(tags.REFERENCED_FRAME_NUMBER)
        return [int(n) for n in said.split("\\") if n.strip().isdecimal() and len(n) < 12]


def number_words(item: Item) -> str:
    """A number as it was written, with its unit; where there is none, why."""
    measured = item.first(tags.MEASURED_VALUE_SEQUENCE)
    coded, why = measured.code(tags.MEASUREMENT_UNITS_CODE_SEQUENCE), item.code(tags.NUMERIC_VALUE_QUALIFIER_SEQUENCE)
    unit = (coded.meaning or coded.code) if coded else ""
    if coded is not None and coded.scheme == "UCUM" and not coded.code.startswith("{"):
        unit = "" if coded.code == "1" else coded.code
    said = ", ".join(filter(None, (one.strip() for one in measured.text(tags.NUMERIC_VALUE).split("\\"))))
    return " ".join(filter(None, (said, unit if said else "", (why.meaning or why.code) if why else "")))


def written(tree: ContentTree) -> str:
    """The tree as plain text, two blanks a level."""
    head = [tree.title, *filter(None, (tree.date, ", ".join(tree.authors)))]
    lines = [*head, *([] if tree.verified else ["(not verified)"]), "", *_lines(tree.nodes, "")]
    return "\n".join((*lines, *([] if tree.whole else ["…"]))) + "\n"


def _lines(nodes: tuple[Node, ...], indent: str) -> Iterator[str]:
    for node in nodes:
        seen = (f"{one.sop_instance_uid}{f' [{one.frame}]' if one.frame else ''}" for one in node.references)
        words = " ".join(filter(None, (node.words, *seen)))
        yield from (f"{indent}{line}" for line in words.splitlines() or ["–"])
        yield from _lines(node.below, f"{indent}  ")
