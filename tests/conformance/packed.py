"""FHIR packages as they are published, made of a test's own definitions."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

Node = dict[str, Any]
MANIFEST: Node = {"name": "test.profiles", "version": "1.0.0", "fhirVersions": ["4.0.1"]}


def packed(
    path: Path, nodes: Iterable[Node], manifest: Node | None = MANIFEST, others: Mapping[str, bytes] | None = None
) -> Path:
    """A package with these definitions."""
    files = {f"package/{number:03}.json": orjson.dumps(node) for number, node in enumerate(nodes)}
    if manifest is not None:
        files["package/package.json"] = orjson.dumps(manifest)
    with tarfile.open(path, "w:gz") as archive:
        for name, data in (files | dict(others or {})).items():
            told = tarfile.TarInfo(name)
            told.size = len(data)
            archive.addfile(told, io.BytesIO(data))
    return path
