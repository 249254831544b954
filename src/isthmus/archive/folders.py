"""Paths given by an operator, walked: folders, files, archives. Content decides what a file is, never its name.

Links out of a folder are not followed, nothing is written beside the source, and a DICOMDIR is read past: the files speak for themselves.

Source: interfaces.md §2, §11; field-faults F68.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from isthmus.archive.intake import Intake, Stream
from isthmus.archive.reports import MAX_DOCUMENT_BYTES, Envelope, Reports
from isthmus.archive.verdicts import REFUSED, Unreadable, Verdict, held
from isthmus.errors import SettingsProblem
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.storage.members import Member, tar_members, zip_members

HEAD_BYTES: Final = 1024
DICOM, DICOMDIR, ZIP, TAR, JSON, PDF, XML = "dicom", "dicomdir", "zip", "tar", "json", "pdf", "xml"
DOCUMENTS: Final = (JSON, PDF, XML)
_DIRECTORY_CLASS: Final = b"1.2.840.10008.1.3.10"
_BOMS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Order:
    """What the operator says beside the paths."""

    patient: PatientIdentifier | None = None
    studies: tuple[str, ...] = ()
    accession_numbers: tuple[Identifier, ...] = ()
    confidentiality: str | None = None
    as_: str | None = None  # document, dicom; None: the content decides


def form_of(head: bytes) -> str:
    """What a file is, by its first bytes. What is nothing else is taken for DICOM, and refused as such."""
    if head[128:132] == b"DICM":
        return DICOMDIR if _DIRECTORY_CLASS in head[132:600] else DICOM
    if head[:4] in (b"PK\3\4", b"PK\5\6"):
        return ZIP
    if head[:2] == b"\x1f\x8b" or head[257:262] == b"ustar":
        return TAR
    text = head
    for mark in _BOMS:
        text = text.removeprefix(mark)
    text = text.replace(b"\0", b"").lstrip()
    return next((form for sign, form in ((b"%PDF", PDF), (b"{", JSON), (b"<", XML)) if text.startswith(sign)), DICOM)


def bring(
    intake: Intake,
    reports: Reports,
    paths: Sequence[str],
    order: Order,
    stopped: Callable[[], bool] = lambda: False,
    offer: Callable[[], object] = lambda: None,
) -> Iterator[Verdict]:
    """Bring everything under these paths in, and tell each verdict once it is final. `stopped` is asked between files;
    `offer` makes what came so far findable by its accession number.

    Raises SettingsProblem before anything is read when one of the paths does not exist.
    """
    for path in paths:
        if not os.path.exists(path):
            raise SettingsProblem(f"{path} does not exist; nothing was imported", reason="usage")
    door = _Door(intake, reports, order, offer)
    for path in paths:
        for name, refusal in _files(path, os.path.realpath(intake.blobs)):
            if stopped():
                yield from intake.flush()
                return
            yield from [held(REFUSED, _shown(name), refusal)] if refusal else door.file(name)
    yield from intake.flush()


def _files(path: str, own: str) -> Iterator[tuple[str, str | None]]:
    """Every file under a path in the order of names, or why it is none. `own` is what grows while it is read from."""
    if _inside(own, os.path.realpath(path)):
        yield path, "own-archive"
        return
    if not os.path.isdir(path):
        yield path, None
        return
    root = os.path.realpath(path)
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            yield folder, "unreadable"
            continue
        folders = []
        for entry in entries:
            if entry.is_symlink():
                if not _inside(root, os.path.realpath(entry.path)):
                    yield entry.path, "link"
            elif os.path.realpath(entry.path) == own:
                yield entry.path, "own-archive"
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            else:
                yield entry.path, None if entry.is_file(follow_symlinks=False) else "link"
        waiting += reversed(folders)


def _inside(root: str, target: str) -> bool:
    return target == root or target.startswith(root + os.sep)


def _shown(path: str) -> str:
    """A path as it can be told: names that are no UTF-8 lose what cannot be written."""
    return os.fsencode(path).decode("utf-8", "replace")


class _Begun:
    """A stream whose first bytes were looked at already."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.head = b""
        while len(self.head) < HEAD_BYTES and (piece := self._read(HEAD_BYTES - len(self.head))):
            self.head += piece
        self._again = self.head

    def read(self, size: int, /) -> bytes:
        if self._again:
            piece, self._again = self._again[:size], self._again[size:]
            return piece
        return self._read(size)

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except OSError as error:
            raise Unreadable("unreadable", error.strerror or type(error).__name__) from error


class _Door:
    """One file to where it belongs."""

    def __init__(self, intake: Intake, reports: Reports, order: Order, offer: Callable[[], object]) -> None:
        self._intake, self._reports, self._order, self._offer = intake, reports, order, offer

    def file(self, path: str) -> Iterable[Verdict]:
        shown = _shown(path)
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                return [held(REFUSED, shown, "link")]
            with open(path, "rb", buffering=0) as file:
                begun = _Begun(file)
                form = form_of(begun.head)
                if form not in (ZIP, TAR):
                    return self._one(begun, shown, form)
        except OSError as error:
            return [held(REFUSED, shown, "unreadable", error.strerror or "")]
        except Unreadable as error:
            return [held(REFUSED, shown, error.reason, error.detail)]
        return self._members(zip_members if form == ZIP else tar_members, path, shown)

    def _members(self, read: Callable[[Path], Iterator[Member]], path: str, shown: str) -> Iterator[Verdict]:
        try:
            for member in read(Path(path)):
                yield from self._member(member, f"{shown}!{member.name}".encode("utf-8", "replace").decode())
        except Unreadable as error:
            yield held(REFUSED, shown, error.reason, error.detail)
        except OSError as error:
            yield held(REFUSED, shown, "unreadable", error.strerror or "")

    def _member(self, member: Member, shown: str) -> Iterable[Verdict]:
        if member.stream is None:
            return [held(REFUSED, shown, member.reason or "bad-archive")]
        try:
            begun = _Begun(member.stream)
            form = form_of(begun.head)
            return [held(REFUSED, shown, "nested-archive")] if form in (ZIP, TAR) else self._one(begun, shown, form)
        except Unreadable as error:
            return [held(REFUSED, shown, error.reason, error.detail)]

    def _one(self, begun: _Begun, shown: str, form: str) -> list[Verdict]:
        if form == DICOMDIR:
            return []
        if self._order.as_ != "dicom" and (form in DOCUMENTS or self._order.as_ == "document"):
            body = bytearray()
            while len(body) <= MAX_DOCUMENT_BYTES and (piece := begun.read(1 << 20)):
                body += piece
            before = self._intake.flush()
            if self._order.accession_numbers:
                self._offer()
            envelope = Envelope(
                self._order.patient,
                self._order.studies,
                self._order.accession_numbers,
                confidentiality=self._order.confidentiality,
            )
            return [*before, self._reports.take(bytes(body), form, shown, envelope)]
        return self._intake.dicom(begun, shown, self._order.patient)
