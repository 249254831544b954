"""The small file beside a report that says whose it is: `NAME.json` or `NAME.pdf.json` for NAME.pdf.

    {"patient": "urn:oid:2.999.1|4710260018", "studies": ["2.25.1234"], "accession_numbers": ["urn:oid:2.999.2|A1"],
     "title": "CT chest", "replaces": "urn:oid:2.999.3|R-17", "confidentiality": "R"}

Source: interfaces.md §2 (`--patient`, `--study`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import orjson

from isthmus.archive.reports import Envelope
from isthmus.archive.verdicts import Unreadable
from isthmus.errors import IsthmusError
from isthmus.model.confidentiality import label_of
from isthmus.model.identifiers import Identifier, PatientIdentifier, checked_uid

PARTS: Final = (".part", ".partial", ".tmp", ".filepart", ".crdownload", ".swp")
"""How the names of files end that are still being written."""

_KEYS: Final = frozenset({"patient", "studies", "accession_numbers", "title", "replaces", "confidentiality"})
_MOST: Final = 100
T = TypeVar("T")


def sidecar_names(name: str) -> tuple[str, ...]:
    """Under which names the sidecar of a document may lie."""
    stem, dot, _ = name.rpartition(".")
    return (f"{name}.json", *((f"{stem}.json",) if dot and stem else ()))


def is_sidecar(body: bytes) -> bool:
    """Whether a file is meant as one: an object with `patient` or `studies`, and no FHIR resource."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(said, dict) and "resourceType" not in said and bool(said.keys() & {"patient", "studies"})


def read_sidecar(body: bytes) -> Envelope:
    """Read what is said of a document. Raises Unreadable (bad-sidecar), naming the member and never its value."""
    said: Any = orjson.loads(body)
    unknown = sorted(said.keys() - _KEYS)
    if unknown:
        raise Unreadable("bad-sidecar", "an unknown member")
    try:
        return Envelope(
            patient=PatientIdentifier.read(_text(said, "patient")) if "patient" in said else None,
            studies=_list(said, "studies", checked_uid),
            accession_numbers=_list(said, "accession_numbers", Identifier.read),
            title=_text(said, "title")[:256] if "title" in said else None,
            replaces=Identifier.read(_text(said, "replaces")) if "replaces" in said else None,
            confidentiality=label_of(_text(said, "confidentiality")) if "confidentiality" in said else None,
        )
    except IsthmusError as error:
        raise Unreadable("bad-sidecar", error.message) from error


def _text(said: Any, name: str) -> str:
    value = said[name]
    if not isinstance(value, str) or not value:
        raise Unreadable("bad-sidecar", f"{name} is no text")
    return value


def _list(said: Any, name: str, read: Callable[[str], T]) -> tuple[T, ...]:
    values = said.get(name, [])
    if not isinstance(values, list) or len(values) > _MOST or not all(isinstance(value, str) for value in values):
        raise Unreadable("bad-sidecar", f"{name} is no list of texts")
    return tuple(read(value) for value in values)
