"""The front of a Part 10 file: preamble, prefix and file meta information, read and written.

Group 2 ends where the group changes; its length is only checked. Source: PS3.10 §7.1.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from isthmus.dicom import tags
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.syntaxes import SYNTAXES, TransferSyntax
from isthmus.dicom.uids import is_uid
from isthmus.dicom.windows import AT_IMPORT, Bounds, BytesSource, SourceWindow, Window

PREAMBLE_BYTES: Final = 128
META_START: Final = 132
MAX_META_VALUE_BYTES: Final = 64 * 1024
IMPLEMENTATION_CLASS_UID: Final = "2.25.221538027395174310206186316423735207433"
IMPLEMENTATION_VERSION_NAME: Final = "ISTHMUS"

_GROUP_LENGTH: Final = 0x00020000
_KEPT: Final = frozenset({_GROUP_LENGTH, tags.TRANSFER_SYNTAX_UID, tags.MEDIA_STORAGE_SOP_CLASS_UID}) | {
    tags.MEDIA_STORAGE_SOP_INSTANCE_UID
}
_LONG_VRS: Final = frozenset(vr.encode() for vr in tags.VR_LONG)
_HEAD: Final = Struct("<HH2sH").unpack_from
_LENGTH: Final = Struct("<L")
_SHORT_HEAD: Final = Struct("<HH2sH")

# TIFF (II*, MM*) is not here: a file that is both TIFF and DICOM is what the preamble is for (PS3.10 §7.1).
_ACTIVE: Final = (
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
    (b"\xfe\xed\xfa\xce", "a program"),
    (b"\xfe\xed\xfa\xcf", "a program"),
    (b"\xce\xfa\xed\xfe", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"#!", "a script"),
    (b"<html", "a page"),
    (b"<script", "a page"),
    (b"<svg", "a page"),
    (b"<?", "a page"),
    (b"<!", "a page"),
    (b"%PDF", "a document"),
    (b"PK", "an archive"),
    (b"Rar!", "an archive"),
    (b"7z\xbc\xaf", "an archive"),
    (b"\x1f\x8b", "an archive"),
)


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What group 2 says, and where the data set begins."""

    sop_class_uid: str
    sop_instance_uid: str
    syntax: TransferSyntax
    dataset_offset: int
    warnings: tuple[str, ...]


def check_preamble(preamble: bytes) -> None:
    """Refuse a preamble that another program would run, show or unpack."""
    seen = preamble.lstrip(b" \t\r\n\xef\xbb\xbf").lower()
    for magic, kind in _ACTIVE:
        if seen.startswith(magic.lower()):
            raise DicomFault("active-preamble", f"it begins like {kind}")


def zeroed_preamble(view: bytes | bytearray | memoryview) -> bytes:
    """Give the first 132 bytes of a served copy: an empty preamble and the prefix."""
    if bytes(view[PREAMBLE_BYTES:META_START]) != b"DICM":
        raise DicomFault("not-dicom", "no DICM prefix")
    return bytes(PREAMBLE_BYTES) + b"DICM"


def file_syntax(head: bytes) -> str:
    """The transfer syntax that the first bytes of a file name. Raises DicomFault where they name none."""
    run = front(SourceWindow(BytesSource(head)), AT_IMPORT, hostile=False)
    try:
        while True:
            next(run)
    except StopIteration as done:
        meta: FileMeta = done.value
        return meta.syntax.uid


def front(window: Window, bounds: Bounds, *, hostile: bool) -> Generator[None, None, FileMeta]:
    """Read preamble, prefix and group 2; give None while bytes must arrive first."""
    while not window.hold(0, META_START):
        if window.size is not None:
            raise DicomFault("not-dicom", "too short for a preamble and prefix")
        yield None
    if window.data[PREAMBLE_BYTES:META_START] != b"DICM":
        raise DicomFault("not-dicom", "no DICM prefix")
    if hostile:
        check_preamble(window.data[:PREAMBLE_BYTES])
    values: dict[int, bytes] = {}
    pos = yield from _group_two(window, bounds, values)
    return _meta(values, pos)


