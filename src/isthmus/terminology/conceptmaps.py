"""FHIR ConceptMaps as tables of national codes: one, or a Bundle of them.

What kind of code a map is for is told by the value set it maps to. A target that would say more than the code at home did is refused: a
map in doubt maps nothing.

Source: R4 ConceptMap; requirements.md §5.10.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from isthmus.model.codes import Code
from isthmus.terminology.rows import BODY_PART, PROCEDURE, REGION, Row
from isthmus.terminology.valuesets import load_valueset

_MVC: Final = "http://terminology.ehdsi.eu/ValueSet/"
TARGETS: Final[Mapping[str, str]] = {
    "http://hl7.eu/fhir/imaging/ValueSet/im-procedure-type": PROCEDURE,
    f"{_MVC}eHDSIProcedure": PROCEDURE,
    f"{_MVC}eHDSIBodySite": BODY_PART,
    load_valueset("body-parts").canonical: BODY_PART,
    load_valueset("regions").canonical: REGION,
}
TAKEN: Final = frozenset({"relatedto", "equivalent", "equal", "wider", "subsumes"})
LEFT: Final = frozenset({"unmatched", "disjoint"})


class Faulty(Exception):
    """What is wrong with a map, and where in it."""

    def __init__(self, what: str, where: str = "") -> None:
        super().__init__(what)
        self.what, self.where = what, where


def read_maps(raw: bytes) -> tuple[list[Row], str]:
    """The rows of a ConceptMap, or of all in a Bundle, and their versions. Raises Faulty."""
    try:
        body = orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        raise Faulty(f"no JSON: {error}") from error
    maps = [body]
    if isinstance(body, dict) and body.get("resourceType") == "Bundle":
        maps = [one.get("resource") for one in _nodes(body, "entry", "Bundle")]
    rows = [row for number, one in enumerate(maps, 1) for row in _map(one, "" if len(maps) == 1 else f"map {number}, ")]
    versions = dict.fromkeys(str(one.get("version") or "") for one in maps if isinstance(one, dict))
    if not rows:
        raise Faulty("it maps no code")
    return rows, ", ".join(filter(None, versions))


def kind_of(body: Mapping[str, Any]) -> str:
    """The kind of code that a map is for; "" for a map to another value set."""
    target = str(body.get("targetCanonical") or body.get("targetUri") or "").partition("|")[0]
    return TARGETS.get(target, "")


def rows_of(body: Any) -> Iterator[Row]:
    """The rows of one ConceptMap. Raises Faulty."""
    return _map(body, "")


def _map(body: Any, before: str) -> Iterator[Row]:
    if not isinstance(body, dict) or body.get("resourceType") != "ConceptMap":
        raise Faulty("no ConceptMap, and no Bundle of them", before.rstrip(", "))
    kind = kind_of(body)
    if not kind:
        raise Faulty(f"targetCanonical is one of {', '.join(TARGETS)}", before.rstrip(", "))
    for number, group in enumerate(_nodes(body, "group", f"{before}group"), 1):
        system, at = str(group.get("target") or ""), f"{before}group {number}"
        if ":" not in system:
            raise Faulty("target, the system that it maps to, is a URI", at)
        if "unmapped" in group:
            raise Faulty("a mode for what is unmapped is not read: every code stands by itself", at)
        for row, element in enumerate(_nodes(group, "element", f"{at}, element"), 1):
            yield from _element(kind, str(group.get("source") or ""), system, element, f"{at}, element {row}")


def _element(kind: str, source: str, system: str, element: dict[str, Any], at: str) -> Iterator[Row]:
    code = _text(element, "code", at)
    for target in _nodes(element, "target", at):
        relation = target.get("equivalence")
        if relation in LEFT:
            continue
        if relation not in TAKEN:
            raise Faulty(f"equivalence {relation!r} would say other or more than the code does", at)
        if target.get("dependsOn"):
            raise Faulty("a target that depends on other elements is not read", at)
        display = target.get("display")
        named = Code(system, _text(target, "code", at), display if isinstance(display, str) else None)
        yield Row(kind, source, code, named, str(element.get("display") or ""), place=at)


def _text(node: dict[str, Any], name: str, at: str) -> str:
    value = node.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Faulty(f"{name} is needed", at)
    return value.strip()


def _nodes(node: dict[str, Any], name: str, at: str) -> list[dict[str, Any]]:
    held = node.get(name, [])
    if not isinstance(held, list) or not all(isinstance(one, dict) for one in held):
        raise Faulty(f"{name} is no list of objects", at)
    return held
