"""FHIR R4 ValueSet, CodeSystem and ConceptMap, one by one, in a Bundle or in a package: the MyHealth@EU value sets above all.

Other resources in a package are left out and counted. A document is read whole, within a bound.

Source: R4 ValueSet, CodeSystem, ConceptMap; requirements.md §5.8, §5.10.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any, Final

import msgspec
import orjson

from isthmus.storage.members import Member, Unreadable
from isthmus.terminology.conceptmaps import Faulty, kind_of, rows_of
from isthmus.terminology.packages.release import VALUE_SETS, Found, Named, Readable, Release, language_of, named

DOCUMENT_MAX_BYTES: Final = 64 << 20
ADDRESS_PARTS: Final = 2  # scheme and what is between it and the host: no address by themselves
PACKAGE: Final = "package.json"


class _Designation(msgspec.Struct):
    value: str
    language: str | None = None


class _Concept(msgspec.Struct):
    code: str
    display: str | None = None
    designation: list[_Designation] = []
    concept: list[_Concept] = []


class _Contains(msgspec.Struct):
    system: str | None = None
    code: str | None = None
    display: str | None = None
    designation: list[_Designation] = []
    contains: list[_Contains] = []


class _Include(msgspec.Struct):
    system: str | None = None
    concept: list[_Concept] = []


class _Compose(msgspec.Struct):
    include: list[_Include] = []


class _Expansion(msgspec.Struct):
    contains: list[_Contains] = []


class _ValueSet(msgspec.Struct):
    url: str = ""
    version: str = ""
    language: str = "en"
    compose: _Compose | None = None
    expansion: _Expansion | None = None


class _CodeSystem(msgspec.Struct):
    url: str
    version: str = ""
    language: str = "en"
    concept: list[_Concept] = []


class _Entry(msgspec.Struct):
    resource: msgspec.Raw = msgspec.Raw(b"{}")


class _Bundle(msgspec.Struct):
    entry: list[_Entry] = []


class _Head(msgspec.Struct):
    resourceType: str = ""


def read_resources(members: Iterable[Member], release: Release, file: str) -> Found:
    """What the resources call codes, and what they map. Raises Unreadable."""
    release.kind = VALUE_SETS
    urls: dict[str, None] = {}
    versions: dict[str, None] = {}
    package: tuple[str, str] | None = None
    for member in members:
        if member.stream is None or not member.name.endswith(".json"):
            release.skip("other files")
            continue
        raw = _whole(member.stream, member.name)
        if member.name.rpartition("/")[2] == PACKAGE and not _decoded(raw, _Head, member.name).resourceType:
            package = _package(raw, member.name)
            continue
        for where, resource, kind in _resources(raw, member.name):
            read = _READ.get(kind)
            if read is None:
                release.skip(f"{kind or 'JSON of no'} resources")
                continue
            for found in read(resource, where):
                if isinstance(found, tuple):
                    urls[found[0]], versions[found[1]] = None, None
                else:
                    yield found
    release.name, release.version = package or (_common(urls) or file, ", ".join(filter(None, list(versions)[:3])))


def _whole(stream: Readable, where: str) -> bytes:
    body = bytearray()
    while piece := stream.read(1 << 20):
        body += piece
        if len(body) > DOCUMENT_MAX_BYTES:
            raise Unreadable("too-large", f"{where}: larger than {DOCUMENT_MAX_BYTES >> 20} MiB")
    return bytes(body.removeprefix(b"\xef\xbb\xbf"))


def _decoded(raw: bytes | msgspec.Raw, kind: Any, where: str) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable("bad-resource", f"{where}: {error}") from error


def _resources(raw: bytes, where: str) -> Iterator[tuple[str, bytes | msgspec.Raw, str]]:
    kind = _decoded(raw, _Head, where).resourceType
    if kind != "Bundle":
        yield where, raw, kind
        return
    for number, entry in enumerate(_decoded(raw, _Bundle, where).entry, 1):
        at = f"{where}, entry {number}"
        yield at, entry.resource, _decoded(entry.resource, _Head, at).resourceType


_About = tuple[str, str]  # canonical address and version


def _valueset(raw: bytes | msgspec.Raw, where: str) -> Iterator[Named | _About]:
    held = _decoded(raw, _ValueSet, where)
    yield held.url, held.version
    for include in held.compose.include if held.compose else []:
        for concept in include.concept:
            yield from _names(include.system, concept.code, held.language, concept.display, concept.designation)
    waiting = list(held.expansion.contains) if held.expansion else []
    while waiting:
        one = waiting.pop()
        waiting += one.contains
        yield from _names(one.system, one.code, held.language, one.display, one.designation)


def _codesystem(raw: bytes | msgspec.Raw, where: str) -> Iterator[Named | _About]:
    held = _decoded(raw, _CodeSystem, where)
    yield held.url, held.version
    waiting = list(held.concept)
    while waiting:
        one = waiting.pop()
        waiting += one.concept
        yield from _names(held.url, one.code, held.language, one.display, one.designation)


def _conceptmap(raw: bytes | msgspec.Raw, where: str) -> Iterator[Any]:
    """A map to a value set that is known for a kind of code maps; any map says what its codes are called."""
    try:
        body = orjson.loads(raw)
        yield str(body.get("url") or ""), str(body.get("version") or "")
        if not kind_of(body):
            return
        yield from rows_of(body)
    except Faulty as fault:
        raise Unreadable("bad-map", f"{where}, {fault.where}: {fault.what}") from fault
    except ValueError as error:
        raise Unreadable("bad-resource", f"{where}: {error}") from error


_READ: Final[dict[str, Any]] = {"ValueSet": _valueset, "CodeSystem": _codesystem, "ConceptMap": _conceptmap}


def _names(
    system: str | None, code: str | None, language: str, display: str | None, designations: list[_Designation]
) -> Iterator[Named]:
    if not system or not code:
        return
    for tag, words in ((language, display or ""), *((d.language or language, d.value) for d in designations)):
        known = language_of(tag)
        if known and (found := named(system, code, known, words)) is not None:
            yield found


def _package(raw: bytes, where: str) -> tuple[str, str]:
    class Package(msgspec.Struct):
        name: str
        version: str

    held = _decoded(raw, Package, where)
    return held.name, held.version


def _common(urls: Iterable[str]) -> str:
    """What one resource is called, or the folder that all lie in."""
    held = [url for url in urls if url]
    if len(held) < 2:
        return held[0] if held else ""
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*(url.split("/") for url in held), strict=False))
    parts = [parts[0] for parts in shared]
    return "/".join(parts) if len(parts) > ADDRESS_PARTS else ""
