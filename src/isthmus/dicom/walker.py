"""The walker: the elements of a data set one after another, nested ones too, within bounds and without reading pixels.

Lengths are compared with what holds them before they are believed. The walker asks its window for bytes; where they
have not arrived it gives None and goes on when it is called again, so files and arriving bytes are walked by one code.

Source: PS3.5 §7, §A.4 (fragments), §6.2.2 (UN of undefined length).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from isthmus.dicom.faults import DicomFault
from isthmus.dicom.tags import (
    FLOAT_PIXEL_DATA,
    ITEM,
    ITEM_END,
    PIXEL_DATA,
    PIXELS,
    SEQUENCE_END,
    SEQUENCES,
    VR_LONG,
    VR_SHORT,
    name_of,
)
from isthmus.dicom.windows import AT_IMPORT, Bounds, BytesSource, Source, Window

__all__ = ["AT_IMPORT", "UNDEFINED", "Bounds", "BytesSource", "Element", "Plan", "Source", "walk"]

UNDEFINED: Final = 0xFFFFFFFF
KEEP_BYTES: Final = 64 * 1024
_NO_END: Final = 1 << 62
_HEAD_BYTES: Final = 12

_HEADS: Final[dict[bytes, int]] = {vr.encode(): 12 for vr in VR_LONG} | {vr.encode(): 8 for vr in VR_SHORT}
_EXPLICIT: Final = {True: Struct("<HH2sH").unpack_from, False: Struct(">HH2sH").unpack_from}
_IMPLICIT: Final = {True: Struct("<HHL").unpack_from, False: Struct(">HHL").unpack_from}
_LONG: Final = {True: Struct("<L").unpack_from, False: Struct(">L").unpack_from}
_ITEM_BYTES: Final = bytes.fromhex("FEFF00E0")

ELEMENTS, ITEMS, FRAGMENTS = range(3)


class Element(NamedTuple):
    """What the walker gives: an element, an item (tag ITEM) or the end of one, or of a sequence.

    Ends are given whether or not the file spells them out. `offset` is where the value begins, in an end where the
    walker stands. `vr` is bytes, as written, of an implicit element as the plan knows it; of all that holds items SQ.
    """

    tag: int
    vr: bytes
    length: int
    offset: int
    depth: int
    little_endian: bool


_given = tuple.__new__  # as Element(…) does, without its detour
Walk = Generator[Element | None, None, int]


class _Everything:
    def __contains__(self, tag: object) -> bool:
        return True


EVERYTHING: Final = _Everything()
_NOTHING: Final[Container[int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a walk is for: which attributes are wanted and how deep, how long a value may be to be in hand
    when its element is given, whether unwanted sequences may be jumped over, and the VRs of implicit attributes.
    """

    want: Container[int] = EVERYTHING
    want_depth: int = 1 << 30
    keep_bytes: int = KEEP_BYTES
    skim: bool = False
    implicit_vr: Callable[[int, bytes], bytes] = dict.fromkeys(SEQUENCES, b"SQ").get


class _Frame(NamedTuple):
    """Something that holds elements, items or fragments; `open` has no length of its own but a delimiter."""

    kind: int
    end: int
    open: bool
    explicit: bool
    little: bool
    quiet: bool
    depth: int
    tag: int


def walk(
    window: Window, start: int, explicit: bool, little: bool, bounds: Bounds, plan: Plan
) -> Iterator[Element | None]:
    """Walk the data set that begins at `start`; raise DicomFault where it breaks the grammar or a bound."""
    return _Walker(window, start, bounds, plan).run(start, explicit, little)


