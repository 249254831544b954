"""DICOM JSON of what is served, made once for a generation of a study and kept compressed: of the study, and of each series.

Without bulk values: a value that `dicom/dicomjson.py` would give by address is left out, because this border gives no such address.
An instance that cannot be described any more keeps its UIDs.

Source: PS3.18 §10.4.1.1.2, Annex F; performance.md §3; field-faults F22, F23, F34; WAD-14.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
from sqlalchemy import Connection, Row, delete, insert, select

from isthmus.archive import queries
from isthmus.config import Settings
from isthmus.dicom.dicomjson import instance_json
from isthmus.dicom.faults import DicomFault
from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.model.pieces import FileRange
from isthmus.model.queries import ImagesQuery
from isthmus.storage.database import Database
from isthmus.storage.ranges import RangeSource
from isthmus.storage.schema.archive import described, studies

ATTEMPTS = 5
GZIP = 31  # zlib's window bits for a stream with gzip's head
WHOLE_STUDY = ""


class Metadata:
    """Makes the metadata that are missing."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._blobs, self._database = settings.path(settings.blobs), database

    def make(self, study_instance_uids: Iterable[str]) -> None:
        """Make those of these studies. Raises NationalInfrastructureUnavailable when a file cannot be read."""
        for uid in study_instance_uids:
            self._make(uid)

    def _make(self, uid: str) -> None:
        for _ in range(ATTEMPTS):
            generation, rows = self._database.read_now(
                lambda c: (_generation(c, uid), queries.served(c, uid))
            )  # called at once
            if not rows:
                return
            try:
                made = _written(rows, self._blobs)
            except OSError as error:
                raise NationalInfrastructureUnavailable("a stored file cannot be read") from error
            if self._database.write_now(lambda c: _keep(c, uid, generation, made)):  # noqa: B023  # called at once
                return


def read_metadata(connection: Connection, query: ImagesQuery) -> bytes | None:
    """The JSON array of a study, a series or an instance, compressed by gzip; None when it is not made, or there is none."""
    kept = (
        select(described.c.body)
        .join(studies, studies.c.study_instance_uid == described.c.study_instance_uid)
        .where(described.c.study_instance_uid == query.study_instance_uid)
        .where(described.c.series_instance_uid == (query.series_instance_uid or WHOLE_STUDY))
        .where(described.c.generation == studies.c.generation)
    )
    body: bytes | None = connection.execute(kept).scalar()
    if body is None or query.sop_instance_uid is None:
        return body
    return _one_of(body, query.sop_instance_uid)


def _one_of(body: bytes, sop_instance_uid: str) -> bytes | None:
    """One instance of a series."""
    for one in msgspec.json.decode(zlib.decompress(body, GZIP), type=list[msgspec.Raw]):
        raw = bytes(one)
        if sop_instance_uid.encode() in raw and orjson.loads(raw)["00080018"].get("Value") == [sop_instance_uid]:
            return packed([b"[", raw, b"]"])
    return None


def packed(parts: Iterable[bytes]) -> bytes:
    """By gzip, as it is kept and crosses."""
    packer = _Packer()
    for part in parts:
        packer.add(part)
    return packer.close()


class _Packer:
    """Compresses as it is fed; nothing but compressed bytes is held."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj(wbits=GZIP)
        self._parts: list[bytes] = []

    def add(self, part: bytes) -> None:
        self._parts.append(self._packer.compress(part))

    def close(self) -> bytes:
        return b"".join((*self._parts, self._packer.flush()))


def _written(rows: list[Row[Any]], blobs: Path) -> dict[str, bytes]:
    """The arrays of the study and of its series, in the order in which instances cross."""
    packers: dict[str, _Packer] = {}
    for row in rows:
        said = orjson.dumps(_said(row, blobs))
        for level in (WHOLE_STUDY, row.series_instance_uid):
            lead = b"," if level in packers else b"["
            packers.setdefault(level, _Packer()).add(lead + said)
    for packer in packers.values():
        packer.add(b"]")
    return {level: packer.close() for level, packer in packers.items()}


def _said(row: Row[Any], blobs: Path) -> Any:
    """What is said of one instance, in the form that crosses; its bulk values left out."""
    stored = queries.stored(row, blobs)
    if not isinstance(stored.content, FileRange):
        raise TypeError("the archive keeps files")
    bulk: list[str] = []

    def noted(path: str) -> str:
        bulk.append(path)
        return path

    try:
        said: Any = instance_json(RangeSource(stored.content), noted)
    except DicomFault:
        return {tag: {"vr": "UI", "Value": [value]} for tag, value in _uids(row)}
    for path in bulk:
        *steps, tag = path.split("/")
        item = said
        for sequence, number in zip(steps[::2], steps[1::2], strict=True):
            item = item[sequence]["Value"][int(number) - 1]
        del item[tag]
    return said


def _uids(row: Row[Any]) -> Iterator[tuple[str, str]]:
    yield "00080016", row.sop_class_uid
    yield "00080018", row.sop_instance_uid
    yield "0020000D", row.study_instance_uid
    yield "0020000E", row.series_instance_uid


def _generation(connection: Connection, uid: str) -> int:
    found = connection.execute(select(studies.c.generation).where(studies.c.study_instance_uid == uid)).scalar()
    return int(found or 0)


def _keep(connection: Connection, uid: str, generation: int, made: dict[str, bytes]) -> bool:
    """Keep what was made, unless another was faster. False when the study has changed since it was read."""
    if _generation(connection, uid) != generation:
        return False
    of_study = described.c.study_instance_uid == uid
    held = select(described.c.body).where(of_study, described.c.generation == generation)
    if connection.execute(held).first() is None:
        connection.execute(delete(described).where(of_study))
        rows = [{"series_instance_uid": series, "body": body} for series, body in made.items()]
        common = {"study_instance_uid": uid, "generation": generation}
        connection.execute(insert(described), [row | common for row in rows])
    return True
