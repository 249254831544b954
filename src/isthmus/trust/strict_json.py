"""The one reader of JSON that others signed: what two readers could understand differently is refused.

Source: trust.md §2.4 rule 4; RFC 8259 §4, §8.2.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Never

MAX_DEPTH = 8
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?+|[{}\[\]]', re.DOTALL)  # a string that never ends ends the text: linear


def read_json(body: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """Read UTF-8 JSON. Depth is measured before anything is parsed.

    Raises ValueError for duplicate members, NaN and infinities, lone surrogates, bad UTF-8 and what is too deep.
    """
    if _depth(body) > max_depth:
        raise ValueError(f"JSON is nested deeper than {max_depth}")
    text = body.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("JSON begins with a byte order mark")
    value = json.loads(text, object_pairs_hook=_members, parse_constant=_constant, parse_float=_number)
    json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate does not encode
    return value


def read_object(body: bytes, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Read JSON that must be an object. Raises ValueError."""
    value = read_json(body, max_depth)
    if not isinstance(value, dict):
        raise ValueError("JSON is not an object")
    return value


def _depth(body: bytes) -> int:
    """How deep the brackets outside strings go."""
    deepest = depth = 0
    for token in _TOKEN.findall(body):
        if token in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"}]":
            depth -= 1
    return deepest


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a JSON member is there twice")
    return members


def _constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number
