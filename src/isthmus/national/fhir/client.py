"""Asking a FHIR repository: searches to their last page, resources, and the bytes of a document.

What does not answer, answers with less than it counts, or leads elsewhere is an error; a shorter answer is never passed off as whole.
Everything stays below the address that the settings name.

Source: R4 search, R4 http; trust.md §2.8; field-faults F38, F41.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.fhir import bundles
from isthmus.fhir import elements as el
from isthmus.fhir.elements import MEDIA_TYPE, Node
from isthmus.sources import Source
from isthmus.transport.allowance import Allowance
from isthmus.transport.upstream import Parameters, Upstream

T = TypeVar("T")

ENTRIES_MAX, PAGES_MAX = 10_000, 1_000
DOCUMENT_MAX_BYTES = 64 << 20
LONG_BYTES = 1 << 20
GONE = (404, 410)
_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9\-.]{1,64}")
_OWN = re.compile(r"([A-Z][A-Za-z]+)/((?!\.{1,2}(?:/|$))[A-Za-z0-9\-.]{1,64})(/_history/[A-Za-z0-9\-.]{1,64})?")


class TooLargeThere(Exception):
    """A document is larger than what is ever passed on."""


class Elsewhere(Exception):
    """A document lies where nobody is led: outside the repository."""


class Client:
    """One repository. Raises NationalInfrastructureUnavailable for whatever is no answer."""

    def __init__(self, source: Source, path: Callable[[str], Path]) -> None:
        self.source = source
        self.base = source.url.rstrip("/")
        self._upstream = Upstream(source, path)

    async def search(self, kind: str, parameters: Parameters) -> list[Node]:
        """Every match of a search, each once, however many pages it has; what is included beside them, or has no id, is left out.

        All of it is within one allowance of time and bytes.
        """
        found: dict[str, Node] = {}
        cost = self._upstream.allowance()
        page = await self._bundle(kind, (*parameters, ("_count", str(self.source.page_size))), cost)
        asked: set[str] = set()
        total = el.number(page, "total")
        while True:
            for resource in _matches(page, kind, self.source.name):
                found.setdefault(el.text(resource, "id") or "", resource)
            following = bundles.link(page, "next")
            if following is None:
                break
            if following in asked or len(asked) >= PAGES_MAX or len(found) > ENTRIES_MAX:
                raise NationalInfrastructureUnavailable(f"{self.source.name} has pages without end")
            asked.add(following)
            page = await self._bundle(self._own(following), (), cost)
        if total is not None and total > len(found):
            raise NationalInfrastructureUnavailable(f"{self.source.name} lists fewer than it counts")
        return [resource for id_, resource in found.items() if _ID.fullmatch(id_)]

    async def read(self, kind: str, id_: str) -> Node | None:
        """A resource as it is now; None when it is not there any more."""
        reply = await self._upstream.get(f"{kind}/{id_}", accept=MEDIA_TYPE)
        if reply.status in GONE:
            return None
        self._check(reply.status)
        node = await _beside(reply.body, partial(el.read_resource, reply.body, kind, NationalInfrastructureUnavailable))
        if node.get("id") != id_:
            raise NationalInfrastructureUnavailable(f"{self.source.name} gives another {kind} than was asked for")
        return node

    async def content(self, url: str, media_type: str) -> bytes | None:
        """The bytes of a document, unwrapped where they came as Binary; None when they are not there any more.

        Raises Elsewhere, TooLargeThere.
        """
        accept = MEDIA_TYPE if media_type == MEDIA_TYPE else f"{media_type}, */*;q=0.1"
        try:
            address = self._own(url)
        except NationalInfrastructureUnavailable:
            raise Elsewhere from None
        async with self._upstream.stream(address, accept=accept, allowance=self._upstream.allowance()) as answer:
            if answer.status in GONE:
                return None
            self._check(answer.status)
            parts, size = [], 0
            async for chunk in answer.chunks():
                size += len(chunk)
                if size > DOCUMENT_MAX_BYTES:
                    raise TooLargeThere
                parts.append(chunk)
        body = b"".join(parts)
        return await _beside(body, partial(unwrapped, body))

    def own_reference(self, reference: str | None, kind: str) -> str | None:
        """The id that a reference names, when it is to a resource of this kind in this very repository."""
        if reference is None:
            return None
        if "://" in reference:
            place = bundles.below(self.base, reference)
            reference = place[0] if place is not None and not place[1] else ""
        match = _OWN.fullmatch(reference)
        return match[2] if match is not None and match[1] == kind else None

    async def close(self) -> None:
        await self._upstream.close()

    async def _bundle(self, path: str, parameters: Parameters, cost: Allowance) -> Node:
        reply = await self._upstream.get(path, parameters, accept=MEDIA_TYPE, allowance=cost)
        self._check(reply.status)
        bundle = await _beside(
            reply.body, partial(el.read_resource, reply.body, "Bundle", NationalInfrastructureUnavailable)
        )
        if bundle.get("type") != "searchset":
            raise NationalInfrastructureUnavailable(f"{self.source.name} does not answer a search with what was found")
        return bundle

    def _check(self, status: int) -> None:
        if status != 200:
            raise NationalInfrastructureUnavailable(f"{self.source.name} answers with status {status}")

    def _own(self, url: str) -> str:
        """A link as a whole address below the base. Raises NationalInfrastructureUnavailable for any other."""
        try:
            whole = urljoin(f"{self.base}/", url)
            if _is_below(whole, self.base):
                return whole.partition("#")[0]
        except ValueError:  # no address at all
            pass
        raise NationalInfrastructureUnavailable(f"{self.source.name} names an address that is not its own")


def _is_below(url: str, base: str) -> bool:
    """Whether an address is the base's or below it, by its parts; nothing in it climbs, and nobody's name is in it. Raises ValueError."""
    parts, root = urlsplit(url), urlsplit(base)
    same = (parts.scheme, parts.hostname, parts.port) == (root.scheme, root.hostname, root.port)
    inside = f"{parts.path.rstrip('/')}/".startswith(f"{root.path.rstrip('/')}/")
    segments = re.split(r"/|%2[fF]", re.sub("%2[eE]", ".", parts.path))
    named = parts.username is not None or parts.password is not None
    return same and inside and url.isprintable() and not named and not {".", ".."} & set(segments)


async def _beside(body: bytes, read: Callable[[], T]) -> T:
    """What is read of a body; of a long one beside the loop, which serves others meanwhile."""
    return read() if len(body) < LONG_BYTES else await asyncio.to_thread(read)


def _matches(bundle: Node, kind: str, name: str) -> list[Node]:
    """What was found on a page. Raises NationalInfrastructureUnavailable when the page itself tells of an error."""
    found = []
    for entry in el.children(bundle, "entry"):
        resource, mode = el.child(entry, "resource"), el.text(entry, "search", "mode") or "match"
        if resource.get("resourceType") == "OperationOutcome":
            if {el.text(issue, "severity") for issue in el.children(resource, "issue")} & {"fatal", "error"}:
                raise NationalInfrastructureUnavailable(f"{name} answers a search with an error")
        elif mode == "match" and resource.get("resourceType") == kind:
            found.append(resource)
        elif mode == "match" and not resource:
            raise NationalInfrastructureUnavailable(f"{name} lists what it does not give")
    return found


def unwrapped(body: bytes) -> bytes | None:
    """The bytes in a Binary resource; any other body as it is. None for a Binary without bytes. Source: R4 Binary."""
    if body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{" or b'"Binary"' not in body:
        return body
    node = el.read_object(body, NationalInfrastructureUnavailable)
    return el.binary(node, "data") if node.get("resourceType") == "Binary" else body
