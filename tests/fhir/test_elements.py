"""What is asked for and is of another kind is nothing, and said; what is missing is nothing, and no fault."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node

Ask = Callable[[Node], object]
RIGHT: list[tuple[Ask, Node, object]] = [
    (lambda n: el.text(n, "a"), {"a": "x"}, "x"),
    (lambda n: el.text(n, "a"), {"a": None}, None),
    (lambda n: el.text(n, "a", "b"), {"a": [{"b": "x"}]}, "x"),
    (lambda n: el.text(n, "a", "b"), {}, None),
    (lambda n: el.texts(n, "a"), {"a": ["x", None]}, ("x",)),
    (lambda n: el.child(n, "a"), {"a": []}, {}),
    (lambda n: el.children(n, "a"), {"a": {"b": 1}}, [{"b": 1}]),
    (lambda n: el.number(n, "a"), {"a": 0}, 0),
    (lambda n: el.binary(n, "a"), {"a": "eA==\n"}, b"x"),
    (
        lambda n: list(el.codings(n, "a")),
        {"a": {"coding": [{"code": "x", "userSelected": True, "version": 7}]}},
        [{"code": "x", "userSelected": True}],
    ),
]
WRONG: list[tuple[Ask, Node, object]] = [
    (lambda n: el.text(n, "a"), {"a": 7}, None),
    (lambda n: el.text(n, "a", "b"), {"a": "x"}, None),
    (lambda n: el.texts(n, "a"), {"a": "x"}, ()),
    (lambda n: el.texts(n, "a"), {"a": ["x", 7]}, ("x",)),
    (lambda n: el.child(n, "a"), {"a": ["x"]}, {}),
    (lambda n: el.children(n, "a"), {"a": [{"b": 1}, "x"]}, [{"b": 1}]),
    (lambda n: el.children(n, "a"), {"a": 7}, []),
    (lambda n: el.number(n, "a"), {"a": "7"}, None),
    (lambda n: el.number(n, "a"), {"a": True}, None),
    (lambda n: el.binary(n, "a"), {"a": "@"}, None),
    (lambda n: list(el.codings(n, "a")), {"a": {"coding": [{"code": 7}]}}, [{}]),
]


@pytest.mark.parametrize(("ask", "node", "given"), RIGHT)
def test_what_is_as_it_must_be_or_missing_is_no_fault(ask: Ask, node: Node, given: object) -> None:
    forgiven: set[str] = set()

    with el.noting(forgiven):
        assert ask(node) == given

    assert not forgiven


@pytest.mark.requirement("TOL-10")
@pytest.mark.parametrize(("ask", "node", "given"), WRONG)
def test_a_member_of_another_kind_is_nothing_and_said(ask: Ask, node: Node, given: object) -> None:
    forgiven: set[str] = set()

    with el.noting(forgiven):
        assert ask(node) == given

    assert forgiven == {el.OTHER_KIND}


def test_it_is_said_to_nobody_when_nobody_notes() -> None:
    forgiven: set[str] = set()
    with el.noting(forgiven):
        pass

    assert el.number({"a": "7"}, "a") is None
    assert not forgiven
