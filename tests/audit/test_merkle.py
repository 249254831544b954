"""The tree's proofs: whoever has one needs nothing else, and one for another place or another tree leads nowhere.

The seven-leaf tree and its proofs are those of the standard's own example. Source: RFC 6962 §2.1.3.
"""

from __future__ import annotations

from functools import cache

import pytest

from isthmus.audit.merkle import (
    EMPTY_ROOT,
    Tree,
    consistency,
    continues,
    inclusion,
    leaf_hash,
    node_hash,
    root_from,
)

SIZES = range(1, 40)


@cache
def subtree(level: int, place: int) -> bytes:
    if level == 0:
        return leaf_hash(b"record %d" % place)
    return node_hash(subtree(level - 1, 2 * place), subtree(level - 1, 2 * place + 1))


@cache
def root(size: int) -> bytes:
    tree = Tree()
    for number in range(size):
        tree = tree.with_leaf(subtree(0, number))
    return tree.root


def test_every_leaf_of_every_tree_has_a_proof() -> None:
    for size in SIZES:
        for number in range(size):
            proof = inclusion(number, size, subtree)

            assert root_from(subtree(0, number), number, size, proof) == root(size)


def test_a_proof_is_of_one_place_alone() -> None:
    for size in SIZES:
        for number in range(size - 1):
            proof = inclusion(number, size, subtree)

            assert root_from(subtree(0, number), number + 1, size, proof) != root(size)
            assert root_from(subtree(0, number + 1), number, size, proof) != root(size)
            assert root_from(subtree(0, number), number, size, proof[:-1]) != root(size)
            assert root_from(subtree(0, number), number, size, [*proof, bytes(32)]) is None


def test_every_tree_continues_every_smaller_one() -> None:
    for size in SIZES:
        for old in range(size + 1):
            assert continues(old, root(old), size, root(size), consistency(old, size, subtree))


@pytest.mark.threat("T78")
def test_a_forked_tree_continues_nothing() -> None:
    for size in SIZES:
        for old in range(1, size):
            proof = consistency(old, size, subtree)

            assert not continues(old, root(old - 1), size, root(size), proof)
            assert not continues(old, root(old), size, root(size - 1), proof)
            assert not continues(old, root(old), size, root(size), proof[:-1])
            assert not continues(old, root(old), size, root(size), [*proof, bytes(32)])


def test_the_example_of_the_standard_has_its_proofs() -> None:
    a, b, c, d, f, j = (subtree(0, i) for i in (0, 1, 2, 3, 5, 6))
    g, h, i, k = subtree(1, 0), subtree(1, 1), subtree(1, 2), subtree(2, 0)
    le = node_hash(i, j)

    assert inclusion(0, 7, subtree) == [b, h, le]
    assert inclusion(3, 7, subtree) == [c, g, le]
    assert inclusion(4, 7, subtree) == [f, j, k]
    assert inclusion(6, 7, subtree) == [i, k]
    assert consistency(3, 7, subtree) == [c, d, g, le]
    assert consistency(4, 7, subtree) == [le]
    assert consistency(6, 7, subtree) == [i, j, k]
    assert subtree(0, 0) == a


def test_what_is_not_there_has_no_proof() -> None:
    with pytest.raises(ValueError, match="no such leaf"):
        inclusion(7, 7, subtree)
    with pytest.raises(ValueError, match="does not shrink"):
        consistency(8, 7, subtree)

    assert root_from(EMPTY_ROOT, 7, 7, []) is None