class _Walker:
    def __init__(self, window: Window, start: int, bounds: Bounds, plan: Plan) -> None:
        self.window = window
        self.bounds = bounds
        self.plan = plan
        self.stack: list[_Frame] = []
        self.byte_cap = start + bounds.max_non_pixel_bytes
        self.elements = 0
        self.fragments = 0
        self.padded = b""

    def run(self, pos: int, explicit: bool, little: bool) -> Iterator[Element | None]:
        size = self.window.size
        self.stack.append(_Frame(ELEMENTS, _NO_END if size is None else size, True, explicit, little, False, 0, 0))
        while self.stack:
            frame = self.stack[-1]
            pos = yield from self.in_elements(frame, pos) if frame.kind == ELEMENTS else self.in_items(frame, pos)
            if self.stack[-1] is frame:
                self.stack.pop()
                if not frame.quiet and self.stack:
                    end = ITEM_END if frame.kind == ELEMENTS else SEQUENCE_END
                    yield Element(end, b"", 0, pos, frame.depth, frame.little)

    def in_elements(self, frame: _Frame, pos: int) -> Walk:
        """Walk elements until the frame ends or a sequence opens; give the position."""
        window, plan, most, heads = self.window, self.plan, self.bounds.max_elements, _HEADS.get
        explicit, little, depth = frame.explicit, frame.little, frame.depth
        want = _NOTHING if frame.quiet or depth > plan.want_depth else plan.want
        unpack, unpack_long = (_EXPLICIT if explicit else _IMPLICIT)[little], _LONG[little]
        implicit_vr, end, base, last = plan.implicit_vr, frame.end, 0, -1  # nothing in hand yet
        cap, elements = min(end, self.byte_cap), self.elements
        while True:
            if pos > last:
                if pos >= end or not (yield from self.reach(frame, pos)):
                    break
                data, base = self.padded, window.base
                last = min(end - 1, base + len(data) - _HEAD_BYTES)
            if explicit:
                group, number, vr, length = unpack(data, pos - base)
                tag, head, nested = group << 16 | number, heads(vr, 0), False
                if head != 8 or group == 0xFFFE:
                    if group == 0xFFFE:
                        return self.delimited(frame, pos, tag, ITEM_END)
                    head = head or _head_of_unknown(vr, tag)
                    (length,) = unpack_long(data, pos - base + 8)
                    nested = vr == b"SQ" or length == UNDEFINED
            else:
                group, number, length = unpack(data, pos - base)
                tag, head = group << 16 | number, 8
                if group == 0xFFFE:
                    return self.delimited(frame, pos, tag, ITEM_END)
                vr = implicit_vr(tag, b"UN")
                nested = (
                    vr == b"SQ" or length == UNDEFINED or (vr == b"UN" and _like_items(tag, length, data, pos - base))
                )
            self.elements = elements = elements + 1
            value = pos + head
            if nested and (length == UNDEFINED or not plan.skim or tag in want):
                kind = self.enter(frame, Element(tag, vr, length, value, depth, little), tag in want)
                if tag in want:
                    yield Element(tag, b"SQ" if kind == ITEMS else vr, length, value, depth, little)
                return value
            pos = value + length
            if pos > cap or elements > most:
                cap = self.judge(frame, tag, length, pos)
            if tag in want:
                if pos - base > len(data) and length <= plan.keep_bytes and tag < FLOAT_PIXEL_DATA:
                    yield from self.hold(value, length, tag)
                yield _given(Element, (tag, vr, length, value, depth, little))
                if window.base != base or pos > last:
                    last = -1  # the window may have moved
        if frame.open and len(self.stack) > 1:
            raise self.beyond(frame, frame.tag)
        return pos

    def in_items(self, frame: _Frame, pos: int) -> Walk:
        """Walk the items of a sequence until one opens, or the fragments of encapsulated pixels to their end."""
        top_pixels = frame.kind == FRAGMENTS and frame.depth == 0
        while pos < frame.end:
            yield from self.reach(frame, pos)
            data, at = self.padded, pos - self.window.base
            group, number, length = _IMPLICIT[frame.little](data, at)
            tag = group << 16 | number
            if tag != ITEM:
                return self.delimited(frame, pos, tag, SEQUENCE_END)
            pos += 8
            if frame.kind == ITEMS:
                end = frame.end if length == UNDEFINED else pos + length
                if end > frame.end:
                    raise self.beyond(frame, frame.tag)
                self.elements += 1
                self.judge(frame, frame.tag, 0, pos)
                depth = frame.depth + 1
                self.stack.append(frame._replace(kind=ELEMENTS, end=end, open=length == UNDEFINED, depth=depth))
                if not frame.quiet:
                    yield Element(ITEM, b"", length, pos, depth, frame.little)
                return pos
            self.fragments += 1
            if length == UNDEFINED or self.fragments > self.bounds.max_fragments:
                raise DicomFault("bad-structure" if length == UNDEFINED else "too-many-elements", name_of(frame.tag))
            if top_pixels:
                self.byte_cap += length + 8
            self.judge(frame, frame.tag, length, pos + length)
            if not frame.quiet:
                yield Element(ITEM, b"OB", length, pos, frame.depth + 1, frame.little)
            pos += length
        if frame.open:
            raise self.beyond(frame, frame.tag)
        return pos

    def enter(self, frame: _Frame, found: Element, wanted: bool) -> int:
        """Open the sequence or the fragments that an element holds; say which."""
        explicit, little = frame.explicit, frame.little
        is_open = found.length == UNDEFINED
        kind = ITEMS
        if is_open and (found.tag == PIXEL_DATA or found.vr in (b"OB", b"OW")):
            kind = FRAGMENTS
        elif found.vr == b"UN" and is_open:
            explicit, little = False, True
        elif explicit and found.vr != b"SQ":
            raise DicomFault("lying-length", name_of(found.tag))
        if frame.depth + 1 > self.bounds.max_depth:
            raise DicomFault("too-deep", name_of(found.tag))
        end = frame.end if is_open else found.offset + found.length
        if end > frame.end:
            raise self.beyond(frame, found.tag)
        self.judge(frame, found.tag, 0, found.offset)
        quiet = frame.quiet or not wanted
        self.stack.append(_Frame(kind, end, is_open, explicit, little, quiet, frame.depth, found.tag))
        return kind

    def delimited(self, frame: _Frame, pos: int, tag: int, awaited: int) -> int:
        """Step over the delimiter that ends an open frame; anything else here is no grammar."""
        if tag != awaited or not frame.open or len(self.stack) == 1:
            raise DicomFault("bad-structure", f"{name_of(tag)} where it cannot be, in {name_of(frame.tag)}")
        return pos + 8

    def reach(self, frame: _Frame, pos: int) -> Generator[None, None, bool]:
        """Bring the head at `pos` into hand; False at the end of the data set."""
        window = self.window
        while not window.hold(pos, _HEAD_BYTES):
            if window.size is None:
                yield None
                continue
            left = window.size - pos
            if left >= 8 and window.hold(pos, 8):
                break
            if len(self.stack) > 1 or left < 0 or (left and not window.hold(pos, left)):
                raise DicomFault("truncated", name_of(frame.tag))
            if any(window.data[pos - window.base :]):
                raise DicomFault("truncated", "bytes after the last element")
            return False
        short = pos - window.base + _HEAD_BYTES > len(window.data)
        self.padded = window.data + bytes(4) if short else window.data
        return True

    def hold(self, pos: int, count: int, tag: int) -> Generator[None, None, None]:
        window = self.window
        while not window.hold(pos, count):
            if window.size is not None:
                raise DicomFault("truncated", name_of(tag))
            yield None

    def judge(self, frame: _Frame, tag: int, length: int, after: int) -> int:
        """Refuse what goes beyond a bound or its frame; give how far values may reach now."""
        if after > frame.end:
            raise self.beyond(frame, tag)
        if self.elements > self.bounds.max_elements:
            raise DicomFault("too-many-elements", f"more than {self.bounds.max_elements}")
        if tag in PIXELS and frame.depth == 0 and frame.kind == ELEMENTS:
            self.byte_cap += length
        if after > self.byte_cap:
            raise DicomFault("too-large", f"more than {self.bounds.max_non_pixel_bytes} bytes without pixels")
        return min(frame.end, self.byte_cap)

    def beyond(self, frame: _Frame, tag: int) -> DicomFault:
        """Name the fault of a value that does not end where it must: the file was cut, or a length lies."""
        return DicomFault("truncated" if frame.end == self.window.size else "lying-length", name_of(tag))


def _like_items(tag: int, length: int, data: bytes, at: int) -> bool:
    """Tell whether an implicit public value of unknown VR begins as an item does."""
    return data[at + 8 : at + 12] == _ITEM_BYTES and length >= 8 and not tag & 0x10000 and tag >> 16 != 0x7FE0


def _head_of_unknown(vr: bytes, tag: int) -> int:
    """A VR of two capitals that we do not know is a later one, and later ones have a 32-bit length."""
    if vr.isalpha() and vr.isupper():
        return 12
    raise DicomFault("bad-structure", f"no VR at {name_of(tag)}")
