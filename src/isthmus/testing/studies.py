"""Synthetic CT studies of any size, the same at every call with the same seed; written in pieces, never held whole.

Source: PS3.3 A.3 (CT Image), PS3.5 §7.1.2 (Explicit VR Little Endian).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from struct import pack

from isthmus.dicom.part10 import file_meta
from isthmus.dicom.syntaxes import EXPLICIT_LE, IMPLICIT_LE
from isthmus.dicom.uids import derived_uid
from isthmus.model.people import Patient

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
PIECE_BYTES = 1 << 20
_LONG = ("OB", "OW", "SQ", "UT")


@dataclass(frozen=True)
class SyntheticStudy:
    """A study to be written: `instances` slices of `rows` × `columns` × `frames`, 16 bits, in series of `series_size`."""

    seed: int = 0
    patient: Patient | None = None
    instances: int = 10
    series_size: int = 1000
    rows: int = 512
    columns: int = 512
    frames: int = 1
    description: str = "Synthetic study"
    accession_number: str = "SYN-1"
    body_part: str = "CHEST"
    study_date: str = "20260105"
    transfer_syntax_uid: str = EXPLICIT_LE  # or Implicit VR Little Endian

    @property
    def study_instance_uid(self) -> str:
        return derived_uid("isthmus.testing", str(self.seed))

    def series_instance_uid(self, number: int) -> str:
        return derived_uid("isthmus.testing", str(self.seed), f"series {number // self.series_size}")

    def sop_instance_uid(self, number: int) -> str:
        return derived_uid("isthmus.testing", str(self.seed), f"instance {number}")

    @property
    def pixel_bytes(self) -> int:
        return self.rows * self.columns * self.frames * 2

    def write(self, folder: Path) -> list[Path]:
        """Write every instance into a folder; gives the paths in order."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{number:05}.dcm" for number in range(self.instances)]
        for number, path in enumerate(paths):
            with path.open("wb") as file:
                file.writelines(self.pieces(number))
        return paths

    def pieces(self, number: int) -> Iterator[bytes]:
        """One instance, piece by piece; noise in the pixels."""
        sop, explicit = self.sop_instance_uid(number), self.transfer_syntax_uid != IMPLICIT_LE
        yield file_meta(CT_IMAGE, sop, self.transfer_syntax_uid)
        yield b"".join(_element(tag, vr, value, explicit) for tag, vr, value in self._elements(number, sop))
        yield _head(0x7FE00010, "OW", self.pixel_bytes, explicit)
        noise, left = Random(f"{self.seed}/{number}"), self.pixel_bytes  # noqa: S311  # noise, no secret
        while left:
            piece = noise.randbytes(min(left, PIECE_BYTES))
            left -= len(piece)
            yield piece

    def _elements(self, number: int, sop: str) -> list[tuple[int, str, str | int | bytes]]:
        patient, series = self.patient, number // self.series_size
        elements: list[tuple[int, str, str | int | bytes]] = [
            (0x00080005, "CS", "ISO_IR 192"), (0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL"), (0x00080016, "UI", CT_IMAGE),
            (0x00080018, "UI", sop), (0x00080020, "DA", self.study_date), (0x00080030, "TM", "101500"),
            (0x00080050, "SH", self.accession_number), (0x00080060, "CS", "CT"), (0x00080070, "LO", "Isthmus test kit"),
            (0x00080090, "PN", ""), (0x00081030, "LO", self.description), (0x0008103E, "LO", f"Series {series + 1}"),
            (0x00100010, "PN", _person_name(patient)), (0x00100020, "LO", patient.identifier.value if patient else ""),
        ]  # fmt: skip
        if patient is not None:
            issuer = patient.identifier.system.removeprefix("urn:oid:")
            elements += [
                (0x00100021, "LO", issuer), (0x00100030, "DA", patient.birth_date.replace("-", "")),
                (0x00100040, "CS", {"male": "M", "female": "F", "other": "O"}.get(patient.gender, "")),
            ]  # fmt: skip
        elements += [
            (0x00180015, "CS", self.body_part), (0x00180050, "DS", "1"), (0x0020000D, "UI", self.study_instance_uid),
            (0x0020000E, "UI", self.series_instance_uid(number)), (0x00200010, "SH", "1"), (0x00200011, "IS", str(series + 1)),
            (0x00200013, "IS", str(number + 1)), (0x00200032, "DS", f"0\\0\\{number}"), (0x00200037, "DS", "1\\0\\0\\0\\1\\0"),
            (0x00200052, "UI", self.series_instance_uid(number)), (0x00280002, "US", 1), (0x00280004, "CS", "MONOCHROME2"),
        ]  # fmt: skip
        elements += [(0x00280008, "IS", str(self.frames))] if self.frames > 1 else []
        elements += [
            (0x00280010, "US", self.rows), (0x00280011, "US", self.columns), (0x00280030, "DS", "0.7\\0.7"),
            (0x00280100, "US", 16), (0x00280101, "US", 16), (0x00280102, "US", 15), (0x00280103, "US", 0),
            (0x00281052, "DS", "-1024"), (0x00281053, "DS", "1"),
        ]  # fmt: skip
        return elements


def _person_name(patient: Patient | None) -> str:
    return "=".join("^".join((name.family, *name.given)) for name in patient.names) if patient else ""


def _element(tag: int, vr: str, value: str | int | bytes, explicit: bool) -> bytes:
    raw = pack("<H", value) if isinstance(value, int) else value if isinstance(value, bytes) else value.encode()
    raw += (b"\0" if vr in ("UI", "OB") else b" ") * (len(raw) % 2)
    return _head(tag, vr, len(raw), explicit) + raw


def _head(tag: int, vr: str, length: int, explicit: bool) -> bytes:
    group, number = tag >> 16, tag & 0xFFFF
    if not explicit:
        return pack("<HHL", group, number, length)
    if vr in _LONG:
        return pack("<HH2sHL", group, number, vr.encode(), 0, length)
    return pack("<HH2sH", group, number, vr.encode(), length)
