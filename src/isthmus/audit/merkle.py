"""The tree over the trail: its root changes with any record, and it grows at the right edge alone.

Source: RFC 6962 §2.1; trust.md §4.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree's size and its right edge: the roots of its full subtrees, the largest first."""

    size: int = 0
    edge: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if len(self.edge) != self.size.bit_count() or any(len(part) != HASH_BYTES for part in self.edge):
            raise ValueError("not the edge of a tree of this size")

    @classmethod
    def read(cls, size: int, edge: bytes) -> Tree:
        """Raises ValueError when it is not the edge of a tree of this size."""
        return cls(size, tuple(edge[i : i + HASH_BYTES] for i in range(0, len(edge), HASH_BYTES)))

    def with_leaf(self, leaf: bytes) -> Tree:
        edge, full = list(self.edge), self.size
        while full & 1:
            leaf = _node(edge.pop(), leaf)
            full >>= 1
        return Tree(self.size + 1, (*edge, leaf))

    @property
    def root(self) -> bytes:
        if not self.edge:
            return EMPTY_ROOT
        root = self.edge[-1]
        for part in reversed(self.edge[:-1]):
            root = _node(part, root)
        return root
