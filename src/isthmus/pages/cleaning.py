"""Foreign HTML, cleaned: what a report's narrative may keep is structure and words, nothing that loads, links or acts.

Source: trust.md §2.14 (htmx: `hx-*` and `data-*` never survive); R4 narrative.
"""

from __future__ import annotations

from markupsafe import Markup

from isthmus.fhir.narrative import cleaned


def clean(html: str) -> Markup:
    """The narrative as it may stand in a page of ours: no link, no picture, no style, no class, no script."""
    return Markup(cleaned(html))  # noqa: S704  # it is cleaned there
