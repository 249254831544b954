"""What manifests and reports share: the frame of a document, and references that stay inside."""

from __future__ import annotations

from collections.abc import Iterator

from isthmus.fhir import elements as el
from isthmus.fhir.bundles import Closed, references
from isthmus.fhir.elements import Node


def document_faults(node: Node) -> Iterator[str]:
    """The frame of a document Bundle. Source: R4 bdl-1, bdl-9 to bdl-11; EUI; EUM."""
    if node.get("type") != "document":
        yield "Bundle.type"
    if not el.text(node, "identifier", "system") or not el.text(node, "identifier", "value"):
        yield "Bundle.identifier"
    if not el.text(node, "timestamp"):
        yield "Bundle.timestamp"
    if "total" in node:
        yield "Bundle.total"
    entries = el.children(node, "entry")
    if el.text(el.child(node, "entry"), "resource", "resourceType") != "Composition":
        yield "Bundle.entry[0]"
    for entry in entries:
        if not el.text(entry, "fullUrl") or not el.child(entry, "resource"):
            yield "Bundle.entry"
        yield from (f"Bundle.entry.{n}" for n in ("search", "request", "response", "link") if n in entry)
    urls = [el.text(entry, "fullUrl") for entry in entries]
    if len(urls) != len(set(urls)):
        yield "Bundle.entry.fullUrl"


def closure_faults(node: Node) -> Iterator[str]:
    """References that nothing answers, and entries that the Composition does not reach, forwards or backwards."""
    closed = Closed(node)
    linked: dict[int, set[int]] = {id(resource): set() for resource in closed.resources}
    for resource in closed.resources:
        for reference in references(resource):
            target = closed.find(reference, resource)
            if target is None:
                yield f"{resource.get('resourceType')}: reference"
            elif id(target) in linked:
                linked[id(resource)].add(id(target))
                linked[id(target)].add(id(resource))
    reached: set[int] = set()
    waiting = [id(resource) for resource in closed.of_type("Composition")]
    while waiting:
        one = waiting.pop()
        if one not in reached:
            reached.add(one)
            waiting += linked[one]
    yield from (f"{r.get('resourceType')}: not reached" for r in closed.resources if id(r) not in reached)
