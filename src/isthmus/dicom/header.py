"""The header of an instance: the values an index, a manifest and a filter need, without loading pixels.

Start at `read_header`. `collect` is the part shared with `scan.py`: it walks once and keeps the wanted values.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from isthmus.dicom import tags
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.names import PersonName, read_person_name
from isthmus.dicom.part10 import FileMeta, front
from isthmus.dicom.uids import is_clean_uid, is_uid
from isthmus.dicom.values import REPLACEMENT, Charset, iso_date, iso_offset, iso_time, whole_number
from isthmus.dicom.walker import UNDEFINED, Element, Plan, walk
from isthmus.dicom.windows import AT_IMPORT, Bounds, InflatingWindow, Source, SourceWindow, Window

KEY_OBJECT_SELECTION: Final = "1.2.840.10008.5.1.4.1.1.88.59"
MEDIA_STORAGE_DIRECTORY: Final = "1.2.840.10008.1.3.10"
KEY_OBJECT_DESCRIPTION: Final = "113012"
CAPTURE_DEPTH: Final = 2


Reader = Callable[[str], "str | int | None"]


class Code(NamedTuple):
    """A coded concept: code, scheme and meaning as written."""

    code: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Header:
    """What an instance says of itself. Dates are ISO (`YYYY`, `YYYY-MM` or `YYYY-MM-DD`), times `HH[:MM[:SS[.f]]]`,
    the offset `+HH:MM`. `warnings` name attributes, never values; what could not be read is in `unreadable` as pairs of
    attribute and original text. `pixel_length` is None while fragments have not been walked; both pixel values are None
    in a deflated file, whose offsets mean nothing outside.
    """

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    patient_id: str | None = None
    issuer_of_patient_id: str | None = None
    issuer_universal_id: str | None = None
    patient_names: tuple[PersonName, ...] = ()
    birth_date: str | None = None
    sex: str | None = None
    study_date: str | None = None
    study_time: str | None = None
    timezone_offset: str | None = None
    accession_number: str | None = None
    accession_issuer: str | None = None
    placer_order_number: str | None = None
    referring_physician_names: tuple[PersonName, ...] = ()
    study_id: str | None = None
    modality: str | None = None
    study_description: str | None = None
    series_description: str | None = None
    series_number: int | None = None
    series_date: str | None = None
    series_time: str | None = None
    instance_number: int | None = None
    number_of_frames: int | None = None
    body_part_examined: str | None = None
    laterality: str | None = None
    rows: int | None = None
    columns: int | None = None
    bits_allocated: int | None = None
    samples_per_pixel: int | None = None
    photometric_interpretation: str | None = None
    institution_name: str | None = None
    station_name: str | None = None
    manufacturer: str | None = None
    procedure_code: Code | None = None
    anatomic_region: Code | None = None
    pixel_offset: int | None = None
    pixel_length: int | None = None
    document_title: Code | None = None
    key_object_description: str | None = None
    refers_to: tuple[str, ...] = ()  # other studies of which it names instances
    warnings: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:  # never in a log
        return f"Header({self.sop_instance_uid})"


Found = TypeVar("Found")
Items = list["Values"]
Values = dict[int, "bytes | Items"]


@dataclass(slots=True)
class Collected:
    """The wanted values of one instance as bytes, with what is needed to understand them."""

    meta: FileMeta
    values: Values = field(default_factory=dict)
    little_endian: bool = True
    pixel: Element | None = None
    pixel_end: int | None = None
    has_sequences: bool = False
    too_long: list[int] = field(default_factory=list)


_TEXTS: Final = (
    ("patient_id", tags.PATIENT_ID),
    ("issuer_of_patient_id", tags.ISSUER_OF_PATIENT_ID),
    ("sex", tags.PATIENT_SEX),
    ("accession_number", tags.ACCESSION_NUMBER),
    ("placer_order_number", tags.PLACER_ORDER_NUMBER),
    ("study_id", tags.STUDY_ID),
    ("modality", tags.MODALITY),
    ("study_description", tags.STUDY_DESCRIPTION),
    ("series_description", tags.SERIES_DESCRIPTION),
    ("body_part_examined", tags.BODY_PART_EXAMINED),
    ("photometric_interpretation", tags.PHOTOMETRIC_INTERPRETATION),
    ("institution_name", tags.INSTITUTION_NAME),
    ("station_name", tags.STATION_NAME),
    ("manufacturer", tags.MANUFACTURER),
)
_NAMES: Final = (
    ("patient_names", tags.PATIENT_NAME),
    ("referring_physician_names", tags.REFERRING_PHYSICIAN_NAME),
)
_READ: Final = (
    ("birth_date", tags.PATIENT_BIRTH_DATE, iso_date),
    ("study_date", tags.STUDY_DATE, iso_date),
    ("study_time", tags.STUDY_TIME, iso_time),
    ("series_date", tags.SERIES_DATE, iso_date),
    ("series_time", tags.SERIES_TIME, iso_time),
    ("timezone_offset", tags.TIMEZONE_OFFSET_FROM_UTC, iso_offset),
    ("series_number", tags.SERIES_NUMBER, whole_number),
    ("instance_number", tags.INSTANCE_NUMBER, whole_number),
    ("number_of_frames", tags.NUMBER_OF_FRAMES, whole_number),
)
_SHORTS: Final = (
    ("rows", tags.ROWS),
    ("columns", tags.COLUMNS),
    ("bits_allocated", tags.BITS_ALLOCATED),
    ("samples_per_pixel", tags.SAMPLES_PER_PIXEL),
)
_CODES: Final = (
    ("procedure_code", tags.PROCEDURE_CODE_SEQUENCE),
    ("anatomic_region", tags.ANATOMIC_REGION_SEQUENCE),
)
_EVIDENCE: Final = (tags.EVIDENCE_SEQUENCE, tags.OTHER_EVIDENCE_SEQUENCE, tags.OTHER_STUDIES_SEQUENCE)
_UIDS: Final = (
    ("sop_instance_uid", tags.SOP_INSTANCE_UID, "no-sop-uid"),
    ("sop_class_uid", tags.SOP_CLASS_UID, "no-sop-uid"),
    ("series_instance_uid", tags.SERIES_INSTANCE_UID, "no-series-uid"),
    ("study_instance_uid", tags.STUDY_INSTANCE_UID, "no-study-uid"),
)
WANTED: Final = (
    frozenset(entry[1] for table in (_TEXTS, _NAMES, _READ, _SHORTS, _UIDS) for entry in table)
    | tags.SEQUENCES
    | tags.PIXELS
    | {tags.SPECIFIC_CHARACTER_SET, tags.LATERALITY, tags.IMAGE_LATERALITY, tags.CODE_VALUE, tags.LONG_CODE_VALUE}
    | {tags.URN_CODE_VALUE, tags.CODING_SCHEME_DESIGNATOR, tags.CODE_MEANING, tags.LOCAL_NAMESPACE_ENTITY_ID}
    | {tags.UNIVERSAL_ENTITY_ID, tags.VALUE_TYPE, tags.TEXT_VALUE}
)
_SKIMMING: Final = Plan(want=WANTED, want_depth=CAPTURE_DEPTH, skim=True)
_SCANNING: Final = Plan(want=WANTED, want_depth=CAPTURE_DEPTH)


def read_header(source: Source, bounds: Bounds = AT_IMPORT) -> Header:
    """Read the header of a Part 10 file; stops at the pixels, so a prefix of the file may do.

    Raises DicomFault; `prefix-too-short` when the source holds only a prefix and the header is longer.
    """
    return header_of(finished(collect(SourceWindow(source), bounds, whole=False)))


def finished(run: Generator[None, None, Found]) -> Found:
    """Run what needs not wait to its end."""
    try:
        next(run)
    except StopIteration as done:
        found: Found = done.value
        return found
    raise RuntimeError("a source has all its bytes")


def collect(window: Window, bounds: Bounds, *, whole: bool) -> Generator[None, None, Collected]:
    """Walk an instance and keep the wanted values; `whole` walks every element and judges the file as hostile."""
    meta = yield from front(window, bounds, hostile=whole)
    if meta.syntax.deflated:
        if not bounds.deflated_accepted:
            raise DicomFault("bad-syntax", f"{meta.syntax.name} is not accepted here")
        window, start = InflatingWindow(window, meta.dataset_offset, bounds), 0
    else:
        start = meta.dataset_offset
    found = Collected(meta, little_endian=meta.syntax.little_endian)
    plan = _SCANNING if whole else _SKIMMING
    keep_bytes, room = plan.keep_bytes, bounds.max_header_bytes
    levels: list[Values] = [found.values] + [{} for _ in range(CAPTURE_DEPTH + 1)]
    open_items: list[Items] = [[] for _ in range(CAPTURE_DEPTH + 1)]
    for element in walk(window, start, meta.syntax.explicit, meta.syntax.little_endian, bounds, plan):
        if element is None:
            yield None
            continue
        tag, vr, length, offset, depth, _ = element
        if tag < tags.FLOAT_PIXEL_DATA and tag not in tags.SEQUENCES:
            if length <= keep_bytes:
                room -= length
                if room < 0:  # not passed over: whose it is may be what follows
                    raise DicomFault("too-large", f"more than {bounds.max_header_bytes} bytes of values to be read")
                at = offset - window.base
                levels[depth][tag] = window.data[at : at + length]
            elif tag not in found.too_long:
                found.too_long.append(tag)
        elif tag in tags.SEQUENCES:
            found.has_sequences = True
            open_items[depth] = []
            levels[depth][tag] = open_items[depth]
        elif tag == tags.ITEM and vr == b"":
            levels[depth] = {}
            open_items[depth - 1].append(levels[depth])
        elif tag in tags.PIXELS and depth == 0:
            found.pixel = element
            if not whole:
                break
        elif tag == tags.SEQUENCE_END and depth == 0 and found.pixel is not None and found.pixel.length == UNDEFINED:
            found.pixel_end = offset if found.pixel_end is None else found.pixel_end
    return found


def header_of(found: Collected) -> Header:
    """Make a header of collected values."""
    reading = _Reading(found)
    return reading.header()


def _clean(text: str) -> str:
    """Take off the padding; a zero inside, which no database takes, becomes a replacement sign."""
    return text.strip(" \0").replace("\0", REPLACEMENT)


class _Reading:
    """Values turned into text, with the warnings that come up on the way."""

    def __init__(self, found: Collected) -> None:
        self.found = found
        self.values = found.values
        self.warnings = list(found.meta.warnings)
        self.warnings += [f"{tags.name_of(tag)} is too long to be read" for tag in found.too_long]
        self.unreadable: list[tuple[str, str]] = []
        raw = self.raw(tags.SPECIFIC_CHARACTER_SET)
        self.charset = Charset(raw.decode("latin-1"))

    def header(self) -> Header:
        values, pixel, syntax = self.values, self.found.pixel, self.found.meta.syntax
        said: dict[str, object] = {name: self.uid(tag, missing) for name, tag, missing in _UIDS}
        said |= {name: self.text(tag) for name, tag in _TEXTS if tag in values}
        said |= {name: self.names(tag) for name, tag in _NAMES if tag in values}
        said |= {name: self.read(tag, reader) for name, tag, reader in _READ if tag in values}
        said |= {name: self.short(tag) for name, tag in _SHORTS if tag in values}
        said |= {name: self.code(tag) for name, tag in _CODES if tag in values}
        said["laterality"] = self.text(tags.LATERALITY) or self.text(tags.IMAGE_LATERALITY)
        if self.found.has_sequences:
            said |= self.issuers()
            said["placer_order_number"] = said.get("placer_order_number") or self.requested_order()
            said["refers_to"] = self.other_studies(str(said["study_instance_uid"]))
        if said["sop_class_uid"] == KEY_OBJECT_SELECTION:
            said["document_title"] = self.code(tags.CONCEPT_NAME_CODE_SEQUENCE)
            said["key_object_description"] = self.key_object_description()
        if pixel is not None and not syntax.deflated:
            said["pixel_offset"], said["pixel_length"] = pixel.offset, self.pixel_length(pixel)
        return Header(
            **said,  # type: ignore[arg-type]  # the tables above name the fields
            transfer_syntax_uid=syntax.uid,
            warnings=(*self.warnings, *self.charset.warnings),
            unreadable=tuple(self.unreadable),
        )

    def issuers(self) -> dict[str, object]:
        """Give who issued accession number and patient identifier: the universal id, locally known ones if there is none."""
        accession = self.item(tags.ISSUER_OF_ACCESSION_NUMBER_SEQUENCE)
        patient = self.item(tags.ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE)
        local = self.text(tags.LOCAL_NAMESPACE_ENTITY_ID, accession)
        return {
            "accession_issuer": self.text(tags.UNIVERSAL_ENTITY_ID, accession) or local,
            "issuer_universal_id": self.text(tags.UNIVERSAL_ENTITY_ID, patient),
        }

    def other_studies(self, own: str) -> tuple[str, ...]:
        """The other studies that its evidence comes from. Source: PS3.3 §C.17.2, §C.12.1.1.2."""
        sequences = (self.values.get(tag, b"") for tag in _EVIDENCE)
        items = [item for sequence in sequences if isinstance(sequence, list) for item in sequence]
        named = (_clean(self.raw(tags.STUDY_INSTANCE_UID, item).decode("latin-1")) for item in items)
        return tuple(sorted({uid for uid in named if is_uid(uid) and uid != own}))

    def requested_order(self) -> str | None:
        requests = (self.item(tags.REFERENCED_REQUEST_SEQUENCE), self.item(tags.REQUEST_ATTRIBUTES_SEQUENCE))
        return next((order for item in requests if (order := self.text(tags.PLACER_ORDER_NUMBER, item))), None)

    def raw(self, tag: int, values: Values | None = None) -> bytes:
        value = (self.values if values is None else values).get(tag, b"")
        return value if isinstance(value, bytes) else b""

    def item(self, tag: int, values: Values | None = None) -> Values:
        """Give the first item of a sequence, an empty one if there is none."""
        items = (self.values if values is None else values).get(tag)
        return items[0] if items and isinstance(items, list) else {}

    def text(self, tag: int, values: Values | None = None) -> str | None:
        """Give a text without the blanks at its ends; blanks inside count (PS3.5 §6.2)."""
        raw = (self.values if values is None else values).get(tag)
        return _clean(self.charset.text(raw)) or None if raw and isinstance(raw, bytes) else None

    def names(self, tag: int) -> tuple[PersonName, ...]:
        raw = self.raw(tag)
        return read_person_name(_clean(self.charset.text(raw, name=True))) if raw else ()

    def read(self, tag: int, reader: Reader) -> str | int | None:
        """Read the first value of a date, a time or a number; keep the original when it is none."""
        raw = self.raw(tag)
        if not raw:
            return None
        text = _clean(raw.decode("ascii", "replace").split("\\")[0])
        value = reader(text)
        if value is None and text:
            self.warnings.append(f"{tags.name_of(tag)} cannot be read")
            self.unreadable.append((tags.name_of(tag), text))
        return value

    def short(self, tag: int) -> int | None:
        raw = self.raw(tag)
        return int.from_bytes(raw[:2], "little" if self.found.little_endian else "big") if len(raw) >= 2 else None

    def uid(self, tag: int, missing: str) -> str:
        uid = self.raw(tag).decode("latin-1").strip(" \0")
        meta = self.found.meta
        if not uid:
            directory = meta.sop_class_uid == MEDIA_STORAGE_DIRECTORY
            raise DicomFault("dicomdir" if directory else missing, tags.name_of(tag))
        if not is_clean_uid(uid):
            if not is_uid(uid):
                raise DicomFault("bad-uid", tags.name_of(tag))
            self.warnings.append(f"{tags.name_of(tag)} has a component with a leading zero")
        if tag == tags.SOP_INSTANCE_UID and meta.sop_instance_uid not in ("", uid):
            self.warnings.append("the file meta information names another SOP Instance UID")
        return uid

    def code(self, tag: int, values: Values | None = None) -> Code | None:
        item = self.item(tag, values)
        written = (tags.CODE_VALUE, tags.LONG_CODE_VALUE, tags.URN_CODE_VALUE)
        code = next((text for which in written if (text := self.text(which, item))), None)
        if code is None:
            return None
        scheme, meaning = self.text(tags.CODING_SCHEME_DESIGNATOR, item), self.text(tags.CODE_MEANING, item)
        return Code(code, scheme or "", meaning or "")

    def key_object_description(self) -> str | None:
        """Give the first TEXT at the root of the content tree that is a Key Object Description (113012, DCM)."""
        content = self.values.get(tags.CONTENT_SEQUENCE, [])
        for item in content if isinstance(content, list) else ():
            concept = self.code(tags.CONCEPT_NAME_CODE_SEQUENCE, item)
            if concept and concept.code == KEY_OBJECT_DESCRIPTION and self.text(tags.VALUE_TYPE, item) == "TEXT":
                return self.text(tags.TEXT_VALUE, item)
        return None

    def pixel_length(self, pixel: Element) -> int | None:
        if pixel.length != UNDEFINED:
            return pixel.length
        end = self.found.pixel_end
        return None if end is None else end - pixel.offset
