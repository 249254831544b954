"""Spoils a sound sample, one member at a time, and says which requirements notice.

`python -m tests.conformance.mutating` writes `mutants.toml` anew: read what has changed there before it is kept.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from tests.conformance.test_emitted import EMITTED, PACK
from tests.wire.made import MANIFEST

from isthmus.conformance.evidence import kos_node
from isthmus.conformance.requirement import Kind, examine
from isthmus.dicom import tags
from isthmus.fhir.elements import Node
from isthmus.wire.kos import write_kos

TABLE = Path(__file__).with_name("mutants.toml")
SOUND = ("search", "patient", "several patients", "manifest", "report", "capability", "smart", "studies")
SPOILT = "spoilt"
_TAG = re.compile(r"[0-9A-F]{8}")
Path_ = tuple[str | int, ...]
Noticed = frozenset[str]


def samples() -> dict[str, tuple[Kind, Node]]:
    """Sound resources of every kind that crosses."""
    told: dict[str, tuple[Kind, Node]] = {name: (EMITTED[name][0], orjson.loads(EMITTED[name][1])) for name in SOUND}
    return told | {"key object selection": (Kind.KOS, kos_node(write_kos(MANIFEST, PACK)))}


def members(node: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Every member, from the root downwards."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield (*at, name)
            yield from members(value, (*at, name))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from members(value, (*at, number))


def general(root: Node, path: Path_) -> str:
    """A path without its numbers: an entry by its resource's type, an extension by its last word."""
    node: Any = root
    words: list[str] = []
    for step in path:
        node = node[step]
        if isinstance(step, str):
            words.append(tags.name_of(int(step, 16)) if _TAG.fullmatch(step) else step)
        elif isinstance(node, dict) and isinstance(node.get("resource"), dict):
            words[-1] += f"[{node['resource'].get('resourceType')}]"
        elif isinstance(node, dict) and words[-1] == "extension":
            words[-1] += f"[{str(node.get('url')).rpartition('/')[2]}]"
    return ".".join(words)


def deleted(root: Node, path: Path_) -> Node:
    """The same without one member, or one item of a list."""
    changed = copy.deepcopy(root)
    del _holder(changed, path)[path[-1]]
    return changed


def _holder(root: Any, path: Path_) -> Any:
    for step in path[:-1]:
        root = root[step]
    return root


def mutants(kind: Kind, root: Node) -> dict[str, dict[str, set[Noticed]]]:
    """For each general path: what is noticed when the member is deleted, and when its value is another."""
    table: dict[str, dict[str, set[Noticed]]] = {}
    for path in members(root):
        row = table.setdefault(general(root, path), {"deleted": set(), "spoilt": set()})
        changed = [("deleted", deleted(root, path))]
        if isinstance(_holder(root, path)[path[-1]], str):
            spoilt = copy.deepcopy(root)
            _holder(spoilt, path)[path[-1]] = SPOILT
            changed.append(("spoilt", spoilt))
        for how, node in changed:
            row[how].add(frozenset(finding.requirement for finding in examine(kind, node, PACK)))
    return table


def written(noticed: set[Noticed]) -> str:
    """One set of ids for each place where a path occurs; `-` where nothing is noticed."""
    return "; ".join(sorted(" ".join(sorted(ids)) or "-" for ids in noticed))


def rows(sample: str) -> dict[str, str]:
    """The rows of one sample that somebody notices."""
    kind, root = samples()[sample]
    told = {
        f"{how} {path}": written(noticed) for path, row in mutants(kind, root).items() for how, noticed in row.items()
    }
    return {row: noticed for row, noticed in told.items() if noticed not in ("", "-")}


def table() -> dict[str, dict[str, str]]:
    """What was expected when the table was last read."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    lines = [
        "# What is noticed when one member of a sound sample is deleted or spoilt. Written by mutating.py; read before it is kept."
    ]
    for name in samples():
        lines += ["", f'["{name}"]', *(f'"{path}" = "{noticed}"' for path, noticed in rows(name).items())]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
