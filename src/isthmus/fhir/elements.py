"""Elements of decoded JSON: read what is there and of the right kind, else nothing. `Any` enters here.

A reader that asks for a member which is missing, or of another kind, gets nothing and goes on; it is the caller who
knows what must be there. That a member was of another kind is forgiven, and said to whoever is `noting`.

Source: R4 JSON; wire.md §7 (emission strict, reception tolerant); TOL-10.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import orjson

from isthmus.errors import CountryMisanswered, IsthmusError
from isthmus.model.numbers import Written

Node = dict[str, Any]
T = TypeVar("T")
MEDIA_TYPE = "application/fhir+json"
INTEGER_CHARS: Final = 20
OTHER_KIND: Final = "member-of-another-kind"
_NOTED: ContextVar[set[str] | None] = ContextVar("noted", default=None)


@contextmanager
def noting(forgiven: set[str]) -> Iterator[None]:
    """While this lasts, a member that is asked for and is of another kind than it must be puts its word into the set."""
    before = _NOTED.set(forgiven)
    try:
        yield
    finally:
        _NOTED.reset(before)


def _forgive() -> None:
    forgiven = _NOTED.get()
    if forgiven is not None:
        forgiven.add(OTHER_KIND)


def read_object(body: bytes | str, error: type[IsthmusError] = CountryMisanswered, *, digits: bool = False) -> Node:
    """Decode a JSON object, or raise `error`; with `digits` its decimals keep theirs."""
    try:
        node = orjson.loads(body)
        node = json.loads(body, parse_float=Written, parse_int=_whole) if digits else node
    except (orjson.JSONDecodeError, RecursionError):
        raise error("not JSON") from None
    if not isinstance(node, dict):
        raise error("not a JSON object")
    return node


def _whole(digits: str) -> float:
    """A whole number; one of more than 64 bits is a decimal, as it is without digits."""
    return int(digits) if len(digits) < INTEGER_CHARS else Written(digits)


def read_resource(
    body: bytes | str, kind: str, error: type[IsthmusError] = CountryMisanswered, *, digits: bool = False
) -> Node:
    """Decode a resource of this type, or raise `error`; with `digits` its decimals keep theirs."""
    node = read_object(body, error, digits=digits)
    if node.get("resourceType") != kind:
        raise error(f"not a {kind}", path="resourceType")
    return node


def write_object(node: Node) -> bytes:
    return orjson.dumps(node, default=_as_written)


def _as_written(value: object) -> orjson.Fragment:
    if isinstance(value, Written):
        return orjson.Fragment(value.digits)
    raise TypeError(f"no JSON: {type(value).__name__}")


def child(node: Node, *names: str) -> Node:
    """The object at the end of this path; empty when there is none. A list on the way gives its first object."""
    for name in names:
        value = node.get(name)
        if isinstance(value, list):
            value = value[0] if value else None
        if not isinstance(value, dict):
            if value is not None:
                _forgive()
            return {}
        node = value
    return node


def children(node: Node, name: str) -> list[Node]:
    """The objects under this name; one that stands alone counts as a list of one."""
    value = node.get(name)
    if isinstance(value, dict):
        return [value]
    return _all_of(value, dict)


def text(node: Node, *names: str) -> str | None:
    """The text at the end of this path."""
    value = child(node, *names[:-1]).get(names[-1])
    if isinstance(value, str):
        return value or None
    if value is not None:
        _forgive()
    return None


def texts(node: Node, name: str) -> tuple[str, ...]:
    return tuple(_all_of(node.get(name), str))


def _all_of(value: Any, kind: type[T]) -> list[T]:
    """What in a list is of this kind; the empty places of a list of texts are no fault."""
    if isinstance(value, list):
        found = [item for item in value if isinstance(item, kind)]
        if len(found) < len(value) and any(item is not None and not isinstance(item, kind) for item in value):
            _forgive()
        return found
    if value is not None:
        _forgive()
    return []


def binary(node: Node, name: str) -> bytes | None:
    """Bytes in base64, whose lines may be broken; nothing for what is none. Source: R4 base64Binary; field-faults F40."""
    try:
        return b64decode("".join((text(node, name) or "").split()), validate=True) or None
    except ValueError:
        _forgive()
        return None


def number(node: Node, name: str) -> int | None:
    value = node.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if value is not None:
        _forgive()
    return None


def codings(node: Node, name: str) -> Iterator[Node]:
    """All codings of all concepts under this name, with those of their members that are text, and whether one was chosen."""
    for concept in children(node, name):
        for one in children(concept, "coding"):
            if any(not isinstance(one.get(member, ""), str) for member in ("system", "code", "display")):
                _forgive()
            yield {
                m: value for m, value in one.items() if isinstance(value, str) or (m, value) == ("userSelected", True)
            }


def extensions(node: Node, *urls: str) -> list[Node]:
    """The extensions with one of these addresses, in their order."""
    return [extension for extension in children(node, "extension") if extension.get("url") in urls]


def without_nothing(node: Node) -> Node:
    """The same object without members that are None, or empty text, lists and objects: FHIR knows none of them."""
    return {name: value for name, value in node.items() if value not in (None, "", [], {}, ())}


def coding(system: str, code: str, display: str | None = None) -> Node:
    return without_nothing({"system": system, "code": code, "display": display})


def concept(*members: Node, words: str | None = None) -> Node:
    return without_nothing({"coding": list(members), "text": words})
