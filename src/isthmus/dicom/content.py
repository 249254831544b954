"""Content: data sets as nested values, for documents such as a key object selection.

A writer of elements in Explicit VR Little Endian, a writer of content items, and a bounded reader of any syntax that is not
deflated. Nothing is judged here: what an item means is its reader's matter.

Source: PS3.5 §7.1, §7.5; PS3.3 §C.17.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from isthmus.dicom import tags
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.header import Code, Values, finished
from isthmus.dicom.part10 import FileMeta, front
from isthmus.dicom.values import REPLACEMENT, Charset
from isthmus.dicom.walker import Plan, walk
from isthmus.dicom.windows import Bounds, BytesSource, SourceWindow

SHORT_CODE_CHARS: Final = 16

SEQUENCES: Final = tags.SEQUENCES | {
    tags.OTHER_PATIENT_IDS_SEQUENCE,
    tags.CUSTODIAL_ORGANIZATION_SEQUENCE,
    tags.ORDER_PLACER_IDENTIFIER_SEQUENCE,
    tags.EVIDENCE_SEQUENCE,
    tags.REFERENCED_SERIES_SEQUENCE,
    tags.REFERENCED_SOP_SEQUENCE,
    tags.REQUESTED_PROCEDURE_CODE_SEQUENCE,
    tags.CONTENT_TEMPLATE_SEQUENCE,
    tags.CONCEPT_CODE_SEQUENCE,
    tags.EQUIVALENT_CODE_SEQUENCE,
    tags.MEASURED_VALUE_SEQUENCE,
    tags.MEASUREMENT_UNITS_CODE_SEQUENCE,
}
WANTED: Final = SEQUENCES | frozenset(
    {
        *(tags.SPECIFIC_CHARACTER_SET, tags.SOP_CLASS_UID, tags.SOP_INSTANCE_UID, tags.STUDY_INSTANCE_UID),
        *(tags.SERIES_INSTANCE_UID, tags.STUDY_DATE, tags.STUDY_TIME, tags.CONTENT_DATE, tags.CONTENT_TIME),
        *(tags.OBSERVATION_DATE_TIME, tags.TIMEZONE_OFFSET_FROM_UTC, tags.ACCESSION_NUMBER, tags.PLACER_ORDER_NUMBER),
        *(tags.MODALITY, tags.MANUFACTURER, tags.INSTITUTION_NAME, tags.STUDY_DESCRIPTION, tags.PATIENT_NAME),
        *(tags.OTHER_PATIENT_NAMES, tags.PATIENT_ID, tags.ISSUER_OF_PATIENT_ID, tags.PATIENT_BIRTH_DATE),
        *(tags.PATIENT_SEX, tags.REQUESTED_PROCEDURE_DESCRIPTION, tags.UNIVERSAL_ENTITY_ID, tags.MAPPING_RESOURCE),
        *(tags.UNIVERSAL_ENTITY_ID_TYPE, tags.LOCAL_NAMESPACE_ENTITY_ID, tags.RETRIEVE_AE_TITLE, tags.RETRIEVE_URL),
        *(tags.RETRIEVE_LOCATION_UID, tags.REFERENCED_SOP_CLASS_UID, tags.REFERENCED_SOP_INSTANCE_UID),
        *(tags.REFERENCED_FRAME_NUMBER,),
        *(tags.RELATIONSHIP_TYPE, tags.VALUE_TYPE, tags.CONTINUITY_OF_CONTENT, tags.TEMPLATE_IDENTIFIER),
        *(tags.TEXT_VALUE, tags.CONTENT_ITEM_DATE, tags.CONTENT_ITEM_TIME, tags.CONTENT_ITEM_UID, tags.NUMERIC_VALUE),
        *(tags.CODE_VALUE, tags.LONG_CODE_VALUE, tags.URN_CODE_VALUE, tags.CODING_SCHEME_DESIGNATOR, tags.CODE_MEANING),
    }
)

_PLAN: Final = Plan(want=WANTED, implicit_vr=dict.fromkeys(SEQUENCES, b"SQ").get)
_SHORT: Final = Struct("<HH2sH").pack
_LONG: Final = Struct("<HH2sHL").pack
_ITEM: Final = Struct("<HHL").pack
_TAG_OF: Final = Struct("<HH").unpack_from
_ZERO_PADDED: Final = frozenset({"UI", "OB", "UN"})


def element(tag: int, vr: str, value: str | bytes = b"") -> bytes:
    """Write an element; text as UTF-8, padded to even length."""
    raw = value.encode() if isinstance(value, str) else value
    if len(raw) & 1:
        raw += b"\0" if vr in _ZERO_PADDED else b" "
    if vr in tags.VR_LONG:
        return _LONG(tag >> 16, tag & 0xFFFF, vr.encode(), 0, len(raw)) + raw
    return _SHORT(tag >> 16, tag & 0xFFFF, vr.encode(), len(raw)) + raw


def item(*elements: bytes) -> bytes:
    """Write an item of elements that stand in their order."""
    body = b"".join(elements)
    return _ITEM(0xFFFE, 0xE000, len(body)) + body


def sequence(tag: int, *items: bytes) -> bytes:
    """Write a sequence of items."""
    body = b"".join(items)
    return _LONG(tag >> 16, tag & 0xFFFF, b"SQ", 0, len(body)) + body


def data_set(elements: Iterable[bytes]) -> bytes:
    """Join elements in the order of their tags, which is the order they must have."""
    return b"".join(sorted(elements, key=_TAG_OF))


def code(tag: int, of: Code, same: Code | None = None) -> bytes:
    """Write a coded concept; a value longer than 16 characters goes where long ones go. `same` is what it was called before.

    Source: PS3.3 §8.1, §8.9 (Equivalent Code Sequence).
    """
    is_long = len(of.code) > SHORT_CODE_CHARS
    value = element(tags.LONG_CODE_VALUE, "UC", of.code) if is_long else element(tags.CODE_VALUE, "SH", of.code)
    scheme = element(tags.CODING_SCHEME_DESIGNATOR, "SH", of.scheme)
    meaning = element(tags.CODE_MEANING, "LO", of.meaning)
    more = (code(tags.EQUIVALENT_CODE_SEQUENCE, same),) if same is not None else ()
    return sequence(tag, item(scheme, meaning, value, *more) if is_long else item(value, scheme, meaning, *more))


def content(relationship: str, value_type: str, concept: Code, *values: bytes, children: Iterable[bytes] = ()) -> bytes:
    """Write a content item: a concept, the elements of its value, and what hangs below it."""
    below = tuple(children)
    return item(
        element(tags.RELATIONSHIP_TYPE, "CS", relationship),
        element(tags.VALUE_TYPE, "CS", value_type),
        code(tags.CONCEPT_NAME_CODE_SEQUENCE, concept),
        *values,
        *((sequence(tags.CONTENT_SEQUENCE, *below),) if below else ()),
    )


@dataclass(frozen=True, slots=True)
class Item:
    """A data set or an item of one: its wanted values, and the character set they are in. What is missing is empty."""

    values: Values
    charset: Charset

    def __repr__(self) -> str:  # never in a log
        return f"Item({len(self.values)} values)"

    def text(self, tag: int) -> str:
        """A text without the blanks at its ends."""
        raw = self.values.get(tag)
        if not raw or not isinstance(raw, bytes):
            return ""
        return self.charset.text(raw).strip(" \0").replace("\0", REPLACEMENT)

    def name(self, tag: int) -> str:
        """A person's name, as PN writes it."""
        raw = self.values.get(tag)
        return self.charset.text(raw, name=True).strip(" \0") if raw and isinstance(raw, bytes) else ""

    def items(self, tag: int) -> list[Item]:
        found = self.values.get(tag)
        return [Item(values, self.charset) for values in found] if isinstance(found, list) else []

    def first(self, tag: int) -> Item:
        """The first item of a sequence; an empty one where there is none."""
        found = self.values.get(tag)
        return Item(found[0] if found and isinstance(found, list) else {}, self.charset)

    def code(self, tag: int) -> Code | None:
        """The first coded concept of a sequence that has a value."""
        one = self.first(tag)
        value = one.code_value
        return Code(value, one.text(tags.CODING_SCHEME_DESIGNATOR), one.text(tags.CODE_MEANING)) if value else None

    @property
    def code_value(self) -> str:
        return self.text(tags.CODE_VALUE) or self.text(tags.LONG_CODE_VALUE) or self.text(tags.URN_CODE_VALUE)

    @property
    def concept(self) -> str:
        """The value of a content item's concept name, empty when it has none."""
        return self.first(tags.CONCEPT_NAME_CODE_SEQUENCE).code_value

    @property
    def below(self) -> list[Item]:
        """The content items directly below."""
        return self.items(tags.CONTENT_SEQUENCE)

    def tree(self) -> Iterator[Item]:
        """Every content item below, each before what hangs below it; what hangs below a reference is left out.

        The reader's bounds end this.
        """
        for one in self.below:
            yield one
            if tags.REFERENCED_SOP_SEQUENCE not in one.values:
                yield from one.tree()


