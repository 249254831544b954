"""Narrative: XHTML made from words, everything escaped; and that of others, cleaned: structure and words, nothing that loads, links or acts.

Source: R4 narrative; trust.md §2.14 (htmx: `hx-*` and `data-*` never survive).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape, unescape

import nh3

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


TAGS = {
    *("p", "br", "hr", "div", "span", "blockquote", "pre", "b", "strong", "i", "em", "u", "sub", "sup"),
    *("ul", "ol", "li", "dl", "dt", "dd"),
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
}
_ATTRIBUTES = {"*": {"lang"}, "td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"}}
_CLEANER = nh3.Cleaner(
    tags=TAGS,
    attributes=_ATTRIBUTES,
    clean_content_tags={"script", "style", "title", "template", "svg", "math", "iframe", "object"},
    url_schemes=set(),
    link_rel=None,
    strip_comments=True,
    generic_attribute_prefixes=set(),
)
_TAG = re.compile(r"<[^>]*>")
_WELL_FORMED = {"<br>": "<br/>", "<hr>": "<hr/>", "&nbsp;": "&#160;"}


def cleaned(html: str) -> str:
    """The narrative of others as HTML that may stand beside words of ours: no link, no picture, no style, no class, no script.

    What HTML alone knows is written as XHTML writes it.
    """
    clean = _CLEANER.clean(_NO_XML.sub("", html))
    for html_only, both in _WELL_FORMED.items():
        clean = clean.replace(html_only, both)
    return clean


_WHOLE = re.compile(r'<div(?: lang="([^"]*)")?>(.*)</div>', re.DOTALL)
_DIV = re.compile(r"<(/?)div\b")


def inside(html: str, language: str | None) -> str:
    """Cleaned narrative without the one div that holds all of it, which whoever writes it anew puts around it; unless it is in another language."""
    whole = _WHOLE.fullmatch(html)
    if whole is None or (whole[1] or None) not in (None, language):
        return html
    depth = 0
    for tag in _DIV.finditer(whole[2]):
        depth += -1 if tag[1] else 1
        if depth < 0:  # the first div ends before: there are several
            return html
    return whole[2]


def words_in(html: str) -> str:
    """The words of cleaned narrative, in a line."""
    return " ".join(unescape(_TAG.sub(" ", html)).split())
