"""Proves the trail, record by record: nothing changed, taken out, put in or cut off, and every exchange closed.

Pure: rows in, findings out. A row's clear columns repeat the sealed record and are compared with it; its leaf is made again; the
tree over all leaves must end where the signed head says, and must continue the head that lies outside the database.

Source: trust.md §4.3, T77.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from isthmus.audit.merkle import Tree, leaf_hash
from isthmus.errors import IsthmusError

SALT_BYTES = LEAF_BYTES = 32
PROBLEMS_MAX = 100
RETENTION = "retention"  # the note of what was erased: everything up to a month, and that month
KEEP_MIN_MONTHS = 36
KEY_GONE = "the sealed record does not open: its month's key is not there"
CLEAR = ("kind", "closes", "exchange_id", "patient_tag", "writer")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `audit_trail`."""

    number: int
    leaf: bytes
    sealed: bytes
    key_id: str
    kind: str
    closes: int | None
    exchange_id: str
    patient_tag: str | None
    writer: str

    @property
    def erased(self) -> bool:
        """Whether retention took what was sealed; the leaf stays. Source: T105."""
        return not self.sealed

    @property
    def place(self) -> bytes:
        """What the sealed bytes are bound to."""
        return place(self.number, self.key_id)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a tree ends, and who says so."""

    size: int
    root: bytes
    mac: bytes

    @classmethod
    def of(cls, tree: Tree, key: bytes) -> Head:
        return cls(tree.size, tree.root, _mac(tree.size, tree.root, key))

    def genuine(self, key: bytes) -> bool:
        return hmac.compare_digest(self.mac, _mac(self.size, self.root, key))

    def write(self) -> str:
        return f"{self.size}\n{self.root.hex()}\n{self.mac.hex()}\n"

    @classmethod
    def read(cls, text: str) -> Head:
        """Raises ValueError."""
        size, root, mac = text.split()
        return cls(int(size), bytes.fromhex(root), bytes.fromhex(mac))


@dataclass(frozen=True, slots=True)
class Problem:
    """What does not hold; `number` is that of the record, None when it is the trail as a whole."""

    number: int | None
    what: str


@dataclass
class Verified:
    """`events` are exchanges and notes; `open` exchanges without an ending, in progress or not; `directives` the newest head
    of each patient's directives (system, value: number of the head, digest), to be held against those that are kept."""

    events: int = 0
    open: int = 0
    problems: list[Problem] = field(default_factory=list)
    directives: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    @property
    def intact(self) -> bool:
        return not self.problems


Unseal = Callable[[str, bytes, bytes], bytes]
Parts = Callable[[int], Mapping[str, bytes]]


def place(number: int, key_id: str) -> bytes:
    return f"{number} {key_id}".encode()


def part_place(number: int, name: str, key_id: str) -> bytes:
    return f"{number} {name} {key_id}".encode()


