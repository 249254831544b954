"""DICOM JSON of an instance: its whole data set, values in place, bulk by address. Written, never read.

Every answer is RFC 8259 JSON in UTF-8, whatever the values are: a number that is none of its kind stays text (F22), what is
not finite becomes the word for it (F23), a text that does not fit its character set keeps replacement signs (F02). One odd
value costs itself alone. Values beyond what the walker keeps in hand, and all pixels, are given by address.

Source: PS3.18 §F.2, §F.2.3; field-faults F01, F02, F22, F23.
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import partial
from struct import unpack
from typing import Final, NamedTuple

import orjson

from isthmus.dicom import tags
from isthmus.dicom.header import finished
from isthmus.dicom.names import GROUPS
from isthmus.dicom.part10 import front
from isthmus.dicom.recode import UNITS, implicit_vr, swapped
from isthmus.dicom.values import Charset
from isthmus.dicom.walker import KEEP_BYTES, Element, Plan, walk
from isthmus.dicom.windows import AT_IMPORT, Bounds, InflatingWindow, Source, SourceWindow, Window

INLINE_BYTES: Final = 1024
UTF_8: Final = "ISO_IR 192"
_TRAILING_PADDING: Final = 0xFFFCFFFC
_SAFE_WHOLE: Final = 1 << 53  # beyond it a reader that has doubles alone loses digits
_INT32: Final = 1 << 31

Address = Callable[[str], str]
"""From the path of a bulk value (`7FE00010`, `00880200/1/7FE00010`: tags and item numbers) to its URI."""

Json = dict[str, object]
Reader = Callable[[bytes, Charset, str], list[object]]

_WHOLE: Final = re.compile(r"[+-]?\d{1,12}", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def write_instance(source: Source, address: Address, bounds: Bounds = AT_IMPORT) -> bytes:
    """Write the JSON object of one instance; an answer is an array of these. Raises DicomFault."""
    return orjson.dumps(instance_json(source, address, bounds))


def instance_json(source: Source, address: Address, bounds: Bounds = AT_IMPORT) -> Json:
    writing = _written(source, lambda window: _Writing(window, address), bounds)
    return writing.levels[0].said


class Bulk(NamedTuple):
    """Where a value lies in the file; `size_bytes` is UNDEFINED where it is fragments."""

    vr: str
    offset: int
    size_bytes: int


def bulk_value(source: Source, path: str, bounds: Bounds = AT_IMPORT) -> Bulk | None:
    """Find the value to which `write_instance` gave the address of this path; None for none. Raises DicomFault.

    Of a deflated instance no value lies in the file.
    """
    searching = _written(source, lambda window: _Searching(window, path), bounds)
    return searching.found if isinstance(searching, _Searching) else None


def _written(source: Source, begin: Callable[[Window], _Writing], bounds: Bounds) -> _Writing:
    window: Window = SourceWindow(source)
    meta = finished(front(window, bounds, hostile=False))
    syntax, start = meta.syntax, meta.dataset_offset
    if syntax.deflated:
        window, start = InflatingWindow(window, start, bounds), 0
    elements = walk(window, start, syntax.explicit, syntax.little_endian, bounds, Plan(implicit_vr=implicit_vr))
    writing = begin(window)
    for element in elements:
        if element is not None:
            writing.take(element)
    return writing


class _Level:
    """A data set or item being written, and the sequence that is open in it."""

    def __init__(self, charset: Charset, prefix: str) -> None:
        self.said: Json = {}
        self.charset = charset
        self.prefix = prefix
        self.sequence = ""
        self.items: list[object] = []
        self.deciders: dict[int, int] = {}


class _Writing:
    def __init__(self, window: Window, address: Address) -> None:
        self.window = window
        self.address = address
        self.levels = [_Level(Charset(""), "")]

    def take(self, element: Element) -> None:
        tag, vr, length, offset, depth, little = element
        if tag == tags.ITEM:
            if vr == b"":
                self.open_item(depth)
            return
        level = self.levels[depth]
        if tag == tags.SEQUENCE_END:
            if level.sequence and not level.items:
                level.said[level.sequence] = {"vr": "SQ"}
            return
        if tag & 0xFFFF == 0 or tag in (tags.ITEM_END, _TRAILING_PADDING):
            return
        key = f"{tag:08X}"
        if vr == b"SQ":
            level.sequence, level.items = key, []
            level.said[key] = {"vr": "SQ", "Value": level.items}
            return
        if vr not in _READERS:
            vr = self.decided(vr, tag, depth)
        name = vr.decode("ascii")
        if length == 0:
            level.said[key] = {"vr": name}
        elif tag in tags.PIXELS or length > KEEP_BYTES or (length > INLINE_BYTES and vr in _BINARY):
            level.said[key] = {"vr": name, "BulkDataURI": self.address(level.prefix + key)}
            self.bulk(level.prefix + key, Bulk(name, offset, length))
        else:
            at = offset - self.window.base
            level.said[key] = self.value(tag, vr, name, self.window.data[at : at + length], level, little)

    def bulk(self, path: str, value: Bulk) -> None:
        """A value that was given by address."""

    def open_item(self, depth: int) -> None:
        parent = self.levels[depth - 1]
        level = _Level(parent.charset, f"{parent.prefix}{parent.sequence}/{len(parent.items) + 1}/")
        parent.items.append(level.said)
        self.levels[depth:] = [level]

    def value(self, tag: int, vr: bytes, name: str, raw: bytes, level: _Level, little: bool) -> Json:
        if vr in _BINARY:
            if not little and vr in UNITS:
                raw = swapped(raw, UNITS[vr])
            return {"vr": name, "InlineBinary": b64encode(raw).decode("ascii")}
        if tag == tags.SPECIFIC_CHARACTER_SET:
            level.charset = Charset(raw.decode("latin-1"))
            return {"vr": name, "Value": [UTF_8]}
        values = _READERS[vr](raw, level.charset, "<" if little else ">")
        if tag in _DECIDERS and values and isinstance(values[0], int):
            level.deciders[tag] = values[0]
        return {"vr": name, "Value": values} if values else {"vr": name}

    def decided(self, vr: bytes, tag: int, depth: int) -> bytes:
        """Decide a VR that depends on other values, as `recode.py` does; one not known here is UN. Source: PS3.5 Annex A.1."""
        if vr == b"US or SS":
            return b"SS" if self.nearest(tags.PIXEL_REPRESENTATION, depth) == 1 else b"US"
        if tag == tags.LUT_DATA:
            return b"US" if self.nearest(tags.LUT_DESCRIPTOR, depth) == 1 else b"OW"
        return b"OW" if b" or " in vr else b"UN"

    def nearest(self, tag: int, depth: int) -> int | None:
        return next((one.deciders[tag] for one in self.levels[depth::-1] if tag in one.deciders), None)


class _Searching(_Writing):
    """Writes as the other does, and remembers where one value lies."""

    def __init__(self, window: Window, path: str) -> None:
        super().__init__(window, str)
        self.path = path
        self.found: Bulk | None = None

    def bulk(self, path: str, value: Bulk) -> None:
        if path == self.path and not isinstance(self.window, InflatingWindow):
            self.found = value


_DECIDERS: Final = frozenset({tags.PIXEL_REPRESENTATION, tags.LUT_DESCRIPTOR})


def _texts(raw: bytes, charset: Charset, order: str) -> list[object]:
    """Read values that backslashes part; an empty one among others is null, and nothing at all is no value."""
    texts = charset.text(raw).rstrip(" \0").split("\\")
    return [text.rstrip(" \0") or None for text in texts] if texts != [""] else []


def _plain_texts(raw: bytes, charset: Charset, order: str) -> list[object]:
    """Read values of the default repertoire, where blanks mean nothing at either end."""
    texts = raw.decode("ascii", "replace").strip(" \0").split("\\")
    return [text.strip(" \0") or None for text in texts] if texts != [""] else []


def _one_text(raw: bytes, charset: Charset, order: str) -> list[object]:
    text = charset.text(raw).rstrip(" \0")
    return [text] if text else []


def _address(raw: bytes, charset: Charset, order: str) -> list[object]:
    text = raw.decode("ascii", "replace").rstrip(" \0")
    return [text] if text else []


def _names(raw: bytes, charset: Charset, order: str) -> list[object]:
    """Read person names as groups, each spelling whole. Source: PS3.18 §F.2.2; PS3.5 §6.2.1."""
    names: list[object] = []
    for text in charset.text(raw, name=True).rstrip(" \0").split("\\"):
        spellings = zip(_GROUP_NAMES, text.split("=", 2), strict=False)
        groups = {group: kept for group, spelling in spellings if (kept := spelling.strip(" \0"))}
        names.append(groups or None)
    return names if names != [None] else []


def _whole_numbers(raw: bytes, charset: Charset, order: str) -> list[object]:
    return [_whole(text) for text in _plain_texts(raw, charset, order)]


def _whole(text: object) -> object:
    """Read an IS; what is none of 32 bits stays text."""
    if isinstance(text, str) and _WHOLE.fullmatch(text):
        number = int(text)
        return number if -_INT32 <= number < _INT32 else text
    return text


def _decimals(raw: bytes, charset: Charset, order: str) -> list[object]:
    return [_decimal(text) for text in _plain_texts(raw, charset, order)]


def _decimal(text: object) -> object:
    """Read a DS; what is no finite number stays text."""
    if isinstance(text, str) and _DECIMAL.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


def _numbers(kind: str, size: int, raw: bytes, charset: Charset, order: str) -> list[object]:
    return list(unpack(f"{order}{len(raw) // size}{kind}", raw[: len(raw) - len(raw) % size]))


def _large_numbers(kind: str, raw: bytes, charset: Charset, order: str) -> list[object]:
    numbers = unpack(f"{order}{len(raw) // 8}{kind}", raw[: len(raw) - len(raw) % 8])
    return [number if -_SAFE_WHOLE <= number <= _SAFE_WHOLE else str(number) for number in numbers]


def _floats(kind: str, size: int, raw: bytes, charset: Charset, order: str) -> list[object]:
    return [
        number if math.isfinite(number) else _not_finite(number)
        for number in unpack(f"{order}{len(raw) // size}{kind}", raw[: len(raw) - len(raw) % size])
    ]


def _not_finite(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _attribute_tags(raw: bytes, charset: Charset, order: str) -> list[object]:
    shorts = unpack(f"{order}{len(raw) // 4 * 2}H", raw[: len(raw) // 4 * 4])
    return [f"{group:04X}{number:04X}" for group, number in zip(shorts[::2], shorts[1::2], strict=True)]


_GROUP_NAMES: Final = tuple(group.capitalize() for group in GROUPS)
_BINARY: Final = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"UN"})
_READERS: Final[Mapping[bytes, Reader]] = (
    dict.fromkeys((b"LO", b"SH", b"UC"), _texts)
    | dict.fromkeys((b"AE", b"AS", b"CS", b"DA", b"DT", b"TM", b"UI"), _plain_texts)
    | dict.fromkeys((b"LT", b"ST", b"UT"), _one_text)
    | {b"UR": _address, b"PN": _names, b"IS": _whole_numbers, b"DS": _decimals, b"AT": _attribute_tags}
    | {b"US": partial(_numbers, "H", 2), b"SS": partial(_numbers, "h", 2)}
    | {b"UL": partial(_numbers, "L", 4), b"SL": partial(_numbers, "l", 4)}
    | {b"UV": partial(_large_numbers, "Q"), b"SV": partial(_large_numbers, "q")}
    | {b"FL": partial(_floats, "f", 4), b"FD": partial(_floats, "d", 8)}
    | dict.fromkeys(_BINARY, _one_text)  # never asked: bytes go as they are
)
