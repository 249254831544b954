"""What a CDA document says: its sections in order as plain lines, or the PDF that one of level 1 holds.

Nothing of the markup is kept: paragraphs, list items and table rows become lines.

Source: CDA R2 §4.3; field-faults F31; trust.md D14.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Final
from xml.etree.ElementTree import Element

from isthmus.errors import MalformedRequest
from isthmus.originals.cda.header import presented_form
from isthmus.originals.cda.tree import read_tree
from isthmus.originals.recognise import CDA_ROOT

_V3: Final = "{urn:hl7-org:v3}"
_LINES: Final = frozenset(f"{_V3}{name}" for name in ("paragraph", "item", "tr", "caption"))
_LOINC: Final = "2.16.840.1.113883.6.1"


def read_body(data: bytes) -> dict[str, Any]:
    """`form` (media type and base64, or None) and `sections`. Raises MalformedRequest, TooLarge."""
    root, form = read_tree(data), presented_form(data)
    if root.tag != CDA_ROOT:
        raise MalformedRequest("no CDA document")
    return {
        "form": None if form is None else [form[0], b64encode(form[1]).decode()],
        "sections": [
            _section(one) for one in root.iterfind(f"{_V3}component/{_V3}structuredBody/{_V3}component/{_V3}section")
        ],
    }


def _section(node: Element) -> dict[str, Any]:
    code, title, text = node.find(f"{_V3}code"), node.find(f"{_V3}title"), node.find(f"{_V3}text")
    loinc = code is not None and code.get("codeSystem") == _LOINC
    return {
        "code": code.get("code") if code is not None and loinc else None,
        "title": _words(title) if title is not None else "",
        "lines": [line for line in _lines(text) if line] if text is not None else [],
        "sections": [_section(one) for one in node.iterfind(f"{_V3}component/{_V3}section")],
    }


def _lines(node: Element) -> Iterator[str]:
    """The text by its lines; what stands between them is a line of its own."""
    if node.tag == f"{_V3}tr":
        yield " · ".join(filter(None, (_words(cell) for cell in node)))
        return
    if not any(inner.tag in _LINES for inner in node.iter() if inner is not node):
        yield _words(node)
        return
    yield " ".join((node.text or "").split())
    for child in node:
        yield from _lines(child)
        yield " ".join((child.tail or "").split())


def _words(node: Element) -> str:
    return " ".join("".join(node.itertext()).split())
