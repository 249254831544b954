"""What R4 says in its text alone, where no definition holds it: addresses that have to be absolute or of a form, names of types, entries
and links of a Bundle.

Source: R4 datatypes (Identifier, Coding), references, extensibility, bundle, documents; RFC 3986 §4.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from isthmus.conformance.r4 import definitions
from isthmus.fhir import elements as el
from isthmus.fhir.bundles import Closed
from isthmus.fhir.elements import Node

_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+")
_RELATIVE: Final = re.compile(
    r"([A-Z][A-Za-z]{1,63})(?:/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?|\?\S+)"
)
_AT_A_SERVER: Final = re.compile(
    r"https?://\S+?/([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?"
)
_IN_AN_EXTENSION: Final = re.compile(r"\.(?:modifierE|e)xtension\[\d+\]\.extension\[\d+\]$")
_UNADDRESSED: Final = ("batch", "transaction", "batch-response", "transaction-response")
_IN_THE_DOCUMENT: Final = (
    *("subject", "encounter", "author", "attester.party", "custodian", "event.detail"),
    *("section.author", "section.focus", "section.entry"),
)
_ONCE: Final = ("self", "first", "previous", "prev", "next", "last")

Said = Iterator[tuple[str, str]]  # where below the element, and what is wrong


def prose_faults(kind: str, node: Node, path: str) -> Said:
    """What an element of this type, which stands at this path, breaks of the text."""
    rule = _RULES.get(kind)
    if rule is not None:
        yield from rule(node)
    if kind == "Extension" and not _IN_AN_EXTENSION.search(path):
        yield from _defined(node)


def _system(node: Node) -> Said:
    system = el.text(node, "system")
    if system is not None and not _ABSOLUTE.fullmatch(system):
        yield "system", "no absolute address: it says of whom the value is, all over the world"


def _defined(node: Node) -> Said:
    """Only what stands inside another extension may be named by a word of that one."""
    url = el.text(node, "url")
    if url is not None and not _ABSOLUTE.fullmatch(url):
        yield "url", "no absolute address, and the extension stands in no other one whose word it could be"


def _reference(node: Node) -> Said:
    kind = el.text(node, "type")
    if kind is not None and not _ABSOLUTE.fullmatch(kind) and not definitions.is_resource(kind):
        yield "type", "no resource type of R4"
    target = el.text(node, "reference")
    if target is None or target.startswith("#") or _ABSOLUTE.fullmatch(target):
        return
    named = _RELATIVE.fullmatch(target)
    if named is None or not definitions.is_resource(named[1]):
        yield (
            "reference",
            "neither an absolute address nor a type and an id (Patient/1), nor an id of what is contained (#1)",
        )


def _addressed(number: int, entry: Node) -> Said:
    """The address of an entry says of which type it is and under which id, where it is one of a server."""
    url, resource = el.text(entry, "fullUrl") or "", el.child(entry, "resource")
    kind, id = el.text(resource, "resourceType"), el.text(resource, "id")
    named = _AT_A_SERVER.fullmatch(url)
    if url and not _ABSOLUTE.fullmatch(url):
        yield f"entry[{number}].fullUrl", "no absolute address"
    elif named is not None and definitions.is_resource(named[1]) and resource and (named[1], named[2]) != (kind, id):
        yield f"entry[{number}].fullUrl", "an address at a server that does not end with type and id of the resource"


def _documented(node: Node) -> Said:
    """What a Composition refers to itself is in its document."""
    closed, composition = Closed(node), el.child(node, "entry", "resource")
    if composition.get("resourceType") != "Composition":
        return
    for path in _IN_THE_DOCUMENT:
        for place, reference in _at(composition, path.split("."), "entry[0].resource.Composition"):
            target = el.text(reference, "reference")
            said = target is None or target.startswith(("#", "urn:uuid:", "urn:oid:"))  # held elsewhere
            if not said and closed.find(reference, composition) is None:
                yield f"{place}.reference", "what the Composition refers to itself is not in its document"


def _at(node: Node, path: list[str], place: str) -> Iterator[tuple[str, Node]]:
    """The elements that stand under a path, each with its place."""
    if not path:
        yield place, node
        return
    name, *below = path
    if isinstance(node.get(name), list):
        for number, one in enumerate(el.children(node, name)):
            yield from _at(one, below, f"{place}.{name}[{number}]")
    elif isinstance(node.get(name), dict):
        yield from _at(el.child(node, name), below, f"{place}.{name}")


def _bundle(node: Node) -> Said:
    if node.get("type") == "document":
        yield from _documented(node)
    if node.get("type") not in _UNADDRESSED:
        for number, entry in enumerate(el.children(node, "entry")):
            if "resource" in entry and not el.text(entry, "fullUrl"):
                yield f"entry[{number}].fullUrl", "an entry without its address"
    for number, entry in enumerate(el.children(node, "entry")):
        yield from _addressed(number, entry)
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
