"""Body part → the regions, of ten, that a manifest may name; and the code that the body part itself has.

The source's own table comes first, then the code, then the terms of Body Part Examined, then what the kind of examination alone
allows. What none of them knows is the entire body, and that is said: a region is never guessed from a description.

Source: PS3.16 Annex L (Body Part Examined); MADO, context group 1.3.6.1.4.1.19376.1.1.86.1; requirements.md §5.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from isthmus.model.codes import SNOMED, Code
from isthmus.model.queries import REGIONS
from isthmus.terminology.valuesets import load_valueset

ENTIRE_BODY: Final = "38266002"
_BREAST, _HEART, _HEAD = "76752008", "80891009", "774007"
_BY_MODALITY: Final = {
    "MG": _BREAST, "BMD": ENTIRE_BODY, "ECG": _HEART, "HD": _HEART, "IVUS": _HEART, "IO": _HEAD,
    "PX": _HEAD, "OP": _HEAD, "OPT": _HEAD, "OPM": _HEAD, "OAM": _HEAD, "OCT": _HEAD,
}  # fmt: skip
NO_TABLE: Final[Mapping[str, str]] = MappingProxyType({})


def find_regions(
    body_part: str | None,
    modality: str | None,
    table: Mapping[str, str] = NO_TABLE,
    body_site: Code | None = None,
) -> tuple[Code, ...]:
    """The regions of a body part as it stands in a file; empty when nobody tells them."""
    if body_part:
        own = {_bare(term): code for term, code in table.items()}.get(_bare(body_part))
        if own in REGIONS:
            return (REGIONS[own],)
    terms = _terms()
    found = terms.by_code.get(body_site.code, ()) if body_site is not None and body_site.system == SNOMED else ()
    if not found and body_part:
        found = terms.by_term.get(_bare(body_part), ())
    if not found and modality in _BY_MODALITY:
        found = (_BY_MODALITY[modality],)
    return tuple(REGIONS[code] for code in found)


def find_body_part(term: str | None) -> Code | None:
    """The code that a term of Body Part Examined stands for, however it is spelt; None for a word that is no such term."""
    return _terms().codes.get(_bare(term)) if term else None


class _Terms:
    """The shipped table, turned round: by term and by code."""

    def __init__(self) -> None:
        parts, regions = load_valueset("body-parts"), load_valueset("regions")
        self.codes = {term: concept.code for term, concept in parts.concepts.items()}
        self.codes |= {spelt: self.codes[term] for spelt, term in parts.more["spellings"].items()}
        self.by_code = {c.code.code: tuple(c.facts["regions"]) for c in parts.concepts.values()}
        self.by_code |= {code: (c.facts.get("same", code),) for code, c in regions.concepts.items()}
        self.by_term = {term: self.by_code[code.code] for term, code in self.codes.items()}
        self.by_term |= {word: (code,) for code, words in parts.more["regions"].items() for word in words}


@cache
def _terms() -> _Terms:
    return _Terms()


def _bare(term: str) -> str:
    """A term without what people put between its words: `C-Spine`, `C SPINE` and `CSPINE` are one."""
    return re.sub(r"[\s_\-./&,()]+", "", term).upper()