def plan_of(wanted: frozenset[int], sequences: frozenset[int]) -> Plan:
    """What `read_content` is to read beside what every document has; sequences are named, as an implicit syntax names none."""
    every = SEQUENCES | sequences
    return Plan(want=WANTED | wanted | every, implicit_vr=dict.fromkeys(every, b"SQ").get)


def read_content(data: bytes, bounds: Bounds, plan: Plan = _PLAN) -> tuple[FileMeta, Item]:
    """Read the values of a document in a Part 10 file, at every depth. Raises DicomFault, also for a deflated file."""
    window = SourceWindow(BytesSource(data))
    meta = finished(front(window, bounds, hostile=True))
    if meta.syntax.deflated:
        raise DicomFault("bad-syntax", "deflated documents are not read")
    levels: list[Values] = [{} for _ in range(bounds.max_depth + 2)]
    open_items: list[list[Values]] = [[] for _ in range(bounds.max_depth + 2)]
    root, explicit, little = levels[0], meta.syntax.explicit, meta.syntax.little_endian
    for found in walk(window, meta.dataset_offset, explicit, little, bounds, plan):
        if found is None:
            raise RuntimeError("a source has all its bytes")
        tag, vr, length, offset, depth, _ = found
        if vr == b"SQ":
            levels[depth][tag] = open_items[depth] = []
        elif tag == tags.ITEM:
            levels[depth] = {}
            open_items[depth - 1].append(levels[depth])
        elif vr:
            levels[depth][tag] = data[offset : offset + length]
    charset = root.get(tags.SPECIFIC_CHARACTER_SET, b"")
    return meta, Item(root, Charset(charset.decode("latin-1") if isinstance(charset, bytes) else ""))