def _group_two(window: Window, bounds: Bounds, values: dict[int, bytes]) -> Generator[None, None, int]:
    """Collect the values of group 2 that count; give the position where the group changes."""
    pos = META_START
    for _ in range(bounds.max_elements):
        if not window.hold(pos, 8) and not (yield from _held(window, pos, 8)):
            return pos
        group, number, vr, length = _HEAD(window.data, pos - window.base)
        if group != 2 or (pos == _announced_end(values) and _is_deflated(values)):
            return pos
        tag, head = group << 16 | number, 8
        if vr in _LONG_VRS:
            head = 12
            if not (yield from _held(window, pos, 12)):
                raise DicomFault("truncated", "file meta information")
            (length,) = _LENGTH.unpack_from(window.data, pos - window.base + 8)
        elif not (vr.isalpha() and vr.isupper()):
            raise DicomFault("bad-structure", f"no VR at {tags.name_of(tag)}")
        if window.size is not None and pos + head + length > window.size:
            raise DicomFault("truncated", tags.name_of(tag))
        if pos + head + length > META_START + bounds.max_non_pixel_bytes:
            raise DicomFault("too-large", "file meta information")
        if tag in _KEPT:
            if length > MAX_META_VALUE_BYTES:
                raise DicomFault("too-large", tags.name_of(tag))
            if not window.hold(pos + head, length) and not (yield from _held(window, pos + head, length)):
                raise DicomFault("truncated", tags.name_of(tag))
            at = pos + head - window.base
            values[tag] = window.data[at : at + length]
        pos += head + length
    raise DicomFault("too-many-elements", "file meta information")


def _held(window: Window, pos: int, count: int) -> Generator[None, None, bool]:
    while not window.hold(pos, count):
        if window.size is not None:
            return False
        yield None
    return True


def _is_deflated(values: dict[int, bytes]) -> bool:
    """Deflated bytes may look like group 2 by chance: there, and only there, the announced length decides."""
    syntax = SYNTAXES.get(_uid(values, tags.TRANSFER_SYNTAX_UID))
    return syntax is not None and syntax.deflated


def _announced_end(values: dict[int, bytes]) -> int | None:
    raw = values.get(_GROUP_LENGTH, b"")
    return META_START + 12 + int(_LENGTH.unpack(raw)[0]) if len(raw) == 4 else None


def _uid(values: dict[int, bytes], tag: int) -> str:
    return values.get(tag, b"").decode("latin-1").strip(" \0")


def _meta(values: dict[int, bytes], pos: int) -> FileMeta:
    uid = _uid(values, tags.TRANSFER_SYNTAX_UID)
    if uid not in SYNTAXES:
        raise DicomFault("bad-syntax", "none given" if not uid else uid if is_uid(uid) else "not a UID")
    announced = _announced_end(values)
    warnings: tuple[str, ...] = ()
    if announced is None:
        warnings = ("file meta information without its group length",)
    elif announced != pos:
        warnings = ("file meta information is not as long as its group length says",)
    sop_class, sop_instance = (
        _uid(values, tag) for tag in (tags.MEDIA_STORAGE_SOP_CLASS_UID, tags.MEDIA_STORAGE_SOP_INSTANCE_UID)
    )
    return FileMeta(sop_class, sop_instance, SYNTAXES[uid], pos, warnings)


def file_meta(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Write an empty preamble, the prefix and group 2 for an instance."""
    elements = b"".join(
        (
            _SHORT_HEAD.pack(2, 1, b"OB", 0) + _LENGTH.pack(2) + b"\x00\x01",
            _written(2, "UI", sop_class_uid),
            _written(3, "UI", sop_instance_uid),
            _written(0x10, "UI", transfer_syntax_uid),
            _written(0x12, "UI", IMPLEMENTATION_CLASS_UID),
            _written(0x13, "SH", IMPLEMENTATION_VERSION_NAME),
        )
    )
    length = _SHORT_HEAD.pack(2, 0, b"UL", 4) + _LENGTH.pack(len(elements))
    return bytes(PREAMBLE_BYTES) + b"DICM" + length + elements


def _written(number: int, vr: str, text: str) -> bytes:
    value = text.encode("ascii")
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return _SHORT_HEAD.pack(2, number, vr.encode(), len(value)) + value
