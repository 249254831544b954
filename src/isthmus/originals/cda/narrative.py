"""The narrative of a CDA section as XHTML that is made here: words and structure, no address, no picture, no script, no style.

Source: CDA R2 §4.3.5 (narrative block); R4 narrative; trust.md D14.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from xml.etree.ElementTree import Element

from isthmus.fhir.narrative import words as escaped
from isthmus.originals.cda.elements import V3

_TAGS: Final[Mapping[str, str]] = {
    **{name: name for name in ("table", "thead", "tbody", "tfoot", "tr", "th", "td", "br", "sub", "sup", "caption")},
    "paragraph": "p",
    "item": "li",
    "content": "span",
}
_WITHIN_TABLE: Final = frozenset({"table", "thead", "tbody", "tfoot", "tr"})
_STYLES: Final[Mapping[str, str]] = {"bold": "b", "italics": "i", "underline": "u", "emphasis": "i"}
_BLOCKS: Final = frozenset(f"{V3}{name}" for name in ("paragraph", "item", "tr", "caption", "list", "table"))
_LEFT_OUT: Final = frozenset(f"{V3}{name}" for name in ("renderMultiMedia", "footnoteRef", "col", "colgroup"))


def xhtml(text: Element) -> str:
    """The content of a narrative block; empty where it says nothing."""
    return "".join(_pieces(text, "")) if "".join(text.itertext()).strip() else ""


def _pieces(node: Element, inside: str) -> Iterator[str]:
    """What stands in an element. Blank text between the parts of a table stays out: nothing may stand there."""
    if node.text and (node.text.strip() or inside not in _WITHIN_TABLE):
        yield escaped(node.text)
    for child in node:
        yield from _element(child, inside)
        if child.tail and (child.tail.strip() or inside not in _WITHIN_TABLE):
            yield escaped(child.tail)


def _element(node: Element, inside: str) -> Iterator[str]:
    name = node.tag.removeprefix(V3)
    if node.tag in _LEFT_OUT:
        return
    tag = _TAGS.get(name, "")
    if name == "list":
        tag = "ol" if (node.get("listType") or "").lower() == "ordered" else "ul"
    elif name == "caption" and inside != "table":
        tag = "b"
    elif name == "br":
        yield "<br/>"
        return
    styles = [_STYLES[style] for word in (node.get("styleCode") or "").lower().split() if (style := word) in _STYLES]
    opened = ([tag + _spans(node, tag)] if tag else []) + (styles if tag == "span" or not tag else [])
    yield "".join(f"<{one}>" for one in opened)
    yield from _pieces(node, tag or inside)
    yield "".join(f"</{one.partition(' ')[0]}>" for one in reversed(opened))


def _spans(node: Element, tag: str) -> str:
    """How many columns and rows a cell takes, where that is a small number."""
    if tag not in ("td", "th"):
        return ""
    kept = ((name, node.get(name) or "") for name in ("colspan", "rowspan"))
    return "".join(f' {name}="{int(value)}"' for name, value in kept if value.isdecimal() and 0 < int(value) < 1000)


def lines(text: Element) -> list[str]:
    """The words alone: a line for each paragraph, item and row, without headings of paragraphs."""
    return [line for line in _lines(text) if line]


def _lines(node: Element) -> Iterator[str]:
    if node.tag == f"{V3}tr":
        yield " · ".join(filter(None, (_flat(cell) for cell in node)))
        return
    if not any(inner.tag in _BLOCKS for inner in node.iter() if inner is not node):
        yield _flat(node)
        return
    yield " ".join((node.text or "").split())
    for child in node:
        if child.tag != f"{V3}caption":
            yield from _lines(child)
        yield " ".join((child.tail or "").split())


def _flat(node: Element) -> str:
    return " ".join("".join(node.itertext()).split())


def by_id(text: Element) -> dict[str, str]:
    """The words that entries refer to, by their id."""
    return {name: _flat(one) for one in text.iter() if (name := one.get("ID"))}
