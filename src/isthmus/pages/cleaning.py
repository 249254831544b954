"""Foreign HTML, cleaned: what a report's narrative may keep is structure and words, nothing that loads, links or acts.

Source: trust.md §2.14 (htmx: `hx-*` and `data-*` never survive); R4 narrative.
"""

from __future__ import annotations

import nh3
from markupsafe import Markup

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


def clean(html: str) -> Markup:
    """The narrative as it may stand in a page of ours: no link, no picture, no style, no class, no script."""
    return Markup(_CLEANER.clean(html))  # noqa: S704  # cleaned the line above
