"""Metadata of images: DICOM JSON without bulk values, of a study, a series or an instance. An offer per country; RAD-107's answers
hold the same.

Source: PS3.18 §10.4.1.1.2, Annex F; wire.md §1.8 (WAD-14); field-faults F23.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from isthmus.dicom.names import read_person_name
from isthmus.dicom.values import iso_date
from isthmus.errors import CountryMisanswered, MalformedRequest
from isthmus.model.identifiers import PatientIdentifier, checked_uid
from isthmus.model.people import HumanName
from isthmus.model.queries import ImagesQuery
from isthmus.wire.images import images_path

SERVICE = "imaging-metadata"
MEDIA_TYPE = "application/dicom+json"
_GENDERS = {"M": "male", "F": "female", "O": "other"}


def metadata_path(query: ImagesQuery) -> str:
    """The path below the DICOMweb base. Raises MalformedRequest for what is no UID."""
    return f"{images_path(query)}/metadata"


def read_uids(uids: Sequence[str]) -> ImagesQuery:
    """The study, series and instance that a path names. Raises MalformedRequest (uid)."""
    return ImagesQuery(
        *(checked_uid(uid, name) for uid, name in zip(uids, ("study", "series", "instances"), strict=False))
    )


@dataclass(frozen=True, slots=True)
class Told:
    """What one object says: its instance, whose it is, and the JSON itself, as it came."""

    uids: ImagesQuery
    identifier: PatientIdentifier | None
    names: tuple[HumanName, ...]
    birth_date: str | None
    gender: str | None
    json: bytes

    def __repr__(self) -> str:  # never in a log
        return "Told(…)"


def read_metadata(body: bytes) -> Iterator[Told]:
    """Read an answer, one instance after the other; an empty one is none. Raises CountryMisanswered.

    No more than one instance is taken apart at a time.
    """
    try:
        objects = msgspec.json.decode(body, type=list[msgspec.Raw]) if body.strip() else []
        for raw in objects:
            json = bytes(raw)
            yield _told(orjson.loads(json), json)
    except (MalformedRequest, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise CountryMisanswered("the metadata are no DICOM JSON", path="metadata") from error


def _told(said: dict[str, Any], json: bytes) -> Told:
    uids = [_first(said, tag) for tag in ("0020000D", "0020000E", "00080018")]
    issuer = _first(_first(said, "00100024") or {}, "00400032")
    number = _first(said, "00100020")
    identifier = PatientIdentifier(f"urn:oid:{issuer}", str(number)) if issuer and number else None
    return Told(
        ImagesQuery(*(checked_uid(uid if isinstance(uid, str) else "", "metadata") for uid in uids)),
        identifier,
        tuple(_names(_first(said, "00100010") or {})),
        iso_date(str(_first(said, "00100030") or "")),
        _GENDERS.get(str(_first(said, "00100040"))),
        json,
    )


def _first(said: dict[str, Any], tag: str) -> Any:
    element = said.get(tag)
    values = element.get("Value") if element is not None else None
    return values[0] if values else None


def _names(spellings: dict[str, Any]) -> Iterator[HumanName]:
    for spelling in spellings.values():
        for name in read_person_name(str(spelling))[:1]:
            if name.family or name.given:
                yield HumanName(name.family, tuple(name.given.split()))
