"""A small writer of DICOM bytes, so that each fault can be made in the test that shows it."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from isthmus.dicom.part10 import file_meta
from isthmus.dicom.syntaxes import EXPLICIT_LE, IMPLICIT_LE
from isthmus.dicom.tags import VR_LONG

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
UNDEFINED = 0xFFFFFFFF


SAMPLES = Path(os.environ.get("ISTHMUS_SAMPLES", Path(__file__).resolve().parents[3] / "shared" / "data"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test of `dicom_file` every public sample, or the name of their folder when it is not here."""
    if "dicom_file" in metafunc.fixturenames:
        files = [path for path in (SAMPLES / "dicom").rglob("*") if path.is_file()]
        names = sorted(str(path.relative_to(SAMPLES)) for path in files) or ["dicom"]
        metafunc.parametrize("dicom_file", names, indirect=True)


@pytest.fixture
def dicom_file(request: pytest.FixtureRequest, sample: Callable[[str], Path]) -> Path:
    return sample(request.param)


class Writing:
    """Writes elements in the syntax of its UID, without judging them."""

    def __init__(self, syntax: str = EXPLICIT_LE, order: str = "<") -> None:
        self.syntax = syntax
        self.order = order

    def head(self, tag: int, vr: str, length: int) -> bytes:
        group, number = tag >> 16, tag & 0xFFFF
        if self.syntax == IMPLICIT_LE:
            return struct.pack("<HHL", group, number, length)
        if vr in VR_LONG:
            return struct.pack(self.order + "HH2sHL", group, number, vr.encode(), 0, length)
        return struct.pack(self.order + "HH2sH", group, number, vr.encode(), length)

    def element(self, tag: int, vr: str, value: bytes | str) -> bytes:
        raw = value.encode("ascii") if isinstance(value, str) else value
        raw += (b"\0" if vr in ("UI", "OB") else b" ") * (len(raw) % 2)
        return self.head(tag, vr, len(raw)) + raw

    def short(self, tag: int, value: int) -> bytes:
        return self.element(tag, "US", struct.pack(self.order + "H", value))

    def item(self, *elements: bytes) -> bytes:
        body = b"".join(elements)
        return struct.pack(self.order + "HHL", 0xFFFE, 0xE000, len(body)) + body

    def open_item(self, *elements: bytes) -> bytes:
        start = struct.pack(self.order + "HHL", 0xFFFE, 0xE000, UNDEFINED)
        return start + b"".join(elements) + struct.pack(self.order + "HHL", 0xFFFE, 0xE00D, 0)

    def sequence(self, tag: int, *items: bytes) -> bytes:
        body = b"".join(items)
        return self.head(tag, "SQ", len(body)) + body

    def open_sequence(self, tag: int, *items: bytes, vr: str = "SQ") -> bytes:
        return self.head(tag, vr, UNDEFINED) + b"".join(items) + struct.pack(self.order + "HHL", 0xFFFE, 0xE0DD, 0)

    def data_set(self, *elements: bytes, **uids: str) -> bytes:
        """Write an instance's UIDs and these elements, in the order of their tags."""
        named = {"sop": "1.2.3.4", "series": "1.2.3", "study": "1.2", "sop_class": CT_IMAGE} | uids
        required = (
            self.element(0x00080016, "UI", named["sop_class"]),
            self.element(0x00080018, "UI", named["sop"]),
            self.element(0x0020000D, "UI", named["study"]),
            self.element(0x0020000E, "UI", named["series"]),
        )
        by_tag = sorted((self._tag(element), element) for element in (*required, *elements))
        return b"".join(element for _, element in by_tag)

    def file(self, *elements: bytes, **uids: str) -> bytes:
        return file_meta(CT_IMAGE, uids.get("sop", "1.2.3.4"), self.syntax) + self.data_set(*elements, **uids)

    def _tag(self, element: bytes) -> int:
        group, number = struct.unpack(self.order + "HH", element[:4])
        return int(group << 16 | number)


@pytest.fixture
def explicit() -> Writing:
    return Writing()


@pytest.fixture
def implicit() -> Writing:
    return Writing(IMPLICIT_LE)


@pytest.fixture
def big_endian() -> Writing:
    return Writing("1.2.840.10008.1.2.2", ">")
