"""Files that nobody should send, as a table of builders: each with what may become of it. Made on the spot, the same every time.

Source: trust.md §2.9, T63 to T67, T72, T98, T99; field-faults groups 3, 4.
"""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from struct import pack
from typing import Final

from isthmus.dicom.part10 import file_meta

CT: Final = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT, DEFLATED, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50"
UNDEFINED: Final = 0xFFFFFFFF
LONG: Final = ("OB", "OW", "SQ", "UN", "UT")
KEPT, HELD, REFUSED = "accepted", "quarantined", "refused"


@dataclass(frozen=True)
class Hostile:
    """A file, and what may become of it: an outcome, and the words it may be said in (any, where none is named)."""

    name: str
    build: Callable[[], bytes]
    outcome: str = REFUSED
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    said = len(value) if length is None else length
    head = pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return head + (pack("<HL", 0, said) if vr in LONG else pack("<H", said)) + value


def text(tag: int, vr: str, value: str) -> bytes:
    raw = value.encode()
    return element(tag, vr, raw + (b"\0" if vr == "UI" else b" ") * (len(raw) % 2))


def front(sop: str = "2.25.661", study: str = "2.25.66", series: str = "2.25.67", patient: str = "666") -> bytes:
    """The data set of an instance, up to its image."""
    return b"".join(
        (
            text(0x00080016, "UI", CT), text(0x00080018, "UI", sop), text(0x00080060, "CS", "CT"), text(0x00100010, "PN", "Hostile^File"),
            text(0x00100020, "LO", patient), text(0x00100030, "DA", "19660606"), text(0x0020000D, "UI", study), text(0x0020000E, "UI", series),
        )
    )  # fmt: skip


def image(rows: int = 4, columns: int = 4, frames: int = 1, pixels: bytes | None = None) -> bytes:
    body = bytes(rows * columns * frames * 2) if pixels is None else pixels
    numbers = {
        0x00280002: 1,
        0x00280010: rows,
        0x00280011: columns,
        0x00280100: 16,
        0x00280101: 16,
        0x00280102: 15,
        0x00280103: 0,
    }
    said = [element(tag, "US", pack("<H", number)) for tag, number in sorted(numbers.items())]
    said.insert(1, text(0x00280004, "CS", "MONOCHROME2") + (text(0x00280008, "IS", str(frames)) if frames > 1 else b""))
    return b"".join(said) + element(0x7FE00010, "OW", body)


def file(*parts: bytes, syntax: str = EXPLICIT, preamble: bytes = b"", sop: str = "2.25.661") -> bytes:
    meta = file_meta(CT, sop, syntax)
    return preamble + meta[len(preamble) :] + b"".join(parts)


def whole() -> bytes:
    return file(front(), image())


