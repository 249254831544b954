"""Elements of decoded JSON: read what is there and of the right kind, else nothing. `Any` enters here.

A reader that asks for a member which is missing, or of another kind, gets nothing and goes on; it is the caller who
knows what must be there.

Source: R4 JSON; wire.md §7 (emission strict, reception tolerant).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import orjson

from isthmus.errors import CountryMisanswered, IsthmusError

Node = dict[str, Any]
MEDIA_TYPE = "application/fhir+json"


def read_object(body: bytes | str, error: type[IsthmusError] = CountryMisanswered) -> Node:
    """Decode a JSON object, or raise `error`."""
    try:
        node = orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError):
        raise error("not JSON") from None
    if not isinstance(node, dict):
        raise error("not a JSON object")
    return node


def read_resource(body: bytes | str, kind: str, error: type[IsthmusError] = CountryMisanswered) -> Node:
    """Decode a resource of this type, or raise `error`."""
    node = read_object(body, error)
    if node.get("resourceType") != kind:
        raise error(f"not a {kind}", path="resourceType")
    return node


def write_object(node: Node) -> bytes:
    return orjson.dumps(node)


def child(node: Node, *names: str) -> Node:
    """The object at the end of this path; empty when there is none. A list on the way gives its first object."""
    for name in names:
        value = node.get(name)
        if isinstance(value, list):
            value = value[0] if value else None
        if not isinstance(value, dict):
            return {}
        node = value
    return node


def children(node: Node, name: str) -> list[Node]:
    """The objects under this name; one that stands alone counts as a list of one."""
    value = node.get(name)
    if isinstance(value, dict):
        return [value]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(node: Node, *names: str) -> str | None:
    """The text at the end of this path."""
    value = child(node, *names[:-1]).get(names[-1])
    return value if isinstance(value, str) and value else None


def texts(node: Node, name: str) -> tuple[str, ...]:
    value = node.get(name)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def binary(node: Node, name: str) -> bytes | None:
    """Bytes in base64, whose lines may be broken; nothing for what is none. Source: R4 base64Binary; field-faults F40."""
    try:
        return b64decode("".join((text(node, name) or "").split()), validate=True) or None
    except ValueError:
        return None


def number(node: Node, name: str) -> int | None:
    value = node.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def codings(node: Node, name: str) -> Iterator[Node]:
    """All codings of all concepts under this name, with those of their members that are text."""
    for concept in children(node, name):
        for one in children(concept, "coding"):
            yield {member: value for member, value in one.items() if isinstance(value, str)}


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
