"""Narrative: XHTML made from words, everything escaped.

Source: R4 narrative.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from isthmus.fhir.elements import Node

_NO_XML = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")
XHTML = "http://www.w3.org/1999/xhtml"


def narrative(content: str, language: str | None = None) -> Node:
    """A generated narrative around XHTML content."""
    spoken = f' lang="{escape(language)}" xml:lang="{escape(language)}"' if language else ""
    return {"status": "generated", "div": f'<div xmlns="{XHTML}"{spoken}>{content}</div>'}


def paragraphs(lines: Iterable[str]) -> str:
    return "".join(f"<p>{words(line)}</p>" for line in lines if line)


def items(lines: Iterable[str]) -> str:
    content = "".join(f"<li>{words(line)}</li>" for line in lines if line)
    return f"<ul>{content}</ul>" if content else ""


def facts(pairs: Iterable[tuple[str, str | None]]) -> str:
    """A table of what is known; what is not known is left out."""
    rows = "".join(f"<tr><th>{words(name)}</th><td>{words(value)}</td></tr>" for name, value in pairs if value)
    return f"<table><tbody>{rows}</tbody></table>"


def words(text: str) -> str:
    """Escape, without characters that XML does not have. Source: XML 1.0 §2.2."""
    return escape(_NO_XML.sub("", text), quote=True)
