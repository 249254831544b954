"""FHIR packages (`.tgz`): the profiles, value sets and code systems in them, found by their addresses.

A package is read in one pass, within bounds, and nothing of it is unpacked. One that is damaged, made to do harm, or of another FHIR
version is refused as a whole, with the reason. Source: R4; trust.md §2.9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson

from isthmus.errors import SettingsProblem
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.storage.members import PIECE_BYTES, Bounded, Unreadable, tar_members

MAX_MEMBER_BYTES: Final = 32 << 20
MAX_KEPT_BYTES: Final = 256 << 20
FOLDER: Final = "package/"
KINDS: Final = ("StructureDefinition", "ValueSet", "CodeSystem")
CORE: Final = ("hl7.fhir.r4.core", "hl7.fhir.core")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-_]{0,127}")
_CANONICAL: Final = re.compile(r"(?:https?://|urn:)[A-Za-z0-9][A-Za-z0-9.:/_\-~%#]{0,255}")
_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Definition:
    """One definition of a package, as written; read when it is asked for."""

    kind: str
    url: str
    version: str
    package: str
    body: bytes = field(repr=False)

    def node(self) -> Node:
        return _decoded(self.body)


@lru_cache(maxsize=512)
def _decoded(body: bytes) -> Node:
    return el.read_object(body, SettingsProblem)


@dataclass(frozen=True, slots=True)
class Package:
    """What one file holds."""

    name: str
    version: str
    dependencies: tuple[str, ...]
    definitions: tuple[Definition, ...]

    @property
    def label(self) -> str:
        return f"{self.name}#{self.version}"


class Packages:
    """Several packages as one: a definition that two of them have is taken from the one named first."""

    def __init__(self, held: Iterable[Package] = ()) -> None:
        self.held = tuple(held)
        self._by_url: dict[tuple[str, str], list[Definition]] = {}
        for package in self.held:
            for one in package.definitions:
                self._by_url.setdefault((one.kind, one.url), []).append(one)

    def find(self, kind: str, canonical: str) -> Definition | None:
        """The definition under an address: of the version after `|` when there is one of it, else the first."""
        url, _, version = canonical.partition("|")
        found = self._by_url.get((kind, url), [])
        return next((one for one in found if one.version == version), found[0] if found else None)

    def lacking(self, package: Package) -> str:
        """Which packages this one depends on that were not given."""
        here = {one.name for one in self.held} | set(CORE)
        away = [one for one in package.dependencies if one not in here]
        return ", ".join(away[:_SHOWN]) + (" …" if len(away) > _SHOWN else "")

    def doubled(self, package: Package) -> int:
        """How many definitions of this package an earlier one has too, under the same address."""
        return sum(self._by_url[(one.kind, one.url)][0].package != package.label for one in package.definitions)


def shown(canonical: str) -> str:
    """An address as far as it can be told: anything else may stand in its place."""
    return canonical if _CANONICAL.fullmatch(canonical.partition("|")[0]) and len(canonical) < 300 else "…"


def read_package(path: Path) -> Package:
    """Read a package. Raises SettingsProblem with what is wrong with it."""
    manifest: Node | None = None
    found: list[Node] = []
    bodies: list[bytes] = []
    kept = 0
    try:
        for name, data in _contents(path):
            node = _object(path, name, data)
            if name == "package.json":
                manifest = node
            elif node.get("resourceType") in KINDS and isinstance(node.get("url"), str):
                kept += len(data)
                if kept > MAX_KEPT_BYTES:
                    raise _refused(path, "definitions of more than 256 MiB")
                found.append({member: node.get(member) for member in ("resourceType", "url", "version", "fhirVersion")})
                bodies.append(data)
    except Unreadable as error:
        raise _refused(
            path, _WORDS.get(error.reason, error.reason) + (f" ({error.detail})" if error.detail else "")
        ) from error
    except OSError as error:
        raise _refused(path, f"cannot be read ({error.strerror})") from error
    if manifest is None:
        raise _refused(path, "no package/package.json: not a FHIR package")
    name, version = _identity(path, manifest)
    told = [
        Definition(str(one["resourceType"]), str(one["url"]), str(one.get("version") or ""), f"{name}#{version}", body)
        for one, body in zip(found, bodies, strict=True)
        if str(one.get("fhirVersion") or "4.0").startswith("4.0")
    ]
    depends = el.child(manifest, "dependencies")
    return Package(name, version, tuple(sorted(one for one in depends if _NAME.fullmatch(one))), tuple(told))


_WORDS: Final[Mapping[str, str]] = {
    "bomb": "it inflates beyond every bound",
    "bad-archive": "no archive that can be read",
    "too-many-members": "too many files in it",
    "path-outside": "a file in it leads outside",
    "link": "a file in it is a link",
}


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """The JSON files that stand in the folder `package` itself."""
    for member in tar_members(path):
        if member.reason is not None:
            raise Unreadable(member.reason)
        name = member.name.removeprefix("./").removeprefix(FOLDER)
        wanted = name.endswith(".json") and "/" not in name and not name.startswith(".")
        if member.stream is not None and wanted and member.name.removeprefix("./").startswith(FOLDER):
            yield name, _whole(member.stream)


def _whole(stream: Bounded) -> bytes:
    parts = bytearray()
    while piece := stream.read(PIECE_BYTES):
        parts += piece
        if len(parts) > MAX_MEMBER_BYTES:
            raise Unreadable("bomb", "a file of more than 32 MiB")
    return bytes(parts)


def _object(path: Path, name: str, data: bytes) -> Node:
    try:
        node: Any = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except (orjson.JSONDecodeError, RecursionError):
        node = None
    if not isinstance(node, dict):
        raise _refused(path, f"{name if _NAME.fullmatch(name) else 'a file in it'} is no JSON object")
    return node


def _identity(path: Path, manifest: Node) -> tuple[str, str]:
    """Name and version of a package of R4."""
    name, version = el.text(manifest, "name") or "", el.text(manifest, "version") or ""
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(version.replace("+", "-")):
        raise _refused(path, "package.json names no package and version")
    versions = el.texts(manifest, "fhirVersions") or el.texts(manifest, "fhir-version-list")
    if not any(one.startswith("4.0") for one in versions):
        told = ", ".join(one for one in versions[:_SHOWN] if _NAME.fullmatch(one))
        raise _refused(
            path, f"made for FHIR {told}, and R4 (4.0.1) is read" if told else "it does not say its FHIR version"
        )
    return name, version


def _refused(path: Path, words: str) -> SettingsProblem:
    return SettingsProblem(f"{path.name}: {words}", reason="usage")
