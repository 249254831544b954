"""Invariants of R4, in FHIRPath; a few that ask of every element are written out here, since a search through the whole resource
for each of them would take longer than the rest.

Source: R4 (constraints, in FHIRPath).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any, Final

import fhirpathpy
from fhirpathpy import parser
from fhirpathpy.engine import nodes
from fhirpathpy.models import models

from isthmus.conformance.r4.primitives import fault_of
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node

_apply: Any = fhirpathpy.apply_parsed_path
_parse: Any = parser.parse
_typed: Any = nodes.ResourceNode.create_node


@dataclass(frozen=True, slots=True)
class Around:
    """What an element stands in: its resource, the outermost one but the Bundle, and where references lead."""

    resource: Node
    outermost: Node
    find: Callable[[Node], Node | None]


class Unanswered(Exception):
    """An invariant that could not be evaluated on this element."""


def ready() -> None:
    """Let the library load now what it loads with the first expression, for who can open no file later."""
    _parsed("true")


def holds(key: str, expression: str, node: Any, path: str, around: Around) -> bool:
    """Whether an invariant holds for the element whose definition stands at `path`. Raises Unanswered."""
    own = NATIVE.get(key)
    if own is not None:
        return own(node, around)
    return evaluate(expression, node, path, around) == [True]


def evaluate(expression: str, node: Any, path: str, around: Around) -> list[Any]:
    """What an expression gives on an element whose definition stands at `path`. Raises Unanswered."""
    inside = {"resource": around.resource, "rootResource": around.outermost}
    functions = _FUNCTIONS | {"resolve": {"fn": partial(_resolved, around.find), "arity": {0: []}}}
    options = {"userInvocationTable": functions, "traceFn": lambda *_: None}
    try:
        start = _typed(node, path)
        given = _apply(start, _parsed(expression), inside, models["r4"], options)
    except Exception as exc:  # the library raises whatever foreign data brings up
        raise Unanswered(type(exc).__name__) from exc
    return given if isinstance(given, list) else [given]


@cache
def _parsed(expression: str) -> Any:
    return _parse(expression)


def _has_value(found: list[Any]) -> list[bool]:
    """hasValue(), which the library does not have: one primitive value is there."""
    return [len(found) == 1 and found[0] is not None and not isinstance(found[0], dict | list)]


def _html_is_good(found: list[Any]) -> list[bool]:
    return [all(fault_of("xhtml", one) is None for one in found)]


def _resolved(find: Callable[[Node], Node | None], found: list[Any]) -> list[Any]:
    """resolve(), which the library does not have: what references lead to, as far as it is here."""
    asked = [one if isinstance(one, dict) else {"reference": one} for one in found]
    held = [find(one) for one in asked if isinstance(one.get("reference"), str)]
    return [_typed(one, one.get("resourceType")) for one in held if one is not None]


_FUNCTIONS: Final[dict[str, Any]] = {
    "hasValue": {"fn": _has_value, "arity": {0: []}},
    "htmlChecks": {"fn": _html_is_good, "arity": {0: []}},
}


def _contained_are_used(node: Node, around: Around) -> bool:
    """dom-3: what is contained is referred to, or refers to what contains it."""
    held = el.children(node, "contained")
    if not held:
        return True
    said = set(_addresses(node))
    return all(f"#{one.get('id')}" in said or "#" in set(_addresses(one)) for one in held)


def _addresses(node: object) -> Iterator[str]:
    """Texts that begin like a reference to something contained."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name not in ("div", "display"):
                yield from _addresses(value)
    elif isinstance(node, list):
        for value in node:
            yield from _addresses(value)
    elif isinstance(node, str) and node.startswith("#"):
        yield node


def _reference_is_held(node: Node, around: Around) -> bool:
    """ref-1: a reference into the resource finds what is contained there."""
    target = el.text(node, "reference") or ""
    held = {f"#{one.get('id')}" for one in el.children(around.outermost, "contained")}
    return not target.startswith("#") or target == "#" or target in held


def _period_runs_forward(node: Node, around: Around) -> bool:
    """per-1: moments are compared as such, else days, months or years as far as both say."""
    start, end = el.text(node, "start") or "", el.text(node, "end") or ""
    if "T" in start and "T" in end:
        try:
            return datetime.fromisoformat(start) <= datetime.fromisoformat(end)
        except (ValueError, TypeError):
            return True  # told with the value
    shared = min(len(start), len(end), 10)
    return start[:shared] <= end[:shared]


Native = Callable[[Node, Around], bool]
NATIVE: Final[Mapping[str, Native]] = {
    "dom-3": _contained_are_used,
    "ext-1": lambda node, around: ("extension" in node) != any(name.startswith("value") for name in node),
    "per-1": _period_runs_forward,
    "ref-1": _reference_is_held,
    "txt-1": lambda node, around: True,  # told with the value
    "txt-2": lambda node, around: True,
}
