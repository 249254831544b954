"""Bundles: answers to a search, and documents with references that resolve inside.

Source: R4 bundle, searchset and document; R4 references; field-faults F29.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit
from uuid import NAMESPACE_OID, uuid5

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node

_REST = re.compile(r"(https?://.+/)[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")
_RELATIVE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")
_OUTCOME = f"urn:uuid:{uuid5(NAMESPACE_OID, 'urn:ncp:search-outcome')}"
_SAFE_PATH = re.compile(r"(/[A-Za-z0-9\-._~:@]+)+")


def searchset(entries: list[Node], *, total: int, self_link: str, next_link: str | None = None) -> Node:
    """An answer to a search: no id and no time of its own, so that equal answers are equal bytes."""
    links = [{"relation": "self", "url": self_link}]
    if next_link is not None:
        links.append({"relation": "next", "url": next_link})
    bundle: Node = {"resourceType": "Bundle", "type": "searchset", "total": total, "link": links}
    return bundle | ({"entry": entries} if entries else {})


def page(
    kind: str,
    found: list[tuple[str, Node]],
    *,
    base: str,
    asked: tuple[tuple[str, str], ...],
    cursors: tuple[str | None, str | None],
    total: int,
) -> Node:
    """One page of a search: id and resource of each match, and the links to this page and the next, the same for GET and POST.

    Source: CAP-11, CAP-12.
    """
    root = f"{base.rstrip('/')}/{kind}"
    here, following = (None if cursor is None else (*asked, ("_cursor", cursor)) for cursor in cursors)
    return searchset(
        [match(f"{root}/{id}", resource) for id, resource in found],
        total=total,
        self_link=f"{root}?{urlencode(here or asked)}",
        next_link=None if following is None else f"{root}?{urlencode(following)}",
    )


def match(full_url: str, resource: Node) -> Node:
    return {"fullUrl": full_url, "resource": resource, "search": {"mode": "match"}}


def outcome(resource: Node) -> Node:
    """An entry that says something of the search itself. Its address is a word of ours, the same each time. Source: CAP-12."""
    return {"fullUrl": _OUTCOME, "resource": resource, "search": {"mode": "outcome"}}


def link(bundle: Node, relation: str) -> str | None:
    return next(
        (el.text(item, "url") for item in el.children(bundle, "link") if item.get("relation") == relation), None
    )


def below(base: str, url: str) -> tuple[str, str] | None:
    """Path below the base, and query, of an address there; None for a foreign or ill-made one.

    Scheme, host, port and path are compared as parsed parts: a string prefix would let `…/fhir.evil` through. A relative
    address stands below the base.

    Source: trust.md §2.8; field-faults F41.
    """
    root = urlsplit(base)
    try:
        parts = urlsplit(url if "://" in url else f"{base.rstrip('/')}/{url}")
        same = (parts.scheme, parts.hostname, parts.port or _port(parts.scheme)) == (
            root.scheme,
            root.hostname,
            root.port or _port(root.scheme),
        )
    except ValueError:
        return None
    start = root.path.rstrip("/") + "/"
    plain = same and parts.username is None and parts.password is None and not parts.fragment
    if not plain or not parts.path.startswith(start) or not _SAFE_PATH.fullmatch(parts.path):
        return None
    if any(segment in (".", "..") for segment in parts.path.split("/")):
        return None
    return parts.path[len(start) :], parts.query


def _port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


class Closed:
    """The entries of a document, found by the references between them.

    An absolute reference is compared with fullUrl; a relative one is read from the root of the entry it stands in, when
    that entry has an address of its own. An id alone never matches. The case of a `urn:uuid:` does not count.
    """

    def __init__(self, bundle: Node) -> None:
        self._by_url: dict[str, Node] = {}
        self._url_of: dict[int, str] = {}
        self.resources: list[Node] = []
        for entry in el.children(bundle, "entry"):
            resource, url = el.child(entry, "resource"), el.text(entry, "fullUrl") or ""
            self.resources.append(resource)
            self._url_of[id(resource)] = url
            if url:
                self._by_url.setdefault(_normal(url), resource)

    def of_type(self, kind: str) -> list[Node]:
        return [resource for resource in self.resources if resource.get("resourceType") == kind]

    def full_url(self, resource: Node) -> str:
        return self._url_of.get(id(resource), "")

    def find(self, reference: Node, source: Node) -> Node | None:
        """The resource a Reference of `source` points to, when it is here."""
        target = (el.text(reference, "reference") or "").partition("/_history/")[0]
        if target.startswith("#"):
            inside = el.children(source, "contained")
            return next((resource for resource in inside if resource.get("id") == target[1:]), None)
        if _RELATIVE.fullmatch(target) and (root := _REST.fullmatch(self.full_url(source))):
            return self._by_url.get(root[1] + target)
        return self._by_url.get(_normal(target)) if target else None

    def follow(self, source: Node, name: str) -> Iterator[Node]:
        """The resources that the references under this name point to."""
        for reference in el.children(source, name):
            found = self.find(reference, source)
            if found is not None:
                yield found

    def follow_each(self, source: Node, name: str, member: str) -> Iterator[Node]:
        """The resources that this member of each object under this name points to."""
        for holder in el.children(source, name):
            found = self.find(el.child(holder, member), source)
            if found is not None:
                yield found


def _normal(url: str) -> str:
    return url.lower() if url[:9].lower() == "urn:uuid:" else url


def references(node: object) -> Iterator[Node]:
    """Every Reference with a literal target, wherever it stands."""
    if isinstance(node, dict):
        if isinstance(node.get("reference"), str):
            yield node
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)