def _deflated(*parts: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return file(b"".join(packer.compress(part) for part in parts) + packer.flush(), syntax=DEFLATED)


def _bomb() -> bytes:
    size = 128 << 20
    return _deflated(front(), element(0x00091010, "OB", b"", size), *([bytes(1 << 20)] * 128))


def _deep(depth: int) -> bytes:
    opened = element(0x00081140, "SQ", b"", UNDEFINED) + pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
    closed = pack("<HHL", 0xFFFE, 0xE00D, 0) + pack("<HHL", 0xFFFE, 0xE0DD, 0)
    return file(text(0x00080016, "UI", CT), text(0x00080018, "UI", "2.25.661"), opened * depth + closed * depth)


def _private(count: int) -> bytes:
    return file(
        front(),
        b"".join(element(0x00410000 + n % 0xF000 + 0x1000 + (n // 0xF000 << 17), "LO", b"") for n in range(count)),
    )


def _fragments(count: int, *, closed: bool = True) -> bytes:
    head = element(0x7FE00010, "OB", b"", UNDEFINED)
    item, end = pack("<HHL", 0xFFFE, 0xE000, 0), pack("<HHL", 0xFFFE, 0xE0DD, 0)
    return file(front(), image()[: -(12 + 32)], head, item * count, end if closed else b"", syntax=JPEG)


def _zip(*members: tuple[str, bytes], link: bool = False) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o120777 if link else 0o100644) << 16
            archive.writestr(info, body)
    return made.getvalue()


def _tar(name: str, kind: bytes = tarfile.REGTYPE, body: bytes = b"") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, "/etc/passwd", len(body)
        archive.addfile(info, io.BytesIO(body))
    return made.getvalue()


def _overlapping(count: int) -> bytes:
    """One packed body under many names."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", bytes(1 << 20))
        one = archive.infolist()[0]
        for number in range(1, count):
            twin = zipfile.ZipInfo(f"{number}.dcm")
            for said in ("compress_type", "CRC", "compress_size", "file_size", "header_offset", "external_attr"):
                setattr(twin, said, getattr(one, said))
            archive.filelist.append(twin)
    return made.getvalue()


def _uncounted(count: int) -> bytes:
    """More names than the directory says."""
    whole = _zip(("a.dcm", b""))
    at, end = whole.index(b"PK\1\2"), whole.rindex(b"PK\5\6")
    entries = whole[at:end] * count
    return whole[:at] + entries + pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entries), at, 0)


def _lzma() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.dcm", whole())
    return made.getvalue()


def _said(count: int) -> bytes:
    """Values that are read, each within its bound."""
    item = element(0x0040A160, "UT", bytes(60_000))
    items = (pack("<HHL", 0xFFFE, 0xE000, len(item)) + item) * count
    return file(front(), element(0x0040A730, "SQ", items))


PREAMBLES: Final = {
    "a program of Windows": b"MZ\x90\x00", "a program of Linux": b"\x7fELF\x02\x01", "a program of a Mac": b"\xcf\xfa\xed\xfe",
    "a script": b"#!/bin/sh\nid\n", "a page": b"<html><script>alert(1)</script>", "a PDF": b"%PDF-1.7\n",
}  # fmt: skip


def _laughs() -> bytes:
    named = [b'<!ENTITY a "ha">'] + [
        b'<!ENTITY a%d "%s">' % (n, (b"&a%d;" % (n - 1) if n else b"&a;") * 10) for n in range(10)
    ]
    return b"<!DOCTYPE a [" + b"".join(named) + b"]><a>&a9;</a>"


_CDA: Final = b'<ClinicalDocument xmlns="urn:hl7-org:v3">'


def _polyglots() -> Iterator[Hostile]:
    for name, head in PREAMBLES.items():
        yield Hostile(
            f"a preamble of {name}", partial(file, front(), image(), preamble=head), reasons=("active-preamble",)
        )


DICOM: Final[tuple[Hostile, ...]] = (
    Hostile("a deflate bomb", _bomb, HELD, ("inflation", "too-large")),
    Hostile("a deflated file that ends early", lambda: _deflated(front(), image())[:-8]),
    Hostile("what says it is deflated and is not", lambda: file(front(), image(), syntax=DEFLATED)),
    Hostile("sequences in sequences, 17", lambda: _deep(17), HELD, ("too-deep",)),
    Hostile("sequences in sequences, 3000", lambda: _deep(3000), HELD, ("too-deep",)),
    Hostile("a million private elements", lambda: _private(1_000_000), HELD, ("too-many-elements",)),
    Hostile("a length beyond the end", lambda: file(front(), element(0x00091010, "OB", b"x", 0xFFFFFFF0)), HELD, ("too-large",)),
    Hostile("an undefined length where none may be", lambda: file(front(), element(0x00091010, "OB", b"xx", UNDEFINED))),
    Hostile("an unknown value without end", lambda: file(front(), element(0x00091010, "UN", b"xxxxxxxxxx", UNDEFINED))),
    Hostile("an item longer than its sequence", lambda: file(front(), element(0x00400275, "SQ", pack("<HHL", 0xFFFE, 0xE000, 999), 8))),
    Hostile("a sequence that is no sequence", lambda: file(front(), element(0x00400275, "SQ", b"no items"))),
    Hostile("a head alone", lambda: file()),
    Hostile("cut in the head", lambda: whole()[:150]),
    Hostile("cut in an element", lambda: whole()[:340]),
    Hostile("cut in the pixels", lambda: whole()[:-7]),
    Hostile("pixels of 8 TB that are not there", lambda: file(front(), image(65535, 65535, 1000, b"\0" * 64)), HELD, ("too-large",)),
    Hostile("pixels fewer than said", lambda: file(front(), image(512, 512, 1, b"\0" * 64))),
    Hostile("fragments without end", lambda: _fragments(10, closed=False)),
    Hostile("two million fragments of nothing", lambda: _fragments(2_000_000), HELD, ("too-many-elements",)),
    Hostile("no SOP Instance UID", lambda: file(front(sop=""), image(), sop="")),
    Hostile("no study", lambda: file(front(study=""), image()), reasons=("no-study-uid",)),
    Hostile("a UID that is a path", lambda: file(front(study="../../etc/passwd"), image()), reasons=("bad-uid",)),
    Hostile("a UID with a zero byte", lambda: file(front(study="1.2\0/../3"), image()), reasons=("bad-uid",)),
    Hostile("a UID too long", lambda: file(front(study="1." * 40 + "1"), image()), reasons=("bad-uid",)),
    Hostile("an unknown syntax", lambda: file(front(), image(), syntax="1.2.3.4"), reasons=("bad-syntax",)),
    Hostile("nothing", lambda: b"", reasons=("empty",)),
    Hostile("a preamble alone", lambda: bytes(128) + b"DICM"),
    Hostile("a megabyte of nothing", lambda: bytes(1 << 20), reasons=("not-dicom",)),
    Hostile("noise", lambda: random.Random(1).randbytes(1 << 20), reasons=("not-dicom",)),  # noqa: S311
    Hostile("many long values, each within its bound", lambda: _said(200), HELD, ("too-large",)),
    *_polyglots(),
)  # fmt: skip

DOCUMENTS: Final[tuple[Hostile, ...]] = (
    Hostile("JSON a hundred thousand deep", lambda: b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    Hostile("JSON that never ends", lambda: b'{"resourceType": "Bundle", "type": "document", "entry": ['),
    Hostile("a Bundle of nothing", lambda: b'{"resourceType": "Bundle", "type": "document", "entry": []}'),
    Hostile("a Bundle of wrong kinds", lambda: b'{"resourceType": 7, "type": [], "entry": {"resource": "x"}}'),
    Hostile("a number with a million digits", lambda: b'{"resourceType": "Bundle", "total": ' + b"9" * 1_000_000 + b"}"),
    Hostile("billion laughs", _laughs),
    Hostile("an entity from outside", lambda: b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>' + _CDA + b"&b;</ClinicalDocument>"),
    Hostile("a document type from outside", lambda: b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">' + _CDA + b"</ClinicalDocument>"),
    Hostile("XML a hundred thousand deep", lambda: b"<a>" * 100_000 + b"</a>" * 100_000),
    Hostile("XML that never ends", lambda: b'<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="1.2"'),
    Hostile("an empty CDA document", lambda: b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>'),
    Hostile("a PDF of nobody", lambda: b"%PDF-1.7\n/JavaScript (app.alert(1))\n%%EOF\n", reasons=("no-patient",)),
)  # fmt: skip

ARCHIVES: Final[tuple[Hostile, ...]] = (
    Hostile("a zip that leads outside", lambda: _zip(("../../outside.dcm", whole()))),
    Hostile("a zip with a link", lambda: _zip(("link.dcm", b"/etc/passwd"), link=True)),
    Hostile("a zip in a zip", lambda: _zip(("inner.zip", _zip(("a.dcm", whole()))))),
    Hostile("a zip bomb", lambda: _zip(("bomb.dcm", file(front(), element(0x00091010, "OB", bytes(48 << 20)))))),
    Hostile("a zip cut short", lambda: _zip(("a.dcm", whole()))[:-30]),
    Hostile("a zip of one body under many names", lambda: _overlapping(50), reasons=("overlap", "not-dicom")),
    Hostile("a zip of many small bombs", lambda: _zip(*[(f"{n}.dcm", bytes(8 << 20)) for n in range(16)]), reasons=("bomb", "not-dicom")),
    Hostile("a zip of more names than it says", lambda: _uncounted(100_001), reasons=("too-many-members",)),
    Hostile("a zip packed by lzma", _lzma, reasons=("bad-archive",)),
    Hostile("a tar that leads outside", lambda: _tar("/etc/cron.d/x", body=whole())),
    Hostile("a tar with a link", lambda: _tar("a.dcm", tarfile.SYMTYPE)),
    Hostile("a tar with a device", lambda: _tar("a.dcm", tarfile.CHRTYPE)),
    Hostile("a gzip bomb", lambda: gzip.compress(_tar("a.dcm", body=bytes(64 << 20)))),
    Hostile("a gzip cut short", lambda: gzip.compress(_tar("a.dcm", body=random.Random(2).randbytes(4096)))[:-2000]),  # noqa: S311
)  # fmt: skip

CORPUS: Final = (*DICOM, *DOCUMENTS, *ARCHIVES)


def mutations(count: int, seed: int = 7) -> Iterator[bytes]:
    """A whole file, hurt here and there: what becomes of each is open, but something does."""
    dice, original = random.Random(seed), whole()  # noqa: S311  # no secret
    for _ in range(count):
        hurt = bytearray(original)
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(128, len(hurt))
            match dice.randrange(4):
                case 0:
                    hurt[at] = dice.randrange(256)
                case 1:
                    hurt[at : at + 4] = pack("<L", dice.choice((0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFF0, UNDEFINED)))
                case 2:
                    del hurt[at : at + dice.randint(1, 40)]
                case _:
                    hurt[at:at] = dice.randbytes(dice.randint(1, 40))
        yield bytes(hurt)