def canonical(record: dict[str, Any]) -> bytes:
    """The one way a record is written. Source: RFC 8785, for the strings and small whole numbers we have."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _mac(size: int, root: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"isthmus trail head\n%d\n" % size + root, sha256)


def opened(row: Row, unseal: Unseal) -> tuple[dict[str, Any] | None, str | None]:
    """The record of a row, or what is wrong with it."""
    try:
        plain = unseal(row.key_id, row.sealed, row.place)
    except IsthmusError as error:
        return None, KEY_GONE if error.facts.get(
            "key_gone"
        ) else "the sealed record does not open: it, its number or its key was changed"
    if leaf_hash(plain) != row.leaf:
        return None, "the leaf is not that of the record"
    record: dict[str, Any] = json.loads(plain[SALT_BYTES:])
    for name in CLEAR:
        if record.get(name) != getattr(row, name):
            return record, f"the column {name} differs from the sealed record"
    return record, None


def months_between(earlier: str, later: str) -> int:
    """From one `YYYY-MM` to another; of a moment its first seven signs."""
    years, months = (int(later[a:b]) - int(earlier[a:b]) for a, b in ((0, 4), (5, 7)))
    return years * 12 + months


def _is_lawful(last: Row, retained: dict[str, Any] | None) -> bool:
    """Whether what is erased was erased by a retention, after its term. Source: EHDS Art. 9."""
    if retained is None:
        return False
    through = retained["details"]["through"]
    return last.key_id <= through and months_between(through, retained["at"]) > KEEP_MIN_MONTHS


def verify(
    rows: Iterable[Row],
    *,
    unseal: Unseal,
    head: Head | None,
    witness: Head | None,
    head_key: bytes,
    alive: frozenset[str],
    parts: Parts = lambda _: {},
) -> Verified:
    """Verify rows in order of their numbers. `head` is the database's, `witness` the one outside (it may lag behind);
    `alive` are the writers that still run; `parts` gives what is kept beside a record."""
    result = _Verification(unseal, alive, parts)
    tree, witnessed = Tree(), None if witness is None or witness.size else Tree().root
    expected = 0
    for row in rows:
        for missing in range(expected, min(row.number, expected + PROBLEMS_MAX)):
            result.problem(missing, "the record is missing")
        expected = row.number + 1
        result.row(row)
        tree = tree.with_leaf(row.leaf if len(row.leaf) == LEAF_BYTES else bytes(LEAF_BYTES))  # told above
        if witness is not None and tree.size == witness.size:
            witnessed = tree.root
    result.close()
    result.ends(tree, expected, head, head_key)
    if witness is None:
        if tree.size:
            result.problem(None, "the head outside the database is missing")
    elif not witness.genuine(head_key):
        result.problem(None, "the head outside the database is not genuine")
    elif witnessed is None:
        result.problem(expected, f"the trail ends before it; the head outside the database has {witness.size} records")
    elif witnessed != witness.root:
        result.problem(None, f"the first {witness.size} records are not those the head outside the database saw")
    return result.verified


class _Verification:
    def __init__(self, unseal: Unseal, alive: frozenset[str], parts: Parts) -> None:
        self._unseal, self._alive, self._parts = unseal, alive, parts
        self._open: dict[int, Row] = {}
        self._erased: Row | None = None  # the last, which is of the newest month
        self._retained: dict[str, Any] | None = None
        self.verified = Verified()

    def problem(self, number: int | None, what: str) -> None:
        if len(self.verified.problems) < PROBLEMS_MAX:
            self.verified.problems.append(Problem(number, what))

    def row(self, row: Row) -> None:
        record, wrong = (None, None) if row.erased else opened(row, self._unseal)
        if row.erased:
            self._erased = row
        elif record is not None and record.get("event") == RETENTION:
            self._retained = record
        if wrong:
            self.problem(row.number, wrong)
        elif record is not None and record.get("transaction") == "consent" and record["patient"]:
            patient, details = record["patient"], record["details"]
            self.verified.directives[patient["system"], patient["value"]] = details["head"], details["digest"]
        if record is not None and "parts" in record:
            self._beside(row.number, record["parts"])
        if row.kind == "outcome":
            closed = self._open.pop(row.closes, None) if row.closes is not None else None
            if closed is None or closed.exchange_id != row.exchange_id:
                self.problem(row.number, f"it closes record {row.closes}, which is not an open exchange of this id")
            return
        self.verified.events += 1
        if row.kind == "intent":
            self._open[row.number] = row

    def _beside(self, number: int, named: Mapping[str, str]) -> None:
        kept = self._parts(number)
        for name, digest in named.items():
            if name not in kept or sha256(kept[name]).hexdigest() != digest:
                self.problem(number, f"what is kept beside the record is missing or was changed: {name}")

    def close(self) -> None:
        if self._erased is not None and not _is_lawful(self._erased, self._retained):
            self.problem(self._erased.number, "the record is erased, and no retention after its term says so")
        self.verified.open = len(self._open)
        for number, row in self._open.items():
            if row.writer not in self._alive:
                self.problem(number, "the exchange has no ending and its writer is gone")

    def ends(self, tree: Tree, expected: int, head: Head | None, head_key: bytes) -> None:
        if head is None:
            if tree.size:
                self.problem(None, "the trail has no head")
        elif not head.genuine(head_key):
            self.problem(None, "the head is not genuine")
        elif head.size > expected:
            self.problem(expected, f"the record is missing: the head has {head.size} records")
        elif head.size < expected:
            self.problem(head.size, f"the record is not under the head, which has {head.size} records")
        elif head.root != tree.root:
            self.problem(None, "the records are not those under the head")
