"""XML of others, as a tree: no document type, no entity of its own, nothing fetched, and bounds on size, depth and number.

Source: trust.md T72; XML 1.0; XML Names; field-faults F31.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from isthmus.errors import MalformedRequest, TooLarge

MAX_BYTES: Final = 16 << 20
MAX_DEPTH, MAX_ELEMENTS, MAX_ATTRIBUTES = 100, 200_000, 100


class _Found(Exception):  # not an error: the parser stops at it
    """The first element has been seen."""


def read_tree(data: bytes) -> Element:
    """Read a document; names are `{namespace}local`. Raises MalformedRequest, and TooLarge past a bound."""
    if len(data) > MAX_BYTES:
        raise TooLarge(f"XML documents have at most {MAX_BYTES >> 20} MiB")
    reader = _Reader()
    reader.feed(data)
    return reader.builder.close()


def root_name(data: bytes) -> str | None:
    """The expanded name of the first element; None when this is no XML that is read here."""
    reader = _Reader(first_only=True)
    try:
        reader.feed(data[:MAX_BYTES])
    except _Found as found:
        return str(found)
    except MalformedRequest:
        return None
    return None


class _Reader:
    def __init__(self, *, first_only: bool = False) -> None:
        self.builder, self.depth, self.elements, self.first_only = TreeBuilder(), 0, 0, first_only
        self.parser = parser = expat.ParserCreate(namespace_separator="}")
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = self.start, self.end
        parser.CharacterDataHandler = self.builder.data
        parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = _refuse
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

    def feed(self, data: bytes) -> None:
        try:
            self.parser.Parse(data, True)
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise MalformedRequest("no XML that can be read") from error

    def start(self, name: str, attributes: dict[str, str]) -> None:
        expanded = _expanded(name)
        if self.first_only:
            raise _Found(expanded)
        self.depth, self.elements = self.depth + 1, self.elements + 1
        if self.depth > MAX_DEPTH or self.elements > MAX_ELEMENTS or len(attributes) > MAX_ATTRIBUTES:
            raise TooLarge("the XML is nested too deep or has too many elements")
        self.builder.start(expanded, {_expanded(key): value for key, value in attributes.items()})

    def end(self, name: str) -> None:
        self.depth -= 1
        self.builder.end(_expanded(name))


def _expanded(name: str) -> str:
    return f"{{{name}" if "}" in name else name


def _refuse(*_: Any) -> NoReturn:
    raise MalformedRequest("XML with a document type is not read", path="DOCTYPE")
