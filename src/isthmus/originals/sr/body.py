"""The content tree of a DICOM structured report as an outline: containers are sections, everything else is told, nothing is left out.

Source: PS3.3 §C.17.3 (value types, relationships); PS3.16 TID 2000 (basic diagnostic reports), TID 1500 (measurement reports).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Final

from isthmus.dicom import tags
from isthmus.dicom.content import Item
from isthmus.dicom.values import iso_date, iso_time
from isthmus.model.codes import Code
from isthmus.model.identifiers import is_uid
from isthmus.model.numbers import written
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.statements import Quantity
from isthmus.originals.coded import UCUM, Coding
from isthmus.originals.outline import Part, Told
from isthmus.wire import kos_values as values
from isthmus.wire.kos_values import Moment

CONTAINER: Final = "CONTAINER"
POINTING: Final = frozenset({"IMAGE", "SCOORD", "SCOORD3D"})
FRAMES_MAX: Final = 50
_DT: Final = re.compile(r"(\d{4,8})((?<=\d{8})\d{2,6}(?:\.\d{1,6})?)?([+-]\d{4})?", re.ASCII)


def read_body(root: Item, coding: Coding, is_read: Callable[[Item], bool]) -> Part:
    """The whole document as one part; `is_read` tells what of its context the header told already."""
    return TreeReader(root, coding).part(root, without=is_read)


def evidence(root: Item, tag: int) -> Iterator[tuple[str, str, str]]:
    """Study, series and instance of each object that the document refers to."""
    for study in root.items(tag):
        for series in study.items(tags.REFERENCED_SERIES_SEQUENCE):
            for one in series.items(tags.REFERENCED_SOP_SEQUENCE):
                uids = (
                    study.text(tags.STUDY_INSTANCE_UID),
                    series.text(tags.SERIES_INSTANCE_UID),
                    one.text(tags.REFERENCED_SOP_INSTANCE_UID),
                )
                if all(map(is_uid, uids)):
                    yield uids


class TreeReader:
    """Reads the items of a content tree, one by one."""

    def __init__(self, root: Item, coding: Coding) -> None:
        self.root, self.coding = root, coding
        self.offset = root.text(tags.TIMEZONE_OFFSET_FROM_UTC)
        every = (*evidence(root, tags.EVIDENCE_SEQUENCE), *evidence(root, tags.OTHER_EVIDENCE_SEQUENCE))
        self.where: Mapping[str, tuple[str, str]] = {sop: (series, study) for study, series, sop in every}

    def part(self, item: Item, without: Callable[[Item], bool] = lambda _: False) -> Part:
        told: list[Told] = []
        parts: list[Part] = []
        for one in item.below:
            if without(one):
                continue
            if one.text(tags.VALUE_TYPE) == CONTAINER:
                parts.append(self.part(one))
            else:
                told.append(self.told(one))
        return Part(self.name(item), self.concept(item), tuple(told), tuple(parts))

    def name(self, item: Item) -> str:
        coded = item.code(tags.CONCEPT_NAME_CODE_SEQUENCE)
        return (coded.meaning or coded.code) if coded else ""

    def concept(self, item: Item) -> Code | None:
        return self.coding.read(item.code(tags.CONCEPT_NAME_CODE_SEQUENCE))

    def told(self, item: Item) -> Told:
        """One content item with what hangs below it; images below it are those it is seen in."""
        kind = item.text(tags.VALUE_TYPE)
        pointing = [one for one in item.below if self.kind(one) in POINTING]
        more = tuple(self.told(one) for one in item.below if self.kind(one) not in POINTING)
        images = [image for one in pointing for image in self.images(one)]
        if kind in POINTING:
            images += self.images(item)
        said = [tell for tell in map(self.pointed, pointing) if tell is not None]
        text, value = self.value(item, kind)
        observed = Moment.of_date_time(item.text(tags.OBSERVATION_DATE_TIME)).fhir()
        below = (
            more if self.kind(item) == CONTAINER else (*more, *said)
        )  # of a section below what is told its words, as they come
        return Told(self.name(item), self.concept(item), text, value, tuple(dict.fromkeys(images)), below, observed)

    def kind(self, item: Item) -> str:
        """The value type; an item that only refers to another one has that one's."""
        return self.resolved(item).text(tags.VALUE_TYPE)

    def resolved(self, item: Item) -> Item:
        """What a content item by reference refers to, where that is an image; else itself."""
        found = self.target(item)
        return found if found is not None and found.text(tags.VALUE_TYPE) in POINTING else item

    def target(self, item: Item) -> Item | None:
        """What a content item by reference refers to; None for any other, and where it leads nowhere. Source: PS3.3 §C.17.3.2.4."""
        raw = item.values.get(tags.REFERENCED_CONTENT_ITEM)
        if item.text(tags.VALUE_TYPE) or not isinstance(raw, bytes) or len(raw) % 4 or not 4 < len(raw) <= 128:
            return None
        found = self.root
        for position in struct.unpack(f"<{len(raw) // 4}I", raw)[1:]:
            below = found.below
            if not 0 < position <= len(below):
                return None
            found = below[position - 1]
        return found

    def pointed(self, item: Item) -> Told | None:
        """What is told of a reference beside the images: nothing, unless it names none or says something below it."""
        below = [one for one in item.below if self.kind(one) not in POINTING]
        return self.told(item) if below or not self.images(item) else None

    def images(self, item: Item) -> list[KeyImage]:
        """The instances, and the frames of each, that an image or a region of one refers to."""
        item = self.resolved(item)
        found = [image for one in item.below if one.text(tags.VALUE_TYPE) == "IMAGE" for image in self.images(one)]
        for one in item.items(tags.REFERENCED_SOP_SEQUENCE):
            sop = one.text(tags.REFERENCED_SOP_INSTANCE_UID)
            if not is_uid(sop):
                continue
            series, study = self.where.get(sop, (None, None))
            title = self.name(item) or None
            frames = [int(n) for n in one.text(tags.REFERENCED_FRAME_NUMBER).split("\\") if n.strip().isdecimal()]
            for frame in frames[:FRAMES_MAX] or [0]:
                found.append(KeyImage(sop, series, study, title=title, frame=frame or None))
        return found

    def value(self, item: Item, kind: str) -> tuple[str, Quantity | Code | None]:
        """Words and value of an item, by its value type. Source: PS3.3 Table C.17.3-7."""
        if kind == "NUM":
            return self.number(item)
        if kind == "CODE":
            return "", self.coding.read(item.code(tags.CONCEPT_CODE_SEQUENCE))
        if kind in _TEXTS:
            return item.text(_TEXTS[kind]), None
        if kind == "PNAME":
            names = values.read_persons(item.name(tags.CONTENT_ITEM_NAME))
            return next((" ".join((*name.given, name.family)).strip() for name in names), ""), None
        if kind == "DATE":
            return iso_date(item.text(tags.CONTENT_ITEM_DATE)) or item.text(tags.CONTENT_ITEM_DATE), None
        if kind == "TIME":
            return iso_time(item.text(tags.CONTENT_ITEM_TIME)) or item.text(tags.CONTENT_ITEM_TIME), None
        if kind == "DATETIME":
            return self.date_time(item.text(tags.CONTENT_ITEM_DATE_TIME)), None
        objects = [one.text(tags.REFERENCED_SOP_INSTANCE_UID) for one in item.items(tags.REFERENCED_SOP_SEQUENCE)]
        shape = item.text(tags.GRAPHIC_TYPE) or item.text(tags.TEMPORAL_RANGE_TYPE)
        return ", ".join(filter(None, (shape, *([] if kind in POINTING else objects)))), None

    def date_time(self, said: str) -> str:
        """A DT as it is read: with its offset or the document's; without either, the time as it stood there."""
        match = _DT.fullmatch(said)
        if match is None:
            return said
        date, time, offset = match.groups("")
        moment = Moment.of_dicom(date, time, offset or self.offset).fhir()
        here = iso_time(time) if time and moment and "T" not in moment else None
        return f"{moment} {here}" if here else moment or said

    def number(self, item: Item) -> tuple[str, Quantity | None]:
        measured = item.first(tags.MEASURED_VALUE_SEQUENCE)
        said = measured.text(tags.NUMERIC_VALUE).partition("\\")[0].strip()
        unit = self.coding.read(measured.code(tags.MEASUREMENT_UNITS_CODE_SEQUENCE))
        try:
            value = written(said) if len(said) <= 32 else float("nan")
        except ValueError:
            value = float("nan")
        if not isfinite(value):
            shown = (unit.display or unit.code) if unit and said else ""
            why = item.code(tags.NUMERIC_VALUE_QUALIFIER_SEQUENCE)
            return " ".join(filter(None, (said, shown, (why.meaning or why.code) if why else ""))), None
        if unit is None or unit.system != UCUM:
            return "", Quantity(value, unit.code if unit else None)
        unit_shown = (unit.display or unit.code) if unit.code.startswith("{") else unit.code
        return "", Quantity(value, None if unit.code == "1" else unit_shown, unit.code)


_TEXTS: Final = {"TEXT": tags.TEXT_VALUE, "UIDREF": tags.CONTENT_ITEM_UID}
