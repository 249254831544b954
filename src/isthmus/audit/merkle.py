"""The tree over the trail: its root changes with any record, and it grows at the right edge alone.

A proof is made from the roots of full subtrees, wherever they lie (`log/nodes.py`), and checked from nothing but itself.

Source: RFC 6962 §2.1; RFC 9162 §2.1.3, §2.1.4; trust.md §4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

Subtree = Callable[
    [int, int], bytes
]  # (level, index): the root over the leaves from index * 2**level on, 2**level of them

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
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
            leaf = node_hash(edge.pop(), leaf)
            full >>= 1
        return Tree(self.size + 1, (*edge, leaf))

    @property
    def root(self) -> bytes:
        if not self.edge:
            return EMPTY_ROOT
        root = self.edge[-1]
        for part in reversed(self.edge[:-1]):
            root = node_hash(part, root)
        return root


def inclusion(number: int, size: int, subtree: Subtree) -> list[bytes]:
    """The proof that a leaf is under the root of `size` leaves. Raises ValueError when it is not among them."""
    if not 0 <= number < size:
        raise ValueError("no such leaf in a tree of this size")
    proof, low, high = list[bytes](), 0, size
    while high - low > 1:
        middle = low + _left(high - low)
        if number < middle:
            proof.append(_root(middle, high, subtree))
            high = middle
        else:
            proof.append(_root(low, middle, subtree))
            low = middle
    return proof[::-1]


def consistency(old: int, size: int, subtree: Subtree) -> list[bytes]:
    """The proof that the tree of `size` leaves begins with that of `old`. Raises ValueError when it is smaller."""
    if not 0 <= old <= size:
        raise ValueError("a tree does not shrink")
    if old in (0, size):
        return []
    proof, low, high, whole = list[bytes](), 0, size, True
    while old != high:
        middle = low + _left(high - low)
        if old <= middle:
            proof.append(_root(middle, high, subtree))
            high = middle
        else:
            proof.append(_root(low, middle, subtree))
            low, whole = middle, False
    if not whole:
        proof.append(_root(low, high, subtree))
    return proof[::-1]


def root_from(leaf: bytes, number: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """The root that a proof leads to from a leaf; None when it is no proof for this place."""
    place, last, root = number, size - 1, leaf
    if not 0 <= place <= last:
        return None
    for part in proof:
        if not last:
            return None
        if place & 1 or place == last:
            root = node_hash(part, root)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            root = node_hash(root, part)
        place, last = place >> 1, last >> 1
    return root if not last else None


def continues(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that the tree of `size` leaves begins with that of `old`."""
    if old == size:
        return not proof and old_root == root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if not 0 < old < size or not proof:
        return False
    parts = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    place, last = old - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = parts[0]
    for part in parts[1:]:
        if not last:
            return False
        if place & 1 or place == last:
            before, after = node_hash(part, before), node_hash(part, after)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            after = node_hash(after, part)
        place, last = place >> 1, last >> 1
    return not last and (before, after) == (old_root, root)


def _left(count: int) -> int:
    """The largest power of two below a count: so many leaves lie to the left."""
    return 1 << ((count - 1).bit_length() - 1)


def _root(low: int, high: int, subtree: Subtree) -> bytes:
    """The root over a range of leaves that begins where a subtree of its size may begin."""
    count = high - low
    if count & (count - 1) == 0:
        return subtree(count.bit_length() - 1, low // count)
    middle = low + _left(count)
    return node_hash(_root(low, middle, subtree), _root(middle, high, subtree))
