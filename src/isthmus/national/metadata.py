"""Metadata of images as a PACS tells them, made into what this border gives: whose they are is looked at, bulk values are left out.

No more than a series is held, and no more than one instance of it is taken apart at a time. What leads into the country, the addresses and
AE titles at which the PACS has an instance, does not cross.

Source: PS3.18 §10.4.1.1.2, Annex F; wire.md §1.8 (WAD-14); trust.md T52.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Protocol, runtime_checkable

import msgspec
import orjson

from isthmus.archive.studies import Told
from isthmus.errors import ContentMismatch, NationalInfrastructureUnavailable
from isthmus.national import told as words
from isthmus.national.told import DicomJson, Held
from isthmus.sources import Source

INLINE_MAX: Final = 4096  # characters of a binary value
_WHERE: Final = frozenset(
    {"00080054", "00080056", "00081190", "00083002", "0040E010"}
)  # where the PACS has it, in which form
_PIXELS: Final = frozenset({"7FE00008", "7FE00009", "7FE00010"})
_TAG: Final = re.compile(r"[0-9A-F]{8}")


@runtime_checkable
class TellsMetadata(Protocol):
    """A `Pacs` that has metadata ready."""

    async def find_metadata(self, held: Held, series_instance_uid: str, sop_instance_uid: str | None) -> bytes:
        """DICOM JSON of the instances of a series, or of one: an array, bounded. Raises UnsupportedRequest where it has none."""


def described(body: bytes, held: Held, wanted: Sequence[Told], source: Source) -> list[bytes]:
    """The object of each instance wanted, in that order, without bulk values.

    Raises NationalInfrastructureUnavailable for fewer than are listed, ContentMismatch for another patient's or another study's.
    """
    names = {one.sop_instance_uid: one for one in wanted}
    found: dict[str, bytes] = {}
    try:
        for raw in msgspec.json.decode(body, type=list[msgspec.Raw]) if body.strip() else []:
            row: Any = orjson.loads(bytes(raw))
            told = names.get(words.uid(row, words.SOP_UID) or "")
            if told is not None:
                _check(row, held, told, source)
                found[told.sop_instance_uid] = orjson.dumps(_plain(row))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise NationalInfrastructureUnavailable(f"{source.name} answers with what is no DICOM JSON") from error
    if len(found) < len(wanted):
        raise NationalInfrastructureUnavailable(f"{source.name} lists {len(wanted)} and tells metadata of {len(found)}")
    return [found[one.sop_instance_uid] for one in wanted]


def _check(row: DicomJson, held: Held, told: Told, source: Source) -> None:
    """Whose and what it is. One that names no issuer is of whom its study's row says."""
    said, mine = words.patient_of(row, source), held.patient.identifier
    silent = words.text(row, words.ISSUER) is None and words.value(row, words.ISSUER_QUALIFIERS) is None
    same = (
        said is not None and said.identifier.value == mine.value and (silent or said.identifier.system == mine.system)
    )
    where = words.uid(row, words.STUDY_UID), words.uid(row, words.SERIES_UID)
    if not same or where != (held.study_instance_uid, told.series_instance_uid):
        raise ContentMismatch("a source told metadata of another instance, or of another patient, than was asked for")


def _plain(row: DicomJson) -> dict[str, Any]:
    """Without what is given by address, long, or about where it lies; in sequences too."""
    plain: dict[str, Any] = {}
    for tag, element in row.items():
        if _TAG.fullmatch(tag) is None or tag.startswith("0002") or tag in _WHERE | _PIXELS:
            continue
        if (
            not isinstance(element, dict)
            or "BulkDataURI" in element
            or len(element.get("InlineBinary", "")) > INLINE_MAX
        ):
            continue
        items = element.get("Value")
        if element.get("vr") == "SQ" and isinstance(items, list):
            element = {"vr": "SQ", "Value": [_plain(item) if isinstance(item, dict) else {} for item in items]}
        plain[tag] = element
    return plain
