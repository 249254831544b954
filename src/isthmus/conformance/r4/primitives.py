"""Primitive values of R4: of the right kind of JSON, and written as their type wants it. What is said of a value never quotes it.

Source: R4 datatypes; R4 narrative.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date
from functools import cache
from typing import Any, Final

import re2

from isthmus.conformance.r4.definitions import primitives
from isthmus.errors import IsthmusError
from isthmus.originals.cda.tree import read_tree

MAX_TEXT: Final = 1024 * 1024
_BASE64: Final = re2.compile(r"[A-Za-z0-9+/]*={0,2}")
_FULL_DATE: Final = re2.compile(r"(\d{4})-(\d\d)-(\d\d)(T.*)?")
_RANGES: Final = {"integer": (-(2**31), 2**31 - 1), "unsignedInt": (0, 2**31 - 1), "positiveInt": (1, 2**31 - 1)}
_DATES: Final = ("date", "dateTime", "instant")
_URNS: Final = {"urn:oid:": "oid", "urn:uuid:": "uuid"}
_XHTML: Final = "{http://www.w3.org/1999/xhtml}"
_XML: Final = "{http://www.w3.org/XML/1998/namespace}"
_ELEMENTS: Final = frozenset(
    re.findall(
        r"\w+",
        "p br div h1 h2 h3 h4 h5 h6 a span b em i strong small big tt dfn q var abbr acronym cite blockquote hr address bdo kbd del "
        "ins sub sup code samp pre table caption colgroup col thead tbody tfoot tr th td ul ol li dl dt dd img center strike s u map "
        "area section article aside figure figcaption header footer nav",
    )
)
_ATTRIBUTES: Final = frozenset(
    re.findall(
        r"\w+",
        "title style class id lang dir accesskey tabindex span width align valign char charoff abbr axis headers scope rowspan colspan "
        "href hreflang rel rev type charset shape coords name src alt longdesc height usemap ismap cite datetime summary border frame "
        "rules cellspacing cellpadding start value compact nowrap target",
    )
)


def fault_of(type_: str, value: Any) -> str | None:
    """What is wrong with a value of this primitive type, in words; None where nothing is."""
    if type_ == "boolean":
        return None if isinstance(value, bool) else f"{kind_of(value)} where true or false belongs"
    if type_ in _RANGES:
        if not isinstance(value, int) or isinstance(value, bool):
            return f"{kind_of(value)} where a whole number belongs"
        low, high = _RANGES[type_]
        return None if low <= value <= high else f"a number that is no {type_}"
    if type_ == "decimal":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if number and math.isfinite(value) else f"{kind_of(value)} where a decimal number belongs"
    if not isinstance(value, str):
        return f"{kind_of(value)} where text belongs"
    return _text_fault(type_, value)


def kind_of(value: object) -> str:
    """The kind of a JSON value in words."""
    kinds: Mapping[type, str] = {
        bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object",
    }  # fmt: skip
    return kinds.get(type(value), "null")


def _text_fault(type_: str, value: str) -> str | None:
    if not value:
        return "empty text, which FHIR does not have"
    if type_ == "base64Binary":
        squeezed = "".join(value.split())
        good = squeezed and len(squeezed) % 4 == 0 and _BASE64.fullmatch(squeezed)
        return None if good else "text that is not base64"
    if len(value) > MAX_TEXT and type_ != "xhtml":
        return "text of more than 1 MiB"
    if type_ == "xhtml":
        return _xhtml_fault(value)
    pattern = _pattern(type_)
    if pattern is not None and pattern(value) is None:
        return f"text that is no {type_}"
    if type_ in _DATES and not _in_calendar(value):
        return "a day that no calendar has"
    if type_ in ("uri", "url", "canonical"):
        said = next((told for urn, told in _URNS.items() if value.startswith(urn)), None)
        if said is not None and (pattern := _pattern(said)) is not None and pattern(value) is None:
            return f"an address that begins like {said.upper()} and is none"
    return None


@cache
def _pattern(type_: str) -> Callable[[str], object] | None:
    written = primitives().get(type_)
    if not written or type_ in ("string", "markdown"):  # of those, what is not empty is well written
        return None
    match: Callable[[str], object] = re2.compile(written).fullmatch
    return match


def _in_calendar(value: str) -> bool:
    day = _FULL_DATE.fullmatch(value)
    if day is None:
        return True
    try:
        date(int(day[1]), int(day[2]), int(day[3]))
    except ValueError:
        return False
    return True


def _xhtml_fault(value: str) -> str | None:
    """What is wrong with a narrative: one div of XHTML with formatting alone, and something to read. Source: R4 txt-1, txt-2."""
    try:
        root = read_tree(value.encode("utf-8", "surrogatepass"))
    except IsthmusError:
        return "narrative that is no well-formed XHTML of its own"
    if root.tag != f"{_XHTML}div":
        return "narrative whose outermost element is not a div of XHTML"
    for element in root.iter():
        if not element.tag.startswith(_XHTML) or element.tag.removeprefix(_XHTML) not in _ELEMENTS:
            return "narrative with an element that narrative may not have (txt-1)"
        names = {name for name in element.attrib if not name.startswith(_XML)}
        if names - _ATTRIBUTES:
            return "narrative with an attribute that narrative may not have (txt-1)"
    pictures = root.find(f".//{_XHTML}img") is not None
    return None if pictures or "".join(root.itertext()).strip() else "narrative with nothing to read (txt-2)"
