"""Implicit, big-endian and deflated instances in the form that crosses the border: Explicit VR Little Endian.

Values and pixels stay equal, byte order apart; pieces are bounded, nothing is whole in memory. Sequences and items are
written with delimiters, so that nothing must be known before it is there. Group lengths outside group 2 are dropped:
they would be wrong, and they are retired (PS3.5 §7.2).

Source: PS3.5 §6.2.2 (UN, values over 64 KiB), §7.3 (byte order), Annex A.1-A.3, A.5; RAD-107.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain
from struct import Struct
from typing import Final, Literal

from isthmus.dicom import tags
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.header import finished, read_header
from isthmus.dicom.part10 import FileMeta, file_meta, front
from isthmus.dicom.syntaxes import EXPLICIT_LE, RECODED
from isthmus.dicom.walker import UNDEFINED, Element, Plan, walk
from isthmus.dicom.windows import AT_IMPORT, Bounds, InflatingWindow, Source, SourceWindow

GATHERED_BYTES: Final = 64 * 1024
PIECE_BYTES: Final = 256 * 1024  # a multiple of every unit that is swapped
MAX_SHORT_BYTES: Final = 0xFFFE

_SHORT_HEAD: Final = Struct("<HH2sH").pack
_LONG_HEAD: Final = Struct("<HH2sHL").pack
_DELIMITER: Final = Struct("<HHL").pack
_DELIMITERS: Final = frozenset({tags.ITEM, tags.ITEM_END, tags.SEQUENCE_END})
_ARRAYS: Final = {2: "H", 4: "I", 8: "Q"}
_SHORT_VRS: Final = frozenset(vr.encode() for vr in tags.VR_SHORT)
_LONG_VRS: Final = frozenset(vr.encode() for vr in tags.VR_LONG)

# How many bytes change places, by VR. Source: PS3.5 §7.3.
UNITS: Final[dict[bytes, int]] = (
    dict.fromkeys((b"US", b"SS", b"OW", b"AT"), 2)
    | dict.fromkeys((b"UL", b"SL", b"FL", b"OF", b"OL"), 4)
    | dict.fromkeys((b"FD", b"OD", b"OV", b"SV", b"UV"), 8)
)
_DECIDING: Final = frozenset({tags.PIXEL_REPRESENTATION, tags.LUT_DESCRIPTOR})


def to_explicit_le(source: Source, bounds: Bounds = AT_IMPORT) -> Iterator[bytes]:
    """Give an instance stored in another native syntax as an Explicit VR Little Endian file, piece by piece.

    Raises DicomFault: at once where the header is none or its syntax crosses unchanged, else where the file breaks.
    """
    header = read_header(source, bounds)
    window = SourceWindow(source)
    meta = finished(front(window, bounds, hostile=False))
    if meta.syntax.uid not in RECODED:
        raise DicomFault("bad-syntax", f"{meta.syntax.name} crosses as it is")
    written = file_meta(header.sop_class_uid, header.sop_instance_uid, EXPLICIT_LE)
    deflated = InflatingWindow(window, meta.dataset_offset, bounds)
    pieces = _inflated(deflated) if meta.syntax.deflated else _Writer(source, meta, bounds).pieces()
    return gathered(chain((written,), pieces))


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join the many small pieces of a data set."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= GATHERED_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _inflated(window: InflatingWindow) -> Iterator[bytes]:
    pos = 0
    while window.hold(pos, 1):
        piece = window.data[pos - window.base :]
        yield piece
        pos += len(piece)


class _Writer:
    """Writes the elements of one data set; remembers, for each level, the few values that decide ambiguous VRs."""

    def __init__(self, source: Source, meta: FileMeta, bounds: Bounds) -> None:
        self.meta = meta
        self.bounds = bounds
        self.source = source
        self.deciders: list[dict[int, int]] = [{}]
        deciding = Plan(want=_DECIDING, want_depth=0, skim=True)
        for element in self.walk(deciding):
            self.remember(element)

    def walk(self, plan: Plan) -> Iterator[Element]:
        self.window = SourceWindow(self.source)
        syntax = self.meta.syntax
        elements = walk(self.window, self.meta.dataset_offset, syntax.explicit, syntax.little_endian, self.bounds, plan)
        return (element for element in elements if element is not None)

    def pieces(self) -> Iterator[bytes]:
        for element in self.walk(Plan(keep_bytes=0, implicit_vr=implicit_vr)):
            tag, vr, length, _, depth, _ = element
            if tag in _DELIMITERS:
                if vr:
                    raise DicomFault("bad-structure", "fragments in a native transfer syntax")
                if tag == tags.ITEM:
                    self.deciders[depth:] = [{}]
                yield _DELIMITER(tag >> 16, tag & 0xFFFF, UNDEFINED if tag == tags.ITEM else 0)
            elif vr == b"SQ":
                yield _LONG_HEAD(tag >> 16, tag & 0xFFFF, vr, 0, UNDEFINED)
            elif length == UNDEFINED:
                raise DicomFault("bad-structure", f"{tags.name_of(tag)} is encapsulated in a native transfer syntax")
            elif tag & 0xFFFF:
                self.remember(element)
                yield self.head(element)
                yield from self.value(element)

    def remember(self, element: Element) -> None:
        if element.tag in _DECIDING and element.length >= 2 and self.window.hold(element.offset, 2):
            at = element.offset - self.window.base
            order: Literal["little", "big"] = "little" if element.little_endian else "big"
            self.deciders[element.depth][element.tag] = int.from_bytes(self.window.data[at : at + 2], order)

    def head(self, element: Element) -> bytes:
        """Write tag, VR and length; what a 16-bit length cannot hold becomes UN."""
        tag, length = element.tag, element.length
        vr = self.decided(element) if b" or " in element.vr else element.vr
        if length > MAX_SHORT_BYTES and vr not in _LONG_VRS:
            vr = b"UN"
        if vr in _LONG_VRS or vr not in _SHORT_VRS:
            return _LONG_HEAD(tag >> 16, tag & 0xFFFF, vr, 0, length)
        return _SHORT_HEAD(tag >> 16, tag & 0xFFFF, vr, length)

    def decided(self, element: Element) -> bytes:
        """Decide a VR that depends on other values; the nearest level that has them counts.

        What may be OB or OW was OW by being implicit, and stays it. Source: PS3.5 Annex A.1, A.2.
        """
        if element.vr == b"US or SS":
            return b"SS" if self.nearest(element, tags.PIXEL_REPRESENTATION) == 1 else b"US"
        if element.tag == tags.LUT_DATA:
            return b"US" if self.nearest(element, tags.LUT_DESCRIPTOR) == 1 else b"OW"
        return b"OW"

    def nearest(self, element: Element, tag: int) -> int | None:
        levels = self.deciders[element.depth :: -1]
        return next((level[tag] for level in levels if tag in level), None)

    def value(self, element: Element) -> Iterator[bytes]:
        """Copy a value in pieces, its bytes swapped where they are big-endian."""
        unit = 1 if element.little_endian else UNITS.get(element.vr, 1)
        pos, end = element.offset, element.offset + element.length
        while pos < end:
            count = min(PIECE_BYTES, end - pos)
            if not self.window.hold(pos, count):
                raise DicomFault("truncated", tags.name_of(element.tag))
            at = pos - self.window.base
            piece = self.window.data[at : at + count]
            yield piece if unit == 1 else swapped(piece, unit)
            pos += count


def swapped(piece: bytes, unit: int) -> bytes:
    """Swap whole units; bytes over, which no value of this VR has, stay as they are."""
    whole = len(piece) - len(piece) % unit
    units = array(_ARRAYS[unit], piece[:whole])
    units.byteswap()
    return units.tobytes() + piece[whole:]


@lru_cache(maxsize=4096)
def implicit_vr(tag: int, unknown: bytes) -> bytes:
    """Give the VR of an attribute by the dictionary; private ones are UN, their creators LO. Source: PS3.5 §7.8.1."""
    if tag & 0x10000:
        return b"LO" if 0x10 <= tag & 0xFFFF <= 0xFF else unknown
    from pydicom.datadict import dictionary_VR  # here, because most instances never need it

    try:
        return bytes(dictionary_VR(tag), "ascii")
    except KeyError:
        return unknown
