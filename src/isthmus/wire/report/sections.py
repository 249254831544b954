"""Sections, read as they stand: every one, known or not, with its words. Source: REP-08, REP-23."""

from __future__ import annotations

from collections.abc import Iterator

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.report.document import Section
from isthmus.wire.described import first_code
from isthmus.wire.report.binding import Opened, read_concept

_DEEP = 8


def read_sections(opened: Opened) -> tuple[Section, ...]:
    """Read the sections in order; without a Composition what the DiagnosticReport concludes is one."""
    if opened.composition:
        return tuple(_section(node, opened, 0) for node in el.children(opened.composition, "section"))
    conclusion = el.text(opened.diagnostic, "conclusion")
    lines = [conclusion] if conclusion else []
    lines += [line for node in opened.closed.follow(opened.diagnostic, "result") for line in said(node)]
    return (Section("Report", None, el.text(opened.diagnostic, "text", "div"), tuple(lines)),) if lines else ()


def _section(node: Node, opened: Opened, depth: int) -> Section:
    narrative = el.text(node, "text", "div")
    notes = [
        text
        for extension in el.children(node, "extension")
        if (text := el.text(extension, "valueAnnotation", "text")) is not None
    ]
    entries = (opened.closed.find(reference, opened.composition) for reference in el.children(node, "entry"))
    spoken = [line for entry in entries if entry is not None for line in said(entry)] if narrative is None else []
    code = first_code(el.codings(node, "code"))
    empty = read_concept(node, "emptyReason")
    inner = el.children(node, "section") if depth < _DEEP else []
    return Section(
        title=el.text(node, "title") or el.text(node, "code", "text") or (code.display or code.code if code else ""),
        code=code,
        narrative=narrative,
        lines=(*notes, *spoken),
        empty_reason=empty,
        sections=tuple(_section(one, opened, depth + 1) for one in inner),
    )


def said(node: Node) -> Iterator[str]:
    """What a resource says, in a line: its name and its value; then its components and notes."""
    name = read_concept(node, "code")
    value = _value(node) or el.text(node, "description")
    if name or value:
        yield ": ".join(part for part in (name.text if name else None, value) if part)
    for component in el.children(node, "component"):
        yield from said(component)
    for note in el.children(node, "note"):
        if text := el.text(note, "text"):
            yield text


def _value(node: Node) -> str | None:
    coded = read_concept(node, "valueCodeableConcept")
    if coded is not None:
        return coded.text
    quantity = el.child(node, "valueQuantity")
    if "value" in quantity:
        return f"{quantity['value']} {el.text(quantity, 'unit') or el.text(quantity, 'code') or ''}".strip()
    for name in ("valueString", "valueDateTime", "valueBoolean", "valueInteger"):
        if isinstance(node.get(name), str | bool | int):
            return str(node[name])
    return None
