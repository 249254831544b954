"""Proofs over the trail as it lies: a few hundred rows are read for one, however long the trail.

The roots of full subtrees of 256 leaves, of 256 of those, and so on, are kept by `fill`, away from the writing of records; what is not
kept yet is made from the leaves. A proof is held against the head's root before it is given.

Source: RFC 6962 §2.1; trust.md §4.3.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, LargeBinary, cast, func, insert, select

from isthmus.audit.merkle import Tree, consistency, continues, inclusion, node_hash, root_from
from isthmus.audit.page import tree_of
from isthmus.errors import AuditUnavailable, MalformedRequest
from isthmus.storage.schema.audit import audit_trail
from isthmus.storage.schema.audit_log import audit_node

STEP = 8  # levels between what is kept
WIDE = 1 << STEP
FILL_MAX = 512  # subtrees written at a time


class Nodes:
    """The tree over the trail, of one moment."""

    def __init__(self, connection: Connection, head_key: bytes) -> None:
        self._connection = connection
        self.tree: Tree = tree_of(connection, head_key)
        self._known: dict[tuple[int, int], bytes] = {}

    def leaf(self, number: int) -> bytes:
        """Raises MalformedRequest when there is none."""
        found = self._leaves(number, 1)
        if not found:
            raise MalformedRequest("the log has no such record", reason="value", path="seq")
        return found[0]

    def included(self, number: int, size: int) -> list[bytes]:
        """The proof that a record is under the root of `size`. Raises MalformedRequest, AuditUnavailable."""
        if not 0 <= number < size <= self.tree.size:
            raise MalformedRequest("the log has no such record at this size", reason="value", path="size")
        proof = inclusion(number, size, self.subtree)
        if root_from(self.leaf(number), number, size, proof) != self.root(size):
            raise AuditUnavailable("the kept leaves are not those under the head: see audit verify")
        return proof

    def continued(self, old: int, size: int) -> list[bytes]:
        """The proof that the tree of `size` begins with that of `old`. Raises MalformedRequest, AuditUnavailable."""
        if not 0 <= old <= size <= self.tree.size:
            raise MalformedRequest("the log is not as long as that", reason="value", path="size")
        proof = consistency(old, size, self.subtree)
        if not continues(old, self.root(old), size, self.root(size), proof):
            raise AuditUnavailable("the kept leaves are not those under the head: see audit verify")
        return proof

    def root(self, size: int) -> bytes:
        """The root over the first records. Raises MalformedRequest when there are not so many."""
        if size > self.tree.size:
            raise MalformedRequest("the log is not as long as that", reason="value", path="size")
        if size == self.tree.size:
            return self.tree.root
        return self._earlier(size).root

    def subtree(self, level: int, place: int) -> bytes:
        """The root over 2**level leaves, the place-th such run."""
        known = self._known.get((level, place))
        if known is not None:
            return known
        base = level - level % STEP
        if base == level and level:
            root = self._kept(level, place, 1).get(place) or self._folded(level - STEP, place * WIDE, WIDE)
        else:
            root = self._folded(base, place << (level - base), 1 << (level - base))
        self._known[level, place] = root
        return root

    def _earlier(self, size: int) -> Tree:
        """The tree when it had so many leaves: the roots of its full subtrees, the largest first."""
        edge, done = list[bytes](), 0
        for level in range(size.bit_length() - 1, -1, -1):
            if size >> level & 1:
                edge.append(self.subtree(level, done >> level))
                done += 1 << level
        return Tree(size, tuple(edge))

    def _folded(self, level: int, first: int, count: int) -> bytes:
        """The root over a run of roots of one level."""
        if level == 0:
            row: Sequence[bytes] = self._leaves(first, count)
        else:
            kept = self._kept(level, first, count)
            row = [kept.get(place) or self.subtree(level, place) for place in range(first, first + count)]
        if len(row) != count:
            raise AuditUnavailable("records of the trail are missing: see audit verify")
        while len(row) > 1:
            row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
        return row[0]

    def _leaves(self, first: int, count: int) -> list[bytes]:
        wanted = audit_trail.c.number.between(first, first + count - 1)
        query = select(cast(audit_trail.c.leaf, LargeBinary)).where(wanted).order_by(audit_trail.c.number)
        return list(self._connection.execute(query).scalars())

    def _kept(self, level: int, first: int, count: int) -> dict[int, bytes]:
        there = (audit_node.c.level == level) & audit_node.c.place.between(first, first + count - 1)
        query = select(audit_node.c.place, cast(audit_node.c.root, LargeBinary)).where(there)
        return {row.place: row[1] for row in self._connection.execute(query)}


def lacking(connection: Connection, head_key: bytes) -> bool:
    """Whether a subtree is full and not kept yet."""
    nodes = Nodes(connection, head_key)
    return bool(_next(connection, STEP, nodes.tree.size))


def fill(connection: Connection, head_key: bytes) -> None:
    """Keep the roots of subtrees that are full by now."""
    nodes = Nodes(connection, head_key)
    level = STEP
    while nodes.tree.size >> level:
        places = _next(connection, level, nodes.tree.size)
        fresh = [{"level": level, "place": place, "root": nodes.subtree(level, place)} for place in places]
        if fresh:
            connection.execute(insert(audit_node), fresh)
        level += STEP


def _next(connection: Connection, level: int, size: int) -> range:
    query = select(func.max(audit_node.c.place)).where(audit_node.c.level == level)
    last = connection.execute(query).scalar()
    first = 0 if last is None else last + 1
    return range(first, min(size >> level, first + FILL_MAX))
