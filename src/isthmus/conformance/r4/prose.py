"""What R4 says in its text alone, where no definition holds it: addresses that have to be absolute, names of types, entries and links of a
Bundle.

Source: R4 datatypes (Identifier, Coding, Reference), bundle; RFC 3986 §4.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from isthmus.conformance.r4 import definitions
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node

_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+")
_UNADDRESSED: Final = ("batch", "transaction", "batch-response", "transaction-response")
_ONCE: Final = ("self", "first", "previous", "prev", "next", "last")

Said = Iterator[tuple[str, str]]  # where below the element, and what is wrong


def prose_faults(kind: str, node: Node) -> Said:
    """What an element of this type breaks of the text."""
    rule = _RULES.get(kind)
    if rule is not None:
        yield from rule(node)


def _system(node: Node) -> Said:
    system = el.text(node, "system")
    if system is not None and not _ABSOLUTE.fullmatch(system):
        yield "system", "no absolute address: it says of whom the value is, all over the world"


def _reference(node: Node) -> Said:
    kind = el.text(node, "type")
    if kind is not None and not _ABSOLUTE.fullmatch(kind) and not definitions.is_resource(kind):
        yield "type", "no resource type of R4"


def _bundle(node: Node) -> Said:
    if node.get("type") not in _UNADDRESSED:
        for number, entry in enumerate(el.children(node, "entry")):
            if "resource" in entry and not el.text(entry, "fullUrl"):
                yield f"entry[{number}].fullUrl", "an entry without its address"
    if node.get("type") == "searchset":
        for number, entry in enumerate(el.children(node, "entry")):
            if el.text(entry, "search", "mode") == "match" and not el.text(entry, "resource", "id"):
                yield f"entry[{number}].resource.id", "a resource that was found has its id"
    relations = [el.text(link, "relation") for link in el.children(node, "link")]
    if node.get("type") == "searchset":
        for number, relation in enumerate(relations):
            if relation in _ONCE and relation in relations[:number]:
                yield f"link[{number}].relation", "a second link of a relation that there is once"


_RULES: Final[Mapping[str, Callable[[Node], Said]]] = {
    "Identifier": _system,
    "Coding": _system,
    "Reference": _reference,
    "Bundle": _bundle,
}
