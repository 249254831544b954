"""What a key object selection marks: the content tree says which images are meant, the evidence only where they are.

Source: PS3.3 §C.17.6; PS3.16 CID 7010; field-faults F26.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from isthmus.dicom import tags
from isthmus.dicom.content import Item
from isthmus.model.codes import Code
from isthmus.model.identifiers import is_uid, plain_uid
from isthmus.wire.kos_reading import KeyObjects, purpose_of
from isthmus.wire.kos_values import read_code
from isthmus.wire.packs.pack import Pack

DESCRIPTION = "113012"  # DCM, Key Object Description


@dataclass(frozen=True, slots=True)
class Mark:
    """One image that somebody chose. Without `series` it is not in this study."""

    sop_instance_uid: str
    series_instance_uid: str
    frame: int | None
    why: str
    title: Code | None = None  # the reason alone, where nothing more was said


def marks_in(root: Item, series_of: dict[str, str], pack: Pack) -> Iterator[Mark]:
    """What a selection marks: nothing when it is a manifest, or says what was rejected."""
    if purpose_of(root, pack) is not KeyObjects.KEY_IMAGES:
        return
    items = list(root.tree())
    told = [item.text(tags.TEXT_VALUE) for item in items if item.concept == DESCRIPTION]
    coded = read_code(root.code(tags.CONCEPT_NAME_CODE_SEQUENCE))
    words = " ".join(filter(None, told))
    why, title = (words, None) if words else (coded.display or "" if coded else "", coded)
    for item in items:
        if item.text(tags.VALUE_TYPE) != "IMAGE":
            continue
        reference = item.first(tags.REFERENCED_SOP_SEQUENCE)
        uid = plain_uid(reference.text(tags.REFERENCED_SOP_INSTANCE_UID))
        if not is_uid(uid):
            continue
        for frame in _frames(reference.text(tags.REFERENCED_FRAME_NUMBER)) or [None]:
            yield Mark(uid, series_of.get(uid, ""), frame, why, title)


def _frames(text: str) -> list[int | None]:
    numbers = [part.strip() for part in text.split("\\")]
    return [int(n) for n in numbers if n.isascii() and n.isdecimal() and 0 < len(n) < 10 and int(n) > 0]
